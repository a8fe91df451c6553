//! `/admin/v1/tokens`.

use std::sync::Arc;

use openapi::admin::Deleted;
use openapi::admin::tokens::{CreatedToken, NewToken};
use poem_openapi::OpenApi;
use poem_openapi::param::Path;

use crate::api::Tag;
use crate::api::payload::SerdeJson;
use crate::app::App;
use crate::auth::admin::Admin;
use crate::auth::{Authorized, permission};
use crate::error::ApiError;

/// The tokens resource.
pub struct AccessTokensApi {
    /// The shared parts.
    pub app: Arc<App>,
}

#[OpenApi(prefix_path = "/admin/v1", tag = "Tag::Admin")]
impl AccessTokensApi {
    /// Make a token
    ///
    /// A JWT that this gateway signs; it is in the answer and nowhere else.
    #[oai(path = "/tokens", method = "post", operation_id = "create_token")]
    async fn create(
        &self,
        caller: Authorized<permission::KeysManage>,
        body: SerdeJson<NewToken>,
    ) -> Result<SerdeJson<CreatedToken>, ApiError> {
        Ok(SerdeJson(Admin::new(&self.app.access, &caller).create_token(body.0).await?))
    }

    /// Revoke a token
    ///
    /// At once and for good, also one of another issuer.
    #[oai(path = "/tokens/:jti", method = "delete", operation_id = "revoke_token")]
    async fn revoke(
        &self,
        caller: Authorized<permission::KeysManage>,
        /// The token's `jti`.
        jti: Path<String>,
    ) -> Result<SerdeJson<Deleted>, ApiError> {
        Admin::new(&self.app.access, &caller).revoke_token(&jti).await?;
        Ok(SerdeJson(Deleted { id: jti.0, deleted: true }))
    }
}
