//! `/admin/v1/subjects`.

use std::sync::Arc;

use openapi::admin::subjects::{NewSubject, Subject, SubjectChange};
use openapi::admin::{Deleted, List};
use poem_openapi::OpenApi;
use poem_openapi::param::{Header, Path, Query};

use super::{Tagged, expected, page, page_size};
use crate::api::Tag;
use crate::api::payload::SerdeJson;
use crate::app::App;
use crate::auth::admin::Admin;
use crate::auth::{Authorized, permission};
use crate::error::{ApiError, ErrorKind};

/// The subjects resource.
pub struct SubjectsApi {
    /// The shared parts.
    pub app: Arc<App>,
}

#[OpenApi(prefix_path = "/admin/v1", tag = "Tag::Admin")]
impl SubjectsApi {
    /// List the subjects
    #[oai(path = "/subjects", method = "get", operation_id = "list_subjects")]
    async fn list(
        &self,
        _caller: Authorized<permission::RolesRead>,
        /// The id behind which the page begins.
        after: Query<Option<String>>,
        /// How many, from 1 to 1,000; 100 if not said.
        limit: Query<Option<u32>>,
    ) -> Result<SerdeJson<List<Subject>>, ApiError> {
        let size = page_size(&limit)?;
        let subjects = self.app.access.store().subjects(after.as_deref(), size + 1).await?;
        Ok(SerdeJson(page(subjects, size)))
    }

    /// Make a subject
    #[oai(path = "/subjects", method = "post", operation_id = "create_subject")]
    async fn create(
        &self,
        caller: Authorized<permission::RolesManage>,
        body: SerdeJson<NewSubject>,
    ) -> Result<Tagged<Subject>, ApiError> {
        let subject = Admin::new(&self.app.access, &caller).create_subject(body.0).await?;
        Ok(tagged(subject))
    }

    /// Describe a subject
    #[oai(path = "/subjects/:id", method = "get", operation_id = "retrieve_subject")]
    async fn retrieve(
        &self,
        _caller: Authorized<permission::RolesRead>,
        /// The subject's id.
        id: Path<String>,
    ) -> Result<Tagged<Subject>, ApiError> {
        let subject = self.app.access.store().subject(&id).await?;
        subject.map(tagged).ok_or_else(|| ApiError::new(ErrorKind::NotFound, "there is no such subject"))
    }

    /// Change a subject
    #[oai(path = "/subjects/:id", method = "patch", operation_id = "update_subject")]
    async fn update(
        &self,
        caller: Authorized<permission::RolesManage>,
        /// The subject's id.
        id: Path<String>,
        /// The `etag` that the change was made for, or `*`.
        #[oai(name = "if-match")]
        if_match: Header<Option<String>>,
        body: SerdeJson<SubjectChange>,
    ) -> Result<Tagged<Subject>, ApiError> {
        let expected = expected(if_match.as_deref())?;
        let subject = Admin::new(&self.app.access, &caller).change_subject(&id, expected, body.0).await?;
        Ok(tagged(subject))
    }

    /// Remove a subject, its keys, and what it has stored
    #[oai(path = "/subjects/:id", method = "delete", operation_id = "delete_subject")]
    async fn delete(
        &self,
        caller: Authorized<permission::RolesManage>,
        /// The subject's id.
        id: Path<String>,
        /// The `etag` that was read, or `*`.
        #[oai(name = "if-match")]
        if_match: Header<Option<String>>,
    ) -> Result<SerdeJson<Deleted>, ApiError> {
        let expected = expected(if_match.as_deref())?;
        Admin::new(&self.app.access, &caller).delete_subject(&id, expected).await?;
        // Whoever is given this name later must not find it.
        self.app.conversations.forget(&id).await?;
        Ok(SerdeJson(Deleted { id: id.0, deleted: true }))
    }
}

fn tagged(subject: Subject) -> Tagged<Subject> {
    let version = subject.version;
    Tagged(subject, version)
}
