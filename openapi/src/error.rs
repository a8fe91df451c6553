//! The shape of every failure.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The body of every response that is not a success, and of the last event of a stream that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorEnvelope {
    /// The failure.
    pub error: ErrorBody,
}

/// What failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorBody {
    /// What is wrong and what to do, for people.
    pub message: String,
    /// The class of the failure, such as `invalid_request_error`.
    #[serde(rename = "type")]
    pub kind: Cow<'static, str>,
    /// The request's field that is wrong, such as `messages[0].role`.
    pub param: Option<String>,
    /// The exact failure, such as `model_not_found`, for programs.
    pub code: Option<Cow<'static, str>>,
}
