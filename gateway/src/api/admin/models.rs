//! `/admin/v1/models`.

use std::sync::Arc;

use openapi::admin::models::{RouteSpec, ServedModel};
use openapi::admin::{Deleted, List};
use poem_openapi::OpenApi;
use poem_openapi::param::{Header, Path};

use super::{Tagged, expected};
use crate::api::Tag;
use crate::api::payload::SerdeJson;
use crate::app::App;
use crate::auth::admin::Admin;
use crate::auth::{Authorized, permission};
use crate::error::rescue::shorten;
use crate::error::{ApiError, ErrorKind};

/// The models and the routes to them.
pub struct RoutesApi {
    /// The shared parts.
    pub app: Arc<App>,
}

#[OpenApi(prefix_path = "/admin/v1", tag = "Tag::Admin")]
impl RoutesApi {
    /// List what is served, and how those who answer are
    ///
    /// As the replica that answers sees it.
    #[expect(clippy::unused_async, reason = "poem-openapi's operations are async, whatever they do")]
    #[oai(path = "/models", method = "get", operation_id = "list_served_models")]
    async fn list(
        &self,
        _caller: Authorized<permission::ModelsManage>,
    ) -> Result<SerdeJson<List<ServedModel>>, ApiError> {
        Ok(SerdeJson(List::new(self.app.catalog.served(), false)))
    }

    /// Describe what answers to a name
    #[expect(clippy::unused_async, reason = "poem-openapi's operations are async, whatever they do")]
    #[oai(path = "/models/:name", method = "get", operation_id = "retrieve_served_model")]
    async fn retrieve(
        &self,
        _caller: Authorized<permission::ModelsManage>,
        /// A model's or a route's name.
        name: Path<String>,
    ) -> Result<Tagged<ServedModel>, ApiError> {
        self.served(&name)
    }

    /// Make or replace a route
    ///
    /// In force for the next request; running answers go on as they began. One that there is already is replaced only
    /// with its `etag`.
    #[oai(path = "/models/:name", method = "put", operation_id = "put_route")]
    async fn put(
        &self,
        caller: Authorized<permission::ModelsManage>,
        /// The route's name.
        name: Path<String>,
        /// The `etag` that the change was made for, or `*`; left out for a new route.
        #[oai(name = "if-match")]
        if_match: Header<Option<String>>,
        body: SerdeJson<RouteSpec>,
    ) -> Result<Tagged<ServedModel>, ApiError> {
        let expected = if_match.as_deref().map(|tag| expected(Some(tag))).transpose()?;
        let mut spec = body.0;
        if !spec.name.is_empty() && spec.name != name.0 {
            return Err(ApiError::invalid("must be as in the path, or left out").with_param("name"));
        }
        spec.name.clone_from(&name.0);
        self.check_writable(&name)?;
        if let Some(model) = self.app.catalog.unserved(&spec) {
            let message = format!("the model `{}` is not served here", shorten(&model));
            return Err(ApiError::invalid(message).with_param("targets").with_code("model_not_found"));
        }
        Admin::new(&self.app.access, &caller).put_route(spec, expected).await?;
        self.app.catalog.take_over(&**self.app.access.store()).await?;
        self.served(&name)
    }

    /// Remove a route
    ///
    /// Its name is free again; a model of the same name answers to it.
    #[oai(path = "/models/:name", method = "delete", operation_id = "delete_route")]
    async fn delete(
        &self,
        caller: Authorized<permission::ModelsManage>,
        /// The route's name.
        name: Path<String>,
        /// The `etag` that was read, or `*`.
        #[oai(name = "if-match")]
        if_match: Header<Option<String>>,
    ) -> Result<SerdeJson<Deleted>, ApiError> {
        let expected = expected(if_match.as_deref())?;
        self.check_writable(&name)?;
        Admin::new(&self.app.access, &caller).delete_route(&name, expected).await?;
        self.app.catalog.take_over(&**self.app.access.store()).await?;
        Ok(SerdeJson(Deleted { id: name.0, deleted: true }))
    }
}

impl RoutesApi {
    fn served(&self, name: &str) -> Result<Tagged<ServedModel>, ApiError> {
        let served = self.app.catalog.served_as(name).ok_or_else(|| {
            ApiError::new(ErrorKind::NotFound, format!("nothing answers to the name `{}`", shorten(name)))
        })?;
        let version = served.version;
        Ok(Tagged(served, version))
    }

    fn check_writable(&self, name: &str) -> Result<(), ApiError> {
        if !self.app.catalog.is_configured(name) {
            return Ok(());
        }
        let message = "this route comes from the configuration file; it is changed there";
        Err(ApiError::new(ErrorKind::Conflict, message).with_code("configured"))
    }
}
