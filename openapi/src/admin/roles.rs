//! Roles: named policies, changed while requests run.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::policy::{Policy, PolicyChange};

/// A named policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Role {
    /// Its name: letters, digits and `-_.@:+|`.
    pub name: String,
    /// What it is for.
    #[serde(default)]
    pub description: String,
    /// What it allows.
    pub policy: Policy,
    /// Comes with the program: it can be changed but not removed.
    #[serde(default)]
    pub built_in: bool,
    /// Grows with each change; the `ETag` of the role.
    #[serde(default)]
    pub version: u64,
}

/// A role to make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRole {
    /// Its name: letters, digits and `-_.@:+|`.
    #[schemars(length(min = 1, max = 256), regex(pattern = super::NAME))]
    pub name: String,
    /// What it is for.
    #[schemars(length(max = 4096))]
    #[serde(default)]
    pub description: String,
    /// What it allows.
    #[serde(default)]
    pub policy: Policy,
}

/// A change of a role: what is not there stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RoleChange {
    /// What it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What it allows.
    pub policy: PolicyChange,
}
