//! The answers of the health operations.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The process answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Health {
    /// Always `ok`; anything else is an error envelope.
    pub status: HealthStatus,
}

/// May be sent traffic, and how busy each model is at this moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Readiness {
    /// Always `ok`; anything else is an error envelope.
    pub status: HealthStatus,
    /// The models served.
    pub models: Vec<ModelLoad>,
}

/// How busy a model is at this moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ModelLoad {
    /// The model's name.
    pub id: String,
    /// Sequences being computed.
    pub running: u32,
    /// Requests in the queue.
    pub waiting: u32,
    /// Share of the KV cells in use, 0 to 1.
    pub kv_used_ratio: f64,
}

/// The one good state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum HealthStatus {
    /// Alive, or ready for traffic.
    Ok,
}
