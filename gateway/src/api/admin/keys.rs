//! `/admin/v1/keys`.

use std::sync::Arc;

use openapi::admin::List;
use openapi::admin::keys::{CreatedKey, Key, NewKey};
use poem_openapi::OpenApi;
use poem_openapi::param::{Path, Query};

use super::{page, page_size};
use crate::api::Tag;
use crate::api::payload::SerdeJson;
use crate::app::App;
use crate::auth::admin::Admin;
use crate::auth::{Authorized, permission};
use crate::error::{ApiError, ErrorKind};

/// The keys resource.
pub struct KeysApi {
    /// The shared parts.
    pub app: Arc<App>,
}

#[OpenApi(prefix_path = "/admin/v1", tag = "Tag::Admin")]
impl KeysApi {
    /// List the keys, without their secrets
    #[oai(path = "/keys", method = "get", operation_id = "list_keys")]
    async fn list(
        &self,
        _caller: Authorized<permission::KeysManage>,
        /// The id behind which the page begins.
        after: Query<Option<String>>,
        /// How many, from 1 to 1,000; 100 if not said.
        limit: Query<Option<u32>>,
    ) -> Result<SerdeJson<List<Key>>, ApiError> {
        let size = page_size(&limit)?;
        let keys = self.app.access.store().keys(after.as_deref(), size + 1).await?;
        Ok(SerdeJson(page(keys, size)))
    }

    /// Make a key
    ///
    /// Its secret is in the answer and nowhere else, ever.
    #[oai(path = "/keys", method = "post", operation_id = "create_key")]
    async fn create(
        &self,
        caller: Authorized<permission::KeysManage>,
        body: SerdeJson<NewKey>,
    ) -> Result<SerdeJson<CreatedKey>, ApiError> {
        Ok(SerdeJson(Admin::new(&self.app.access, &caller).create_key(body.0).await?))
    }

    /// Describe a key, without its secret
    #[oai(path = "/keys/:id", method = "get", operation_id = "retrieve_key")]
    async fn retrieve(
        &self,
        _caller: Authorized<permission::KeysManage>,
        /// The key's id.
        id: Path<String>,
    ) -> Result<SerdeJson<Key>, ApiError> {
        let key = self.app.access.store().key(&id).await?;
        key.map(SerdeJson).ok_or_else(|| ApiError::new(ErrorKind::NotFound, "there is no such key"))
    }

    /// Revoke a key
    ///
    /// At once and for good; its record stays.
    #[oai(path = "/keys/:id", method = "delete", operation_id = "revoke_key")]
    async fn revoke(
        &self,
        caller: Authorized<permission::KeysManage>,
        /// The key's id.
        id: Path<String>,
    ) -> Result<SerdeJson<Key>, ApiError> {
        Ok(SerdeJson(Admin::new(&self.app.access, &caller).revoke_key(&id).await?))
    }
}
