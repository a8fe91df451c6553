//! What a check found, and the one place that prints.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Something in a file that a rule forbids.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    /// The file, relative to the workspace.
    pub(crate) file: PathBuf,
    /// The line, from 1.
    pub(crate) line: usize,
    /// What is wrong and what to do.
    pub(crate) what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file.display(), self.line, self.what)
    }
}

/// Why a check did not pass.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The rule is broken in these places.
    #[error("{} place(s) break the rule", .0.len())]
    Findings(Vec<Finding>),
    /// The check itself could not be made.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A command ended badly or could not be started.
    #[error("{0}")]
    Command(String),
    /// Some steps of `ci` failed.
    #[error("ci failed: {}", .0.join(", "))]
    Steps(Vec<&'static str>),
}

impl Failure {
    /// Names the file an input or output error is about.
    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }

    /// No findings is success.
    pub(crate) fn from_findings(mut findings: Vec<Finding>) -> Result<(), Self> {
        if findings.is_empty() {
            return Ok(());
        }
        findings.sort();
        Err(Self::Findings(findings))
    }
}

/// Prints a line for people.
#[expect(clippy::print_stderr, reason = "a command-line tool talks on standard error, in this one place")]
pub(crate) fn line(text: &str) {
    eprintln!("{text}");
}

/// Prints why a check did not pass, each finding on its own line.
pub(crate) fn failure(failure: &Failure) {
    if let Failure::Findings(findings) = failure {
        for finding in findings {
            line(&finding.to_string());
        }
    }
    line(&format!("error: {failure}"));
}
