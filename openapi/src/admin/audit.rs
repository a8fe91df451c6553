//! The audit: who changed what, and when. Entries are only ever added.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A change that was made, or refused for want of a permission.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuditEntry {
    /// Grows with each entry.
    pub id: u64,
    /// When, seconds since the Unix epoch.
    pub at: u64,
    /// Whose credential it was.
    pub actor: String,
    /// What was done, such as `role.update`.
    pub action: String,
    /// To what.
    pub target: String,
    /// As it was; never a secret.
    pub before: Option<Value>,
    /// As it is.
    pub after: Option<Value>,
}
