//! What a role allows, and how much.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::present;

/// Something that operations ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum PermissionName {
    /// Chat, completions, predict, tokens.
    #[serde(rename = "chat")]
    Chat,
    /// Embeddings.
    #[serde(rename = "embeddings")]
    Embeddings,
    /// The list of models.
    #[serde(rename = "models:read")]
    ModelsRead,
    /// Stored conversations of one's own.
    #[serde(rename = "conversations")]
    Conversations,
    /// Loading, unloading and routing models.
    #[serde(rename = "models:manage")]
    ModelsManage,
    /// Reading roles and subjects.
    #[serde(rename = "roles:read")]
    RolesRead,
    /// Changing roles and subjects.
    #[serde(rename = "roles:manage")]
    RolesManage,
    /// Keys and tokens.
    #[serde(rename = "keys:manage")]
    KeysManage,
    /// The usage of others, and the audit.
    #[serde(rename = "usage:read")]
    UsageRead,
    /// The gateway's own diagnostics.
    #[serde(rename = "metrics:read")]
    MetricsRead,
}

impl PermissionName {
    /// Every permission there is.
    pub const ALL: [Self; 10] = [
        Self::Chat,
        Self::Embeddings,
        Self::ModelsRead,
        Self::Conversations,
        Self::ModelsManage,
        Self::RolesRead,
        Self::RolesManage,
        Self::KeysManage,
        Self::UsageRead,
        Self::MetricsRead,
    ];

    /// Its name in roles.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Embeddings => "embeddings",
            Self::ModelsRead => "models:read",
            Self::Conversations => "conversations",
            Self::ModelsManage => "models:manage",
            Self::RolesRead => "roles:read",
            Self::RolesManage => "roles:manage",
            Self::KeysManage => "keys:manage",
            Self::UsageRead => "usage:read",
            Self::MetricsRead => "metrics:read",
        }
    }
}

/// What a role allows, and how much. A bound that is `null` does not bind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// The operations.
    pub permissions: BTreeSet<PermissionName>,
    /// The models, by name; `*` stands for any characters.
    pub models: Vec<String>,
    /// Requests in any minute.
    pub requests_per_minute: Option<u64>,
    /// Tokens, of prompts and answers, in any minute.
    pub tokens_per_minute: Option<u64>,
    /// Tokens in a day (UTC).
    pub tokens_per_day: Option<u64>,
    /// Requests at once.
    pub concurrency: Option<u32>,
    /// The longest prompt, in tokens.
    pub context_cap: Option<u32>,
    /// The longest answer, in tokens.
    pub output_cap: Option<u32>,
    /// Higher is served first.
    pub priority: u8,
}

impl Default for Policy {
    /// Nothing is allowed; of what will be, every model and as much as there is.
    fn default() -> Self {
        Self {
            permissions: BTreeSet::new(),
            models: vec!["*".to_owned()],
            requests_per_minute: None,
            tokens_per_minute: None,
            tokens_per_day: None,
            concurrency: None,
            context_cap: None,
            output_cap: None,
            priority: 0,
        }
    }
}

/// A change of a policy: what is not there stays, `null` takes a bound away.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PolicyChange {
    /// The operations.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub permissions: Option<BTreeSet<PermissionName>>,
    /// The models, by name; `*` stands for any characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub models: Option<Vec<String>>,
    /// Requests in any minute.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<Option<u64>>,
    /// Tokens, of prompts and answers, in any minute.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub tokens_per_minute: Option<Option<u64>>,
    /// Tokens in a day (UTC).
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub tokens_per_day: Option<Option<u64>>,
    /// Requests at once.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<Option<u32>>,
    /// The longest prompt, in tokens.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub context_cap: Option<Option<u32>>,
    /// The longest answer, in tokens.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub output_cap: Option<Option<u32>>,
    /// Higher is served first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<u8>,
}

impl PolicyChange {
    /// The policy after the change.
    #[must_use]
    pub fn applied_to(&self, policy: &Policy) -> Policy {
        Policy {
            permissions: self.permissions.clone().unwrap_or_else(|| policy.permissions.clone()),
            models: self.models.clone().unwrap_or_else(|| policy.models.clone()),
            requests_per_minute: self.requests_per_minute.unwrap_or(policy.requests_per_minute),
            tokens_per_minute: self.tokens_per_minute.unwrap_or(policy.tokens_per_minute),
            tokens_per_day: self.tokens_per_day.unwrap_or(policy.tokens_per_day),
            concurrency: self.concurrency.unwrap_or(policy.concurrency),
            context_cap: self.context_cap.unwrap_or(policy.context_cap),
            output_cap: self.output_cap.unwrap_or(policy.output_cap),
            priority: self.priority.unwrap_or(policy.priority),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_change_keeps_what_it_does_not_name_and_null_takes_a_bound_away() {
        let policy = Policy { requests_per_minute: Some(10), concurrency: Some(2), ..Policy::default() };
        let change: PolicyChange =
            serde_json::from_value(json!({"requests_per_minute": null, "output_cap": 64})).unwrap();
        let after = change.applied_to(&policy);
        assert_eq!(
            (after.requests_per_minute, after.concurrency, after.output_cap),
            (None, Some(2), Some(64))
        );
    }

    #[test]
    fn permissions_are_written_as_they_are_named() {
        for name in PermissionName::ALL {
            assert_eq!(serde_json::to_value(name).unwrap(), name.as_str());
        }
    }

    #[test]
    fn an_unknown_permission_or_field_is_refused() {
        assert!(serde_json::from_value::<Policy>(json!({"permissions": ["root"]})).is_err());
        assert!(serde_json::from_value::<PolicyChange>(json!({"request_per_minute": 1})).is_err());
    }
}
