//! The key that is made at the first start and kept in the data folder.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::RngExt as _;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// Its place in the data folder.
const FILE: &str = "admin.key";
/// How every key begins.
const PREFIX: &str = "sk-";
/// Shorter ones can be guessed.
const SHORTEST: usize = 32;

/// Why there is no admin key.
#[derive(Debug, thiserror::Error)]
pub enum AdminKeyError {
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
}

/// The admin key. Only its hash stays in memory.
#[derive(Debug, Clone, Copy)]
pub struct AdminKey {
    hash: [u8; 32],
}

impl AdminKey {
    /// The key of a text.
    pub fn of(key: &str) -> Self {
        Self { hash: Sha256::digest(key.as_bytes()).into() }
    }

    /// Loads the key from the data folder, or makes one there. The second value is the text of a key just made:
    /// the one chance to show it.
    pub fn load_or_create(data_dir: &Path) -> Result<(Self, Option<String>), AdminKeyError> {
        let path = data_dir.join(FILE);
        match fs::read_to_string(&path) {
            Ok(text) => load(&path, text.trim()).map(|key| (key, None)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let key = generate();
                write(&path, &key).map_err(|source| AdminKeyError::File { path, source })?;
                Ok((Self::of(&key), Some(key)))
            }
            Err(source) => Err(AdminKeyError::File { path, source }),
        }
    }

    /// Whether this is the key. Comparing hashes in constant time tells nothing of how much of it is right.
    pub fn verify(&self, credential: &[u8]) -> bool {
        Sha256::digest(credential).as_slice().ct_eq(&self.hash).into()
    }
}

fn load(path: &Path, text: &str) -> Result<AdminKey, AdminKeyError> {
    let secret = text.strip_prefix(PREFIX).unwrap_or_default();
    if secret.len() < SHORTEST || !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(AdminKeyError::Malformed { path: path.to_owned() });
    }
    let open = fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0);
    if open {
        tracing::warn!(path = %path.display(), "others may read the admin key; run chmod 600 on it");
    }
    Ok(AdminKey::of(text))
}

fn generate() -> String {
    let secret: [u8; 32] = rand::rng().random();
    format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(secret))
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

    #[test]
    fn the_first_start_makes_a_key_that_only_its_owner_may_read() {
        let folder = tempfile::tempdir().unwrap();
        let (key, made) = AdminKey::load_or_create(&folder.path().join("new")).unwrap();
        let text = made.unwrap();
        assert!(text.starts_with("sk-") && text.len() == 46, "{text}");
        assert!(key.verify(text.as_bytes()));
        let permissions = fs::metadata(folder.path().join("new/admin.key")).unwrap().permissions();
        assert_eq!(permissions.mode() & 0o777, 0o600);
    }

    #[test]
    fn the_second_start_takes_the_same_key_and_shows_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (_, made) = AdminKey::load_or_create(folder.path()).unwrap();
        let (key, shown) = AdminKey::load_or_create(folder.path()).unwrap();
        assert_eq!(shown, None);
        assert!(key.verify(made.unwrap().as_bytes()));
        assert!(!key.verify(b"sk-"));
    }

    #[test]
    fn an_empty_key_file_is_an_error_and_not_an_empty_key() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("admin.key"), "\n").unwrap();
        let error = AdminKey::load_or_create(folder.path()).unwrap_err();
        assert!(error.to_string().contains("delete it"), "{error}");
    }

    #[test]
    fn keys_differ() {
        assert_ne!(generate(), generate());
    }
}
