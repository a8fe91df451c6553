//! The smallest possible call: a prompt in, a text out.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::usage::Usage;

/// A prompt to answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PredictRequest {
    /// What a user says to the model.
    #[schemars(length(min = 1))]
    pub prompt: String,
    /// The model's name; absent means the first model served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The most tokens the answer may have; absent means up to the model's window.
    #[schemars(range(min = 1))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u32>,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PredictResponse {
    /// The answer's text.
    pub result: String,
    /// The model that answered.
    pub model: String,
    /// Tokens used.
    pub usage: Usage,
}
