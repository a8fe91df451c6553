//! Files stay short enough to be read in one sitting, and each says why it exists.

use std::path::Path;

use crate::files;
use crate::report::{Failure, Finding};

/// The most lines of a production file.
const MOST_LINES: usize = 400;

/// Checks every Rust file of the workspace.
pub(crate) fn check(root: &Path) -> Result<(), Failure> {
    let mut findings = Vec::new();
    for path in files::rust_files(root)? {
        let relative = path.strip_prefix(root).unwrap_or(&path);
        let text = files::read(&path)?;
        if !text.starts_with("//!") {
            let what = "does not begin with a `//!` line that says why the file exists".to_owned();
            findings.push(Finding { file: relative.to_owned(), line: 1, what });
        }
        let lines = text.lines().count();
        if lines > MOST_LINES && !files::is_test(relative) {
            let what = format!("has {lines} lines, more than {MOST_LINES}: split it by responsibility");
            findings.push(Finding { file: relative.to_owned(), line: MOST_LINES + 1, what });
        }
    }
    Failure::from_findings(findings)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(tree: &[(&str, String)]) -> Vec<String> {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in tree {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        match check(root.path()) {
            Ok(()) => Vec::new(),
            Err(Failure::Findings(findings)) => findings.iter().map(ToString::to_string).collect(),
            Err(other) => panic!("{other}"),
        }
    }

    fn lines(count: usize) -> String {
        format!("//! Long.\n{}", "// x\n".repeat(count - 1))
    }

    #[test]
    fn a_file_of_four_hundred_lines_passes_and_one_more_does_not() {
        let found = findings(&[("a/src/just.rs", lines(400)), ("a/src/over.rs", lines(401))]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("a/src/over.rs:401: has 401 lines"), "{found:?}");
    }

    #[test]
    fn a_long_test_file_passes_wherever_tests_live() {
        let tree = ["a/src/x/tests.rs", "a/tests/flow.rs", "tests/tests/chat.rs", "a/benches/b.rs"];
        assert_eq!(findings(&tree.map(|path| (path, lines(900)))), Vec::<String>::new());
    }

    #[test]
    fn every_file_must_say_why_it_exists_tests_too() {
        let found = findings(&[
            ("a/src/lib.rs", "fn x() {}\n".to_owned()),
            ("a/src/tests.rs", "// Not a doc line.\n".to_owned()),
            ("a/src/empty.rs", String::new()),
        ]);
        assert_eq!(found.len(), 3, "{found:?}");
    }

    #[test]
    fn what_was_built_or_downloaded_is_not_ours_to_judge() {
        let tree = ["target/out.rs", "x/node_modules/a.rs", ".cache/b.rs", "fuzz/corpus/c.rs"];
        assert_eq!(findings(&tree.map(|path| (path, String::new()))), Vec::<String>::new());
    }
}
