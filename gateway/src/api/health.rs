//! `GET /healthz` and `/readyz`: for those who send the traffic.

use std::sync::Arc;
use std::time::Duration;

use openapi::health::{Health, HealthStatus, ModelLoad, Readiness};
use poem_openapi::OpenApi;

use crate::api::Tag;
use crate::api::payload::SerdeJson;
use crate::app::App;
use crate::engine::Engine;
use crate::error::{ApiError, ErrorKind};

/// Models load in about a second.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// The health resource. Its operations alone, and the documentation, need no credential.
pub struct HealthApi {
    /// The shared parts.
    pub app: Arc<App>,
}

#[expect(clippy::unused_async, reason = "poem-openapi's operations are async, whatever they do")]
#[OpenApi(tag = "Tag::Health")]
impl HealthApi {
    /// Is the process alive?
    #[oai(path = "/healthz", method = "get", operation_id = "healthz")]
    async fn alive(&self) -> Result<SerdeJson<Health>, ApiError> {
        Ok(SerdeJson(Health { status: HealthStatus::Ok }))
    }

    /// May it be sent traffic?
    ///
    /// 503 while a model loads, and from the moment it is told to end.
    #[oai(path = "/readyz", method = "get", operation_id = "readyz")]
    async fn ready(&self) -> Result<SerdeJson<Readiness>, ApiError> {
        if self.app.lifecycle.is_draining() {
            return Err(unready("the gateway is shutting down", "draining"));
        }
        if !self.app.catalog.is_ready() {
            return Err(unready("a model is not ready", "model_not_ready"));
        }
        let models = self.app.catalog.engines();
        let models = models.iter().map(|engine| load(engine.as_ref())).collect();
        Ok(SerdeJson(Readiness { status: HealthStatus::Ok, models }))
    }
}

fn load(engine: &dyn Engine) -> ModelLoad {
    let load = engine.load();
    ModelLoad {
        id: engine.card().id.clone(),
        running: load.running,
        waiting: load.waiting,
        kv_used_ratio: load.kv_used_ratio,
    }
}

fn unready(message: &'static str, code: &'static str) -> ApiError {
    ApiError::new(ErrorKind::Overloaded, message).with_code(code).with_retry_after(LOOK_AGAIN)
}
