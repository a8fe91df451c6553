//! The section `[limits]`: where what subjects spend is counted.

use serde::{Deserialize, Serialize};

use super::{Invalid, require};

/// Where what subjects spend is counted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsConfig {
    /// The Redis that all replicas count in; without one this process counts alone, in memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redis: Option<String>,
    /// Who passes while Redis is away.
    pub outage: OutagePolicy,
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

impl LimitsConfig {
    /// Checks what types cannot say.
    ///
    /// # Errors
    /// The first key whose value cannot work.
    pub fn validate(&self) -> Result<(), Invalid> {
        let fine =
            self.redis.as_ref().is_none_or(|url| url.starts_with("redis://") || url.starts_with("unix://"));
        require(fine, "redis", "must be redis://HOST:PORT or unix://PATH")
    }
}
