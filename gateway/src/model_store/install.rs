//! From a whole file to a model in place: magic, hash, one atomic rename.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::PullError;

/// How every GGUF file begins.
pub(super) const MAGIC: &[u8; 4] = b"GGUF";

/// Puts a file of this machine where downloads go: by a hard link where it can, else by a copy.
pub(super) fn take_local(path: &Path, partial: &Path) -> Result<(), PullError> {
    check_magic(path, &path.display().to_string())?;
    remove(partial)?;
    if fs::hard_link(path, partial).is_err() {
        fs::copy(path, partial).map_err(PullError::file(path))?;
    }
    Ok(())
}

/// Checks a fetched file and moves it to its place; what is not as it must be is removed.
pub(super) fn verify_and_place(
    partial: &Path,
    target: &Path,
    expected: Option<&str>,
) -> Result<(), PullError> {
    let name = target.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let checked = check_magic(partial, &name).and_then(|()| check_sha256(partial, expected));
    let sha256 = match checked {
        Ok(sha256) => sha256,
        Err(error) => {
            remove(partial)?;
            return Err(error);
        }
    };
    let file = PullError::file;
    File::open(partial).and_then(|file| file.sync_all()).map_err(file(partial))?;
    // The hash first: a model without its hash is whole, a hash of another file would be a lie.
    let record = sha256_path(target);
    remove(&record)?;
    fs::rename(partial, target).map_err(file(target))?;
    fs::write(&record, format!("{sha256}  {name}\n")).map_err(file(&record))?;
    if let Some(folder) = target.parent() {
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(file(folder))?;
    }
    Ok(())
}

/// The hash written when the model was pulled.
pub(super) fn recorded_sha256(model: &Path) -> Option<String> {
    let record = fs::read_to_string(sha256_path(model)).ok()?;
    record.split_whitespace().next().filter(|hash| hash.len() == 64).map(str::to_owned)
}

/// Removes a file that may not be there.
pub(super) fn remove(path: &Path) -> Result<(), PullError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(PullError::file(path)(error)),
        _ => Ok(()),
    }
}

fn sha256_path(model: &Path) -> PathBuf {
    model.with_added_extension("sha256")
}

fn check_magic(path: &Path, shown: &str) -> Result<(), PullError> {
    let mut first = [0_u8; MAGIC.len()];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut first));
    match read {
        Ok(()) if first == *MAGIC => Ok(()),
        Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => Err(PullError::file(path)(error)),
        _ => Err(PullError::NotGguf(shown.to_owned())),
    }
}

fn check_sha256(path: &Path, expected: Option<&str>) -> Result<String, PullError> {
    let mut hasher = Sha256::new();
    let copied = File::open(path).and_then(|mut file| io::copy(&mut file, &mut hasher));
    copied.map_err(PullError::file(path))?;
    let mut actual = String::with_capacity(64);
    for byte in hasher.finalize() {
        // Writing to a string cannot fail.
        let _ = write!(actual, "{byte:02x}");
    }
    match expected {
        Some(expected) if expected != actual => {
            Err(PullError::Checksum { expected: expected.to_owned(), actual })
        }
        _ => Ok(actual),
    }
}
