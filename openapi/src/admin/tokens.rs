//! Tokens: signed credentials that end by themselves.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A token to make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// Whom it stands for.
    pub subject: String,
    /// The role it claims, for a subject without a record; a subject's record wins.
    #[serde(default)]
    pub role: Option<String>,
    /// What it is for. Whoever holds the token can read it.
    #[serde(default)]
    pub note: Option<String>,
    /// Seconds until it ends; an hour, if not said.
    #[serde(default)]
    pub expires_in: Option<u64>,
}

/// A token that was just made: the only time that it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CreatedToken {
    /// The token.
    pub token: String,
    /// Its id, by which it can be revoked.
    pub jti: String,
    /// When it ends, seconds since the Unix epoch.
    pub expires_at: u64,
}
