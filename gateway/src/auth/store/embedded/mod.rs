//! The store in one transactional file: a change is on the disk when it is answered, and a crash leaves none half made.

mod tables;
mod writing;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::FutureExt;
use openapi::admin::audit::AuditEntry;
use openapi::admin::keys::Key;
use openapi::admin::models::KeptRoute;
use openapi::admin::roles::Role;
use openapi::admin::subjects::Subject;
use redb::{Database, ReadableDatabase};

use self::tables::{AUDIT, HASHES, KEYS, REVOKED, ROLES, ROUTES, SUBJECTS};
use self::writing::Writing;
use super::change::{self, Admins, failed, parse};
use super::{Answer, AuthStore, Change, KeyHash, Note, StoreError};
use crate::database;

/// A store in a file that this process alone has open.
pub struct EmbeddedStore {
    database: Arc<Database>,
    version: Arc<AtomicU64>,
}

impl EmbeddedStore {
    /// Opens the file, or makes it with the built-in roles.
    ///
    /// # Errors
    /// Another process has it open, or it is not readable: never a fresh store in the place of a broken one.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let database = database::open(path).map_err(failed)?;
        let version = tables::initialize(&database)?;
        Ok(Self { database: Arc::new(database), version: Arc::new(AtomicU64::new(version)) })
    }

    /// A store in memory whose subject `admin` holds a key with this secret.
    #[cfg(test)]
    pub(crate) fn in_memory(secret: &str) -> Self {
        use crate::auth::first_key;
        let backend = redb::backends::InMemoryBackend::new();
        let database = Database::builder().create_with_backend(backend).expect("memory");
        tables::initialize(&database).expect("a fresh store");
        let note = || Note { actor: "test".to_owned(), action: "admin.create", at: 0 };
        let (subject, key) = first_key::records(secret, 0);
        writing::apply(&database, Change::PutSubject(subject, super::Expected::New), &note())
            .expect("a subject");
        let hash = crate::auth::secret::hash(secret.as_bytes());
        let version = writing::apply(&database, Change::NewKey(key, hash), &note()).expect("a key");
        Self { database: Arc::new(database), version: Arc::new(AtomicU64::new(version)) }
    }

    /// Reads cost microseconds: they run where they are asked for.
    fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Database) -> Result<T, StoreError>,
    ) -> Answer<'_, T> {
        futures_util::future::ready(read(&self.database)).boxed()
    }

    /// Writes wait for the disk: they have a thread.
    fn write<T, F>(&self, write: F) -> Answer<'_, T>
    where
        T: Send + 'static,
        F: FnOnce(&Database) -> Result<T, StoreError> + Send + 'static,
    {
        let database = Arc::clone(&self.database);
        async move { tokio::task::spawn_blocking(move || write(&database)).await.map_err(failed)? }.boxed()
    }
}

impl AuthStore for EmbeddedStore {
    fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    fn role<'a>(&'a self, name: &'a str) -> Answer<'a, Option<Role>> {
        self.read(|database| tables::get(database, ROLES, name))
    }

    fn roles(&self) -> Answer<'_, Vec<Role>> {
        self.read(|database| tables::page(database, ROLES, None, usize::MAX))
    }

    fn route<'a>(&'a self, name: &'a str) -> Answer<'a, Option<KeptRoute>> {
        self.read(|database| tables::get(database, ROUTES, name))
    }

    fn routes(&self) -> Answer<'_, Vec<KeptRoute>> {
        self.read(|database| tables::page(database, ROUTES, None, usize::MAX))
    }

    fn subject<'a>(&'a self, id: &'a str) -> Answer<'a, Option<Subject>> {
        self.read(|database| tables::get(database, SUBJECTS, id))
    }

    fn subjects<'a>(&'a self, after: Option<&'a str>, most: usize) -> Answer<'a, Vec<Subject>> {
        self.read(|database| tables::page(database, SUBJECTS, after, most))
    }

    fn key<'a>(&'a self, id: &'a str) -> Answer<'a, Option<Key>> {
        self.read(|database| tables::get(database, KEYS, id))
    }

    fn key_by_hash<'a>(&'a self, hash: &'a KeyHash) -> Answer<'a, Option<Key>> {
        self.read(|database| {
            let reading = database.begin_read().map_err(failed)?;
            let hashes = reading.open_table(HASHES).map_err(failed)?;
            let Some(id) = hashes.get(hash.as_slice()).map_err(failed)? else { return Ok(None) };
            tables::get(database, KEYS, id.value())
        })
    }

    fn keys<'a>(&'a self, after: Option<&'a str>, most: usize) -> Answer<'a, Vec<Key>> {
        self.read(|database| tables::page(database, KEYS, after, most))
    }

    fn audit(&self, before: Option<u64>, most: usize) -> Answer<'_, Vec<AuditEntry>> {
        self.read(|database| {
            let reading = database.begin_read().map_err(failed)?;
            let table = reading.open_table(AUDIT).map_err(failed)?;
            let entries = table.range(..before.unwrap_or(u64::MAX)).map_err(failed)?.rev().take(most);
            entries.map(|entry| parse(entry.map_err(failed)?.1.value())).collect()
        })
    }

    fn revoked_until<'a>(&'a self, name: &'a str) -> Answer<'a, Option<u64>> {
        self.read(|database| {
            let reading = database.begin_read().map_err(failed)?;
            let revoked = reading.open_table(REVOKED).map_err(failed)?;
            Ok(revoked.get(name).map_err(failed)?.map(|until| until.value()))
        })
    }

    fn has_admin(&self, now: u64) -> Answer<'_, bool> {
        self.write(move |database| {
            Ok(change::admins(&mut Writing(&tables::begin(database)?), now)? > Admins::None)
        })
    }

    fn apply(&self, change: Change, note: Note) -> Answer<'_, u64> {
        let version = Arc::clone(&self.version);
        self.write(move |database| {
            let after = writing::apply(database, change, &note)?;
            version.fetch_max(after, Ordering::AcqRel);
            Ok(after)
        })
    }

    fn touch(&self, used: Vec<(String, u64)>) -> Answer<'_, ()> {
        self.write(move |database| writing::touch(database, &used))
    }
}

impl std::fmt::Debug for EmbeddedStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EmbeddedStore").field("version", &self.version()).finish_non_exhaustive()
    }
}

/// The version that the file holds; tests read it behind the store's back.
#[cfg(test)]
pub(super) fn version_on_disk(store: &EmbeddedStore) -> u64 {
    let reading = store.database.begin_read().expect("a read");
    let meta = reading.open_table(tables::META).expect("the table");
    meta.get(tables::VERSION).expect("a read").map_or(0, |value| value.value())
}
