//! Keys: secrets that stand for a subject. Only a hash is kept.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A key, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Key {
    /// Its id.
    pub id: String,
    /// The secret's beginning, for recognising it.
    pub prefix: String,
    /// Whom it stands for.
    pub subject: String,
    /// For people.
    #[serde(default)]
    pub note: String,
    /// When it was made, seconds since the Unix epoch.
    pub created: u64,
    /// When it ends, seconds since the Unix epoch.
    pub expires_at: Option<u64>,
    /// When it was last used, to the minute.
    pub last_used: Option<u64>,
    /// When it was revoked.
    pub revoked_at: Option<u64>,
}

/// A key to make.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewKey {
    /// Whom it stands for.
    #[schemars(length(min = 1, max = 256), regex(pattern = super::NAME))]
    pub subject: String,
    /// Makes the subject with this role if there is none; a subject that there is must have it already.
    #[serde(default)]
    pub role: Option<String>,
    /// For people.
    #[schemars(length(max = 4096))]
    #[serde(default)]
    pub note: String,
    /// Seconds until it ends; it does not end by itself without.
    #[serde(default)]
    pub expires_in: Option<u64>,
}

/// A key that was just made: the only time that its secret is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CreatedKey {
    /// The secret.
    pub secret: String,
    /// The key.
    pub key: Key,
}
