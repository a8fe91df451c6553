//! Subjects: who calls, their role, and where theirs differs from it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::policy::PolicyChange;
use super::present;

/// Someone, or something, that calls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Subject {
    /// Its name; the `sub` of its tokens.
    pub id: String,
    /// Its role. Without one, a token's role claim counts.
    pub role: Option<String>,
    /// Where its policy differs from the role's.
    #[serde(default)]
    pub overrides: PolicyChange,
    /// Every credential of it is refused, and its running streams are ended.
    #[serde(default)]
    pub disabled: bool,
    /// For people.
    #[serde(default)]
    pub note: String,
    /// When it was made, seconds since the Unix epoch.
    #[serde(default)]
    pub created: u64,
    /// Grows with each change; the `ETag` of the subject.
    #[serde(default)]
    pub version: u64,
}

/// A subject to make.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewSubject {
    /// Its name; the `sub` of its tokens.
    #[schemars(length(min = 1, max = 256), regex(pattern = super::NAME))]
    pub id: String,
    /// Its role.
    #[serde(default)]
    pub role: Option<String>,
    /// Where its policy differs from the role's.
    #[serde(default)]
    pub overrides: PolicyChange,
    /// For people.
    #[schemars(length(max = 4096))]
    #[serde(default)]
    pub note: String,
}

/// A change of a subject: what is not there stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SubjectChange {
    /// Its role; `null` takes it away.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub role: Option<Option<String>>,
    /// Where its policy differs from the role's; replaces what was there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overrides: Option<PolicyChange>,
    /// Refuses its credentials, or takes that back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disabled: Option<bool>,
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}
