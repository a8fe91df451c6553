//! Models that an admin adds while the gateway runs: files of the data folder.

use std::sync::Arc;

use super::loader::{Description, LoadFailure, Loaded, Loader, Spec};
use super::{Refusal, Resident, Residents};
use crate::config::ModelConfig;
use crate::engine::progress::Progress;
use crate::model_store::ModelStore;

/// The models of this machine, and what others are made of.
#[derive(Debug)]
pub struct LocalModels {
    /// Those that are served.
    pub residents: Residents,
    /// The files that may be served.
    pub files: ModelStore,
    /// How those that are added are run.
    pub template: ModelConfig,
}

impl LocalModels {
    /// Adds a file of the data folder under a name; it is not loaded yet. Reads the head of the file: blocks.
    ///
    /// # Errors
    /// The name is taken, the file is none of the folder's or no model, or it can never fit.
    pub fn add(&self, name: &str, file: &str) -> Result<Vec<Arc<Resident>>, Refusal> {
        let path = self.files.file(file).ok_or(Refusal::NoFile)?;
        let config = ModelConfig { id: Some(name.to_owned()), path, ..self.template.clone() };
        self.residents.add(&config)
    }
}

impl Default for LocalModels {
    /// None, and no way to add any.
    fn default() -> Self {
        Self {
            residents: Residents::new(Box::new(NoLoader), None, &Arc::default()),
            files: ModelStore::new("".as_ref()),
            template: ModelConfig::default(),
        }
    }
}

/// Loads nothing.
struct NoLoader;

impl Loader for NoLoader {
    fn describe(&self, _: &Spec) -> Result<Description, LoadFailure> {
        Err(LoadFailure("no models can be added here".to_owned()))
    }

    fn load(&self, spec: &Spec, _: &Arc<Progress>) -> Result<Loaded, LoadFailure> {
        self.describe(spec).and_then(|_| Err(LoadFailure("no models can be loaded here".to_owned())))
    }
}
