//! From the configured models to running engines: the one place that names the kind of engine.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Weak};

use gateway::clock::Clock;
use gateway::config::{Config, Isolation, LoadWhen, ModelConfig};
use gateway::engine::Engine;
use gateway::engine::child::ChildEngine;
use gateway::engine::llama::{LlamaEngine, LoadError, Model, outlook};
use gateway::engine::progress::Progress;
use gateway::engine::upstream::UpstreamEngine;
use gateway::model_store::ModelStore;
use gateway::residency::{Description, Footprint, LoadFailure, Loaded, Loader, LocalModels, Residents, Spec};
use gateway::telemetry::Metrics;
use parking_lot::Mutex;

use super::Failure;

/// Loads models into this process. Names that share weights share them as long as one of them is loaded.
struct Local {
    data: PathBuf,
    metrics: Arc<Metrics>,
    started: u64,
    weights: Mutex<HashMap<String, Weak<Model>>>,
}

/// The models of this machine; none is loaded yet.
pub(super) fn residents(config: &Config, metrics: &Arc<Metrics>) -> Residents {
    let loader = Local {
        data: config.data_dir.clone(),
        metrics: Arc::clone(metrics),
        started: Clock::System.now_s(),
        weights: Mutex::default(),
    };
    let budget = Some(config.memory_budget_mib << 20).filter(|budget| *budget > 0);
    Residents::new(Box::new(loader), budget, metrics)
}

/// The models, and how those that an admin adds are run: as the first configured one, but for what is its alone.
pub(super) fn local(config: &Config, residents: &Residents) -> Arc<LocalModels> {
    let first = config.models.iter().find(|model| model.url.is_none()).unwrap_or(&config.model_defaults);
    let template = ModelConfig {
        id: None,
        path: PathBuf::new(),
        chat_template: None,
        adapters: Vec::new(),
        pin: false,
        load: LoadWhen::OnDemand,
        ..first.clone()
    };
    let files = ModelStore::new(&config.data_dir);
    Arc::new(LocalModels { residents: residents.clone(), files, template })
}

/// An engine for every model, in the order of the configuration; local ones are not loaded. Reads the heads of their
/// files: run it where blocking is allowed.
pub(super) fn all(
    models: &[ModelConfig],
    residents: &Residents,
    metrics: &Metrics,
) -> Result<Vec<Arc<dyn Engine>>, Failure> {
    let mut engines: Vec<Arc<dyn Engine>> = Vec::with_capacity(models.len());
    for model in models {
        let (id, path) = (model.name(), model.path.display());
        if let Some(url) = &model.url {
            let engine = UpstreamEngine::new(model, &id, Clock::System.now_s(), metrics)
                .map_err(|error| Failure::new(format!("cannot use the server of the model {id}: {error}")))?;
            tracing::info!(model = id, url, "the model is another server's");
            engines.push(engine);
            continue;
        }
        let added = residents
            .add(model)
            .map_err(|error| Failure::new(format!("cannot load the model {id} ({path}): {error}")))?;
        engines.extend(added.into_iter().map(|resident| resident as Arc<dyn Engine>));
    }
    Ok(engines)
}

impl Local {
    fn weights(&self, spec: &Spec, progress: &Arc<Progress>) -> Result<Arc<Model>, LoadError> {
        // One load at a time: the lock keeps nobody waiting.
        let mut known = self.weights.lock();
        if let Some(model) = known.get(spec.group()).and_then(Weak::upgrade) {
            return Ok(model);
        }
        let model = Arc::new(Model::load(&spec.config, progress)?);
        known.insert(spec.group().to_owned(), Arc::downgrade(&model));
        Ok(model)
    }

    fn start(&self, spec: &Spec, progress: &Arc<Progress>) -> Result<Loaded, LoadError> {
        let told = outlook(&spec.config, &spec.name, self.started)?;
        let model = self.weights(spec, progress)?;
        let footprint = Footprint { weights: model.bytes().saturating_add(told.adapters), own: told.context };
        let adapter = spec.adapter.as_deref();
        let engine =
            LlamaEngine::start(&model, &spec.config, (told.card, adapter), &self.data, &self.metrics)?;
        progress.report(1.0);
        Ok(Loaded { engine, footprint })
    }

    fn start_apart(&self, spec: &Spec, progress: &Progress) -> Result<Loaded, LoadFailure> {
        let Description { card, footprint } = self.describe(spec)?;
        let engine = ChildEngine::start(&spec.config, card, &self.data, progress, &self.metrics)
            .map_err(|error| LoadFailure(error.to_string()))?;
        progress.report(1.0);
        Ok(Loaded { engine, footprint })
    }
}

impl Loader for Local {
    fn describe(&self, spec: &Spec) -> Result<Description, LoadFailure> {
        let told = outlook(&spec.config, &spec.name, self.started).map_err(failure)?;
        let footprint = Footprint { weights: told.weights.saturating_add(told.adapters), own: told.context };
        Ok(Description { card: told.card, footprint })
    }

    fn load(&self, spec: &Spec, progress: &Arc<Progress>) -> Result<Loaded, LoadFailure> {
        if spec.config.isolation == Isolation::Process {
            return self.start_apart(spec, progress);
        }
        self.start(spec, progress).map_err(failure)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is what map_err hands over")]
fn failure(error: LoadError) -> LoadFailure {
    LoadFailure(error.to_string())
}
