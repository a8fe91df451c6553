//! The folder of one model's spilled sequences: opened by one process at a time, and read through at the start.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::super::Key;
use super::Identity;
use super::format::{self, Refusal};

/// What a whole file's name ends in.
const WHOLE: &str = "kv";
/// What the name of a file being written ends in.
pub(super) const UNFINISHED: &str = "new";
/// Held by the process that uses the folder.
const LOCK: &str = "lock";

/// A sequence that an earlier process spilled.
pub(super) struct Found {
    pub(super) path: PathBuf,
    pub(super) key: Key,
    pub(super) bytes: u64,
    pub(super) used: SystemTime,
}

/// The folder, held until this is dropped.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    /// Opens a folder for its owner alone.
    pub(super) fn open(path: PathBuf) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(&path)?;
        let lock = lock(&path)?;
        Ok(Self { path, _lock: lock })
    }

    /// A name that says nothing of what the file holds.
    pub(super) fn new_path(&self) -> PathBuf {
        self.path.join(format!("{:032x}", rand::random::<u128>())).with_extension(WHOLE)
    }

    /// What earlier processes left, the least recently used first. What cannot be used is removed. Only heads are read.
    pub(super) fn scan(&self, identity: &Identity, window: u32) -> io::Result<(Vec<Found>, u64)> {
        let mut found = Vec::new();
        let mut dropped = 0;
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            let path = entry.path();
            if !entry.file_type()?.is_file() {
                continue;
            }
            match path.extension().and_then(|extension| extension.to_str()) {
                Some(WHOLE) => {}
                Some(UNFINISHED) => {
                    remove(&path);
                    continue;
                }
                _ => continue,
            }
            match look(&path, identity, window) {
                Ok(one) => found.push(one),
                Err(Refusal::Io(error)) => {
                    tracing::warn!(%error, file = %path.display(), "a spilled sequence cannot be read");
                }
                Err(Refusal::Foreign | Refusal::Damaged) => {
                    remove(&path);
                    dropped += 1;
                }
            }
        }
        found.sort_by_key(|one| one.used);
        Ok((found, dropped))
    }
}

fn look(path: &Path, identity: &Identity, window: u32) -> Result<Found, Refusal> {
    let mut file = File::open(path)?;
    let about = file.metadata()?;
    let header = format::read_header(&mut file, about.len(), identity, window)?;
    Ok(Found { path: path.to_owned(), key: header.key, bytes: about.len(), used: about.modified()? })
}

fn lock(folder: &Path) -> io::Result<File> {
    let options = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).clone();
    let file = options.open(folder.join(LOCK))?;
    file.try_lock().map_err(io::Error::from)?;
    Ok(file)
}

/// Removes the folders that no process holds: of models that are not served any more, or with other settings. Nothing
/// would ever read or bound them again.
pub(crate) fn forget_unused(root: &Path) {
    let Ok(folders) = fs::read_dir(root) else { return };
    for folder in folders.flatten().map(|entry| entry.path()) {
        if !folder.is_dir() || is_held(&folder) {
            continue;
        }
        match fs::remove_dir_all(&folder) {
            Ok(()) => tracing::info!(folder = %folder.display(), "spilled KV that no model uses is removed"),
            Err(error) => {
                tracing::warn!(%error, folder = %folder.display(), "old spilled KV cannot be removed");
            }
        }
    }
}

fn is_held(folder: &Path) -> bool {
    File::open(folder.join(LOCK)).is_ok_and(|file| file.try_lock().is_err())
}

/// Removes a file that may be gone already.
pub(super) fn remove(path: &Path) {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(%error, file = %path.display(), "a spilled sequence could not be removed");
        }
        _ => {}
    }
}
