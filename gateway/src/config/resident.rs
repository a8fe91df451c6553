//! The keys of `[[models]]` that say when a model of this machine is in memory, and with which adapters.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Invalid, ModelConfig, require};

/// The longest name, bytes.
const LONGEST_NAME: usize = 256;

/// When a model is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LoadWhen {
    /// Before the gateway is ready.
    Start,
    /// By the first request for it.
    OnDemand,
}

/// A LoRA adapter of a model.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AdapterConfig {
    /// What comes after the model's name and a colon.
    pub name: String,
    /// The adapter's GGUF file.
    pub path: PathBuf,
    /// How strongly it is applied.
    #[serde(default = "whole")]
    pub scale: f32,
}

// A scale is finite, which `validate` sees to: it equals itself.
impl Eq for AdapterConfig {}

fn whole() -> f32 {
    1.0
}

/// Whether a model or an adapter may be named so; the colon is between the two.
pub fn is_model_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.@+|/".contains(c);
    (1..=LONGEST_NAME).contains(&name.len()) && name.chars().all(plain)
}

impl ModelConfig {
    /// The adapter of a name.
    pub fn adapter(&self, name: &str) -> Option<&AdapterConfig> {
        self.adapters.iter().find(|adapter| adapter.name == name)
    }

    /// Checks the keys of a model that comes and goes.
    pub(super) fn validate_residency(&self) -> Result<(), Invalid> {
        require(!self.load_wait.is_zero(), "load_wait", "must be longer than 0")?;
        for (index, adapter) in self.adapters.iter().enumerate() {
            require(
                is_model_name(&adapter.name),
                "adapters",
                "must have names of letters, digits and -_.@+|/",
            )?;
            let twin = self.adapters.iter().take(index).any(|other| other.name == adapter.name);
            require(!twin, "adapters", "must have a name each")?;
            require(!adapter.path.as_os_str().is_empty(), "adapters", "must have a `path` each")?;
            require(adapter.scale.is_finite(), "adapters", "must have a finite `scale`")?;
        }
        Ok(())
    }
}
