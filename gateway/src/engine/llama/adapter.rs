//! LoRA adapters: read with the model, applied to contexts of it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::model::{LlamaLoraAdapter, LlamaModel};
use parking_lot::Mutex;

use super::header::Header;
use super::model::{LoadError, check_magic};
use crate::config::AdapterConfig;

/// An adapter in memory. llama.cpp frees it with its model.
pub struct Adapter {
    /// The binding wants it for itself while it is applied.
    lora: Mutex<LlamaLoraAdapter>,
    scale: f32,
    path: PathBuf,
}

impl Adapter {
    /// Has a context compute with the adapter from now on.
    pub(super) fn apply(&self, context: &mut LlamaContext<'_>) -> Result<(), LoadError> {
        context
            .lora_adapter_set(&mut self.lora.lock(), self.scale)
            .map_err(|_| LoadError::Adapter(self.path.clone()))
    }
}

impl fmt::Debug for Adapter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Adapter")
            .field("path", &self.path)
            .field("scale", &self.scale)
            .finish_non_exhaustive()
    }
}

/// A model's adapters, by name.
#[derive(Debug)]
pub(super) struct Adapters(BTreeMap<String, Arc<Adapter>>);

impl Adapters {
    /// Reads all of them: once contexts share the model, none can be added.
    pub(super) fn load(model: &mut LlamaModel, configs: &[AdapterConfig]) -> Result<Self, LoadError> {
        let mut adapters = BTreeMap::new();
        for AdapterConfig { name, path, scale } in configs {
            check(path)?;
            let lora = model.lora_adapter_init(path).map_err(|_| LoadError::Adapter(path.clone()))?;
            let adapter = Adapter { lora: Mutex::new(lora), scale: *scale, path: path.clone() };
            adapters.insert(name.clone(), Arc::new(adapter));
        }
        Ok(Self(adapters))
    }

    /// One of them.
    pub(super) fn get(&self, name: &str) -> Option<Arc<Adapter>> {
        self.0.get(name).cloned()
    }
}

/// Refuses what is no adapter: llama.cpp aborts the process where its keys are of other types than it expects.
pub(super) fn check(path: &Path) -> Result<(), LoadError> {
    check_magic(path)?;
    let refused = || LoadError::Adapter(path.to_owned());
    let header = Header::read(path).map_err(|_| refused())?;
    let says = |key: &str, word: &str| header.text(key) == Some(word);
    let is_one = says("general.type", "adapter")
        && says("adapter.type", "lora")
        && header.text("general.architecture").is_some()
        && !header.is_other_than_real("adapter.lora.alpha");
    if is_one { Ok(()) } else { Err(refused()) }
}
