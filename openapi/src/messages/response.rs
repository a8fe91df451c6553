//! The answer of `POST /v1/messages` and of `/v1/messages/count_tokens`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A whole answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MessagesAnswer {
    /// `msg_…`.
    pub id: String,
    /// Always `message`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Always `assistant`.
    pub role: String,
    /// The model that answered.
    pub model: String,
    /// What it said; empty where it said nothing.
    pub content: Vec<AnswerBlock>,
    /// Why it ended; `null` while it is made.
    pub stop_reason: Option<StopReason>,
    /// The stop sequence that ended it, where one did.
    pub stop_sequence: Option<String>,
    /// Tokens.
    pub usage: MessagesUsage,
}

/// One block of an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum AnswerBlock {
    /// Text.
    Text {
        /// The text.
        text: String,
    },
    /// What the model thought before it answered.
    Thinking {
        /// The text.
        thinking: String,
        /// Tells one thought from another. Nobody verifies it.
        signature: String,
    },
    /// A call for the client to make.
    ToolUse {
        /// The name by which its result refers to it.
        id: String,
        /// The tool.
        name: String,
        /// The arguments.
        input: Map<String, Value>,
    },
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// The model was done.
    EndTurn,
    /// The token limit or the window was reached.
    MaxTokens,
    /// A stop sequence came.
    StopSequence,
    /// The answer is calls.
    ToolUse,
}

/// Tokens that an answer used. The prompt's are all three kinds of input tokens together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MessagesUsage {
    /// Tokens of the prompt that were computed.
    pub input_tokens: u32,
    /// Always 0: to keep what was computed costs nothing more.
    pub cache_creation_input_tokens: u32,
    /// Tokens of the prompt whose computation was reused; 0 at the start of a stream, where it is not known yet.
    pub cache_read_input_tokens: u32,
    /// Tokens generated.
    pub output_tokens: u32,
    /// Of the generated tokens.
    pub output_tokens_details: OutputTokensDetails,
}

/// Of the generated tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "MessagesOutputTokensDetails")]
pub struct OutputTokensDetails {
    /// Tokens of thinking.
    pub thinking_tokens: u32,
}

/// How long a prompt is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TokensCount {
    /// Tokens of system prompt, messages and tools, as the model's template writes them.
    pub input_tokens: u32,
}
