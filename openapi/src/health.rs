//! The answers of the health operations.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The process answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Health {
    /// Always `ok`; anything else is an error envelope.
    pub status: HealthStatus,
}

/// The one good state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum HealthStatus {
    /// Alive, or ready for traffic.
    Ok,
}
