//! Changes of access by an admin: each checked against what the admin holds itself, then made whole with its audit.

use std::time::Duration;

use openapi::admin::access::{ExplainRequest, Explanation};
use openapi::admin::keys::{CreatedKey, Key, NewKey};
use openapi::admin::policy::Policy;
use openapi::admin::roles::{NewRole, Role, RoleChange};
use openapi::admin::subjects::{NewSubject, Subject, SubjectChange};
use openapi::admin::tokens::{CreatedToken, NewToken};

use super::access::Access;
use super::policy::{beyond, names_model};
use super::store::{Change, Expected, Note, StoreError};
use super::token::{self, MintError};
use super::{AuthError, Principal, secret};
use crate::error::{ApiError, ErrorKind};

/// The longest name of a role and id of a subject, bytes.
const LONGEST_NAME: usize = 256;
/// Seconds that a token lives where nothing else was asked for.
const TOKEN_LIFE: u64 = 60 * 60;
/// Seconds that a revoked token is remembered: longer than any token should live.
const REVOKED_FOR: u64 = 90 * 24 * 60 * 60;
/// The longest text for people, bytes.
const LONGEST_NOTE: usize = 4096;

/// An admin at work.
pub struct Admin<'a> {
    access: &'a Access,
    actor: &'a Principal,
}

type Outcome<T> = Result<T, ApiError>;

impl<'a> Admin<'a> {
    /// Works with the rights of `actor`.
    pub fn new(access: &'a Access, actor: &'a Principal) -> Self {
        Self { access, actor }
    }

    /// Makes a role.
    pub async fn create_role(&self, new: NewRole) -> Outcome<Role> {
        check_name(&new.name, "name")?;
        check_note(&new.description, "description")?;
        self.may_grant(&new.policy)?;
        let role = Role {
            name: new.name,
            description: new.description,
            policy: new.policy,
            built_in: false,
            version: 0,
        };
        let made = self.put_role(role, Expected::New, "role.create").await?;
        self.forget_tokens();
        Ok(made)
    }

    /// Changes a role.
    pub async fn change_role(&self, name: &str, expected: Expected, change: RoleChange) -> Outcome<Role> {
        let old = self.access.store().role(name).await?.ok_or_else(|| missing("role", name))?;
        let policy = change.policy.applied_to(&old.policy);
        // Whoever lacks a right may neither give it nor take it away.
        self.may_grant(&old.policy)?;
        self.may_grant(&policy)?;
        let description = change.description.unwrap_or_else(|| old.description.clone());
        check_note(&description, "description")?;
        let expected = pinned(expected, old.version);
        self.put_role(Role { description, policy, ..old }, expected, "role.update").await
    }

    /// Removes a role that nobody has and that did not come with the program.
    pub async fn delete_role(&self, name: &str, expected: Expected) -> Outcome<()> {
        let old = self.access.store().role(name).await?.ok_or_else(|| missing("role", name))?;
        if old.built_in {
            let message = format!("the role `{name}` is built in; it can be changed but not removed");
            return Err(ApiError::new(ErrorKind::Conflict, message).with_code("built_in"));
        }
        self.may_grant(&old.policy)?;
        let change = Change::DeleteRole(name.to_owned(), pinned(expected, old.version));
        self.apply(change, "role.delete").await?;
        self.forget_tokens();
        Ok(())
    }

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
        self.may_grant(&self.policy_of(&subject).await?)?;
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
        self.may_grant(&self.held_by(&old).await?)?;
        let subject = Subject {
            role: change.role.unwrap_or_else(|| old.role.clone()),
            overrides: change.overrides.unwrap_or_else(|| old.overrides.clone()),
            disabled: change.disabled.unwrap_or(old.disabled),
            note: change.note.unwrap_or_else(|| old.note.clone()),
            ..old.clone()
        };
        check_note(&subject.note, "note")?;
        self.may_grant(&self.policy_of(&subject).await?)?;
        self.put_subject(subject, pinned(expected, old.version), "subject.update").await
    }

    /// Removes a subject and its keys.
    pub async fn delete_subject(&self, id: &str, expected: Expected) -> Outcome<()> {
        let old = self.access.store().subject(id).await?.ok_or_else(|| missing("subject", id))?;
        self.may_grant(&self.held_by(&old).await?)?;
        let change = Change::DeleteSubject(id.to_owned(), pinned(expected, old.version));
        self.apply(change, "subject.delete").await?;
        self.access.live().end_subject(id);
        Ok(())
    }

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
            self.may_grant(&self.held_by(&owner).await?)?;
        }
        if key.revoked_at.is_some() {
            return Ok(key);
        }
        let key = Key { revoked_at: Some(self.access.now()), ..key };
        self.apply(Change::PutKey(key.clone()), "key.revoke").await?;
        self.access.live().end_key(id);
        Ok(key)
    }

    /// Makes a token.
    pub async fn create_token(&self, new: NewToken) -> Outcome<CreatedToken> {
        check_name(&new.subject, "subject")?;
        let tokens = self.access.tokens().ok_or_else(ApiError::server)?;
        let rights = self.access.principal(&new.subject, new.role.as_deref()).await?;
        self.may_grant(&rights.policy)?;
        let life = Duration::from_secs(new.expires_in.unwrap_or(TOKEN_LIFE));
        let asked = token::NewToken {
            subject: new.subject.clone(),
            role: new.role,
            expires_in: life,
            not_before: None,
            note: new.note,
        };
        let made = tokens.mint(&asked).map_err(|error| match error {
            MintError::Signing => ApiError::server().with_cause(error),
            MintError::Life { .. } => ApiError::invalid(error.to_string()).with_param("expires_in"),
            MintError::Name(what) => ApiError::invalid(error.to_string()).with_param(what),
        })?;
        tracing::info!(actor = %self.actor.subject, subject = new.subject, jti = made.jti, "made a token");
        Ok(CreatedToken { token: made.token, jti: made.jti, expires_at: made.expires_at })
    }

    /// Revokes a token, at once and for good.
    pub async fn revoke_token(&self, jti: &str) -> Outcome<()> {
        check_name(jti, "jti")?;
        let until = self.access.now().saturating_add(REVOKED_FOR);
        self.apply(Change::RevokeToken(jti.to_owned(), until), "token.revoke").await?;
        self.access.live().end_key(jti);
        Ok(())
    }

    /// Whether a subject's call would be allowed, and by which rule.
    pub async fn explain(&self, request: &ExplainRequest) -> Outcome<Explanation> {
        let permission = request.permission.as_str();
        let principal = match self.access.principal(&request.subject, None).await {
            Ok(principal) => principal,
            Err(AuthError::Disabled) => return Ok(refused("the subject is disabled", None)),
            Err(error) => return Err(error.into()),
        };
        if principal.role.is_empty() {
            return Ok(refused("the subject has no role", Some(&principal)));
        }
        if !principal.policy.permissions.contains(&request.permission) {
            let rule = format!("the role `{}` lacks the permission {permission}", principal.role);
            return Ok(refused(&rule, Some(&principal)));
        }
        if let Some(model) = request.model.as_deref().filter(|model| !names_model(&principal.policy, model)) {
            let rule = format!("the policy's models do not name `{model}`");
            return Ok(refused(&rule, Some(&principal)));
        }
        let rule = format!("the role `{}` holds the permission {permission}", principal.role);
        Ok(Explanation { allowed: true, ..refused(&rule, Some(&principal)) })
    }

    /// Which roles an issuer's names mean depends on which there are.
    fn forget_tokens(&self) {
        if let Some(tokens) = self.access.tokens() {
            tokens.forget_all();
        }
    }

    async fn subject_for(&self, new: &NewKey) -> Outcome<()> {
        match (self.access.store().subject(&new.subject).await?, &new.role) {
            (Some(subject), role) if role.is_none() || *role == subject.role => {
                self.may_grant(&self.held_by(&subject).await?)
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

    /// The policy that a subject's record gives; a role that does not exist is the request's mistake.
    async fn policy_of(&self, subject: &Subject) -> Outcome<Policy> {
        let Some(name) = &subject.role else { return Ok(subject.overrides.applied_to(&Policy::default())) };
        let role = self
            .access
            .store()
            .role(name)
            .await?
            .ok_or_else(|| ApiError::invalid(format!("there is no role `{name}`")).with_param("role"))?;
        Ok(subject.overrides.applied_to(&role.policy))
    }

    /// The policy in force for a subject that there is.
    async fn held_by(&self, subject: &Subject) -> Outcome<Policy> {
        let role = match &subject.role {
            Some(name) => self.access.store().role(name).await?,
            None => None,
        };
        Ok(role.map_or_else(Policy::default, |role| subject.overrides.applied_to(&role.policy)))
    }

    fn may_grant(&self, policy: &Policy) -> Outcome<()> {
        match beyond(&self.actor.policy, policy) {
            None => Ok(()),
            Some(what) => {
                let message = format!("this credential cannot decide on what it lacks itself: {what}");
                Err(ApiError::new(ErrorKind::Permission, message).with_code("beyond_own_rights"))
            }
        }
    }

    async fn put_role(&self, role: Role, expected: Expected, action: &'static str) -> Outcome<Role> {
        check_models(&role.policy)?;
        let version = self.apply(Change::PutRole(role.clone(), expected), action).await?;
        Ok(Role { version, ..role })
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

    async fn apply(&self, change: Change, action: &'static str) -> Outcome<u64> {
        let new = matches!(
            change,
            Change::PutRole(_, Expected::New) | Change::PutSubject(_, Expected::New) | Change::NewKey(..)
        );
        let note = Note { actor: self.actor.subject.to_string(), action, at: self.access.now() };
        self.access.store().apply(change, note).await.map_err(|error| match error {
            StoreError::Conflict if new => {
                ApiError::new(ErrorKind::Conflict, "there is one of this name already").with_code("exists")
            }
            error => error.into(),
        })
    }
}

/// "Any version" means the one whose rights were just checked.
fn pinned(expected: Expected, read: u64) -> Expected {
    if expected == Expected::Any { Expected::Version(read) } else { expected }
}

fn refused(rule: &str, principal: Option<&Principal>) -> Explanation {
    Explanation {
        allowed: false,
        rule: rule.to_owned(),
        role: principal.map(|principal| principal.role.to_string()).filter(|role| !role.is_empty()),
        policy: principal.map(|principal| Policy::clone(&principal.policy)),
        left: None,
    }
}

fn missing(kind: &str, name: &str) -> ApiError {
    let name = crate::error::rescue::shorten(name);
    ApiError::new(ErrorKind::NotFound, format!("there is no {kind} `{name}`"))
}

fn check_name(name: &str, param: &'static str) -> Outcome<()> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.@:+|".contains(c);
    if (1..=LONGEST_NAME).contains(&name.len()) && name.chars().all(plain) {
        return Ok(());
    }
    let message = format!("must have 1 to {LONGEST_NAME} letters, digits or -_.@:+|");
    Err(ApiError::invalid(message).with_param(param))
}

fn check_note(note: &str, param: &'static str) -> Outcome<()> {
    if note.len() <= LONGEST_NOTE {
        return Ok(());
    }
    Err(ApiError::invalid(format!("must have {LONGEST_NOTE} bytes at most")).with_param(param))
}

fn check_models(policy: &Policy) -> Outcome<()> {
    let fine = policy.models.len() <= 1000 && policy.models.iter().all(|model| model.len() <= LONGEST_NAME);
    if fine {
        Ok(())
    } else {
        Err(ApiError::invalid("too many or too long models").with_param("policy.models"))
    }
}

#[cfg(test)]
mod tests;
