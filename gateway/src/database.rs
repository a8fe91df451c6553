//! A transactional file of our own: open in this process alone, readable by its owner alone.

use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use redb::backends::FileBackend;
use redb::{Database, DatabaseError, StorageError};

/// Opens the file, or makes it. What it holds is nobody else's business, so neither is the file.
///
/// # Errors
/// Another process has it open, or it is not readable: never a fresh file in the place of a broken one.
pub fn open(path: &Path) -> Result<Database, DatabaseError> {
    let mut options = std::fs::OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let file = options.open(path).map_err(StorageError::Io)?;
    Database::builder().create_with_backend(FileBackend::new(file)?)
}
