//! Where roles, subjects, keys and the audit are kept: the trait, and what a change to it is.

mod change;
pub mod embedded;
pub mod metered;
pub mod redis;
#[cfg(test)]
mod tests;

use futures_util::future::BoxFuture;
use openapi::admin::audit::AuditEntry;
use openapi::admin::keys::Key;
use openapi::admin::models::KeptRoute;
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
    /// Makes or replaces a route.
    PutRoute(KeptRoute, Expected),
    /// Removes a route.
    DeleteRoute(String, Expected),
    /// Refuses a token by its `jti`, until a time when it has ended by itself.
    RevokeToken(String, u64),
    /// Changes nothing; something that was done to a target elsewhere, or was refused, is told to the audit.
    Told(String, serde_json::Value),
}

/// Seconds that a revocation is remembered: longer than any token should live.
pub const REVOKED_FOR: u64 = 90 * 24 * 60 * 60;

/// The name under which a removed subject's tokens are revoked. No `jti` of ours has a line's end.
pub fn tokens_of(subject: &str) -> String {
    format!("subject\n{subject}")
}

impl Change {
    /// What it is about: a name or an id.
    pub fn target(&self) -> &str {
        match self {
            Self::PutRole(role, _) => &role.name,
            Self::PutSubject(subject, _) => &subject.id,
            Self::PutRoute(route, _) => &route.spec.name,
            Self::NewKey(key, _) | Self::PutKey(key) => &key.id,
            Self::DeleteRole(name, _)
            | Self::DeleteSubject(name, _)
            | Self::DeleteRoute(name, _)
            | Self::RevokeToken(name, _)
            | Self::Told(name, _) => name,
        }
    }
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

/// Signing keys that replicas share, as one text that is replaced whole. Calls block.
pub trait SharedKeys: std::fmt::Debug + Send + Sync + 'static {
    /// The text, if there is one.
    fn read(&self) -> Result<Option<Vec<u8>>, StoreError>;
    /// Puts `new` in the place of `old`; `false` where another was put there meanwhile.
    fn replace(&self, old: Option<&[u8]>, new: &[u8]) -> Result<bool, StoreError>;
}

/// What a store answers, in its time.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

/// Roles, subjects, keys, routes and the audit. A change is in force for whoever asks after it was answered.
pub trait AuthStore: Send + Sync + 'static {
    /// Another after every change, also those of other processes; what was read at a version holds as long as it
    /// stands.
    fn version(&self) -> u64;
    /// Where replicas share their signing keys; `None` where they are in the data folder.
    fn shared_keys(&self) -> Option<Box<dyn SharedKeys>> {
        None
    }
    /// Tells the version after each change that another process may have made; `None` where no other one can.
    fn changes(&self) -> Option<tokio::sync::watch::Receiver<u64>> {
        None
    }
    /// A role by its name.
    fn role<'a>(&'a self, name: &'a str) -> Answer<'a, Option<Role>>;
    /// All roles, by name.
    fn roles(&self) -> Answer<'_, Vec<Role>>;
    /// A route by its name.
    fn route<'a>(&'a self, name: &'a str) -> Answer<'a, Option<KeptRoute>>;
    /// All routes, by name.
    fn routes(&self) -> Answer<'_, Vec<KeptRoute>>;
    /// A subject by its id.
    fn subject<'a>(&'a self, id: &'a str) -> Answer<'a, Option<Subject>>;
    /// Subjects behind `after`, by id.
    fn subjects<'a>(&'a self, after: Option<&'a str>, most: usize) -> Answer<'a, Vec<Subject>>;
    /// A key by its id.
    fn key<'a>(&'a self, id: &'a str) -> Answer<'a, Option<Key>>;
    /// A key by its secret's hash.
    fn key_by_hash<'a>(&'a self, hash: &'a KeyHash) -> Answer<'a, Option<Key>>;
    /// Keys behind `after`, by id.
    fn keys<'a>(&'a self, after: Option<&'a str>, most: usize) -> Answer<'a, Vec<Key>>;
    /// Audit entries before `before`, newest first.
    fn audit(&self, before: Option<u64>, most: usize) -> Answer<'_, Vec<AuditEntry>>;
    /// Until when a token is revoked, by its `jti`, or tokens of a removed subject are, by [`tokens_of`].
    fn revoked_until<'a>(&'a self, name: &'a str) -> Answer<'a, Option<u64>>;
    /// Whether somebody who may give rights holds a key that works at a time, in seconds since the Unix epoch.
    fn has_admin(&self, now: u64) -> Answer<'_, bool>;
    /// Makes a change and its audit entry; returns the store's version after it.
    fn apply(&self, change: Change, note: Note) -> Answer<'_, u64>;
    /// Remembers that keys were used, each with its time; not audited.
    fn touch(&self, used: Vec<(String, u64)>) -> Answer<'_, ()>;
}
