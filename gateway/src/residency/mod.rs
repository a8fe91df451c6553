//! Local models between disk and memory: loaded at the start, by an admin or by the first request for them, and
//! unloaded for room or for being idle, never while they answer.
//!
//! Every model is a [`Resident`]: an engine that is always in the catalog, whose inner engine comes and goes. All of
//! them stand in one table; one driver task looks at it after every change and does what is to be done next. How a
//! model is loaded is the [`Loader`]'s matter.

mod control;
mod driver;
mod lease;
mod loader;
mod local;
mod resident;
mod room;
mod slot;
mod table;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::Notify;

pub use self::control::Refusal;
pub use self::loader::{Description, Footprint, LoadFailure, Loaded, Loader, Spec};
pub use self::local::LocalModels;
pub use self::resident::Resident;
use self::slot::{Slot, State};
use self::table::Table;
use crate::clock::Clock;
use crate::engine::EngineLoad;
use crate::telemetry::Metrics;

/// The local models of the process. Clones are the same.
#[derive(Clone)]
pub struct Residents(Arc<Shared>);

/// What models, requests and the driver share.
struct Shared {
    loader: Box<dyn Loader>,
    table: Mutex<Table>,
    /// There may be something to do for the driver.
    work: Notify,
    metrics: Arc<Metrics>,
    clock: Clock,
}

impl Residents {
    /// No models yet; together they may take `budget` bytes, where there is a bound.
    pub fn new(loader: Box<dyn Loader>, budget: Option<u64>, metrics: &Arc<Metrics>) -> Self {
        Self(Arc::new(Shared {
            loader,
            table: Mutex::new(Table::new(budget)),
            work: Notify::new(),
            metrics: Arc::clone(metrics),
            clock: Clock::System,
        }))
    }

    fn add_one(&self, spec: Spec) -> Result<Arc<Resident>, Refusal> {
        let Description { card, footprint } = self.0.loader.describe(&spec)?;
        let name = Arc::clone(&spec.name);
        let mut table = self.0.table.lock();
        if table.find(&name).is_some() {
            return Err(Refusal::Exists);
        }
        table.check_size(footprint)?;
        let (wait, required) = (spec.config.load_wait, Slot::loads_at_start(&spec));
        let index = table.add(Slot::new(spec, footprint));
        drop(table);
        self.sample(&name, index);
        Ok(Arc::new(Resident::new(Arc::clone(&self.0), index, card, (wait, required))))
    }

    /// Before each snapshot of the metrics, as long as there are the models, a model is looked at.
    fn sample(&self, name: &str, index: usize) {
        let (shared, model): (Weak<Shared>, _) = (Arc::downgrade(&self.0), self.0.metrics.models.of(name));
        self.0.metrics.sample(move || {
            let load = shared.upgrade().and_then(|shared| shared.load(index)).unwrap_or_default();
            model.running.set(load.running.into());
            model.waiting.set(load.waiting.into());
            model.kv_used.set(load.kv_used_ratio);
            model.loaded.set(load.ready.into());
            let bytes = shared.upgrade().map_or(0, |shared| shared.bytes(index));
            model.resident_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
        });
    }

    /// Bytes that all models take now.
    pub fn bytes(&self) -> u64 {
        self.0.table.lock().bytes()
    }

    /// Whether a model with memory for disk-kept prefixes is not loaded, so that its files have no owner at present.
    pub fn has_unloaded_spills(&self) -> bool {
        let table = self.0.table.lock();
        table.slots().iter().any(|slot| !slot.is_held() && slot.spec.config.spill_mib > 0)
    }
}

impl Shared {
    /// How busy a model is, where it is in memory. Asked under the lock: a handle of the engine's that outlived the
    /// lock could be the last one, and dropping that takes a while.
    fn load(&self, index: usize) -> Option<EngineLoad> {
        match &self.table.lock().slot(index)?.state {
            State::Ready(engine) | State::Draining(engine) => Some(engine.load()),
            _ => None,
        }
    }

    fn bytes(&self, index: usize) -> u64 {
        let table = self.table.lock();
        table.slot(index).filter(|slot| slot.is_held()).map_or(0, |slot| slot.footprint.total())
    }
}

impl fmt::Debug for Residents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let table = self.0.table.lock();
        f.debug_list().entries(table.slots().iter().map(|slot| &slot.spec.name)).finish()
    }
}
