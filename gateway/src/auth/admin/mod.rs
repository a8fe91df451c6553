//! Changes of access by an admin: each checked against what the admin holds itself, then made whole with its audit.
//! What was refused for want of rights is in the audit too.

mod explain;
mod keys;
mod roles;
mod routes;
mod subjects;
#[cfg(test)]
mod tests;
mod tokens;

use openapi::admin::policy::Policy;
use serde_json::{Value, json};

use super::Principal;
use super::access::Access;
use super::policy::beyond;
use super::store::{Change, Expected, Note, StoreError};
use crate::error::{ApiError, ErrorKind};

/// The longest name of a role and id of a subject, bytes.
const LONGEST_NAME: usize = 256;
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

    /// Refuses to decide on a policy beyond the admin's own.
    async fn may_grant(&self, action: &'static str, target: &str, policy: &Policy) -> Outcome<()> {
        let Some(what) = beyond(&self.actor.policy, policy) else { return Ok(()) };
        let message = format!("this credential cannot decide on what it lacks itself: {what}");
        self.tell(action, target, json!({"refused": message})).await?;
        Err(ApiError::new(ErrorKind::Permission, message).with_code("beyond_own_rights"))
    }

    /// Tells the audit what changes nothing in the store.
    pub async fn tell(&self, action: &'static str, target: &str, what: Value) -> Outcome<()> {
        self.access.store().apply(Change::Told(target.to_owned(), what), self.note(action)).await?;
        Ok(())
    }

    fn note(&self, action: &'static str) -> Note {
        Note { actor: self.actor.subject.to_string(), action, at: self.access.now() }
    }

    async fn apply(&self, change: Change, action: &'static str) -> Outcome<u64> {
        let new = matches!(
            change,
            Change::PutRole(_, Expected::New)
                | Change::PutSubject(_, Expected::New)
                | Change::PutRoute(_, Expected::New)
                | Change::NewKey(..)
        );
        let target = change.target().to_owned();
        match self.access.store().apply(change, self.note(action)).await {
            Err(StoreError::Conflict) if new => {
                Err(ApiError::new(ErrorKind::Conflict, "there is one of this name already")
                    .with_code("exists"))
            }
            Err(error @ StoreError::LastAdmin) => {
                self.tell(action, &target, json!({"refused": error.to_string()})).await?;
                Err(error.into())
            }
            other => Ok(other?),
        }
    }
}

/// "Any version" means the one whose rights were just checked.
fn pinned(expected: Expected, read: u64) -> Expected {
    if expected == Expected::Any { Expected::Version(read) } else { expected }
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
