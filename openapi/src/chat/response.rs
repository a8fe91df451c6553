//! The answer of `POST /v1/chat/completions`: one object, or the chunks of a stream.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::message::{Role, ToolCall};
use crate::usage::Usage;

/// A whole answer (`object`: `chat.completion`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ChatCompletion {
    /// `chatcmpl-…`.
    pub id: String,
    /// Always `chat.completion`.
    pub object: String,
    /// When it was made, seconds since the Unix epoch.
    pub created: u64,
    /// The model that answered.
    pub model: String,
    /// One for each of `n`.
    pub choices: Vec<ChatChoice>,
    /// Tokens of all choices together.
    pub usage: Usage,
    /// The tier, where the request named one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_tier: Option<String>,
    /// Changes when the same seed may give other answers.
    pub system_fingerprint: String,
}

/// One of an answer's choices.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ChatChoice {
    /// Position among the choices.
    pub index: u32,
    /// What the model said.
    pub message: ChatMessage,
    /// The tokens' log-probabilities, where asked for.
    pub logprobs: Option<ChatLogprobs>,
    /// Why it ended.
    pub finish_reason: FinishReason,
    /// The stop string that ended it, where one did, as vLLM tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_reason: Option<String>,
}

/// The message of a choice.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ChatMessage {
    /// Always `assistant`.
    pub role: Role,
    /// The text; `null` where the model only called tools.
    pub content: Option<String>,
    /// Always `null`: a refusal of these models is ordinary text.
    pub refusal: Option<String>,
    /// Reasoning before the answer, where the model's template marks it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning_content: Option<String>,
    /// The calls the model made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_calls: Option<Vec<ToolCall>>,
}

/// Why a choice ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    /// The model ended, or a stop string came.
    Stop,
    /// The token limit or the window was reached.
    Length,
    /// The answer is tool calls.
    ToolCalls,
}

/// Log-probabilities of a choice.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ChatLogprobs {
    /// One entry a token.
    pub content: Option<Vec<TokenLogprobs>>,
    /// Always `null`, as `refusal` of the message.
    pub refusal: Option<Vec<TokenLogprobs>>,
}

/// A token's log-probability and its likeliest alternatives.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TokenLogprobs {
    /// Its text; bytes that are no text are written `\x..`.
    pub token: String,
    /// Natural logarithm of its probability; -9999 at least.
    pub logprob: f32,
    /// Its bytes: joined over tokens they are the text, whatever characters are split.
    pub bytes: Option<Vec<u8>>,
    /// The likeliest tokens in its place.
    pub top_logprobs: Vec<LogprobToken>,
}

/// A token with its log-probability.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LogprobToken {
    /// Its text; bytes that are no text are written `\x..`.
    pub token: String,
    /// Natural logarithm of its probability; -9999 at least.
    pub logprob: f32,
    /// Its bytes.
    pub bytes: Option<Vec<u8>>,
}

/// One event of a streamed answer (`object`: `chat.completion.chunk`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ChatChunk {
    /// The same in every chunk of a stream.
    pub id: String,
    /// Always `chat.completion.chunk`.
    pub object: String,
    /// The same in every chunk of a stream.
    pub created: u64,
    /// The model that answers.
    pub model: String,
    /// The tier, where the request named one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_tier: Option<String>,
    /// Changes when the same seed may give other answers.
    pub system_fingerprint: String,
    /// What one choice gained; empty in the chunk with the usage.
    pub choices: Vec<ChatChunkChoice>,
    /// With `stream_options.include_usage`: `null`, and the tokens in the last chunk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
}

/// What one choice gained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ChatChunkChoice {
    /// Which choice.
    pub index: u32,
    /// What it gained.
    pub delta: ChatDelta,
    /// The tokens' log-probabilities, where asked for.
    pub logprobs: Option<ChatLogprobs>,
    /// `null` until the choice's last chunk.
    pub finish_reason: Option<FinishReason>,
    /// The stop string that ended it, where one did, as vLLM tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_reason: Option<String>,
}

/// A piece of a message.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ChatDelta {
    /// In a choice's first chunk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// More text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// More reasoning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning_content: Option<String>,
    /// A call that begins, or more of its arguments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_calls: Option<Vec<ToolCallDelta>>,
}

/// A piece of a tool call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ToolCallDelta {
    /// Position among the message's calls.
    pub index: u32,
    /// `call_…`, in the call's first piece.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// `function`, in the call's first piece.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Name and arguments.
    pub function: FunctionDelta,
}

/// A piece of a call's name and arguments.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FunctionDelta {
    /// In the call's first piece.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// More of the arguments' JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arguments: Option<String>,
}
