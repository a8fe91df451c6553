//! The section `[limits]`: what subjects may spend while nobody can count it.

use serde::{Deserialize, Serialize};

/// What subjects may spend while the store is away.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsConfig {
    /// Who passes while Redis is away.
    pub outage: OutagePolicy,
    /// Another policy for requests a minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outage_requests: Option<OutagePolicy>,
    /// Another policy for tokens a minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outage_tokens: Option<OutagePolicy>,
    /// Another policy for tokens a day.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outage_budget: Option<OutagePolicy>,
    /// Another policy for requests at the same time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outage_concurrency: Option<OutagePolicy>,
}

/// Who passes while Redis is away.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OutagePolicy {
    /// Everybody, uncounted.
    Open,
    /// Nobody whose spending is limited.
    Closed,
    /// Each replica goes on with limit ÷ replicas last seen alive.
    #[default]
    Share,
}
