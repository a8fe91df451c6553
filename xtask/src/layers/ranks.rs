//! The table of ranks, read from the crate doc that shows it to people.

use std::collections::BTreeMap;

/// The rank of each top-level module.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Ranks(BTreeMap<String, u32>);

impl Ranks {
    /// Reads ``0 `config error` · 1 `auth` `` from the `//!` lines of a file.
    pub(super) fn read(source: &str) -> Self {
        let doc = source.lines().filter_map(|line| line.strip_prefix("//!")).collect::<Vec<_>>().join(" ");
        let mut ranks = BTreeMap::new();
        // Between backticks stand the names, before them the number.
        let mut pieces = doc.split('`');
        let mut before = pieces.next();
        while let (Some(text), Some(names)) = (before, pieces.next()) {
            let number = text.split_whitespace().next_back().and_then(|word| word.parse().ok());
            if let Some(rank) = number {
                ranks.extend(names.split_whitespace().map(|name| (name.to_owned(), rank)));
            }
            before = pieces.next();
        }
        Self(ranks)
    }

    /// The rank of a module, if it has one.
    pub(super) fn of(&self, module: &str) -> Option<u32> {
        self.0.get(module).copied()
    }
}
