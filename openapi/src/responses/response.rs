//! The answer of `POST /v1/responses`, and what is kept of it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{ConversationId, Item, ResponseTool, ResponseToolChoice, TextConfig};

/// How far a response has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ResponseStatus {
    /// It waits to be made.
    Queued,
    /// It is being made.
    InProgress,
    /// It is whole.
    Completed,
    /// It was cut short; `incomplete_details` says by what.
    Incomplete,
    /// It could not be made; `error` says why.
    Failed,
    /// Its client gave it up.
    Cancelled,
}

impl ResponseStatus {
    /// Whether nothing will change it any more.
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Queued | Self::InProgress)
    }
}

/// A response (`object`: `response`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Response {
    /// `resp_…`.
    pub id: String,
    /// Always `response`.
    pub object: String,
    /// When it was asked for, seconds since the Unix epoch.
    pub created_at: u64,
    /// How far it has come.
    pub status: ResponseStatus,
    /// When it was whole, seconds since the Unix epoch.
    pub completed_at: Option<u64>,
    /// Why it failed.
    pub error: Option<ResponseError>,
    /// What cut it short.
    pub incomplete_details: Option<IncompleteDetails>,
    /// As asked for.
    pub instructions: Option<String>,
    /// As asked for.
    pub max_output_tokens: Option<u32>,
    /// The model that answered.
    pub model: String,
    /// What the model made, in order.
    pub output: Vec<Item>,
    /// As asked for.
    pub parallel_tool_calls: bool,
    /// The response that it goes on from.
    pub previous_response_id: Option<String>,
    /// The conversation that it belongs to.
    pub conversation: Option<ConversationId>,
    /// Always without effort and summary.
    pub reasoning: Reasoning,
    /// Whether it is kept.
    pub store: bool,
    /// Whether it was made without the client waiting for it.
    pub background: bool,
    /// As asked for.
    pub temperature: f64,
    /// As asked for.
    pub top_p: f64,
    /// As asked for.
    pub top_logprobs: u8,
    /// As asked for.
    pub text: TextConfig,
    /// As asked for.
    pub tool_choice: ResponseToolChoice,
    /// As asked for.
    pub tools: Vec<ResponseTool>,
    /// As asked for.
    pub truncation: String,
    /// Extension: how many messages of the context were left out to fit the window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub truncated_items: Option<u32>,
    /// Tokens used, once it has ended.
    pub usage: Option<ResponseUsage>,
    /// As asked for.
    pub user: Option<String>,
    /// As asked for.
    pub metadata: BTreeMap<String, String>,
    /// The tier, where the request named one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_tier: Option<String>,
}

/// Why a response failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ResponseError {
    /// For programs.
    pub code: String,
    /// For people.
    pub message: String,
}

/// What cut a response short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct IncompleteDetails {
    /// `max_output_tokens`; `client_left` where nobody read it to its end.
    pub reason: String,
}

/// Always without effort and summary: neither is adjustable here.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Reasoning {
    /// Always `null`.
    pub effort: Option<Value>,
    /// Always `null`.
    pub summary: Option<Value>,
}

/// Tokens that a response used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ResponseUsage {
    /// Tokens of the prompt, stored context included.
    pub input_tokens: u32,
    /// Of these.
    pub input_tokens_details: InputTokensDetails,
    /// Tokens generated.
    pub output_tokens: u32,
    /// Of these.
    pub output_tokens_details: OutputTokensDetails,
    /// Both together.
    pub total_tokens: u32,
}

/// Of the prompt's tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InputTokensDetails {
    /// Tokens whose computation was reused.
    pub cached_tokens: u32,
}

/// Of the generated tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OutputTokensDetails {
    /// Tokens of reasoning.
    pub reasoning_tokens: u32,
}

/// What is left of something that was deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "DeletedObject")]
pub struct Deleted {
    /// Its id.
    pub id: String,
    /// What it was, such as `response` or `conversation.deleted`.
    pub object: String,
    /// Always true.
    pub deleted: bool,
}
