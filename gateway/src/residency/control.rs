//! What an admin does with models: load, unload, pin, add.

use std::sync::Arc;

use openapi::admin::models::{LoadState, Residency};
use tokio::time::Instant;

use super::loader::{LoadFailure, Spec};
use super::table::Table;
use super::{Resident, Residents};
use crate::config::ModelConfig;
use crate::error::{ApiError, ErrorKind};

/// Why a model is left as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No model of this machine has the name.
    #[error("no model of this machine has this name; GET /admin/v1/models lists those that have a `memory`")]
    Unknown,
    /// It answers.
    #[error("{requests} requests use the model; unload it with wait=true when they have ended")]
    InUse {
        /// How many.
        requests: u32,
    },
    /// It alone is more than the budget.
    #[error(
        "the model takes {} MiB, which is more than memory_budget_mib ({}); a smaller context or fewer parallel sequences may fit",
        .needed >> 20, .budget >> 20
    )]
    TooLarge {
        /// Bytes that it takes.
        needed: u64,
        /// Bytes of the budget.
        budget: u64,
    },
    /// There is one of the name already.
    #[error("a model of this name is served already")]
    Exists,
    /// The folder has no such file.
    #[error(
        "models/ of the data folder has no such file; `gateway model pull` fetches one, `gateway model list` shows them"
    )]
    NoFile,
    /// It cannot be loaded.
    #[error("{0}")]
    Failed(#[from] LoadFailure),
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        let message = refusal.to_string();
        match refusal {
            Refusal::Unknown => Self::new(ErrorKind::NotFound, message).with_code("model_not_found"),
            Refusal::InUse { .. } => Self::new(ErrorKind::Conflict, message).with_code("in_use"),
            Refusal::TooLarge { .. } => Self::new(ErrorKind::Conflict, message).with_code("too_large"),
            Refusal::NoFile => Self::invalid(message).with_param("file").with_code("file_not_found"),
            Refusal::Exists => Self::new(ErrorKind::Conflict, message).with_code("exists"),
            Refusal::Failed(_) => Self::new(ErrorKind::Conflict, message).with_code("load_failed"),
        }
    }
}

impl Residents {
    /// Has a model loaded; it may be under way when this returns.
    ///
    /// # Errors
    /// There is none of the name, or it can never fit.
    pub fn load(&self, name: &str) -> Result<(), Refusal> {
        self.change(name, Table::order)
    }

    /// Has a model unloaded: where `drain` says so, when those who use it have ended; it may be under way when this
    /// returns. The next request for it loads it again.
    ///
    /// # Errors
    /// There is none of the name, or it is used and not to be drained.
    pub fn unload(&self, name: &str, drain: bool) -> Result<(), Refusal> {
        self.change(name, |table, index| table.dismiss(index, drain, Instant::now()))
    }

    /// Pins a model, or takes the pin away.
    ///
    /// # Errors
    /// There is none of the name.
    pub fn pin(&self, name: &str, pinned: bool) -> Result<(), Refusal> {
        self.change(name, |table, index| {
            table.slot_mut(index).ok_or(Refusal::Unknown)?.pinned = pinned;
            Ok(())
        })
    }

    fn change(
        &self,
        name: &str,
        change: impl FnOnce(&mut Table, usize) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        let mut table = self.0.table.lock();
        let index = table.find(name).ok_or(Refusal::Unknown)?;
        change(&mut table, index)?;
        drop(table);
        self.0.work.notify_one();
        Ok(())
    }

    /// Waits until a model is neither on its way into memory nor out of it.
    ///
    /// # Errors
    /// There is none of the name.
    pub async fn settled(&self, name: &str) -> Result<Residency, Refusal> {
        loop {
            let (changed, shown) = {
                let table = self.0.table.lock();
                let slot = table.find(name).and_then(|index| table.slot(index)).ok_or(Refusal::Unknown)?;
                // Enabled before the lock is let go of: no change is missed.
                let mut changed = Box::pin(Arc::clone(&slot.changed).notified_owned());
                changed.as_mut().enable();
                (changed, slot.shown())
            };
            if matches!(shown.state, LoadState::Ready | LoadState::Unloaded | LoadState::Failed) {
                return Ok(shown);
            }
            changed.await;
        }
    }

    /// How a model is.
    pub fn shown(&self, name: &str) -> Option<Residency> {
        let table = self.0.table.lock();
        table.find(name).and_then(|index| table.shown(index))
    }

    /// Adds a model, and its adapters, which are unloaded. Reads the head of the file: blocks.
    ///
    /// # Errors
    /// There is one of the name already, its file is no model, or it can never fit.
    pub fn add(&self, config: &ModelConfig) -> Result<Vec<Arc<Resident>>, Refusal> {
        Spec::all(config).into_iter().map(|spec| self.add_one(spec)).collect()
    }
}
