//! An admin's work on subjects.

use openapi::admin::policy::Policy;
use openapi::admin::subjects::{NewSubject, Subject, SubjectChange};

use super::{Admin, Outcome, check_name, check_note, missing, pinned};
use crate::auth::store::{Change, Expected};
use crate::error::ApiError;
use crate::error::rescue::shorten;

impl Admin<'_> {
    /// Makes a subject.
    pub async fn create_subject(&self, new: NewSubject) -> Outcome<Subject> {
        check_name(&new.id, "id")?;
        check_note(&new.note, "note")?;
        let subject = Subject {
            id: new.id,
            role: new.role,
            overrides: new.overrides,
            disabled: false,
            note: new.note,
            created: self.access.now(),
            version: 0,
        };
        self.may_grant("subject.create", &subject.id, &self.policy_of(&subject).await?).await?;
        self.put_subject(subject, Expected::New, "subject.create").await
    }

    /// Changes a subject.
    pub async fn change_subject(
        &self,
        id: &str,
        expected: Expected,
        change: SubjectChange,
    ) -> Outcome<Subject> {
        let old = self.access.store().subject(id).await?.ok_or_else(|| missing("subject", id))?;
        self.may_grant("subject.update", id, &self.held_by(&old).await?).await?;
        let subject = Subject {
            role: change.role.unwrap_or_else(|| old.role.clone()),
            overrides: change.overrides.unwrap_or_else(|| old.overrides.clone()),
            disabled: change.disabled.unwrap_or(old.disabled),
            note: change.note.unwrap_or_else(|| old.note.clone()),
            ..old.clone()
        };
        check_note(&subject.note, "note")?;
        self.may_grant("subject.update", id, &self.policy_of(&subject).await?).await?;
        self.put_subject(subject, pinned(expected, old.version), "subject.update").await
    }

    /// Removes a subject and its keys.
    pub async fn delete_subject(&self, id: &str, expected: Expected) -> Outcome<()> {
        let old = self.access.store().subject(id).await?.ok_or_else(|| missing("subject", id))?;
        self.may_grant("subject.delete", id, &self.held_by(&old).await?).await?;
        let change = Change::DeleteSubject(id.to_owned(), pinned(expected, old.version));
        self.apply(change, "subject.delete").await?;
        self.access.live().end_subject(id);
        Ok(())
    }

    /// The policy that a subject's record gives; a role that does not exist is the request's mistake.
    pub(super) async fn policy_of(&self, subject: &Subject) -> Outcome<Policy> {
        let Some(name) = &subject.role else { return Ok(subject.overrides.applied_to(&Policy::default())) };
        Ok(subject.overrides.applied_to(&self.role_policy(name).await?))
    }

    /// The policy of a role that a request names.
    pub(super) async fn role_policy(&self, name: &str) -> Outcome<Policy> {
        let role = self.access.store().role(name).await?;
        let unknown =
            || ApiError::invalid(format!("there is no role `{}`", shorten(name))).with_param("role");
        Ok(role.ok_or_else(unknown)?.policy)
    }

    /// The policy in force for a subject that there is.
    pub(super) async fn held_by(&self, subject: &Subject) -> Outcome<Policy> {
        let role = match &subject.role {
            Some(name) => self.access.store().role(name).await?,
            None => None,
        };
        Ok(role.map_or_else(Policy::default, |role| subject.overrides.applied_to(&role.policy)))
    }

    async fn put_subject(
        &self,
        subject: Subject,
        expected: Expected,
        action: &'static str,
    ) -> Outcome<Subject> {
        let version = self.apply(Change::PutSubject(subject.clone(), expected), action).await?;
        if subject.disabled {
            self.access.live().end_subject(&subject.id);
        }
        Ok(Subject { version, ..subject })
    }
}
