//! `/admin/v1/audit`.

use std::sync::Arc;

use openapi::admin::List;
use openapi::admin::audit::AuditEntry;
use poem_openapi::OpenApi;
use poem_openapi::param::Query;

use super::{page, page_size};
use crate::api::Tag;
use crate::api::payload::SerdeJson;
use crate::app::App;
use crate::auth::{Authorized, permission};
use crate::error::ApiError;

/// The audit resource.
pub struct AuditApi {
    /// The shared parts.
    pub app: Arc<App>,
}

#[OpenApi(prefix_path = "/admin/v1", tag = "Tag::Admin")]
impl AuditApi {
    /// List the changes that were made, newest first
    #[oai(path = "/audit", method = "get", operation_id = "list_audit")]
    async fn list(
        &self,
        _caller: Authorized<permission::UsageRead>,
        /// The entry's id before which the page begins.
        before: Query<Option<u64>>,
        /// How many, from 1 to 1,000; 100 if not said.
        limit: Query<Option<u32>>,
    ) -> Result<SerdeJson<List<AuditEntry>>, ApiError> {
        let size = page_size(&limit)?;
        let entries = self.app.access.store().audit(before.0, size + 1).await?;
        Ok(SerdeJson(page(entries, size)))
    }
}
