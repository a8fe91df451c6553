//! What residency asks of whoever loads models: the seam where it is decided how a model runs.

use std::sync::Arc;

use crate::config::ModelConfig;
use crate::engine::progress::Progress;
use crate::engine::{Engine, ModelCard};

/// A name that a model of this machine serves: the model itself, or the model with one of its adapters.
#[derive(Debug, Clone)]
pub struct Spec {
    /// The name clients use: `model`, or `model:adapter`.
    pub name: Arc<str>,
    /// The model's configuration.
    pub config: Arc<ModelConfig>,
    /// The name of the adapter among the configured ones.
    pub adapter: Option<String>,
}

impl Spec {
    /// The model, and the model with each of its adapters.
    pub fn all(config: &ModelConfig) -> Vec<Self> {
        let (name, config) = (config.name(), Arc::new(config.clone()));
        let one = |name: String, adapter| Self { name: name.into(), config: Arc::clone(&config), adapter };
        let adapters = config.adapters.iter();
        let with_adapters =
            adapters.map(|adapter| one(format!("{name}:{}", adapter.name), Some(adapter.name.clone())));
        std::iter::once(one(name.clone(), None)).chain(with_adapters).collect()
    }

    /// The model whose weights it runs on: names of one group share them.
    pub fn group(&self) -> &str {
        let adapter = self.adapter.as_ref().map_or(0, |adapter| adapter.len() + 1);
        self.name.get(..self.name.len() - adapter).unwrap_or(&self.name)
    }
}

/// Memory that a model takes, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Footprint {
    /// The weights, which names of one group share.
    pub weights: u64,
    /// What every name has of its own: KV cache, compute buffers, kept prefixes at most.
    pub own: u64,
}

impl Footprint {
    /// All of it.
    pub fn total(self) -> u64 {
        self.weights.saturating_add(self.own)
    }
}

/// What is known of a model without loading it.
#[derive(Debug, Clone)]
pub struct Description {
    /// What it will be and can do.
    pub card: ModelCard,
    /// What it will take.
    pub footprint: Footprint,
}

/// A model that was loaded.
pub struct Loaded {
    /// What serves it. Dropping the last handle frees its memory, and may block as long as a step takes.
    pub engine: Arc<dyn Engine>,
    /// What it takes, as far as that can be told better now than before.
    pub footprint: Footprint,
}

/// Why a model cannot be loaded. The text is for the operator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct LoadFailure(pub String);

/// Loads models. Both calls block: they run where that is allowed.
pub trait Loader: Send + Sync + 'static {
    /// What the model will be, read from the head of its file.
    ///
    /// # Errors
    /// The file is not there or is no model.
    fn describe(&self, spec: &Spec) -> Result<Description, LoadFailure>;

    /// Loads the model, telling how far it is; ends early with an error where that says that it is no longer wanted.
    ///
    /// # Errors
    /// The model cannot be loaded.
    fn load(&self, spec: &Spec, progress: &Arc<Progress>) -> Result<Loaded, LoadFailure>;
}
