//! A transaction of the file, as changes see it.

use openapi::admin::audit::AuditEntry;
use openapi::admin::keys::Key;
use openapi::admin::subjects::Subject;
use redb::{Database, ReadableTable, WriteTransaction};

use super::super::change::{self, Table, Tables, failed, parse, write};
use super::super::{Change, KeyHash, Note, StoreError};
use super::tables::{AUDIT, HASHES, KEYS, META, REVOKED, ROLES, ROUTES, Records, SUBJECTS, VERSION, begin};

/// An open transaction; dropped, it leaves nothing behind.
pub(super) struct Writing<'a>(pub(super) &'a WriteTransaction);

/// Makes a change.
pub(super) fn apply(database: &Database, change: Change, note: &Note) -> Result<u64, StoreError> {
    let writing = begin(database)?;
    let version = change::apply(&mut Writing(&writing), change, note)?;
    writing.open_table(META).map_err(failed)?.insert(VERSION, version).map_err(failed)?;
    writing.commit().map_err(failed)?;
    Ok(version)
}

/// Remembers when keys were used. Losing the last minute of it in a crash harms nobody.
pub(super) fn touch(database: &Database, used: &[(String, u64)]) -> Result<(), StoreError> {
    let writing = begin(database)?;
    let mut tables = Writing(&writing);
    for (id, at) in used {
        let Some(old) = tables.get(Table::Keys, id)? else { continue };
        let key = Key { last_used: Some(*at), ..parse(&old)? };
        tables.put(Table::Keys, id, write(&key)?)?;
    }
    writing.commit().map_err(failed)
}

fn definition(table: Table) -> Records {
    match table {
        Table::Roles => ROLES,
        Table::Subjects => SUBJECTS,
        Table::Keys => KEYS,
        Table::Routes => ROUTES,
    }
}

impl Tables for Writing<'_> {
    fn version(&mut self) -> Result<u64, StoreError> {
        let meta = self.0.open_table(META).map_err(failed)?;
        Ok(meta.get(VERSION).map_err(failed)?.map_or(0, |value| value.value()))
    }

    fn get(&mut self, table: Table, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let table = self.0.open_table(definition(table)).map_err(failed)?;
        Ok(table.get(name).map_err(failed)?.map(|value| value.value().to_vec()))
    }

    fn put(&mut self, table: Table, name: &str, record: Vec<u8>) -> Result<(), StoreError> {
        let mut table = self.0.open_table(definition(table)).map_err(failed)?;
        table.insert(name, record.as_slice()).map_err(failed)?;
        Ok(())
    }

    fn remove(&mut self, table: Table, name: &str) -> Result<(), StoreError> {
        let mut table = self.0.open_table(definition(table)).map_err(failed)?;
        table.remove(name).map_err(failed)?;
        Ok(())
    }

    fn keys_after(&mut self, after: Option<&str>, most: usize) -> Result<Vec<Key>, StoreError> {
        let keys = self.0.open_table(KEYS).map_err(failed)?;
        super::tables::behind(&keys, after, most)
    }

    fn keys_of(&mut self, subject: &str) -> Result<Vec<String>, StoreError> {
        let keys = self.0.open_table(KEYS).map_err(failed)?;
        let mut found = Vec::new();
        for entry in keys.iter().map_err(failed)? {
            let key: Key = parse(entry.map_err(failed)?.1.value())?;
            if key.subject == subject {
                found.push(key.id);
            }
        }
        Ok(found)
    }

    fn subjects_with(&mut self, role: &str) -> Result<u64, StoreError> {
        let subjects = self.0.open_table(SUBJECTS).map_err(failed)?;
        let mut count = 0;
        for entry in subjects.iter().map_err(failed)? {
            let subject: Subject = parse(entry.map_err(failed)?.1.value())?;
            count += u64::from(subject.role.as_deref() == Some(role));
        }
        Ok(count)
    }

    fn add_hash(&mut self, hash: &KeyHash, key: &str) -> Result<bool, StoreError> {
        let mut hashes = self.0.open_table(HASHES).map_err(failed)?;
        Ok(hashes.insert(hash.as_slice(), key).map_err(failed)?.is_none())
    }

    fn remove_hashes(&mut self, keys: &[String]) -> Result<(), StoreError> {
        let mut hashes = self.0.open_table(HASHES).map_err(failed)?;
        hashes.retain(|_, id| !keys.iter().any(|gone| gone == id)).map_err(failed)
    }

    fn revoke(&mut self, jti: &str, until: u64, now: u64) -> Result<(), StoreError> {
        let mut revoked = self.0.open_table(REVOKED).map_err(failed)?;
        revoked.retain(|_, until| until > now).map_err(failed)?;
        revoked.insert(jti, until).map_err(failed)?;
        Ok(())
    }

    fn last_audit(&mut self) -> Result<u64, StoreError> {
        let audit = self.0.open_table(AUDIT).map_err(failed)?;
        Ok(audit.last().map_err(failed)?.map_or(0, |(id, _)| id.value()))
    }

    fn append_audit(&mut self, entry: &AuditEntry) -> Result<(), StoreError> {
        let mut audit = self.0.open_table(AUDIT).map_err(failed)?;
        audit.insert(entry.id, write(entry)?.as_slice()).map_err(failed)?;
        Ok(())
    }
}
