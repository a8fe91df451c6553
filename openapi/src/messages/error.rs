//! The shape of every failure of the Messages API.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The body of every response of the Messages API that is not a success.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MessagesErrorEnvelope {
    /// Always `error`.
    #[serde(rename = "type")]
    pub kind: Cow<'static, str>,
    /// The failure.
    pub error: MessagesErrorBody,
    /// The request, as the access log has it.
    pub request_id: String,
}

/// What failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MessagesErrorBody {
    /// The class of the failure, such as `invalid_request_error`.
    #[serde(rename = "type")]
    pub kind: Cow<'static, str>,
    /// What is wrong and what to do, for people; names the request's field that is wrong.
    pub message: String,
    /// More, for programs, where there is more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<MessagesErrorDetails>,
}

/// More on a failure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MessagesErrorDetails {
    /// The exact failure, such as `model_not_found`.
    pub error_code: Cow<'static, str>,
}
