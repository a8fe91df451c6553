//! The Rust files that the house wrote itself.

use std::path::{Path, PathBuf};

use crate::report::Failure;

/// Folders that hold what was built, downloaded or generated.
const NOT_OURS: [&str; 4] = ["target", "node_modules", "data", "corpus"];

/// All Rust files below a folder, sorted.
pub(crate) fn rust_files(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut found = Vec::new();
    collect(folder, &mut found)?;
    found.sort();
    Ok(found)
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) -> Result<(), Failure> {
    for entry in std::fs::read_dir(folder).map_err(Failure::io(folder))? {
        let entry = entry.map_err(Failure::io(folder))?;
        let path = entry.path();
        let kind = entry.file_type().map_err(Failure::io(&path))?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if kind.is_dir() && !name.starts_with('.') && !NOT_OURS.contains(&name.as_ref()) {
            collect(&path, found)?;
        } else if kind.is_file() && path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    Ok(())
}

/// True for tests, benchmarks and fuzz targets: code that never runs in production.
pub(crate) fn is_test(relative: &Path) -> bool {
    relative.file_name().is_some_and(|name| name == "tests.rs")
        || relative.iter().any(|part| part == "tests" || part == "benches" || part == "fuzz")
}

/// Reads a file as text.
pub(crate) fn read(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(Failure::io(path))
}
