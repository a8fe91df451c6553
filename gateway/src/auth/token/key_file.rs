//! Where the signing keys are: a file, or what replicas share; read whole, replaced whole, by one process at a time.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::signing_key::KeyRecord;
use crate::auth::store::{SharedKeys, StoreError};

/// Its place in the data folder.
const FILE: &str = "signing-keys.json";
/// Who holds its lock may replace the file. The file itself cannot be it, since replacing it makes another.
const LOCK: &str = "signing-keys.lock";
/// What is written until it is whole.
const NEW: &str = "signing-keys.json.new";

/// Why there are no signing keys.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// A file cannot be read or written.
    #[error("cannot use the signing keys {}: {source}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file holds something else.
    #[error(
        "{} does not hold signing keys ({problem}); restore it, or delete it: then the next start makes a new key, and \
         tokens that were signed before are refused",
        .path.display()
    )]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong, without anything that the file holds.
        problem: String,
    },
    /// The store that replicas share cannot be used.
    #[error("cannot use the shared signing keys: {0}")]
    Store(#[from] StoreError),
    /// The store that replicas share holds something else.
    #[error("the store does not hold signing keys ({0})")]
    MalformedShared(String),
}

/// Where the signing keys are.
#[derive(Debug)]
pub(super) enum KeyPlace {
    /// In a data folder.
    File(KeyFile),
    /// In the store that replicas share.
    Shared(Box<dyn SharedKeys>),
}

impl KeyPlace {
    /// The keys, or `None` where there are none yet. Blocks.
    pub(super) fn read(&self) -> Result<Option<Vec<KeyRecord>>, KeyFileError> {
        match self {
            Self::File(file) => file.read(),
            Self::Shared(store) => store.read()?.map(|text| self.parse(&text)).transpose(),
        }
    }

    /// Replaces the keys by what `change` makes of them, of nothing where there are none; nobody else changes them
    /// meanwhile. Blocks.
    pub(super) fn update(
        &self,
        change: impl Fn(Vec<KeyRecord>) -> Vec<KeyRecord>,
    ) -> Result<Vec<KeyRecord>, KeyFileError> {
        let store = match self {
            Self::File(file) => return file.update(change),
            Self::Shared(store) => store,
        };
        loop {
            let old = store.read()?;
            let keys = change(old.as_deref().map(|text| self.parse(text)).transpose()?.unwrap_or_default());
            let document = Document { keys };
            let new = serde_json::to_vec(&document).map_err(|error| self.malformed(error.to_string()))?;
            if store.replace(old.as_deref(), &new)? {
                return Ok(document.keys);
            }
        }
    }

    /// The error for keys that are not what they should be.
    pub(super) fn malformed(&self, problem: String) -> KeyFileError {
        match self {
            Self::File(file) => file.malformed(problem),
            Self::Shared(_) => KeyFileError::MalformedShared(problem),
        }
    }

    fn parse(&self, text: &[u8]) -> Result<Vec<KeyRecord>, KeyFileError> {
        // The parser's own words may quote what it read, and that may be a secret.
        let document: Document = serde_json::from_slice(text)
            .map_err(|error| self.malformed(format!("line {}, column {}", error.line(), error.column())))?;
        Ok(document.keys)
    }
}

/// The file's form.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    keys: Vec<KeyRecord>,
}

/// The signing keys' file in a data folder.
#[derive(Debug)]
pub(super) struct KeyFile {
    folder: PathBuf,
    path: PathBuf,
}

impl KeyFile {
    /// The one of a data folder, whether or not it is there yet.
    pub(super) fn of(data_dir: &Path) -> Self {
        Self { folder: data_dir.to_owned(), path: data_dir.join(FILE) }
    }

    /// The keys, or `None` where there is no file.
    pub(super) fn read(&self) -> Result<Option<Vec<KeyRecord>>, KeyFileError> {
        let text = match fs::read(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(KeyFileError::File { path: self.path.clone(), source }),
        };
        let open = fs::metadata(&self.path).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0);
        if open {
            tracing::warn!(path = %self.path.display(), "others may read the signing keys; run chmod 600 on it");
        }
        // The parser's own words may quote what it read, and that may be a secret.
        let document: Document = serde_json::from_slice(&text)
            .map_err(|error| self.malformed(format!("line {}, column {}", error.line(), error.column())))?;
        Ok(Some(document.keys))
    }

    /// Replaces the keys by what `change` makes of them; no other process changes them meanwhile. Where there is no
    /// file, it makes one of what `change` makes of nothing.
    pub(super) fn update(
        &self,
        change: impl FnOnce(Vec<KeyRecord>) -> Vec<KeyRecord>,
    ) -> Result<Vec<KeyRecord>, KeyFileError> {
        let lock = self.lock().map_err(|source| self.failed(LOCK, source))?;
        let keys = change(self.read()?.unwrap_or_default());
        let document = Document { keys };
        self.replace(&document).map_err(|source| self.failed(NEW, source))?;
        drop(lock);
        Ok(document.keys)
    }

    /// The error for a file that is not what it should be.
    pub(super) fn malformed(&self, problem: String) -> KeyFileError {
        KeyFileError::Malformed { path: self.path.clone(), problem }
    }

    fn failed(&self, name: &str, source: io::Error) -> KeyFileError {
        KeyFileError::File { path: self.folder.join(name), source }
    }

    fn lock(&self) -> io::Result<File> {
        fs::create_dir_all(&self.folder)?;
        let path = self.folder.join(LOCK);
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
        file.lock()?;
        Ok(file)
    }

    /// The file is at every moment the old one or the new one, whenever the machine stops.
    fn replace(&self, document: &Document) -> io::Result<()> {
        let text = serde_json::to_vec_pretty(document)?;
        let new = self.folder.join(NEW);
        // Left by a process that ended here. Opened again it would keep its mode.
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        file.write_all(&text)?;
        file.sync_all()?;
        fs::rename(&new, &self.path)?;
        File::open(&self.folder)?.sync_all()
    }
}
