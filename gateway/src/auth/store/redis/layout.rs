//! Where everything stands in Redis. One hash tag keeps all of it in one slot of a cluster.

use super::super::change::Table;

/// A number, grown by every change.
pub(super) const VERSION: &str = "sluice:{access}:version";
/// The layout's number and a random name of this set of data: another after data were lost.
pub(super) const EPOCH: &str = "sluice:{access}:epoch";
/// The signing keys.
pub(super) const SIGNING_KEYS: &str = "sluice:{access}:signing_keys";
/// From a secret's hash to the key's id.
pub(super) const HASHES: &str = "sluice:{access}:key_hashes";
/// From a key's id to its secret's hash, for removing it.
pub(super) const HASH_OF: &str = "sluice:{access}:hash_of_key";
/// When keys were last used; beside them, since that is no change.
pub(super) const USED: &str = "sluice:{access}:keys:used";
/// Revoked tokens, by when they may be forgotten.
pub(super) const REVOKED: &str = "sluice:{access}:revoked_tokens";
/// The audit's entries; an entry's id is its place, counted from 1.
pub(super) const AUDIT: &str = "sluice:{access}:audit";

/// The hash of a kind of record.
pub(super) fn records(table: Table) -> &'static str {
    match table {
        Table::Roles => "sluice:{access}:roles",
        Table::Subjects => "sluice:{access}:subjects",
        Table::Keys => "sluice:{access}:keys",
        Table::Routes => "sluice:{access}:routes",
    }
}

/// The names of a kind of record, in order.
pub(super) fn names(table: Table) -> &'static str {
    match table {
        Table::Roles => "sluice:{access}:roles:names",
        Table::Subjects => "sluice:{access}:subjects:names",
        Table::Keys => "sluice:{access}:keys:names",
        Table::Routes => "sluice:{access}:routes:names",
    }
}

/// The ids of a subject's keys.
pub(super) fn keys_of(subject: &str) -> String {
    format!("sluice:{{access}}:keys_of:{subject}")
}

/// The subjects that have a role.
pub(super) fn subjects_with(role: &str) -> String {
    format!("sluice:{{access}}:subjects_with:{role}")
}
