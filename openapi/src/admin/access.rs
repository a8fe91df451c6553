//! What a caller may do: `whoami` and `explain`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::policy::{PermissionName, Policy};

/// Who the caller is, and what it may do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WhoAmI {
    /// Its name.
    pub subject: String,
    /// Its role.
    pub role: String,
    /// What it may do: its role's policy with its own overrides.
    pub policy: Policy,
}

/// What to explain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExplainRequest {
    /// Who would call.
    pub subject: String,
    /// What the operation asks for.
    pub permission: PermissionName,
    /// The model that the request would name.
    #[serde(default)]
    pub model: Option<String>,
}

/// Whether a call would be allowed, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Explanation {
    /// Whether it would.
    pub allowed: bool,
    /// The rule that decides it.
    pub rule: String,
    /// The subject's role.
    pub role: Option<String>,
    /// The policy in force.
    pub policy: Option<Policy>,
    /// What is left of each limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left: Option<Left>,
}

/// What is left of each limit; `null` is unlimited.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Left {
    /// Requests in this minute.
    pub requests: Option<u64>,
    /// Tokens in this minute.
    pub tokens: Option<u64>,
    /// Tokens today (UTC).
    pub tokens_today: Option<u64>,
    /// Requests at once.
    pub concurrency: Option<u64>,
}
