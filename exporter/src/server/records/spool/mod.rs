//! Entries that wait on disk, in order: files that are only ever appended to, bounded in all, the oldest leaving first.
//!
//! An entry is its length, how many records it holds, a CRC-32 of both and of the bytes, and the bytes. A torn or
//! damaged one ends its file: what was before it counts, what comes after it cannot be told apart. Files reach the disk
//! when they are full and at the end: a killed process loses nothing, a power cut may lose the newest file.

mod segment;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use self::segment::{HEADER, Segment};

/// Where the reader stands is kept there, so that a restart repeats nothing.
const CURSOR: &str = "cursor";
const CURSOR_BYTES: usize = 20;
/// One process at a time.
const LOCK: &str = "lock";
const SUFFIX: &str = ".spool";
/// A bound is shared by so many files at least: so much of it is lost at most when the oldest leaves.
const SEGMENTS: u64 = 16;
/// A file is not larger, however large the bound is.
const LARGEST_SEGMENT: u64 = 16 << 20;

/// Why nothing can be kept.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// The folder or a file in it.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another process has it.
    #[error("{}: in use by another process", .0.display())]
    InUse(PathBuf),
    /// An entry is larger than the whole bound.
    #[error("larger than the spool may be")]
    TooLarge,
}

/// The oldest entry, and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    segment: u64,
    end: u64,
    /// How many records it holds.
    pub records: u32,
    /// What was put in.
    pub bytes: Vec<u8>,
}

/// The files of one folder.
#[derive(Debug)]
pub struct Spool {
    folder: PathBuf,
    most: u64,
    /// Oldest first. The last is written to while there is a writer.
    segments: VecDeque<Segment>,
    writer: Option<File>,
    /// Of the first.
    reader: Option<File>,
    cursor: File,
    next_number: u64,
    /// The segment of the entry that was last handed out and is not told of yet, and its records: what becomes of them
    /// is not decided when their file leaves.
    out: Option<(u64, u64)>,
    lost: u64,
    _lock: File,
}

impl Spool {
    /// Opens a folder, made where there is none, with all that waits in it; it may hold `most` bytes.
    ///
    /// # Errors
    /// It cannot be read or written, or another process has it.
    pub fn open(folder: &Path, most: u64) -> Result<Self, SpoolError> {
        let fault = |source| SpoolError::File { path: folder.to_owned(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(fault)?;
        let lock = open(&folder.join(LOCK)).map_err(fault)?;
        lock.try_lock().map_err(|_| SpoolError::InUse(folder.to_owned()))?;
        let cursor = open(&folder.join(CURSOR)).map_err(fault)?;
        let mut spool = Self {
            folder: folder.to_owned(),
            most,
            segments: VecDeque::new(),
            writer: None,
            reader: None,
            cursor,
            next_number: 0,
            out: None,
            lost: 0,
            _lock: lock,
        };
        spool.recover().map_err(fault)?;
        Ok(spool)
    }

    /// Bytes on disk.
    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// Nothing waits.
    pub fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// How many records were lost since this was last asked: they left for newer ones, or were damaged. Of a damaged
    /// file found at the start it is not known how many there were; it counts as one.
    pub fn take_lost(&mut self) -> u64 {
        std::mem::take(&mut self.lost)
    }

    /// Puts an entry behind all others; the oldest leave where there is no room.
    ///
    /// # Errors
    /// It is not kept.
    pub fn append(&mut self, records: u32, bytes: &[u8]) -> Result<(), SpoolError> {
        let entry = segment::entry(records, bytes).ok_or(SpoolError::TooLarge)?;
        let size = entry.len() as u64;
        if size > self.most {
            return Err(SpoolError::TooLarge);
        }
        while self.bytes() + size > self.most {
            let oldest = self.segments.front().copied().unwrap_or_default();
            let out = self.out.filter(|(segment, _)| *segment == oldest.number);
            self.lost += oldest.records.saturating_sub(out.map_or(0, |(_, records)| records));
            self.leave();
        }
        self.write(&entry, u64::from(records))
            .map_err(|source| SpoolError::File { path: self.folder.clone(), source })
    }

    /// The oldest entry. It stays until it is [`done`](Self::done), or leaves for newer ones; either way whoever asked
    /// tells what became of it.
    pub fn oldest(&mut self) -> Option<Entry> {
        loop {
            let oldest = *self.segments.front()?;
            if oldest.read < oldest.bytes {
                match self.read(&oldest) {
                    Ok(entry) => {
                        self.out = Some((entry.segment, entry.records.into()));
                        return Some(entry);
                    }
                    Err(error) => {
                        tracing::warn!(%error, spool = %self.folder.display(), "records in a spool are damaged");
                        self.lost += oldest.records;
                    }
                }
            }
            self.leave();
        }
    }

    /// An entry that was tried in vain goes behind all others, where there is room for it beside them; else it stays
    /// the oldest. One that left meanwhile is lost now. Whether it was put behind the others.
    ///
    /// # Errors
    /// It cannot be written; it stays the oldest.
    pub fn defer(&mut self, entry: &Entry) -> Result<bool, SpoolError> {
        self.keep(entry);
        if !self.holds(entry) || self.bytes() + (HEADER + entry.bytes.len()) as u64 > self.most {
            return Ok(false);
        }
        self.append(entry.records, &entry.bytes)?;
        self.done(entry);
        Ok(true)
    }

    /// An entry was not tried to its end: it stays the oldest. One that left meanwhile is lost now.
    pub fn keep(&mut self, entry: &Entry) {
        if !self.holds(entry) {
            self.lost += u64::from(entry.records);
        }
        self.out = None;
    }

    fn holds(&self, entry: &Entry) -> bool {
        self.segments.front().is_some_and(|oldest| oldest.number == entry.segment)
    }

    /// An entry does not have to wait any longer.
    pub fn done(&mut self, entry: &Entry) {
        self.out = None;
        // It may have left meanwhile, for newer ones.
        let Some(oldest) = self.segments.front_mut().filter(|oldest| oldest.number == entry.segment) else {
            return;
        };
        oldest.read = entry.end;
        oldest.records = oldest.records.saturating_sub(entry.records.into());
        let all = oldest.read >= oldest.bytes;
        // A cursor that cannot be written costs repeated records after a restart.
        drop(self.cursor.write_all_at(&cursor(entry.segment, entry.end), 0));
        if all {
            self.leave();
        }
    }

    /// Brings everything to the disk.
    ///
    /// # Errors
    /// The disk fails.
    pub fn sync(&mut self) -> io::Result<()> {
        if let Some(writer) = self.writer.take() {
            writer.sync_all()?;
        }
        self.cursor.sync_all()?;
        File::open(&self.folder)?.sync_all()
    }

    /// The oldest file leaves.
    fn leave(&mut self) {
        let Some(oldest) = self.segments.pop_front() else { return };
        self.reader = None;
        if self.segments.is_empty() {
            self.writer = None;
        }
        if let Err(error) = std::fs::remove_file(self.path(oldest.number)) {
            tracing::warn!(%error, spool = %self.folder.display(), "a file of a spool cannot be removed");
        }
    }

    fn write(&mut self, entry: &[u8], records: u64) -> io::Result<()> {
        let full = (self.most / SEGMENTS).clamp(HEADER as u64, LARGEST_SEGMENT);
        if self.segments.back().is_some_and(|newest| newest.bytes >= full)
            && let Some(writer) = self.writer.take()
        {
            writer.sync_data()?;
        }
        if self.writer.is_none() {
            let number = self.next_number;
            let options = OpenOptions::new().write(true).create_new(true).mode(0o600).clone();
            self.writer = Some(options.open(self.path(number))?);
            self.next_number += 1;
            self.segments.push_back(Segment { number, ..Segment::default() });
        }
        let (Some(writer), Some(newest)) = (&self.writer, self.segments.back_mut()) else { return Ok(()) };
        if let Err(error) = writer.write_all_at(entry, newest.bytes) {
            // Half an entry may be there: nothing is put behind it.
            if writer.set_len(newest.bytes).is_err() {
                self.writer = None;
                self.drop_empty();
            }
            return Err(error);
        }
        newest.bytes += entry.len() as u64;
        newest.records += records;
        Ok(())
    }

    /// A file that nothing could be written to does not stay: a full disk would get another with each try.
    fn drop_empty(&mut self) {
        if let Some(newest) = self.segments.pop_back_if(|newest| newest.bytes == 0) {
            drop(std::fs::remove_file(self.path(newest.number)));
        }
    }

    fn read(&mut self, oldest: &Segment) -> io::Result<Entry> {
        let file = match self.reader.take() {
            Some(file) => file,
            None => File::open(self.path(oldest.number))?,
        };
        let (records, bytes) = segment::read(&file, oldest.read, oldest.bytes)?;
        self.reader = Some(file);
        let end = oldest.read + (HEADER + bytes.len()) as u64;
        Ok(Entry { segment: oldest.number, end, records, bytes })
    }

    fn path(&self, number: u64) -> PathBuf {
        self.folder.join(format!("{number:020}{SUFFIX}"))
    }

    /// Finds the files of earlier lives. They are never appended to: only the newest entry of a file can be torn.
    fn recover(&mut self) -> io::Result<()> {
        let mut numbers = Vec::new();
        for file in std::fs::read_dir(&self.folder)? {
            let name = file?.file_name();
            let number = name.to_str().and_then(|name| name.strip_suffix(SUFFIX)).map(str::parse::<u64>);
            numbers.extend(number.and_then(Result::ok));
        }
        numbers.sort_unstable();
        let (segment, offset) = self.read_cursor();
        for number in numbers {
            let path = self.path(number);
            let from = if number == segment { offset } else { 0 };
            let (found, damaged) = segment::scan(number, &path, from)?;
            if damaged {
                tracing::warn!(file = %path.display(), "a file of a spool ends in a damaged entry");
                self.lost += 1;
            }
            if number < segment || found.read >= found.bytes {
                std::fs::remove_file(path)?;
            } else {
                self.segments.push_back(found);
            }
            self.next_number = number.saturating_add(1);
        }
        self.next_number = self.next_number.max(segment.saturating_add(1));
        Ok(())
    }

    /// The file and the offset that the reader of an earlier life stood at.
    fn read_cursor(&self) -> (u64, u64) {
        let mut read = [0; CURSOR_BYTES];
        let whole = self.cursor.read_exact_at(&mut read, 0).is_ok();
        let (segment, rest) = read.split_at(8);
        let (offset, _) = rest.split_at(8);
        let number = |bytes: &[u8]| bytes.try_into().map_or(0, u64::from_le_bytes);
        let (segment, offset) = (number(segment), number(offset));
        if whole && read == cursor(segment, offset) { (segment, offset) } else { (0, 0) }
    }
}

/// Where the reader stands, with a sum that tells a torn one.
fn cursor(segment: u64, offset: u64) -> [u8; CURSOR_BYTES] {
    let mut written = [0; CURSOR_BYTES];
    let numbers = [segment.to_le_bytes(), offset.to_le_bytes()].concat();
    let sum = crc32fast::hash(&numbers).to_le_bytes();
    for (to, from) in written.iter_mut().zip(numbers.iter().chain(&sum)) {
        *to = *from;
    }
    written
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}
