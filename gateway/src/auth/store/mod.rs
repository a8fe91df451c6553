//! Where roles, subjects, keys and the audit are kept: the trait, and what a change to it is.

pub mod embedded;
#[cfg(test)]
mod tests;

use futures_util::future::BoxFuture;
use openapi::admin::audit::AuditEntry;
use openapi::admin::keys::Key;
use openapi::admin::roles::Role;
use openapi::admin::subjects::Subject;

/// A key's secret, hashed.
pub type KeyHash = [u8; 32];

/// What must be true of the thing before the change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// There is none.
    New,
    /// It is at this version.
    Version(u64),
    /// There is one, whatever its version.
    Any,
}

/// A change, made whole or not at all.
#[derive(Debug, Clone)]
pub enum Change {
    /// Makes or replaces a role.
    PutRole(Role, Expected),
    /// Removes a role that no subject has.
    DeleteRole(String, Expected),
    /// Makes or replaces a subject.
    PutSubject(Subject, Expected),
    /// Removes a subject and its keys.
    DeleteSubject(String, Expected),
    /// Makes a key.
    NewKey(Key, KeyHash),
    /// Replaces a key's record, not its secret.
    PutKey(Key),
    /// Refuses a token by its `jti`, until a time when it has ended by itself.
    RevokeToken(String, u64),
}

/// Who made the change, for the audit.
#[derive(Debug, Clone)]
pub struct Note {
    /// Whose credential it was.
    pub actor: String,
    /// What was done, such as `role.update`.
    pub action: &'static str,
    /// When, seconds since the Unix epoch.
    pub at: u64,
}

/// Why a change was not made, or nothing could be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// It changed since it was read, or it is there already.
    #[error("it was changed by somebody else, or exists already")]
    Conflict,
    /// It is not there.
    #[error("it does not exist")]
    Missing,
    /// Subjects still have the role.
    #[error("{0} subjects still have this role")]
    InUse(u64),
    /// Nobody could give rights back after it.
    #[error("it would leave no admin with a key")]
    LastAdmin,
    /// The store itself failed.
    #[error("the store failed: {0}")]
    Failed(String),
}

/// What a store answers, in its time.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

/// Roles, subjects, keys and the audit. A change is in force for whoever asks after it was answered.
pub trait AuthStore: Send + Sync + 'static {
    /// Grows with every change, also those of other processes; what was read at a version holds as long as it stands.
    fn version(&self) -> u64;
    /// A role by its name.
    fn role(&self, name: &str) -> Answer<'_, Option<Role>>;
    /// All roles, by name.
    fn roles(&self) -> Answer<'_, Vec<Role>>;
    /// A subject by its id.
    fn subject(&self, id: &str) -> Answer<'_, Option<Subject>>;
    /// Subjects behind `after`, by id.
    fn subjects(&self, after: Option<&str>, most: usize) -> Answer<'_, Vec<Subject>>;
    /// A key by its id.
    fn key(&self, id: &str) -> Answer<'_, Option<Key>>;
    /// A key by its secret's hash.
    fn key_by_hash(&self, hash: &KeyHash) -> Answer<'_, Option<Key>>;
    /// Keys behind `after`, by id.
    fn keys(&self, after: Option<&str>, most: usize) -> Answer<'_, Vec<Key>>;
    /// Audit entries before `before`, newest first.
    fn audit(&self, before: Option<u64>, most: usize) -> Answer<'_, Vec<AuditEntry>>;
    /// Whether a token was revoked.
    fn token_revoked(&self, jti: &str) -> Answer<'_, bool>;
    /// Whether somebody who may give rights holds a key that works at a time, in seconds since the Unix epoch.
    fn has_admin(&self, now: u64) -> Answer<'_, bool>;
    /// Makes a change and its audit entry; returns the store's version after it.
    fn apply(&self, change: Change, note: Note) -> Answer<'_, u64>;
    /// Remembers that keys were used, each with its time; not audited.
    fn touch(&self, used: Vec<(String, u64)>) -> Answer<'_, ()>;
}
