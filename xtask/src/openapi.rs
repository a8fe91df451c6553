//! The checked-in API document is what the gateway serves.

use std::path::{Path, PathBuf};

use crate::command::{built, command, output, run};
use crate::report::{Failure, Finding};

const DOCUMENT: &str = "openapi/openapi.json";

/// Writes the gateway's document to its place.
pub(crate) fn write(root: &Path) -> Result<(), Failure> {
    let path = root.join(DOCUMENT);
    let served = served(root)?;
    std::fs::write(&path, served).map_err(Failure::io(&path))
}

/// Fails with the first line that differs.
pub(crate) fn check(root: &Path) -> Result<(), Failure> {
    let path = root.join(DOCUMENT);
    let kept = std::fs::read(&path).map_err(Failure::io(&path))?;
    let served = served(root)?;
    let findings = difference(&String::from_utf8_lossy(&kept), &String::from_utf8_lossy(&served));
    Failure::from_findings(findings.into_iter().collect())
}

fn served(root: &Path) -> Result<Vec<u8>, Failure> {
    run(command(root, "cargo", &["build", "--quiet", "--release", "--workspace", "--locked"]))?;
    let program = built(root, "gateway");
    output(command(root, &program.to_string_lossy(), &["openapi"]))
}

fn difference(kept: &str, served: &str) -> Option<Finding> {
    if kept == served {
        return None;
    }
    let same = kept.lines().zip(served.lines()).take_while(|(a, b)| a == b).count();
    let what = format!(
        "is not what the gateway serves: {:?} here, {:?} there; `cargo xtask openapi` writes it anew",
        kept.lines().nth(same).unwrap_or("end of file").trim(),
        served.lines().nth(same).unwrap_or("end of file").trim(),
    );
    Some(Finding { file: PathBuf::from(DOCUMENT), line: same + 1, what })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_document_has_no_difference() {
        assert_eq!(difference("{\n}\n", "{\n}\n"), None);
    }

    #[test]
    fn the_first_line_that_differs_is_named() {
        let finding = difference("{\n  \"a\": 1\n}\n", "{\n  \"a\": 2\n}\n").unwrap();
        assert_eq!(finding.line, 2);
        assert!(finding.what.contains("a\\\": 1") && finding.what.contains("a\\\": 2"), "{}", finding.what);
    }

    #[test]
    fn a_missing_final_line_is_a_difference() {
        assert_eq!(difference("{\n}", "{\n}\n").unwrap().line, 3);
    }
}
