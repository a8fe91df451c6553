//! A module of the gateway imports only from lower ranks, and only the llama engine touches llama.cpp.
//!
//! The ranks are read from the crate's own doc (`gateway/src/lib.rs`), so the page that people read is the rule. A
//! module may not import from its own rank either: that rules out every cycle, and keeps the steps of a request from
//! calling each other.

mod ranks;
mod references;
#[cfg(test)]
mod tests;

use std::path::Path;

use crate::files;
use crate::report::{Failure, Finding};
use ranks::Ranks;
use references::{Reference, Target};

/// Where the only code that calls llama.cpp lives.
const LLAMA: &str = "engine/llama";

/// Checks the gateway's source.
pub(crate) fn check(root: &Path) -> Result<(), Failure> {
    let source = root.join("gateway/src");
    let map = source.join("lib.rs");
    let ranks = Ranks::read(&files::read(&map)?);
    let mut findings = Vec::new();
    for path in files::rust_files(&source)? {
        let inside = path.strip_prefix(&source).unwrap_or(&path);
        if files::is_test(inside) {
            continue;
        }
        let shown = path.strip_prefix(root).unwrap_or(&path);
        let mut found = |line, what| findings.push(Finding { file: shown.to_owned(), line, what });
        let module = references::module_path(inside);
        let own = module.first().map_or("lib", String::as_str);
        if ranks.of(own).is_none() {
            found(1, format!("module `{own}` has no rank: give it one in the doc of gateway/src/lib.rs"));
        }
        match references::references(&files::read(&path)?, module.len()) {
            Ok(references) => {
                for reference in references {
                    if let Some(what) = judge(&ranks, own, inside, &reference) {
                        found(reference.line, what);
                    }
                }
            }
            Err(error) => found(error.line, error.what),
        }
    }
    Failure::from_findings(findings)
}

/// What is wrong with a reference, if anything is.
fn judge(ranks: &Ranks, own: &str, file: &Path, reference: &Reference) -> Option<String> {
    let other = match &reference.target {
        Target::Llama(name) => {
            let inside = file.starts_with(LLAMA);
            return (!inside).then(|| format!("`{name}` is for {LLAMA} alone: use the engine trait"));
        }
        Target::Module(name) => name.as_str(),
    };
    if other == own || own == "lib" {
        return None;
    }
    let (Some(mine), Some(theirs)) = (ranks.of(own), ranks.of(other)) else {
        let unknown = ranks.of(other).is_none();
        return unknown
            .then(|| format!("`crate::{other}` is no ranked module: import from where it is defined"));
    };
    (theirs >= mine)
        .then(|| format!("`{own}` (rank {mine}) imports from `{other}` (rank {theirs}): only lower ranks"))
}
