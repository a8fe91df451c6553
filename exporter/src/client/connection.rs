//! What is posted to an exporter: where it is, how it is asked, and what its answers mean.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, header};
use http_body_util::Full;

use super::link::{Link, LinkError};
use crate::protocol::{CONTENT_ENCODING, CONTENT_TYPE};

/// The most that is logged of an answer, letters.
const LONGEST_QUOTE: usize = 200;

/// Where an exporter is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// `http://host:port`
    Tcp(String),
    /// `unix:PATH`
    Unix(PathBuf),
}

/// A text is no address of an exporter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be http://HOST:PORT or unix:PATH")]
pub struct EndpointError;

impl std::str::FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.is_empty() { Err(EndpointError) } else { Ok(Self::Unix(path.into())) };
        }
        let uri: http::Uri = text.parse().map_err(|_| EndpointError)?;
        let plain =
            uri.scheme_str() == Some("http") && matches!(uri.path(), "" | "/") && uri.query().is_none();
        let authority = uri.authority().filter(|authority| plain && !authority.as_str().contains('@'));
        let authority = authority.ok_or(EndpointError)?;
        Ok(Self::Tcp(format!("{}:{}", authority.host(), authority.port_u16().unwrap_or(80))))
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "http://{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Why something was not taken.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// There is no answer.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// Nothing came back in time.
    #[error("no answer in time")]
    TimedOut,
    /// It was answered, and not with yes.
    #[error("answered with {status}: {text}")]
    Status {
        /// The status.
        status: StatusCode,
        /// When to try again, if the exporter said.
        retry_after: Option<Duration>,
        /// The beginning of the answer.
        text: String,
    },
    /// The message could not be made.
    #[error("the message cannot be encoded")]
    Encode,
}

impl SendError {
    /// Whether the same could be taken at another time.
    pub fn may_pass_later(&self) -> bool {
        match self {
            Self::Status { status, .. } => {
                status.is_server_error()
                    || matches!(*status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT)
            }
            Self::Link(_) | Self::TimedOut => true,
            Self::Encode => false,
        }
    }

    /// When to try again, if the exporter said.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

/// A connection to an exporter that comes back by itself.
pub struct Connection {
    link: Link,
    secret: Option<Arc<str>>,
}

impl Connection {
    /// Opens nothing yet.
    pub fn new(endpoint: Endpoint, secret: Option<Arc<str>>) -> Self {
        Self { link: Link::new(endpoint), secret }
    }

    /// Posts a compressed message.
    ///
    /// # Errors
    /// It was not taken.
    pub async fn post(&mut self, path: &str, body: Bytes) -> Result<(), SendError> {
        let request = self.request(path, body)?;
        let answer = self.link.send(request).await?;
        if answer.status.is_success() {
            return Ok(());
        }
        let text = answer.quote(LONGEST_QUOTE);
        Err(SendError::Status { status: answer.status, retry_after: answer.retry_after, text })
    }

    fn request(&self, path: &str, body: Bytes) -> Result<Request<Full<Bytes>>, SendError> {
        let mut request = Request::post(path)
            .header(header::CONTENT_TYPE, CONTENT_TYPE)
            .header(header::CONTENT_ENCODING, CONTENT_ENCODING);
        if let Some(secret) = &self.secret {
            let mut value =
                HeaderValue::try_from(format!("Bearer {secret}")).map_err(|_| SendError::Encode)?;
            value.set_sensitive(true);
            request = request.header(header::AUTHORIZATION, value);
        }
        request.body(Full::new(body)).map_err(|_| SendError::Encode)
    }
}
