//! An admin's work on keys.

use openapi::admin::keys::{CreatedKey, Key, NewKey};
use openapi::admin::subjects::NewSubject;

use super::{Admin, Outcome, check_note, missing};
use crate::auth::secret;
use crate::auth::store::Change;
use crate::error::{ApiError, ErrorKind};

impl Admin<'_> {
    /// Makes a key, and with a role its subject where there is none.
    pub async fn create_key(&self, new: NewKey) -> Outcome<CreatedKey> {
        check_note(&new.note, "note")?;
        self.subject_for(&new).await?;
        let now = self.access.now();
        let secret = secret::generate();
        let key = Key {
            id: secret::key_id(),
            prefix: secret::shown(&secret),
            subject: new.subject,
            note: new.note,
            created: now,
            expires_at: new.expires_in.map(|seconds| now.saturating_add(seconds)),
            last_used: None,
            revoked_at: None,
        };
        self.apply(Change::NewKey(key.clone(), secret::hash(secret.as_bytes())), "key.create").await?;
        Ok(CreatedKey { secret, key })
    }

    /// Revokes a key, at once and for good.
    pub async fn revoke_key(&self, id: &str) -> Outcome<Key> {
        let key = self.access.store().key(id).await?.ok_or_else(|| missing("key", id))?;
        if let Some(owner) = self.access.store().subject(&key.subject).await? {
            self.may_grant("key.revoke", id, &self.held_by(&owner).await?).await?;
        }
        if key.revoked_at.is_some() {
            return Ok(key);
        }
        let key = Key { revoked_at: Some(self.access.now()), ..key };
        self.apply(Change::PutKey(key.clone()), "key.revoke").await?;
        self.access.live().end_key(id);
        Ok(key)
    }

    async fn subject_for(&self, new: &NewKey) -> Outcome<()> {
        match (self.access.store().subject(&new.subject).await?, &new.role) {
            (Some(subject), role) if role.is_none() || *role == subject.role => {
                self.may_grant("key.create", &new.subject, &self.held_by(&subject).await?).await
            }
            (Some(_), _) => {
                let message = "the subject has another role; change the subject, or leave `role` out";
                Err(ApiError::new(ErrorKind::Conflict, message).with_param("role"))
            }
            (None, None) => Err(missing("subject", &new.subject).with_param("subject")),
            (None, Some(role)) => {
                let id = new.subject.clone();
                let subject = NewSubject { id, role: Some(role.clone()), ..NewSubject::default() };
                self.create_subject(subject).await.map(drop)
            }
        }
    }
}
