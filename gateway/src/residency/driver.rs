//! The one task that loads and unloads, one load at a time.

use std::sync::Arc;
use std::time::Duration;

use openapi::admin::models::LoadState;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::loader::{LoadFailure, Loaded, Spec};
use super::table::Step;
use super::{Refusal, Residents};
use crate::engine::Engine;
use crate::engine::progress::Progress;

/// A look at the table where nothing is known to happen.
const LONGEST_REST: Duration = Duration::from_mins(1);

/// A load under way. Dropped, it is called off.
struct Load {
    index: usize,
    spec: Spec,
    progress: Arc<Progress>,
    task: JoinHandle<Result<Loaded, LoadFailure>>,
}

impl Drop for Load {
    fn drop(&mut self) {
        self.progress.cancel();
    }
}

impl Residents {
    /// Loads and unloads as it is asked for, until it is dropped.
    pub async fn drive(self) {
        let mut load: Option<Load> = None;
        loop {
            let step = self.0.table.lock().next(load.is_some(), Instant::now());
            match step {
                Step::Load(index, spec, progress) => load = Some(self.begin(index, spec, progress)),
                Step::Unload(index, engine) => self.unload_now(index, engine).await,
                Step::Rest(until) => self.rest(&mut load, until).await,
            }
        }
    }

    /// Waits for a change, a time, or the end of the load.
    async fn rest(&self, load: &mut Option<Load>, until: Option<Instant>) {
        let longest = Instant::now() + LONGEST_REST;
        let until = until.map_or(longest, |until| until.min(longest));
        let ended = async {
            match load {
                Some(load) => {
                    (&mut load.task).await.unwrap_or_else(|_| Err(LoadFailure("the load broke".to_owned())))
                }
                None => std::future::pending().await,
            }
        };
        let outcome = tokio::select! {
            outcome = ended => outcome,
            () = self.0.work.notified() => return,
            () = tokio::time::sleep_until(until) => return,
        };
        if let Some(load) = load.take() {
            self.end(&load, outcome);
        }
    }

    fn begin(&self, index: usize, spec: Spec, progress: Arc<Progress>) -> Load {
        let (shared, wanted, told) = (Arc::clone(&self.0), spec.clone(), Arc::clone(&progress));
        let task = tokio::task::spawn_blocking(move || shared.loader.load(&wanted, &told));
        Load { index, spec, progress, task }
    }

    fn end(&self, load: &Load, outcome: Result<Loaded, LoadFailure>) {
        let (model, path) = (&*load.spec.name, load.spec.config.path.display());
        let error = outcome.as_ref().err().map(ToString::to_string);
        let mut table = self.0.table.lock();
        table.loaded(load.index, outcome, Instant::now());
        let seconds =
            table.slot(load.index).and_then(|slot| slot.last_load).unwrap_or_default().as_secs_f64();
        drop(table);
        let metrics = self.0.metrics.models.of(model);
        match error {
            None => {
                metrics.load_seconds.observe(seconds);
                metrics.loads("loaded");
                tracing::info!(model, %path, seconds, "the model is loaded");
            }
            Some(_) if load.progress.is_cancelled() => {
                metrics.loads("cancelled");
                tracing::info!(model, "the load was called off");
            }
            Some(error) => {
                metrics.loads("failed");
                tracing::error!(model, %path, error, "the model cannot be loaded");
            }
        }
    }

    /// Gives a model's memory back: its thread ends after the step that it is in.
    async fn unload_now(&self, index: usize, engine: Arc<dyn Engine>) {
        // A panic of the engine's own thread was logged there.
        drop(tokio::task::spawn_blocking(move || drop(engine)).await);
        let mut table = self.0.table.lock();
        table.unloaded(index);
        let name = table.slot(index).map(|slot| Arc::clone(&slot.spec.name));
        drop(table);
        tracing::info!(model = name.as_deref(), "the model is unloaded");
    }

    /// Loads the models that are to be there from the start, one after the other. Those that find no room beside the
    /// others are left for the first request.
    ///
    /// # Errors
    /// One of them cannot be loaded.
    pub async fn load_first(&self) -> Result<(), Refusal> {
        let names: Vec<_> = {
            let table = self.0.table.lock();
            let first = table.slots().iter().filter(|slot| super::Slot::loads_at_start(&slot.spec));
            first.map(|slot| Arc::clone(&slot.spec.name)).collect()
        };
        for name in names {
            let room = {
                let table = self.0.table.lock();
                table.find(&name).is_some_and(|index| table.has_room(index))
            };
            if !room {
                tracing::warn!(
                    model = &*name,
                    "there is no room for the model; it is loaded when it is asked for"
                );
                continue;
            }
            self.load(&name)?;
            let shown = self.settled(&name).await?;
            if shown.state != LoadState::Ready {
                return Err(LoadFailure(shown.reason.unwrap_or_default()).into());
            }
        }
        Ok(())
    }
}
