//! What the gateway logs.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is logged at present.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LogFilter {
    /// Levels, such as `info` or `info,gateway=debug`. Prompts, answers and credentials are logged at no level.
    pub filter: String,
}
