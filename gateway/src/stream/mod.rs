//! From engine events to what the client gets: server-sent events, or the same stream folded to one answer.
//!
//! ```text
//! Generation(s) ─ merge ─→ Watched (settles once, ends at the deadline) ─┬→ Frames<W: Wire> ─→ response body
//!                                                                        └→ fold ─→ one JSON answer
//! ```
//!
//! A delta of the engine is one chunk on the wire: clients that count chunks see tokens come as they were made. What
//! is ready at once shares one write, up to 16 KiB.

pub mod chat;
pub mod completion;
mod frames;
mod kept;
mod logprobs;
mod merge;
pub mod message;
pub mod response;
mod watched;

pub use frames::{DONE, Frames, KEEP_ALIVE, Wire};
pub use kept::{Keeper, Recorded};
pub use merge::merge;
pub use watched::Watched;

use bytes::Bytes;
use openapi::chat::FinishReason as WireFinish;
use openapi::usage::{CompletionTokensDetails, PromptTokensDetails, Usage as WireUsage};

use crate::engine::{FinishReason, Usage};

/// An answer that is not streamed.
#[derive(Debug)]
pub enum Whole<T> {
    /// Made of events.
    Folded(T),
    /// As its server wrote it.
    Passed(Bytes),
}

impl<T> Whole<T> {
    /// The answer, where it was made here: every answer to a request without a wire is.
    pub fn folded(self) -> Option<T> {
        match self {
            Self::Folded(answer) => Some(answer),
            Self::Passed(_) => None,
        }
    }
}

/// What is the same in every chunk of a stream, and in the answer that it folds to.
#[derive(Debug, Clone)]
pub struct Head {
    /// `chatcmpl-…` or `cmpl-…`.
    pub id: String,
    /// Seconds since the Unix epoch.
    pub created: u64,
    /// The model that answers.
    pub model: String,
    /// Changes when the same seed may give other answers.
    pub fingerprint: String,
    /// The tier, where the request named one.
    pub service_tier: Option<String>,
}

/// What the request asked of its stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StreamShape {
    /// How many choices there are, of all prompts together.
    pub choices: u32,
    /// Log-probabilities are reported.
    pub logprobs: bool,
    /// A usage chunk comes last.
    pub include_usage: bool,
}

fn wire_finish(reason: FinishReason) -> WireFinish {
    match reason {
        FinishReason::Stop => WireFinish::Stop,
        FinishReason::Length => WireFinish::Length,
        FinishReason::ToolCalls => WireFinish::ToolCalls,
    }
}

/// The counts as clients see them.
pub fn wire_usage(usage: Usage) -> WireUsage {
    WireUsage {
        prompt_tokens: usage.prompt_tokens,
        completion_tokens: usage.completion_tokens,
        total_tokens: usage.prompt_tokens.saturating_add(usage.completion_tokens),
        prompt_tokens_details: Some(PromptTokensDetails { cached_tokens: usage.cached_tokens }),
        completion_tokens_details: Some(CompletionTokensDetails { reasoning_tokens: usage.reasoning_tokens }),
    }
}

#[cfg(test)]
mod tests;
