//! From the configured models to running engines: the one place that names the kind of engine.

use std::path::Path;
use std::sync::Arc;

use gateway::clock::Clock;
use gateway::config::ModelConfig;
use gateway::engine::Engine;
use gateway::engine::llama::{LlamaEngine, forget_unused_spills};

use super::Failure;

/// Loads every model, one after the other; `data` is the data folder. Takes as long as the disk does: run it where blocking is allowed.
pub(super) fn load(models: &[ModelConfig], data: &Path) -> Result<Vec<Arc<dyn Engine>>, Failure> {
    let mut engines: Vec<Arc<dyn Engine>> = Vec::with_capacity(models.len());
    for model in models {
        let (id, path) = (model.name(), model.path.display());
        let start = std::time::Instant::now();
        let created = Clock::System.now_s();
        let engine = LlamaEngine::load(model, &id, created, data)
            .map_err(|error| Failure::new(format!("cannot load the model {id} ({path}): {error}")))?;
        let seconds = start.elapsed().as_secs_f32();
        tracing::info!(model = id, path = %path, seconds, "the model is loaded");
        engines.push(engine);
    }
    forget_unused_spills(data);
    Ok(engines)
}
