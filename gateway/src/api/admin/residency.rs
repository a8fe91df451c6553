//! `/admin/v1/models/{name}/load`, `/unload`, `/pin`, `/unpin`: models of this machine, in memory or out of it.

use std::sync::Arc;
use std::time::Duration;

use openapi::admin::models::{LoadRequest, Residency};
use poem_openapi::OpenApi;
use poem_openapi::param::{Path, Query};
use serde_json::json;

use crate::api::Tag;
use crate::api::payload::{OptionalJson, SerdeJson};
use crate::app::App;
use crate::auth::admin::Admin;
use crate::auth::{Authorized, Principal, permission};
use crate::config::is_model_name;
use crate::error::ApiError;
use crate::residency::Refusal;

/// The longest that an answer waits for a load or an unload; then it tells how far that is.
const LONGEST_WAIT: Duration = Duration::from_mins(10);

/// The models of this machine.
pub struct ResidencyApi {
    /// The shared parts.
    pub app: Arc<App>,
}

#[OpenApi(prefix_path = "/admin/v1", tag = "Tag::Admin")]
impl ResidencyApi {
    /// Load a model into memory
    ///
    /// Answers at once, with the load under way; with `wait`, when it has ended. Of the replica that answers alone.
    #[oai(path = "/models/:name/load", method = "post", operation_id = "load_model")]
    async fn load(
        &self,
        caller: Authorized<permission::ModelsManage>,
        /// The model's name; with an adapter, `model:adapter`.
        name: Path<String>,
        /// Answer when the load has ended.
        wait: Query<Option<bool>>,
        body: OptionalJson<LoadRequest>,
    ) -> Result<SerdeJson<Residency>, ApiError> {
        match &body.0.file {
            Some(file) => self.add(&caller, &name, file).await?,
            None => self.decide(&caller, "model.load", &name).await?,
        }
        self.app.local.residents.load(&name)?;
        self.outcome(&name, wait.0).await
    }

    /// Unload a model
    ///
    /// Its memory is given back; the next request for it loads it again. 409 while it answers; with `wait` no answer
    /// is cut either: it goes when the last one has ended, and requests that come meanwhile wait for it to be loaded
    /// again.
    #[oai(path = "/models/:name/unload", method = "post", operation_id = "unload_model")]
    async fn unload(
        &self,
        caller: Authorized<permission::ModelsManage>,
        /// The model's name; with an adapter, `model:adapter`.
        name: Path<String>,
        /// Unload it when nobody uses it any more, and answer then.
        wait: Query<Option<bool>>,
    ) -> Result<SerdeJson<Residency>, ApiError> {
        self.decide(&caller, "model.unload", &name).await?;
        self.app.local.residents.unload(&name, wait.0 == Some(true))?;
        self.outcome(&name, wait.0).await
    }

    /// Keep a model in memory
    ///
    /// It is neither unloaded to make room nor for being idle, until it is unpinned or the gateway ends.
    #[oai(path = "/models/:name/pin", method = "post", operation_id = "pin_model")]
    async fn pin(
        &self,
        caller: Authorized<permission::ModelsManage>,
        /// The model's name; with an adapter, `model:adapter`.
        name: Path<String>,
    ) -> Result<SerdeJson<Residency>, ApiError> {
        self.decide(&caller, "model.pin", &name).await?;
        self.app.local.residents.pin(&name, true)?;
        self.outcome(&name, None).await
    }

    /// No longer keep a model in memory
    #[oai(path = "/models/:name/unpin", method = "post", operation_id = "unpin_model")]
    async fn unpin(
        &self,
        caller: Authorized<permission::ModelsManage>,
        /// The model's name; with an adapter, `model:adapter`.
        name: Path<String>,
    ) -> Result<SerdeJson<Residency>, ApiError> {
        self.decide(&caller, "model.unpin", &name).await?;
        self.app.local.residents.pin(&name, false)?;
        self.outcome(&name, None).await
    }
}

impl ResidencyApi {
    /// Checks that there is the model and that the caller may decide on it, and tells the audit.
    async fn decide(&self, caller: &Principal, action: &'static str, name: &str) -> Result<(), ApiError> {
        let admin = Admin::new(&self.app.access, caller);
        self.app.local.residents.shown(name).ok_or(Refusal::Unknown)?;
        admin.decide_on_model(action, name, json!({})).await
    }

    /// Serves a file of the data folder under a new name.
    async fn add(&self, caller: &Principal, name: &str, file: &str) -> Result<(), ApiError> {
        if !is_model_name(name) {
            return Err(ApiError::invalid("must have 1 to 256 letters, digits or -_.@+|/").with_param("name"));
        }
        // Before the configured models are known, none can be added to them.
        self.app.catalog.default_name()?;
        let taken = self.app.catalog.served_as(name).is_some_and(|served| served.route.is_none());
        if taken {
            return Err(Refusal::Exists.into());
        }
        let admin = Admin::new(&self.app.access, caller);
        admin.decide_on_model("model.add", name, json!({"file": file})).await?;
        let (local, name, file) = (Arc::clone(&self.app.local), name.to_owned(), file.to_owned());
        let adding = tokio::task::spawn_blocking(move || local.add(&name, &file));
        let added = adding.await.map_err(|error| ApiError::server().with_cause(error))??;
        for resident in added {
            self.app.catalog.add(resident);
        }
        // Kept routes may have waited for the model.
        self.app.catalog.take_over(&**self.app.access.store()).await?;
        Ok(())
    }

    async fn outcome(&self, name: &str, wait: Option<bool>) -> Result<SerdeJson<Residency>, ApiError> {
        let residents = &self.app.local.residents;
        if wait == Some(true)
            && let Ok(settled) = tokio::time::timeout(LONGEST_WAIT, residents.settled(name)).await
        {
            return Ok(SerdeJson(settled?));
        }
        Ok(SerdeJson(residents.shown(name).ok_or(Refusal::Unknown)?))
    }
}
