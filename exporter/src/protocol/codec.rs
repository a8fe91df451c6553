//! Messages to compressed bytes and back, within bounds: a small body cannot become a large one.

use std::io::Read;

use bytes::Bytes;
use prost::Message;
use zstd::bulk;

use super::survey::{self, Shaped};

/// A tenth or less of the size; higher levels cost more than they save here.
const LEVEL: i32 = 1;
/// The most that a body may ask to have remembered of what it said before: 8 MiB, as every decoder must have. Base 2.
const LARGEST_WINDOW: u32 = 23;

/// How large a body may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// As it was sent, bytes.
    pub compressed: usize,
    /// As it is read, bytes.
    pub decompressed: usize,
    /// Messages in it, however small.
    pub messages: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { compressed: 4 << 20, decompressed: 32 << 20, messages: 500_000 }
    }
}

/// Why a body could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// It is larger than the bounds.
    #[error("the body is larger than {0} bytes when decompressed")]
    TooLarge(usize),
    /// There is more in it than the bounds allow.
    #[error("the body holds more than {0} messages")]
    TooMany(usize),
    /// It is no zstd.
    #[error("the body cannot be decompressed: {0}")]
    Compression(std::io::Error),
    /// It is not the message.
    #[error("the body is not the message that this path takes: {0}")]
    Message(#[from] prost::DecodeError),
}

/// A message as it is sent.
///
/// # Errors
/// The compressor has no memory.
pub fn encode(message: &impl Message) -> Result<Bytes, CodecError> {
    let plain = message.encode_to_vec();
    bulk::compress(&plain, LEVEL).map(Bytes::from).map_err(CodecError::Compression)
}

/// A message as it was sent.
///
/// # Errors
/// It is larger than `bounds`, holds more, is no zstd, or is another message.
pub fn decode<M: Message + Default + Shaped>(body: &[u8], bounds: Bounds) -> Result<M, CodecError> {
    let plain = unpack(body, bounds.decompressed)?;
    if survey::count(&plain, &M::SHAPE, bounds.messages) > bounds.messages {
        return Err(CodecError::TooMany(bounds.messages));
    }
    Ok(M::decode(&*plain)?)
}

/// Nobody's word is taken for the size of an allocation beyond `most`.
fn unpack(body: &[u8], most: usize) -> Result<Vec<u8>, CodecError> {
    if let Some(stated) = zstd::zstd_safe::get_frame_content_size(body).ok().flatten() {
        let stated = usize::try_from(stated).unwrap_or(usize::MAX);
        if stated > most {
            return Err(CodecError::TooLarge(most));
        }
        return bulk::decompress(body, stated).map_err(CodecError::Compression);
    }
    // It does not say how large it is: it is read as far as it may be.
    let read = || -> std::io::Result<Vec<u8>> {
        let mut decoder = zstd::stream::read::Decoder::with_buffer(body)?;
        decoder.window_log_max(LARGEST_WINDOW)?;
        let mut plain = Vec::new();
        decoder.take(u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1)).read_to_end(&mut plain)?;
        Ok(plain)
    };
    let plain = read().map_err(CodecError::Compression)?;
    if plain.len() > most { Err(CodecError::TooLarge(most)) } else { Ok(plain) }
}
