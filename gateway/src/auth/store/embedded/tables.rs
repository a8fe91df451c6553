//! The tables of the file, and records in and out of them as JSON.

use redb::{Database, Durability, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};
use serde::de::DeserializeOwned;

use super::super::StoreError;
use super::super::change::{failed, parse, write};
use crate::auth::policy;

/// Records by name or id.
pub(super) type Records = TableDefinition<'static, &'static str, &'static [u8]>;

pub(super) const ROLES: Records = TableDefinition::new("roles");
pub(super) const SUBJECTS: Records = TableDefinition::new("subjects");
pub(super) const ROUTES: Records = TableDefinition::new("routes");
pub(super) const KEYS: Records = TableDefinition::new("keys");
/// From a secret's hash to the key's id.
pub(super) const HASHES: TableDefinition<'static, &'static [u8], &'static str> =
    TableDefinition::new("key_hashes");
pub(super) const AUDIT: TableDefinition<'static, u64, &'static [u8]> = TableDefinition::new("audit");
/// From a revoked token's `jti` to when it may be forgotten.
pub(super) const REVOKED: TableDefinition<'static, &'static str, u64> =
    TableDefinition::new("revoked_tokens");
pub(super) const META: TableDefinition<'static, &'static str, u64> = TableDefinition::new("meta");

/// The store's version, in [`META`].
pub(super) const VERSION: &str = "version";
/// The layout of the file, in [`META`].
const LAYOUT: &str = "layout";
/// This program's layout.
const THIS_LAYOUT: u64 = 1;

/// Makes what a new file lacks; returns its version.
pub(super) fn initialize(database: &Database) -> Result<u64, StoreError> {
    let writing = begin(database)?;
    let version = {
        let mut meta = writing.open_table(META).map_err(failed)?;
        let layout = meta.get(LAYOUT).map_err(failed)?.map(|value| value.value());
        if layout.is_some_and(|layout| layout != THIS_LAYOUT) {
            return Err(StoreError::Failed("it was written by another version of this program".to_owned()));
        }
        for table in [SUBJECTS, KEYS, ROUTES] {
            writing.open_table(table).map_err(failed)?;
        }
        writing.open_table(HASHES).map_err(failed)?;
        writing.open_table(AUDIT).map_err(failed)?;
        writing.open_table(REVOKED).map_err(failed)?;
        let mut roles = writing.open_table(ROLES).map_err(failed)?;
        if layout.is_none() {
            for role in policy::built_in() {
                roles.insert(role.name.as_str(), write(&role)?.as_slice()).map_err(failed)?;
            }
            meta.insert(LAYOUT, THIS_LAYOUT).map_err(failed)?;
            meta.insert(VERSION, 0).map_err(failed)?;
        }
        let version = meta.get(VERSION).map_err(failed)?;
        version.map_or(0, |value| value.value())
    };
    writing.commit().map_err(failed)?;
    Ok(version)
}

/// A transaction that is on the disk when it is committed.
pub(super) fn begin(database: &Database) -> Result<WriteTransaction, StoreError> {
    let mut writing = database.begin_write().map_err(failed)?;
    writing.set_durability(Durability::Immediate).map_err(failed)?;
    Ok(writing)
}

/// One record.
pub(super) fn get<T: DeserializeOwned>(
    database: &Database,
    table: Records,
    key: &str,
) -> Result<Option<T>, StoreError> {
    let reading = database.begin_read().map_err(failed)?;
    let table = reading.open_table(table).map_err(failed)?;
    table.get(key).map_err(failed)?.map(|value| parse(value.value())).transpose()
}

/// Records behind `after`, in the order of their names.
pub(super) fn page<T: DeserializeOwned>(
    database: &Database,
    table: Records,
    after: Option<&str>,
    most: usize,
) -> Result<Vec<T>, StoreError> {
    let reading = database.begin_read().map_err(failed)?;
    behind(&reading.open_table(table).map_err(failed)?, after, most)
}

/// Records of an open table behind `after`, in the order of their names.
pub(super) fn behind<T: DeserializeOwned>(
    table: &impl ReadableTable<&'static str, &'static [u8]>,
    after: Option<&str>,
    most: usize,
) -> Result<Vec<T>, StoreError> {
    let after = after.unwrap_or_default();
    let range = table.range(after..).map_err(failed)?;
    // The first one may be `after` itself.
    let mut records = Vec::new();
    for entry in range {
        let (name, value) = entry.map_err(failed)?;
        if records.len() == most {
            break;
        }
        if name.value() != after {
            records.push(parse(value.value())?);
        }
    }
    Ok(records)
}
