//! Requests and answers that an engine of the same protocol passes on as they are.

use bytes::Bytes;

use super::FinishReason;

/// A client's request as it came. Whoever changes what the request asks for must take it away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wire {
    /// The body.
    pub body: Bytes,
    /// Where it was sent to.
    pub operation: Operation,
    /// The answer is to be streamed.
    pub stream: bool,
    /// The client asked for the usage at the stream's end.
    pub include_usage: bool,
}

/// The operations whose answers may be passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Chat completions.
    Chat,
    /// Text completions.
    Completion,
}

/// A part of an answer as its server wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wired {
    /// Whole server-sent events, or the whole of an answer that is not streamed.
    pub bytes: Bytes,
    /// Tokens that it accounts for, as far as they can be told; the usage at the end corrects them.
    pub tokens: u32,
    /// Why a choice ended, where one did.
    pub finish: Option<FinishReason>,
}
