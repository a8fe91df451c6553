//! Where the body of an answer ends (RFC 9112, 6 and 7): by its length, by its last chunk, or with the connection.

use http::{HeaderMap, StatusCode, header};

use super::head::Head;

/// The longest line of a chunk's size with its extensions.
const LONGEST_SIZE_LINE: usize = 4 << 10;
/// The longest trailer.
const LONGEST_TRAILER: usize = 16 << 10;

/// What of a body was read, without its framing.
pub(super) type Content = Vec<u8>;

/// The end of a body cannot be known.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BadFraming {
    /// Its `content-length` is no length, or there are several.
    #[error("the answer's content-length is no length")]
    Length,
    /// Its `transfer-encoding` is none that was offered.
    #[error("the answer's transfer-encoding is not `chunked`")]
    Encoding,
    /// Its chunks are none.
    #[error("the answer is not made of chunks, as it says it is")]
    Chunk,
}

/// How the rest of a body is framed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// So many bytes.
    Length(u64),
    /// Chunks.
    Chunked(Chunks),
    /// All that comes until the connection is closed.
    UntilClosed,
}

impl Framing {
    /// The framing that a head says.
    pub(super) fn of(head: &Head) -> Result<Self, BadFraming> {
        if matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
            return Ok(Self::Length(0));
        }
        if head.headers.contains_key(header::TRANSFER_ENCODING) {
            return chunked(&head.headers)
                .then_some(Self::Chunked(Chunks::new()))
                .ok_or(BadFraming::Encoding);
        }
        Ok(length(&head.headers)?.map_or(Self::UntilClosed, Self::Length))
    }

    /// Puts what `bytes` hold of the body behind `content`. Says how many of them belong to the body.
    pub(super) fn decode(&mut self, bytes: &[u8], content: &mut Content) -> Result<usize, BadFraming> {
        match self {
            Self::Length(left) => {
                let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                *left -= taken as u64;
                content.extend_from_slice(bytes.get(..taken).unwrap_or_default());
                Ok(taken)
            }
            Self::Chunked(chunks) => chunks.decode(bytes, content),
            Self::UntilClosed => {
                content.extend_from_slice(bytes);
                Ok(bytes.len())
            }
        }
    }

    /// Whether the body has ended.
    pub(super) fn has_ended(&self) -> bool {
        match self {
            Self::Length(left) => *left == 0,
            Self::Chunked(chunks) => chunks.at == At::End,
            Self::UntilClosed => false,
        }
    }

    /// Whether the body is complete if the connection is closed here.
    pub(super) fn may_end(&self) -> bool {
        self.has_ended() || *self == Self::UntilClosed
    }
}

/// Whether it is `chunked` and nothing else: nothing else was offered.
fn chunked(headers: &HeaderMap) -> bool {
    let mut fields = headers.get_all(header::TRANSFER_ENCODING).iter();
    let only = fields.next().is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"chunked"));
    only && fields.next().is_none()
}

/// The length that all fields agree on.
fn length(headers: &HeaderMap) -> Result<Option<u64>, BadFraming> {
    let mut agreed = None;
    for field in headers.get_all(header::CONTENT_LENGTH) {
        for said in field.to_str().map_err(|_| BadFraming::Length)?.split(',') {
            let said = said.trim();
            if said.is_empty() || !said.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(BadFraming::Length);
            }
            let length = said.parse().map_err(|_| BadFraming::Length)?;
            if agreed.replace(length).is_some_and(|earlier| earlier != length) {
                return Err(BadFraming::Length);
            }
        }
    }
    Ok(agreed)
}

/// The place in a chunked body.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Chunks {
    at: At,
    /// Of the chunk's size while that is read, then of its bytes that have not come.
    left: u64,
    /// Bytes of the line or the trailer that is read.
    read: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// The first digit of a size.
    Size,
    /// A further one.
    Digits,
    Extension,
    /// Behind the carriage return of a size's line.
    SizeEnd,
    Data,
    /// Behind a chunk's bytes.
    DataEnd,
    /// Behind the carriage return that follows them.
    DataEndLine,
    /// At the beginning of a line of the trailer.
    Trailer,
    TrailerLine,
    /// Behind the carriage return of a line of the trailer.
    TrailerLineEnd,
    /// Behind the carriage return of the last line.
    LastLine,
    End,
}

impl Chunks {
    fn new() -> Self {
        Self { at: At::Size, left: 0, read: 0 }
    }

    fn decode(&mut self, bytes: &[u8], content: &mut Content) -> Result<usize, BadFraming> {
        let mut used = 0;
        while self.at != At::End
            && let Some(rest) = bytes.get(used..).filter(|rest| !rest.is_empty())
        {
            if self.at == At::Data {
                let taken = usize::try_from(self.left).unwrap_or(usize::MAX).min(rest.len());
                content.extend_from_slice(rest.get(..taken).unwrap_or_default());
                self.left -= taken as u64;
                used += taken;
                if self.left == 0 {
                    self.at = At::DataEnd;
                }
            } else {
                self.at = self.after(rest.first().copied().unwrap_or_default())?;
                used += 1;
            }
        }
        Ok(used)
    }

    /// The place behind a byte that is no content.
    fn after(&mut self, byte: u8) -> Result<At, BadFraming> {
        self.read += 1;
        Ok(match (self.at, byte) {
            (At::Size | At::Digits, digit) if digit.is_ascii_hexdigit() => self.digit(digit)?,
            (At::Digits | At::Extension, b'\r') => At::SizeEnd,
            // Blanks and extensions say nothing to us.
            (At::Digits, b';' | b' ' | b'\t') => At::Extension,
            (At::Extension, byte) if byte != b'\n' && self.read < LONGEST_SIZE_LINE => At::Extension,
            (At::SizeEnd, b'\n') => {
                self.read = 0;
                if self.left == 0 { At::Trailer } else { At::Data }
            }
            (At::DataEnd, b'\r') => At::DataEndLine,
            (At::DataEndLine, b'\n') => {
                self.read = 0;
                At::Size
            }
            (At::Trailer, b'\r') => At::LastLine,
            (At::LastLine, b'\n') => At::End,
            (At::TrailerLine, b'\r') => At::TrailerLineEnd,
            (At::TrailerLineEnd, b'\n') => At::Trailer,
            (At::Trailer | At::TrailerLine, byte) if byte != b'\n' && self.read < LONGEST_TRAILER => {
                At::TrailerLine
            }
            _ => return Err(BadFraming::Chunk),
        })
    }

    fn digit(&mut self, digit: u8) -> Result<At, BadFraming> {
        let value = char::from(digit).to_digit(16).map_or(0, u64::from);
        let left = self.left.checked_mul(16).and_then(|size| size.checked_add(value));
        // Zeros before it would make it endless.
        self.left = left.filter(|_| self.read <= 16).ok_or(BadFraming::Chunk)?;
        Ok(At::Digits)
    }
}
