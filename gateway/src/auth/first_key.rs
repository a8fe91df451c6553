//! The first admin's key: made where the store knows no admin, and kept in the data folder.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use openapi::admin::keys::Key;
use openapi::admin::policy::PolicyChange;
use openapi::admin::subjects::Subject;

use super::policy::ADMIN;
use super::secret::{self, PREFIX};
use super::store::{AuthStore, Change, Expected, KeyHash, Note, StoreError};

/// Its place in the data folder.
const FILE: &str = "admin.key";
/// Shorter ones can be guessed.
const SHORTEST: usize = 32;

/// Why there is no admin key.
#[derive(Debug, thiserror::Error)]
pub enum FirstKeyError {
    /// The file cannot be read or written.
    #[error("cannot use the admin key {}: {source}", .path.display())]
    File {
        /// The key's file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file holds something else.
    #[error(
        "{} does not hold a key (sk- and at least {SHORTEST} characters); delete it, and the next start makes a new one",
        .path.display()
    )]
    Malformed {
        /// The key's file.
        path: PathBuf,
    },
    /// The store failed.
    #[error("cannot keep the admin key: {0}")]
    Store(#[from] StoreError),
}

/// Sees to it that somebody holds admin rights. Where the store knows nobody, the key of the data folder's file is
/// taken, or made there; the answer is the text of a key just made: the one chance to show it.
///
/// # Errors
/// The file or the store cannot be used.
pub async fn ensure_admin(
    store: &dyn AuthStore,
    data_dir: &Path,
    now: u64,
) -> Result<Option<String>, FirstKeyError> {
    if store.has_admin(now).await? {
        return Ok(None);
    }
    let path = data_dir.join(FILE);
    let (secret, made) = match fs::read_to_string(&path) {
        Ok(text) => (checked(&path, text.trim())?, false),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let secret = secret::generate();
            write(&path, &secret).map_err(|source| FirstKeyError::File { path, source })?;
            (secret, true)
        }
        Err(source) => return Err(FirstKeyError::File { path, source }),
    };
    install(store, &secret, now).await?;
    Ok(made.then_some(secret))
}

/// Gives the subject `admin` its role and the key.
async fn install(store: &dyn AuthStore, secret: &str, now: u64) -> Result<(), StoreError> {
    let note = || Note { actor: "first start".to_owned(), action: "admin.create", at: now };
    let (mut subject, key) = records(secret, now);
    let old = store.subject(ADMIN).await?;
    let expected = if old.is_some() { Expected::Any } else { Expected::New };
    subject.created = old.map_or(now, |old| old.created);
    store.apply(Change::PutSubject(subject, expected), note()).await?;
    let hash = secret::hash(secret.as_bytes());
    match store.apply(Change::NewKey(key, hash), note()).await {
        // It was revoked, and nobody else is admin: whoever can read the file may have it back.
        Err(StoreError::Conflict) => restore(store, &hash, note()).await,
        other => other.map(drop),
    }
}

/// The first admin and its key.
pub(super) fn records(secret: &str, now: u64) -> (Subject, Key) {
    let subject = Subject {
        id: ADMIN.to_owned(),
        role: Some(ADMIN.to_owned()),
        overrides: PolicyChange::default(),
        disabled: false,
        note: "made at the first start".to_owned(),
        created: now,
        version: 0,
    };
    let key = Key {
        id: secret::key_id(),
        prefix: secret::shown(secret),
        subject: ADMIN.to_owned(),
        note: format!("the key in {FILE}"),
        created: now,
        expires_at: None,
        last_used: None,
        revoked_at: None,
    };
    (subject, key)
}

async fn restore(store: &dyn AuthStore, hash: &KeyHash, note: Note) -> Result<(), StoreError> {
    let key = store.key_by_hash(hash).await?.ok_or(StoreError::Missing)?;
    let key = Key { revoked_at: None, expires_at: None, ..key };
    store.apply(Change::PutKey(key), note).await.map(drop)
}

fn checked(path: &Path, text: &str) -> Result<String, FirstKeyError> {
    let secret = text.strip_prefix(PREFIX).unwrap_or_default();
    if secret.len() < SHORTEST || !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(FirstKeyError::Malformed { path: path.to_owned() });
    }
    let open = fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0);
    if open {
        tracing::warn!(path = %path.display(), "others may read the admin key; run chmod 600 on it");
    }
    Ok(text.to_owned())
}

fn write(path: &Path, key: &str) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let written = writeln!(file, "{key}").and_then(|()| file.sync_all());
    if written.is_err() {
        // Half a key would stop the next start; what cannot be removed will say so itself then.
        drop(fs::remove_file(path));
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::store::embedded::EmbeddedStore;

    fn store(folder: &Path) -> EmbeddedStore {
        EmbeddedStore::open(&folder.join("access.redb")).unwrap()
    }

    async fn knows(store: &EmbeddedStore, secret: &str) -> bool {
        let key = store.key_by_hash(&secret::hash(secret.trim().as_bytes())).await.unwrap();
        key.is_some_and(|key| key.subject == ADMIN && key.revoked_at.is_none())
    }

    #[tokio::test]
    async fn the_first_start_makes_a_key_that_only_its_owner_may_read() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        let secret = ensure_admin(&store, &folder.path().join("new"), 1).await.unwrap().unwrap();
        assert!(knows(&store, &secret).await);
        let permissions = fs::metadata(folder.path().join("new/admin.key")).unwrap().permissions();
        assert_eq!(permissions.mode() & 0o777, 0o600);
    }

    #[tokio::test]
    async fn later_starts_change_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        ensure_admin(&store, folder.path(), 1).await.unwrap();
        let version = store.version();
        assert_eq!(ensure_admin(&store, folder.path(), 2).await.unwrap(), None);
        fs::remove_file(folder.path().join(FILE)).unwrap();
        assert_eq!(ensure_admin(&store, folder.path(), 3).await.unwrap(), None);
        assert_eq!(store.version(), version);
    }

    #[tokio::test]
    async fn a_file_that_is_there_is_taken_and_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        let secret = secret::generate();
        fs::write(folder.path().join(FILE), format!("{secret}\n")).unwrap();
        assert_eq!(ensure_admin(&store, folder.path(), 1).await.unwrap(), None);
        assert!(knows(&store, &secret).await);
    }

    #[tokio::test]
    async fn an_empty_key_file_is_an_error_and_not_an_empty_key() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(FILE), "\n").unwrap();
        let error = ensure_admin(&store(folder.path()), folder.path(), 1).await.unwrap_err();
        assert!(error.to_string().contains("delete it"), "{error}");
    }
}
