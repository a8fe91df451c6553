//! The id that every request and its response carry.

use std::fmt;
use std::sync::Arc;

use poem::Request;
use poem::http::{HeaderName, HeaderValue};
use rand::RngExt as _;

/// Where the id travels.
pub const HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// A longer id of a client's is not taken over.
const LONGEST: usize = 128;

/// A request's id: the client's own where it sent a sane one, else `req_…`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(Arc<str>);

impl RequestId {
    /// The request's id.
    pub fn of(request: &Request) -> Self {
        let sent = request.headers().get(HEADER).and_then(|value| value.to_str().ok());
        match sent {
            Some(id) if is_sane(id) => Self(id.into()),
            _ => Self::generate(),
        }
    }

    /// A new one.
    pub fn generate() -> Self {
        let number: u128 = rand::rng().random();
        Self(format!("req_{number:032x}").into())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id as a header's value.
    pub fn header_value(&self) -> HeaderValue {
        // Sane ids are plain ASCII, so the fallback is never taken.
        HeaderValue::from_str(&self.0).unwrap_or(HeaderValue::from_static("req_unknown"))
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Safe to write into a log line and a header.
fn is_sane(id: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':');
    (1..=LONGEST).contains(&id.len()) && id.bytes().all(plain)
}
