//! The request of `POST /v1/responses`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Item;
use crate::chat::{NumberMap, StreamOptions};

/// A response request. `null` means absent for every optional field; fields not named here are ignored.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ResponseRequest {
    /// The model's name, as `GET /v1/models` lists it.
    #[schemars(length(min = 1))]
    pub model: String,
    /// What is said: a string, which is one message of the user, or items.
    pub input: Option<Input>,
    /// Said before everything else, for this response alone: it is not carried over to those that follow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instructions: Option<String>,
    /// Answer as server-sent events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<bool>,
    /// Only with `stream`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream_options: Option<StreamOptions>,
    /// Whether the response is kept, default true. Without the permission `conversations`, default false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<bool>,
    /// The response that this goes on from. Not together with `conversation`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_response_id: Option<String>,
    /// The conversation that this goes on from and is added to: its id, or `{"id": …}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation: Option<ConversationRef>,
    /// `disabled` (the default) refuses what is longer than the model's window, `auto` leaves the oldest turns out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub truncation: Option<String>,
    /// The most tokens the answer may have, reasoning included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_output_tokens: Option<i64>,
    /// 0–2, default 1; 0 always takes the likeliest token.
    #[schemars(range(min = 0, max = 2))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// Above 0 up to 1, default 1: draws from the likeliest tokens that together have this probability.
    #[schemars(range(max = 1), extend("exclusiveMinimum" = 0))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f64>,
    /// 0–20 likeliest alternatives a token; needs `message.output_text.logprobs` in `include`.
    #[schemars(range(min = 0, max = 20))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_logprobs: Option<i64>,
    /// What else the answer holds: `message.output_text.logprobs`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub include: Option<Vec<String>>,
    /// The shape that the answer's text must have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<TextConfig>,
    /// Functions that the model may call, at most 128. Other kinds of tools are refused.
    #[schemars(length(max = 128))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tools: Option<Vec<ResponseTool>>,
    /// Whether, and which, function must be called; default `auto` with tools.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_choice: Option<ResponseToolChoice>,
    /// Whether one answer may hold several calls; default true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parallel_tool_calls: Option<bool>,
    /// Up to 16 pairs, kept with the response.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<BTreeMap<String, String>>,
    /// The caller's name for its end user. Has no effect on the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,

    /// Extension: makes draws repeatable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<i64>,
    /// Extension: keep only the `k` likeliest tokens; 0 (the default) is off.
    #[schemars(range(min = 0, max = 4_294_967_295_u32))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_k: Option<i64>,
    /// Extension, 0–1: keep tokens at least this share as likely as the likeliest; 0 (the default) is off.
    #[schemars(range(min = 0, max = 1))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_p: Option<f64>,
    /// Extension, 0.01–100: llama.cpp's penalty on tokens seen; 1 (the default) is off.
    #[schemars(range(min = 0.01, max = 100.0))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeat_penalty: Option<f64>,
    /// Extension, -2–2, default 0: penalty for each time a token occurred.
    #[schemars(range(min = -2, max = 2))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frequency_penalty: Option<f64>,
    /// Extension, -2–2, default 0: penalty for a token that occurred.
    #[schemars(range(min = -2, max = 2))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub presence_penalty: Option<f64>,
    /// Extension: from token id to a number, -100–100, that is added to its logit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logit_bias: Option<NumberMap>,

    /// Make the answer without the client waiting for it; needs `store`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub background: Option<bool>,
    /// `auto` and `default` are accepted: there is one tier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_tier: Option<String>,
    /// Accepted, without effect on the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub safety_identifier: Option<String>,
    /// Accepted, without effect on the answer: prefixes are shared by themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt_cache_key: Option<String>,
    /// `{}` is accepted: the effort of the models served here is not adjustable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<Value>,
    /// Refused: there are no built-in tools.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tool_calls: Option<i64>,
    /// Refused: there are no stored prompts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<Value>,
}

/// What is said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected a string or an array of items")]
pub enum Input {
    /// One message of the user.
    Text(String),
    /// Items. A message may leave its `type` out.
    Items(#[schemars(with = "Vec<Item>")] Vec<Value>),
}

/// A conversation, named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected a conversation's id, or an object with its `id`")]
pub enum ConversationRef {
    /// Its id.
    Id(String),
    /// `{"id": …}`.
    Object(ConversationId),
}

impl ConversationRef {
    /// The id, however it was given.
    pub fn into_id(self) -> String {
        match self {
            Self::Id(id) | Self::Object(ConversationId { id }) => id,
        }
    }
}

/// `{"id": …}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConversationId {
    /// `conv_…`.
    pub id: String,
}

/// The shape that the answer's text must have.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TextConfig {
    /// Free text, a JSON object, or JSON that validates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<TextFormat>,
    /// `medium` is accepted; other values are refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verbosity: Option<String>,
}

/// The shape of a text.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum TextFormat {
    /// Free text.
    #[default]
    Text,
    /// Any JSON object.
    JsonObject,
    /// JSON that validates against a schema.
    JsonSchema(crate::message::JsonSchemaFormat),
}

/// A tool. Only functions can be called here.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ResponseTool {
    /// Only `function` is supported.
    #[serde(rename = "type")]
    pub kind: String,
    /// 1–64 of `a-zA-Z0-9_-`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// For the model: what it does.
    #[serde(default)]
    pub description: Option<String>,
    /// JSON schema of the arguments.
    #[serde(default)]
    pub parameters: Option<Value>,
    /// Whether the arguments must follow the schema exactly; here they always do where a call is enforced.
    #[serde(default)]
    pub strict: Option<bool>,
}

/// Whether and which tool must be called.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected `none`, `auto`, `required` or an object that names a function")]
pub enum ResponseToolChoice {
    /// `none`, `auto` or `required`.
    Mode(crate::message::ToolMode),
    /// One named function.
    Named {
        /// Only `function` is supported.
        #[serde(rename = "type")]
        kind: String,
        /// The function.
        #[serde(default)]
        name: String,
    },
}
