//! One file of a spool: how entries are written, and how they are read whatever is in the file.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Length, records and sum, four bytes each.
pub(super) const HEADER: usize = 12;

/// What is known of a file.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Segment {
    pub(super) number: u64,
    /// Of whole entries.
    pub(super) bytes: u64,
    /// Of those, the entries that are done.
    pub(super) read: u64,
    /// In the entries that are not.
    pub(super) records: u64,
}

/// An entry as it is written; `None`: longer than can be said.
pub(super) fn entry(records: u32, bytes: &[u8]) -> Option<Vec<u8>> {
    let length = u32::try_from(bytes.len()).ok()?.to_le_bytes();
    let records = records.to_le_bytes();
    let sum = sum(length, records, bytes).to_le_bytes();
    Some([&length, &records, &sum, bytes].concat())
}

fn sum(length: [u8; 4], records: [u8; 4], bytes: &[u8]) -> u32 {
    // The length and the count are summed too: a file of zeros is no file of empty entries.
    let mut sum = crc32fast::Hasher::new();
    sum.update(&length);
    sum.update(&records);
    sum.update(bytes);
    sum.finalize()
}

/// The entry at `offset` of a file of which `end` bytes count.
pub(super) fn read(file: &File, offset: u64, end: u64) -> io::Result<(u32, Vec<u8>)> {
    let mut header = [[0; 4]; 3];
    file.read_exact_at(header.as_flattened_mut(), offset)?;
    let [length, records, stated] = header;
    let from = offset + HEADER as u64;
    let size = u32::from_le_bytes(length);
    // Nobody's word is taken for the size of an allocation.
    if from + u64::from(size) > end {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let mut bytes = vec![0; usize::try_from(size).unwrap_or(usize::MAX)];
    file.read_exact_at(&mut bytes, from)?;
    if sum(length, records, &bytes) != u32::from_le_bytes(stated) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the sum is wrong"));
    }
    Ok((u32::from_le_bytes(records), bytes))
}

/// Finds the whole entries of a file, of which those before `from` are done, and cuts off what follows them; whether
/// there was anything to cut.
pub(super) fn scan(number: u64, path: &Path, from: u64) -> io::Result<(Segment, bool)> {
    let file = File::options().read(true).write(true).open(path)?;
    let size = file.metadata()?.len();
    let mut found = Segment { number, ..Segment::default() };
    while let Ok((records, bytes)) = read(&file, found.bytes, size) {
        found.bytes += (HEADER + bytes.len()) as u64;
        if found.bytes <= from {
            found.read = found.bytes;
        } else {
            found.records += u64::from(records);
        }
    }
    let damaged = found.bytes < size;
    if damaged {
        file.set_len(found.bytes)?;
    }
    Ok((found, damaged))
}
