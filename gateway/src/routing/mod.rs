//! From a model's name to the engine that serves it.

use std::fmt;
use std::sync::Arc;

use crate::engine::Engine;
use crate::error::rescue::shorten;
use crate::error::{ApiError, ErrorKind};

/// The engines of this process, in the order of the configuration.
pub struct Catalog {
    engines: Vec<Arc<dyn Engine>>,
}

impl Catalog {
    /// A catalog; names are unique, which the configuration checks.
    pub fn new(engines: Vec<Arc<dyn Engine>>) -> Self {
        Self { engines }
    }

    /// The engine that serves a model.
    pub fn resolve(&self, model: &str) -> Result<Arc<dyn Engine>, ApiError> {
        self.engines.iter().find(|engine| engine.card().id == model).cloned().ok_or_else(|| unknown(model))
    }

    /// The engine that serves a model, or the first one where none is named.
    pub fn resolve_or_default(&self, model: Option<&str>) -> Result<Arc<dyn Engine>, ApiError> {
        match model {
            Some(model) => self.resolve(model),
            None => self.default_engine(),
        }
    }

    /// The first engine, for requests that name no model.
    pub fn default_engine(&self) -> Result<Arc<dyn Engine>, ApiError> {
        self.engines.first().cloned().ok_or_else(|| {
            ApiError::new(ErrorKind::Overloaded, "no model is served here").with_code("model_not_ready")
        })
    }

    /// All engines.
    pub fn engines(&self) -> &[Arc<dyn Engine>] {
        &self.engines
    }

    /// Whether every engine may be sent requests.
    pub fn is_ready(&self) -> bool {
        !self.engines.is_empty() && self.engines.iter().all(|engine| engine.load().ready)
    }
}

impl fmt::Debug for Catalog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.engines.iter().map(|engine| &engine.card().id)).finish()
    }
}

fn unknown(model: &str) -> ApiError {
    let message =
        format!("the model `{}` does not exist; GET /v1/models lists those that do", shorten(model));
    ApiError::new(ErrorKind::NotFound, message).with_param("model").with_code("model_not_found")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::scripted::{Script, ScriptedEngine};

    fn catalog(models: &[&str]) -> Catalog {
        let engine = |model: &&str| Arc::new(ScriptedEngine::new(model, Script::new())) as Arc<dyn Engine>;
        Catalog::new(models.iter().map(engine).collect())
    }

    #[test]
    fn a_model_is_found_by_its_exact_name() {
        let catalog = catalog(&["small", "large"]);
        assert_eq!(catalog.resolve("large").unwrap().card().id, "large");
        assert_eq!(catalog.default_engine().unwrap().card().id, "small");
    }

    #[test]
    fn an_unknown_model_is_told_as_openai_tells_it() {
        let error = catalog(&["small"]).resolve(&"gpt-x".repeat(1000)).err().unwrap();
        let body = error.envelope().error;
        assert_eq!(body.code.as_deref(), Some("model_not_found"));
        assert_eq!(body.param.as_deref(), Some("model"));
        assert!(body.message.len() < 300, "{}", body.message.len());
    }

    #[test]
    fn no_engine_means_not_ready() {
        assert!(!catalog(&[]).is_ready());
        assert!(catalog(&["small"]).is_ready());
    }
}
