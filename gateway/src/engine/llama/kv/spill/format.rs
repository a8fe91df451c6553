//! What a spilled sequence looks like in a file: a header that says whose state it is, then the state.
//!
//! All numbers are little-endian. The header ends with a SHA-256 of itself and holds one of the state, so no byte of a
//! file is believed before it was checked; lengths are bounded before anything is allocated.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::super::Key;
use super::Identity;
use crate::engine::llama::memory_file::MemoryFile;

/// How every file begins.
const MAGIC: [u8; 8] = *b"SLUICEKV";
/// Counts up when this layout changes; other versions are dropped.
const VERSION: u32 = 1;
/// Magic, version, identity, two lengths, the state's length and digest.
const FIXED: usize = 8 + 4 + 32 + 4 + 4 + 8 + 32;
/// Length of a SHA-256.
const DIGEST: usize = 32;
/// No salt is longer: it is a subject's name.
const LONGEST_SALT: u32 = 1 << 16;
/// Read at a time.
const CHUNK: usize = 1 << 20;

/// Why a file is not what was looked for.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    /// It could not be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Of another model, other settings or another version.
    #[error("it was made by another model, other settings or another version")]
    Foreign,
    /// Its bytes are not those that were written.
    #[error("it is damaged")]
    Damaged,
}

/// The head of a file.
#[derive(Debug)]
pub(super) struct Header {
    /// Whose state, after which tokens.
    pub(super) key: Key,
    /// Length of the state.
    pub(super) state: u64,
    digest: [u8; DIGEST],
}

/// The length of a sequence's file.
pub(super) fn file_length(key: &Key, state: u64) -> u64 {
    header_length(key.salt.len(), key.tokens.len()).saturating_add(state)
}

fn header_length(salt: usize, tokens: usize) -> u64 {
    (FIXED + DIGEST) as u64 + salt as u64 + 4 * tokens as u64
}

/// Writes a file; `go_on` is asked before each piece.
pub(super) fn write(
    file: &mut File,
    identity: &Identity,
    key: &Key,
    state: &MemoryFile,
    go_on: impl Fn() -> bool,
) -> io::Result<()> {
    let header = header_length(key.salt.len(), key.tokens.len());
    let mut offset = header;
    let mut digest = Sha256::new();
    state.read(|piece| {
        if !go_on() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        digest.update(piece);
        file.write_all_at(piece, offset)?;
        offset += piece.len() as u64;
        Ok(())
    })?;
    // The header comes last: a file cut short by a crash has none.
    file.write_all(&encode(identity, key, state.bytes(), &digest.finalize().into())?)
}

fn encode(identity: &Identity, key: &Key, state: u64, digest: &[u8; DIGEST]) -> io::Result<Vec<u8>> {
    let short =
        |length: usize| u32::try_from(length).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput));
    let mut bytes = Vec::new();
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&identity.0);
    bytes.extend_from_slice(&short(key.salt.len())?.to_le_bytes());
    bytes.extend_from_slice(&short(key.tokens.len())?.to_le_bytes());
    bytes.extend_from_slice(&state.to_le_bytes());
    bytes.extend_from_slice(digest);
    bytes.extend_from_slice(key.salt.as_bytes());
    for token in key.tokens.iter() {
        bytes.extend_from_slice(&token.to_le_bytes());
    }
    let own: [u8; DIGEST] = Sha256::digest(&bytes).into();
    bytes.extend_from_slice(&own);
    Ok(bytes)
}

/// Reads and checks the head of a file of `length` bytes whose sequence fits into `window` tokens.
pub(super) fn read_header(
    from: &mut impl Read,
    length: u64,
    identity: &Identity,
    window: u32,
) -> Result<Header, Refusal> {
    let mut seen = Sha256::new();
    let mut fixed = [0; FIXED];
    from.read_exact(&mut fixed).map_err(cut_short)?;
    seen.update(fixed);
    let mut fields = Fields(&fixed);
    if fields.take()? != MAGIC || fields.u32()? != VERSION || fields.take()? != identity.0 {
        return Err(Refusal::Foreign);
    }
    let (salt, tokens) = (fields.u32()?, fields.u32()?);
    let state = u64::from_le_bytes(fields.take()?);
    let digest = fields.take()?;
    if salt > LONGEST_SALT {
        return Err(Refusal::Damaged);
    }
    if tokens > window {
        return Err(Refusal::Foreign);
    }
    if header_length(salt as usize, tokens as usize).checked_add(state) != Some(length) {
        return Err(Refusal::Damaged);
    }
    let mut text = vec![0; salt as usize];
    from.read_exact(&mut text).map_err(cut_short)?;
    seen.update(&text);
    let mut ids = vec![0; 4 * tokens as usize];
    from.read_exact(&mut ids).map_err(cut_short)?;
    seen.update(&ids);
    let mut own = [0; DIGEST];
    from.read_exact(&mut own).map_err(cut_short)?;
    if seen.finalize() != own.into() {
        return Err(Refusal::Damaged);
    }
    let text = String::from_utf8(text).map_err(|_| Refusal::Damaged)?;
    let (ids, _whole) = ids.as_chunks::<4>();
    let tokens: Arc<[u32]> = ids.iter().map(|id| u32::from_le_bytes(*id)).collect();
    Ok(Header { key: Key { salt: Arc::from(text), tokens }, state, digest })
}

/// The state of a file, every byte checked, if it is the sequence that was looked for.
pub(super) fn read(path: &Path, identity: &Identity, key: &Key, limit: u64) -> Result<MemoryFile, Refusal> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    if length > limit {
        return Err(Refusal::Damaged);
    }
    let window = u32::try_from(key.tokens.len()).map_err(|_| Refusal::Foreign)?;
    let header = read_header(&mut file, length, identity, window)?;
    if header.key != *key {
        return Err(Refusal::Foreign);
    }
    let mut memory = MemoryFile::create()?;
    let mut digest = Sha256::new();
    let mut buffer = vec![0; CHUNK.min(usize::try_from(header.state).unwrap_or(CHUNK))];
    let mut left = header.state;
    while left > 0 {
        let wanted = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let Some(piece) = buffer.get_mut(..wanted) else { return Err(Refusal::Damaged) };
        file.read_exact(piece).map_err(cut_short)?;
        digest.update(&*piece);
        memory.append(piece)?;
        left -= wanted as u64;
    }
    if digest.finalize() != header.digest.into() {
        return Err(Refusal::Damaged);
    }
    Ok(memory)
}

fn cut_short(error: io::Error) -> Refusal {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => Refusal::Damaged,
        _ => Refusal::Io(error),
    }
}

/// The fields of the head's fixed part, one after the other.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], Refusal> {
        let (field, rest) = self.0.split_first_chunk().ok_or(Refusal::Damaged)?;
        self.0 = rest;
        Ok(*field)
    }

    fn u32(&mut self) -> Result<u32, Refusal> {
        self.take().map(u32::from_le_bytes)
    }
}
