//! A store of access whose operations are timed.

use std::sync::Arc;

use openapi::admin::audit::AuditEntry;
use openapi::admin::keys::Key;
use openapi::admin::models::KeptRoute;
use openapi::admin::roles::Role;
use openapi::admin::subjects::Subject;

use super::{Answer, AuthStore, Change, KeyHash, Note, SharedKeys, StoreError};
use crate::telemetry::metrics::store::Store;

/// Times what it hands on.
pub struct Metered {
    inner: Arc<dyn AuthStore>,
    handles: Store,
}

impl Metered {
    /// Over a store.
    pub fn new(inner: Arc<dyn AuthStore>, handles: Store) -> Self {
        Self { inner, handles }
    }

    fn time<'a, T: Send + 'a>(&'a self, operation: &'static str, answer: Answer<'a, T>) -> Answer<'a, T> {
        // Only this one is the store's own fault; the others refuse a change.
        let broken = |error: &StoreError| matches!(error, StoreError::Failed(_));
        Box::pin(self.handles.time(operation, broken, answer))
    }
}

impl AuthStore for Metered {
    fn version(&self) -> u64 {
        self.inner.version()
    }

    fn shared_keys(&self) -> Option<Box<dyn SharedKeys>> {
        self.inner.shared_keys()
    }

    fn changes(&self) -> Option<tokio::sync::watch::Receiver<u64>> {
        self.inner.changes()
    }

    fn role<'a>(&'a self, name: &'a str) -> Answer<'a, Option<Role>> {
        self.time("role", self.inner.role(name))
    }

    fn roles(&self) -> Answer<'_, Vec<Role>> {
        self.time("roles", self.inner.roles())
    }

    fn route<'a>(&'a self, name: &'a str) -> Answer<'a, Option<KeptRoute>> {
        self.time("route", self.inner.route(name))
    }

    fn routes(&self) -> Answer<'_, Vec<KeptRoute>> {
        self.time("routes", self.inner.routes())
    }

    fn subject<'a>(&'a self, id: &'a str) -> Answer<'a, Option<Subject>> {
        self.time("subject", self.inner.subject(id))
    }

    fn subjects<'a>(&'a self, after: Option<&'a str>, most: usize) -> Answer<'a, Vec<Subject>> {
        self.time("subjects", self.inner.subjects(after, most))
    }

    fn key<'a>(&'a self, id: &'a str) -> Answer<'a, Option<Key>> {
        self.time("key", self.inner.key(id))
    }

    fn key_by_hash<'a>(&'a self, hash: &'a KeyHash) -> Answer<'a, Option<Key>> {
        self.time("key_by_hash", self.inner.key_by_hash(hash))
    }

    fn keys<'a>(&'a self, after: Option<&'a str>, most: usize) -> Answer<'a, Vec<Key>> {
        self.time("keys", self.inner.keys(after, most))
    }

    fn audit(&self, before: Option<u64>, most: usize) -> Answer<'_, Vec<AuditEntry>> {
        self.time("audit", self.inner.audit(before, most))
    }

    fn revoked_until<'a>(&'a self, name: &'a str) -> Answer<'a, Option<u64>> {
        self.time("revoked_until", self.inner.revoked_until(name))
    }

    fn has_admin(&self, now: u64) -> Answer<'_, bool> {
        self.time("has_admin", self.inner.has_admin(now))
    }

    fn apply(&self, change: Change, note: Note) -> Answer<'_, u64> {
        self.time("apply", self.inner.apply(change, note))
    }

    fn touch(&self, used: Vec<(String, u64)>) -> Answer<'_, ()> {
        self.time("touch", self.inner.touch(used))
    }
}
