//! The request of `POST /v1/chat/completions`: OpenAI's fields, and the samplers local models are tuned with.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::message::{Message, ResponseFormat, Tool, ToolChoice};
use crate::responses::ConversationRef;

/// Token ids, as text, with a number each (`logit_bias`).
pub type NumberMap = BTreeMap<String, f64>;

/// A chat completion request. `null` means absent for every optional field; fields not named here are ignored.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ChatRequest {
    /// The model's name, as `GET /v1/models` lists it.
    #[schemars(length(min = 1))]
    pub model: String,
    /// The conversation so far, at least one message.
    #[schemars(length(min = 1))]
    pub messages: Vec<Message>,
    /// Answer as server-sent events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<bool>,
    /// Only with `stream`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream_options: Option<StreamOptions>,
    /// The most tokens an answer may have, reasoning included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_completion_tokens: Option<i64>,
    /// The older name of `max_completion_tokens`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<i64>,
    /// 0–2, default 1; 0 always takes the likeliest token.
    #[schemars(range(min = 0, max = 2))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// Above 0 up to 1, default 1: draws from the likeliest tokens that together have this probability.
    #[schemars(range(max = 1), extend("exclusiveMinimum" = 0))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f64>,
    /// How many answers, default 1.
    #[schemars(range(min = 1, max = 128))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n: Option<i64>,
    /// Up to 4 strings that end the answer and are not part of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop: Option<Stop>,
    /// Makes draws repeatable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<i64>,
    /// Report the log-probability of each token of the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logprobs: Option<bool>,
    /// 0–20 likeliest alternatives a token; needs `logprobs`.
    #[schemars(range(min = 0, max = 20))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_logprobs: Option<i64>,
    /// From token id to a number, -100–100, that is added to its logit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logit_bias: Option<NumberMap>,
    /// -2–2, default 0: penalty for each time a token occurred.
    #[schemars(range(min = -2, max = 2))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frequency_penalty: Option<f64>,
    /// -2–2, default 0: penalty for a token that occurred.
    #[schemars(range(min = -2, max = 2))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub presence_penalty: Option<f64>,
    /// The shape the answer must have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_format: Option<ResponseFormat>,
    /// Functions that the model may call, at most 128.
    #[schemars(length(max = 128))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tools: Option<Vec<Tool>>,
    /// Whether, and which, function must be called; default `auto` with tools.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_choice: Option<ToolChoice>,
    /// Whether one answer may hold several calls; default true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parallel_tool_calls: Option<bool>,
    /// The caller's name for its end user. Has no effect on the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Up to 16 pairs. Has no effect on the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<BTreeMap<String, String>>,

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
    /// Extension: `disabled` (the default) refuses a prompt that is longer than the window, `auto` leaves the oldest
    /// turns out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub truncation: Option<String>,
    /// Extension: a stored conversation, by its id. What it holds goes before `messages`; they and the answer are added.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation: Option<ConversationRef>,

    /// Accepted, without effect on the answer: chat completions are not stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<bool>,
    /// `auto` and `default` are accepted: there is one tier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_tier: Option<String>,
    /// `medium` is accepted; other values are refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verbosity: Option<String>,
    /// `["text"]` is accepted; other values are refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modalities: Option<Vec<String>>,
    /// Accepted, without effect on the answer: a hint for speed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prediction: Option<Value>,
    /// Refused: the effort of the models served here is not adjustable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning_effort: Option<Value>,
    /// Refused: the models served here do not speak.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audio: Option<Value>,
    /// Refused: there is no search.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub web_search_options: Option<Value>,
    /// Refused: deprecated by OpenAI; use `tools`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub functions: Option<Value>,
    /// Refused: deprecated by OpenAI; use `tool_choice`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub function_call: Option<Value>,
}

/// What a stream carries besides the answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StreamOptions {
    /// A last chunk with the usage and no choices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub include_usage: Option<bool>,
    /// Padding against traffic analysis: only `false` is supported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub include_obfuscation: Option<bool>,
}

/// Strings that end an answer: one, or a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected a string or an array of strings")]
pub enum Stop {
    /// One string.
    One(String),
    /// Several.
    Many(Vec<String>),
}
