//! Everything that can stop a measurement; a request that fails inside one is counted instead.

use std::path::PathBuf;

/// Why a command ended without a result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BenchError {
    /// The address is not on this machine, or not an address.
    #[error("{url}: {problem}")]
    Address {
        /// As given.
        url: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A server's description cannot be used.
    #[error("server description: {0}")]
    Spec(String),
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A server or tool could not be started or awaited.
    #[error("{what}: {source}")]
    Process {
        /// Which one.
        what: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A server ended, or did not become ready in time.
    #[error("{name} did not become ready: {problem}")]
    NotReady {
        /// The server's name.
        name: String,
        /// What was seen.
        problem: String,
    },
    /// One request that the measurement depends on failed.
    #[error("{what}: {source}")]
    Call {
        /// What the request was for.
        what: &'static str,
        /// Why it failed.
        source: CallError,
    },
    /// The measurement has no data to speak of.
    #[error("{0}")]
    NoResult(String),
    /// A result could not be written as JSON.
    #[error("cannot write the result: {0}")]
    Json(#[from] serde_json::Error),
}

/// Why one request failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// The connection could not be made.
    #[error("connect: {0}")]
    Connect(std::io::Error),
    /// The exchange broke.
    #[error("http: {0}")]
    Http(#[from] hyper::Error),
    /// The request could not be formed.
    #[error("request: {0}")]
    Request(#[from] http::Error),
    /// The answer took longer than allowed.
    #[error("timed out")]
    TimedOut,
    /// The answer is larger than this tool holds.
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
    /// The server refused.
    #[error("status {status}: {text}")]
    Status {
        /// The HTTP status.
        status: u16,
        /// The start of the body.
        text: String,
    },
    /// The stream carried an error, or ended without its end mark.
    #[error("stream: {0}")]
    Stream(String),
}

impl CallError {
    /// A short name under which failures are counted.
    pub(crate) fn kind(&self) -> String {
        match self {
            Self::Connect(_) => "connect".to_owned(),
            Self::Http(_) => "http".to_owned(),
            Self::Request(_) => "request".to_owned(),
            Self::TimedOut => "timed out".to_owned(),
            Self::TooLarge(_) => "too large".to_owned(),
            Self::Status { status, .. } => format!("status {status}"),
            Self::Stream(_) => "stream".to_owned(),
        }
    }
}
