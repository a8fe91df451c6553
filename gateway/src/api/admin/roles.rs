//! `/admin/v1/roles`.

use std::sync::Arc;

use openapi::admin::roles::{NewRole, Role, RoleChange};
use openapi::admin::{Deleted, List};
use poem_openapi::OpenApi;
use poem_openapi::param::{Header, Path};

use super::{Tagged, expected};
use crate::api::Tag;
use crate::api::payload::SerdeJson;
use crate::app::App;
use crate::auth::admin::Admin;
use crate::auth::{Authorized, permission};
use crate::error::{ApiError, ErrorKind};

/// The roles resource.
pub struct RolesApi {
    /// The shared parts.
    pub app: Arc<App>,
}

#[OpenApi(prefix_path = "/admin/v1", tag = "Tag::Admin")]
impl RolesApi {
    /// List the roles
    #[oai(path = "/roles", method = "get", operation_id = "list_roles")]
    async fn list(
        &self,
        _caller: Authorized<permission::RolesRead>,
    ) -> Result<SerdeJson<List<Role>>, ApiError> {
        Ok(SerdeJson(List::new(self.app.access.store().roles().await?, false)))
    }

    /// Make a role
    #[oai(path = "/roles", method = "post", operation_id = "create_role")]
    async fn create(
        &self,
        caller: Authorized<permission::RolesManage>,
        body: SerdeJson<NewRole>,
    ) -> Result<Tagged<Role>, ApiError> {
        let role = Admin::new(&self.app.access, &caller).create_role(body.0).await?;
        Ok(tagged(role))
    }

    /// Describe a role
    #[oai(path = "/roles/:name", method = "get", operation_id = "retrieve_role")]
    async fn retrieve(
        &self,
        _caller: Authorized<permission::RolesRead>,
        /// The role's name.
        name: Path<String>,
    ) -> Result<Tagged<Role>, ApiError> {
        let role = self.app.access.store().role(&name).await?;
        role.map(tagged).ok_or_else(|| ApiError::new(ErrorKind::NotFound, "there is no such role"))
    }

    /// Change a role
    ///
    /// In force for the next request; running streams go on as they began.
    #[oai(path = "/roles/:name", method = "patch", operation_id = "update_role")]
    async fn update(
        &self,
        caller: Authorized<permission::RolesManage>,
        /// The role's name.
        name: Path<String>,
        /// The `etag` that the change was made for, or `*`.
        #[oai(name = "if-match")]
        if_match: Header<Option<String>>,
        body: SerdeJson<RoleChange>,
    ) -> Result<Tagged<Role>, ApiError> {
        let expected = expected(if_match.as_deref())?;
        let role = Admin::new(&self.app.access, &caller).change_role(&name, expected, body.0).await?;
        Ok(tagged(role))
    }

    /// Remove a role
    ///
    /// Only one that no subject has, and none that is built in.
    #[oai(path = "/roles/:name", method = "delete", operation_id = "delete_role")]
    async fn delete(
        &self,
        caller: Authorized<permission::RolesManage>,
        /// The role's name.
        name: Path<String>,
        /// The `etag` that was read, or `*`.
        #[oai(name = "if-match")]
        if_match: Header<Option<String>>,
    ) -> Result<SerdeJson<Deleted>, ApiError> {
        let expected = expected(if_match.as_deref())?;
        Admin::new(&self.app.access, &caller).delete_role(&name, expected).await?;
        Ok(SerdeJson(Deleted { id: name.0, deleted: true }))
    }
}

fn tagged(role: Role) -> Tagged<Role> {
    let version = role.version;
    Tagged(role, version)
}
