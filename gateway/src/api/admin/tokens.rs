//! `/admin/v1/tokens`.

use std::sync::Arc;

use openapi::admin::Deleted;
use openapi::admin::tokens::{CreatedToken, InspectRequest, NewToken, RotateRequest, Rotated, TokenState};
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

    /// Look at a token
    ///
    /// Whether a call with it would be let in now, and what it says; one that does not verify says nothing.
    #[oai(path = "/introspect", method = "post", operation_id = "inspect_token")]
    async fn inspect(
        &self,
        caller: Authorized<permission::KeysManage>,
        body: SerdeJson<InspectRequest>,
    ) -> Result<SerdeJson<TokenState>, ApiError> {
        Ok(SerdeJson(Admin::new(&self.app.access, &caller).inspect_token(&body.0).await?))
    }

    /// Sign with a new key
    ///
    /// The old one still verifies for `overlap` seconds.
    #[oai(path = "/signing-keys", method = "post", operation_id = "rotate_signing_key")]
    async fn rotate(
        &self,
        caller: Authorized<permission::KeysManage>,
        body: SerdeJson<RotateRequest>,
    ) -> Result<SerdeJson<Rotated>, ApiError> {
        Ok(SerdeJson(Admin::new(&self.app.access, &caller).rotate(&body.0).await?))
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
