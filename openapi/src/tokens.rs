//! A model's tokens: text to tokens and back.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::message::{Message, Tool};

/// A text or a chat to tokenize: exactly one of `prompt` and `messages`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TokenizeRequest {
    /// The model's name; absent means the first model served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// A text.
    #[serde(default, alias = "content", alias = "text", skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// A chat, as the model's template renders it for an answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub messages: Option<Vec<Message>>,
    /// With `messages`: the tools that the template shows to the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tools: Option<Vec<Tool>>,
    /// With `prompt`: add the begin-of-text token where the model wants one, default true.
    #[serde(default, alias = "add_special", skip_serializing_if = "Option::is_none")]
    pub add_special_tokens: Option<bool>,
    /// With `prompt`: read marks such as `<|im_end|>` as special tokens, default true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parse_special: Option<bool>,
    /// Also return each token's text, default false.
    #[serde(default, alias = "with_pieces", skip_serializing_if = "Option::is_none")]
    pub return_token_strs: Option<bool>,
}

/// The tokens of a text or chat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TokenizeResponse {
    /// The model whose tokens they are.
    pub model: String,
    /// How many there are.
    pub count: usize,
    /// The most tokens that a prompt and its answer may have together.
    pub max_model_len: u32,
    /// Their ids.
    pub tokens: Vec<u32>,
    /// Their texts, where asked for; bytes that are not whole characters show as U+FFFD.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_strs: Option<Vec<String>>,
}

/// Tokens to turn into text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DetokenizeRequest {
    /// The model's name; absent means the first model served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The tokens' ids.
    pub tokens: Vec<u32>,
}

/// The text of tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DetokenizeResponse {
    /// The model whose tokens they were.
    pub model: String,
    /// The text; bytes that are not UTF-8 show as U+FFFD.
    pub prompt: String,
}
