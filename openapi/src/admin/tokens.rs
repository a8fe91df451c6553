//! Tokens: signed credentials that end by themselves.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A token to make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// Whom it stands for.
    #[schemars(length(min = 1, max = 256), regex(pattern = super::NAME))]
    pub subject: String,
    /// The role it claims, for a subject without a record; a subject's record wins.
    #[serde(default)]
    pub role: Option<String>,
    /// What it is for. Whoever holds the token can read it.
    #[serde(default)]
    pub note: Option<String>,
    /// Seconds until it ends; an hour, if not said.
    #[schemars(range(min = 1))]
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

/// A token to look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InspectRequest {
    /// The token.
    pub token: String,
}

/// What a token is worth at this moment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TokenState {
    /// Whether a call with it would be let in.
    pub active: bool,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Whom it stands for; of a token that does not verify, nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The role that it has now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Its id, by which it can be revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jti: Option<String>,
    /// When it ends, seconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<u64>,
}

/// A change of the signing key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RotateRequest {
    /// Seconds that tokens of the old key stay valid: 0 after a leak; as long as a token may live, if not said.
    #[serde(default)]
    pub overlap: Option<u64>,
}

/// The key that signs from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Rotated {
    /// Its name, as `/.well-known/jwks.json` shows it.
    pub kid: String,
}
