//! The usage record: what one request was, used and became.

use std::sync::Arc;
use std::time::Duration;

use exporter::records::trace::TraceContext;

use crate::engine::{FinishReason, Usage};

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The whole answer was made.
    Completed,
    /// It was refused, or something broke.
    Failed,
    /// The client left first.
    Cancelled,
}

impl Outcome {
    /// A bounded label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// One request, ended. Never holds what was said.
#[derive(Debug, Clone)]
pub struct Record {
    /// The request's id.
    pub id: Arc<str>,
    /// Its place in its trace.
    pub trace: TraceContext,
    /// The answer is told as it is made.
    pub stream: bool,
    /// The operation.
    pub route: &'static str,
    /// Whose request it was.
    pub subject: Arc<str>,
    /// The subject's role; empty where it has none.
    pub role: Arc<str>,
    /// Whether an engine began it.
    pub started: bool,
    /// The model, once it was known to be served here.
    pub model: Arc<str>,
    /// The response's status; a stream that fails later keeps its 200.
    pub status: u16,
    /// How it ended.
    pub outcome: Outcome,
    /// The error's bounded label, where it failed.
    pub reason: Option<&'static str>,
    /// The limit that it was over, where it was.
    pub refused: Option<&'static str>,
    /// Its answer was bounded by the caller's limits, and not by the request.
    pub capped: bool,
    /// Why the last choice that ended did.
    pub finish: Option<FinishReason>,
    /// Tokens and the time in the queue; of a request that did not complete, what was seen of them.
    pub usage: Usage,
    /// From the request to its first token.
    pub first_token: Option<Duration>,
    /// From the request to its end.
    pub duration: Duration,
}

impl Record {
    /// `model_finish_total`'s reason: why the answer ended, whichever way.
    pub fn finish_label(&self) -> &'static str {
        match (self.outcome, self.finish) {
            (Outcome::Cancelled, _) => "cancelled",
            (Outcome::Failed, _) => "error",
            // What has no answer to end, such as embeddings, is simply done.
            (Outcome::Completed, None | Some(FinishReason::Stop)) => "stop",
            (Outcome::Completed, Some(FinishReason::Length)) if self.capped => "quota",
            (Outcome::Completed, Some(FinishReason::Length)) => "length",
            (Outcome::Completed, Some(FinishReason::ToolCalls)) => "tool_calls",
        }
    }
}
