//! Answers of the Messages API: as events, and folded.

mod fold;
mod wire;

pub use fold::fold;
pub use wire::MessagesWire;

use std::sync::Arc;

use openapi::messages::{EndDelta, MessagesAnswer, MessagesUsage, OutputTokensDetails, StopReason};
use sha2::{Digest, Sha256};

use crate::engine::{FinishReason, Usage};

/// What is known of an answer before it is made.
#[derive(Debug, Clone)]
pub struct MessagesHead {
    /// `msg_…`.
    pub id: String,
    /// The model that answers.
    pub model: String,
    /// The request, as the access log has it.
    pub request_id: Arc<str>,
    /// Tokens of the prompt.
    pub prompt_tokens: u32,
    /// What the model thought is shown.
    pub shows_thinking: bool,
}

impl MessagesHead {
    /// The answer before it is made.
    fn empty(&self) -> MessagesAnswer {
        MessagesAnswer {
            id: self.id.clone(),
            kind: "message".to_owned(),
            role: "assistant".to_owned(),
            model: self.model.clone(),
            content: Vec::new(),
            stop_reason: None,
            stop_sequence: None,
            usage: MessagesUsage { input_tokens: self.prompt_tokens, ..MessagesUsage::default() },
        }
    }
}

/// Why the answer ended. A stop string ends an answer even in the middle of a call, which is then none to make.
fn ending(reason: FinishReason, stop: Option<Arc<str>>) -> EndDelta {
    let stop = stop.filter(|_| reason != FinishReason::Length);
    let stop_reason = match reason {
        _ if stop.is_some() => StopReason::StopSequence,
        FinishReason::Stop => StopReason::EndTurn,
        FinishReason::Length => StopReason::MaxTokens,
        FinishReason::ToolCalls => StopReason::ToolUse,
    };
    EndDelta { stop_reason: Some(stop_reason), stop_sequence: stop.as_deref().map(str::to_owned) }
}

/// The counts as the Messages API has them: the prompt's tokens are told apart by whether they were computed.
fn wire_usage(usage: Usage) -> MessagesUsage {
    MessagesUsage {
        input_tokens: usage.prompt_tokens.saturating_sub(usage.cached_tokens),
        cache_creation_input_tokens: 0,
        cache_read_input_tokens: usage.cached_tokens,
        output_tokens: usage.completion_tokens,
        output_tokens_details: OutputTokensDetails { thinking_tokens: usage.reasoning_tokens },
    }
}

/// The signature of a thinking block, growing with it: a digest of its text. Clients send a block back only if it has
/// one; nothing is taken on trust because of it, so it needs no key.
#[derive(Debug, Clone, Default)]
struct Signature(Sha256);

impl Signature {
    fn add(&mut self, text: &str) {
        self.0.update(text);
    }

    fn finish(self) -> String {
        let digest = self.0.finalize();
        let number = digest.iter().take(16).fold(0_u128, |number, byte| number << 8 | u128::from(*byte));
        format!("{number:032x}")
    }
}
