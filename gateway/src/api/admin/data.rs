//! `/admin/v1/subjects/{id}/data`: what a subject has stored, to be listed, taken away or deleted.

use std::sync::Arc;

use openapi::admin::List;
use openapi::admin::data::{DataDeleted, StoredContent, StoredThing};
use openapi::admin::policy::PermissionName;
use poem_openapi::OpenApi;
use poem_openapi::param::{Path, Query};
use serde_json::json;

use super::{page, page_size};
use crate::api::Tag;
use crate::api::payload::SerdeJson;
use crate::app::App;
use crate::auth::admin::Admin;
use crate::auth::{Authorized, permission};
use crate::conversation::store::{Kind, Listed};
use crate::conversation::{ConversationError, kind_of};
use crate::error::ApiError;

/// The resource of what subjects have stored.
pub struct DataApi {
    /// The shared parts.
    pub app: Arc<App>,
}

type Caller = Authorized<permission::Known>;

#[OpenApi(prefix_path = "/admin/v1", tag = "Tag::Admin")]
impl DataApi {
    /// List what a subject has stored
    ///
    /// Everybody may list and read their own. `usage:read` lists anybody's; with `content`, which goes into the audit,
    /// `roles:manage` is needed too.
    #[oai(path = "/subjects/:id/data", method = "get", operation_id = "list_subject_data")]
    #[expect(clippy::too_many_arguments, reason = "each is a parameter of the path or the query")]
    async fn list(
        &self,
        caller: Caller,
        /// The subject's id.
        id: Path<String>,
        /// The id of the thing behind which the page begins.
        after: Query<Option<String>>,
        /// How many, from 1 to 1,000; 100 if not said.
        limit: Query<Option<u32>>,
        /// What the things hold is listed too.
        content: Query<Option<bool>>,
    ) -> Result<SerdeJson<List<StoredThing>>, ApiError> {
        let size = page_size(&limit)?;
        let content = content.0 == Some(true);
        let own = owns(&caller, &id);
        if !own {
            caller.require(PermissionName::UsageRead)?;
        }
        if content && !own {
            caller.require(PermissionName::RolesManage)?;
            let admin = Admin::new(&self.app.access, &caller);
            admin.tell("subject.export", &id, json!({"after": after.0})).await?;
        }
        let after = after.0.as_deref().map(place).transpose()?;
        let found = self.app.conversations.list(&id, after.as_ref(), size + 1).await?;
        let mut things = Vec::with_capacity(found.len());
        for listed in found {
            let read = if content && things.len() < size { self.content(&id, &listed).await? } else { None };
            things.push(StoredThing { id: listed.id, content: read });
        }
        Ok(SerdeJson(page(things, size)))
    }

    /// Delete all that a subject has stored
    ///
    /// Everybody may delete their own; `roles:manage` deletes anybody's, which goes into the audit.
    #[oai(path = "/subjects/:id/data", method = "delete", operation_id = "delete_subject_data")]
    async fn delete(
        &self,
        caller: Caller,
        /// The subject's id.
        id: Path<String>,
    ) -> Result<SerdeJson<DataDeleted>, ApiError> {
        if !owns(&caller, &id) {
            caller.require(PermissionName::RolesManage)?;
        }
        let things = self.app.conversations.forget(&id).await?;
        Admin::new(&self.app.access, &caller).tell("subject.forget", &id, json!({"things": things})).await?;
        Ok(SerdeJson(DataDeleted { id: id.0, deleted: true, things }))
    }
}

impl DataApi {
    /// What a thing holds; `None` where it ended since it was listed.
    async fn content(&self, owner: &str, listed: &Listed) -> Result<Option<StoredContent>, ApiError> {
        let (kept, id) = (&self.app.conversations, listed.id.as_str());
        let read = async {
            Ok(match listed.kind {
                Kind::Conversation => {
                    let (conversation, items) = kept.whole(owner, id).await?;
                    StoredContent { conversation: Some(conversation), response: None, items }
                }
                Kind::Response => {
                    let (response, items) = kept.whole_response(owner, id).await?;
                    StoredContent { conversation: None, response: Some(response), items }
                }
            })
        };
        match read.await {
            Ok(content) => Ok(Some(content)),
            Err(ConversationError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// Whether a caller asks for what is its own, and may keep anything.
fn owns(caller: &Caller, subject: &str) -> bool {
    *caller.subject == *subject && caller.require(PermissionName::Conversations).is_ok()
}

fn place(id: &str) -> Result<Listed, ApiError> {
    let kind =
        kind_of(id).ok_or_else(|| ApiError::invalid("must be the id of a thing").with_param("after"))?;
    Ok(Listed { kind, id: id.to_owned() })
}
