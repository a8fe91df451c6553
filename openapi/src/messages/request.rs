//! The requests of `POST /v1/messages` and `/v1/messages/count_tokens`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{InputMessage, MessagesTool, MessagesToolChoice, SystemPrompt};

/// A Messages request. `null` means absent for every optional field; fields not named here are ignored.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MessagesRequest {
    /// The model's name, as `GET /v1/models` lists it.
    #[schemars(length(min = 1))]
    pub model: String,
    /// The conversation so far; the last message is not the assistant's.
    #[schemars(length(min = 1))]
    pub messages: Vec<InputMessage>,
    /// The most tokens the answer may have, thinking included.
    #[schemars(range(min = 1, max = 4_294_967_295_u32))]
    pub max_tokens: i64,
    /// What is said above all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<SystemPrompt>,
    /// Answer as server-sent events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<bool>,
    /// Up to 64 strings that end the answer and are not part of it.
    #[schemars(length(max = 64))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_sequences: Option<Vec<String>>,
    /// 0–1, default 1; 0 always takes the likeliest token.
    #[schemars(range(min = 0, max = 1))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// Above 0 up to 1, default 1: draws from the likeliest tokens that together have this probability.
    #[schemars(range(max = 1), extend("exclusiveMinimum" = 0))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f64>,
    /// Keep only the `k` likeliest tokens; 0 (the default) is off.
    #[schemars(range(min = 0, max = 4_294_967_295_u32))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_k: Option<i64>,
    /// Tools that the client runs, at most 128. Tools that the server runs are refused.
    #[schemars(length(max = 128))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tools: Option<Vec<MessagesTool>>,
    /// Whether, and which, tool must be called; default `auto` with tools.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_choice: Option<MessagesToolChoice>,
    /// What is done about thinking.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thinking: Option<ThinkingConfig>,
    /// The shape that the answer must have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_config: Option<OutputConfig>,
    /// Has no effect on the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<MessagesMetadata>,
    /// `auto` and `standard_only` are accepted: there is one tier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_tier: Option<String>,
    /// `standard` is accepted: there is one speed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speed: Option<String>,
    /// Accepted, without effect: what is the same in two prompts is computed once in any case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_control: Option<Value>,
    /// Refused: there are no containers here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<Value>,
    /// Refused: there are no tools here that the server runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mcp_servers: Option<Value>,
    /// Refused: nothing is cut out of a conversation here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_management: Option<Value>,
    /// Refused: there is one place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inference_geo: Option<Value>,
}

/// What is to be counted: a Messages request without what does not change its prompt. Other fields are ignored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CountTokensRequest {
    /// The model's name, as `GET /v1/models` lists it.
    #[schemars(length(min = 1))]
    pub model: String,
    /// The conversation so far; the last message is not the assistant's.
    #[schemars(length(min = 1))]
    pub messages: Vec<InputMessage>,
    /// What is said above all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<SystemPrompt>,
    /// Tools that the client runs, at most 128. Tools that the server runs are refused.
    #[schemars(length(max = 128))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tools: Option<Vec<MessagesTool>>,
    /// Whether, and which, tool must be called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_choice: Option<MessagesToolChoice>,
}

/// What is done about thinking. A model that thinks does so as it was made to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ThinkingConfig {
    /// The model decides, as it does if nothing is said.
    Adaptive {
        /// `summarized` is accepted: what the model thought is shown, in full.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        display: Option<String>,
    },
    /// What the model thought is left out of the answer; it counts as output all the same.
    Disabled {},
    /// Refused: how long the models served here think cannot be bounded.
    Enabled {},
    /// Refused: when the models served here think cannot be chosen.
    BetweenTools {},
}

/// The shape that the answer must have.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OutputConfig {
    /// `high`, the default, is accepted: the effort of the models served here is not adjustable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effort: Option<String>,
    /// A schema that the answer validates against.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<OutputFormat>,
}

/// A schema that the answer validates against.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum OutputFormat {
    /// JSON.
    JsonSchema {
        /// The schema.
        schema: Value,
    },
}

/// The caller's notes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MessagesMetadata {
    /// The caller's name for its end user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
}
