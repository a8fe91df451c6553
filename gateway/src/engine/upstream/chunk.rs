//! A chunk of a streamed answer, as servers of OpenAI's protocol write it: only what events are made of is read, and
//! what is missing or `null` means nothing.

use serde::{Deserialize, Deserializer};

/// One event's data.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Chunk {
    #[serde(default, deserialize_with = "or_default")]
    pub(super) choices: Vec<ChunkChoice>,
    #[serde(default)]
    pub(super) usage: Option<WireUsage>,
    /// In the place of everything else.
    #[serde(default)]
    pub(super) error: Option<serde_json::Value>,
}

/// What one choice gained, of a chat (`delta`) or of a text (`text`).
#[derive(Debug, Default, Deserialize)]
pub(super) struct ChunkChoice {
    #[serde(default, deserialize_with = "or_default")]
    pub(super) index: u32,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) delta: Delta,
    #[serde(default)]
    pub(super) text: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) logprobs: Logprobs,
    #[serde(default)]
    pub(super) finish_reason: Option<String>,
    /// The stop string that ended it, from our kind and from vLLM, which also writes tokens here.
    #[serde(default)]
    pub(super) stop_reason: Option<serde_json::Value>,
}

impl ChunkChoice {
    /// Whether it is only there because chunks have choices.
    pub(super) fn says_nothing(&self) -> bool {
        let Delta { role, content, refusal, reasoning_content, reasoning, tool_calls } = &self.delta;
        let texts = [role, content, refusal, reasoning_content, reasoning, &self.text, &self.finish_reason];
        texts.into_iter().flatten().all(String::is_empty) && tool_calls.is_empty()
    }
}

/// A piece of a message.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Delta {
    /// In a choice's first chunk.
    #[serde(default)]
    pub(super) role: Option<String>,
    #[serde(default)]
    pub(super) content: Option<String>,
    #[serde(default)]
    pub(super) refusal: Option<String>,
    #[serde(default)]
    pub(super) reasoning_content: Option<String>,
    /// What newer servers call it.
    #[serde(default)]
    pub(super) reasoning: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) tool_calls: Vec<CallDelta>,
}

/// A piece of a tool call.
#[derive(Debug, Default, Deserialize)]
pub(super) struct CallDelta {
    /// Missing where whole calls come at once.
    #[serde(default)]
    pub(super) index: Option<u32>,
    #[serde(default)]
    pub(super) id: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) function: FunctionDelta,
}

/// A piece of a function's name and arguments.
#[derive(Debug, Default, Deserialize)]
pub(super) struct FunctionDelta {
    #[serde(default)]
    pub(super) name: Option<String>,
    #[serde(default)]
    pub(super) arguments: Option<String>,
}

/// Log-probabilities, of a chat (`content`) or of a text (the lists).
#[derive(Debug, Default, Deserialize)]
pub(super) struct Logprobs {
    #[serde(default, deserialize_with = "or_default")]
    pub(super) content: Vec<TokenEntry>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) tokens: Vec<String>,
    #[serde(default, deserialize_with = "or_default", rename = "token_logprobs")]
    pub(super) values: Vec<Option<f32>>,
    #[serde(default, deserialize_with = "or_default", rename = "top_logprobs")]
    pub(super) tops: Vec<Option<serde_json::Map<String, serde_json::Value>>>,
}

/// A token of a chat, or one that might have been in its place.
#[derive(Debug, Default, Deserialize)]
pub(super) struct TokenEntry {
    #[serde(default, deserialize_with = "or_default")]
    pub(super) token: String,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) logprob: f32,
    #[serde(default)]
    pub(super) bytes: Option<Vec<u8>>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) top_logprobs: Vec<TokenEntry>,
}

/// What an answer used.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(super) struct WireUsage {
    #[serde(default, deserialize_with = "or_default")]
    pub(super) prompt_tokens: u32,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) completion_tokens: u32,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) prompt_tokens_details: PromptDetails,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) completion_tokens_details: CompletionDetails,
}

/// Of the prompt.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(super) struct PromptDetails {
    #[serde(default, deserialize_with = "or_default")]
    pub(super) cached_tokens: u32,
}

/// Of the answer.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(super) struct CompletionDetails {
    #[serde(default, deserialize_with = "or_default")]
    pub(super) reasoning_tokens: u32,
}

impl From<WireUsage> for crate::engine::Usage {
    fn from(used: WireUsage) -> Self {
        Self {
            prompt_tokens: used.prompt_tokens,
            cached_tokens: used.prompt_tokens_details.cached_tokens.min(used.prompt_tokens),
            completion_tokens: used.completion_tokens,
            reasoning_tokens: used.completion_tokens_details.reasoning_tokens.min(used.completion_tokens),
            queued: std::time::Duration::ZERO,
        }
    }
}

/// `null` is as good as nothing.
fn or_default<'de, T: Default + Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
