//! The section `[log]`: what is logged, and how it looks.

use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;

use super::Invalid;

/// What is logged, and how it looks.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// Levels, as `info` or `info,gateway=debug`.
    pub filter: String,
    /// The shape of a line.
    pub format: LogFormat,
}

/// The shape of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// Human on a terminal, JSON otherwise.
    Auto,
    /// For people.
    Human,
    /// One JSON object a line.
    Json,
}

impl Default for LogConfig {
    fn default() -> Self {
        // llama.cpp tells of every buffer; `debug` shows it.
        Self { filter: "info,llama-cpp-2=warn".to_owned(), format: LogFormat::Auto }
    }
}

impl LogConfig {
    /// Checks what types cannot say.
    ///
    /// # Errors
    /// The filter does not parse.
    pub fn validate(&self) -> Result<(), Invalid> {
        let outcome = EnvFilter::builder().parse(&self.filter);
        outcome.map(|_| ()).map_err(|error| Invalid::new("filter", format!("is no log filter: {error}")))
    }
}
