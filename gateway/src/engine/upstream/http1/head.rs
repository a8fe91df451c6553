//! The head of an answer, however its bytes are cut.

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

/// The longest head.
const LONGEST_HEAD: usize = 64 << 10;
/// Most header fields of one.
const MOST_FIELDS: usize = 100;

/// What came is no head of an answer.
#[derive(Debug, thiserror::Error)]
pub enum BadHead {
    /// It cannot be parsed.
    #[error("the answer is no HTTP/1.1")]
    Syntax(#[from] httparse::Error),
    /// It is longer than any should be.
    #[error("the answer's head is longer than {LONGEST_HEAD} bytes")]
    TooLong,
    /// A status that answers another request than ours.
    #[error("the answer has the status {0}, which was not asked for")]
    Status(u16),
}

/// The head of an answer.
#[derive(Debug, Clone)]
pub(super) struct Head {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    /// The minor version of its HTTP/1.
    pub(super) minor: u8,
}

impl Head {
    /// Whether the server will take another request on the connection.
    pub(super) fn keeps(&self) -> bool {
        let options = || {
            let fields = self.headers.get_all(header::CONNECTION).iter();
            fields.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).map(str::trim)
        };
        let says = |wanted: &str| options().any(|option| option.eq_ignore_ascii_case(wanted));
        !says("close") && (self.minor > 0 || says("keep-alive"))
    }
}

/// Gathers a head.
#[derive(Debug, Default)]
pub(super) struct HeadReader {
    /// What came of it, while it is not complete.
    begun: Vec<u8>,
    seen: bool,
}

impl HeadReader {
    /// Whether a byte of the answer has come.
    pub(super) fn has_begun(&self) -> bool {
        self.seen
    }

    /// Takes the next bytes. Once the head is complete: it, and how many of those bytes belong to it.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<Option<(Head, usize)>, BadHead> {
        self.seen |= !bytes.is_empty();
        let before = self.begun.len();
        if before > 0 {
            self.begun.extend_from_slice(bytes);
        }
        // A head is not parsed again for each of its bytes.
        if before > 0 && !bytes.contains(&b'\n') && self.begun.len() <= LONGEST_HEAD {
            return Ok(None);
        }
        let all = if before > 0 { &self.begun } else { bytes };
        let mut from = 0;
        while let Some((head, length)) = parse(all.get(from..).unwrap_or_default())? {
            from += length;
            if !head.status.is_informational() {
                let used = from - before;
                self.begun = Vec::new();
                return Ok(Some((head, used)));
            }
            if head.status == StatusCode::SWITCHING_PROTOCOLS {
                return Err(BadHead::Status(head.status.as_u16()));
            }
        }
        if all.len() > LONGEST_HEAD {
            return Err(BadHead::TooLong);
        }
        if before == 0 {
            self.begun.extend_from_slice(bytes);
        }
        Ok(None)
    }
}

/// The head at the beginning and its length, if it is complete.
fn parse(bytes: &[u8]) -> Result<Option<(Head, usize)>, BadHead> {
    let mut fields = [httparse::EMPTY_HEADER; MOST_FIELDS];
    let mut parsed = httparse::Response::new(&mut fields);
    let httparse::Status::Complete(length) = parsed.parse(bytes)? else { return Ok(None) };
    if length > LONGEST_HEAD {
        return Err(BadHead::TooLong);
    }
    let code = parsed.code.unwrap_or_default();
    let status = StatusCode::from_u16(code).map_err(|_| BadHead::Status(code))?;
    let mut headers = HeaderMap::with_capacity(parsed.headers.len());
    for field in parsed.headers.iter() {
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| httparse::Error::HeaderName)?;
        let value = HeaderValue::from_bytes(field.value).map_err(|_| httparse::Error::HeaderValue)?;
        headers.append(name, value);
    }
    Ok(Some((Head { status, headers, minor: parsed.version.unwrap_or_default() }, length)))
}
