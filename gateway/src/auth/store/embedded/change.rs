//! Changes to the file: checked and made inside one transaction, with the audit entry beside them.

use openapi::admin::audit::AuditEntry;
use openapi::admin::keys::Key;
use openapi::admin::roles::Role;
use openapi::admin::subjects::Subject;
use redb::{Database, ReadableTable, WriteTransaction};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::super::{Change, Expected, KeyHash, Note, StoreError};
use super::tables::{
    AUDIT, HASHES, KEYS, META, REVOKED, ROLES, Records, SUBJECTS, VERSION, begin, failed, parse, write,
};
use crate::auth::policy;

/// What a change did, for the audit.
struct Done {
    target: String,
    before: Option<Value>,
    after: Option<Value>,
}

/// Makes a change; dropped on an error, the transaction leaves nothing behind.
pub(super) fn apply(database: &Database, change: Change, note: &Note) -> Result<u64, StoreError> {
    let writing = begin(database)?;
    let version = next_version(&writing)?;
    // Looking for an admin may read every key: only where the change could take the last one away.
    let guarded = touches_admin(&writing, &change)? && has_admin(&writing, note.at)?;
    let done = make(&writing, change, version, note.at)?;
    if guarded && !has_admin(&writing, note.at)? {
        return Err(StoreError::LastAdmin);
    }
    record(&writing, done, note)?;
    writing.commit().map_err(failed)?;
    Ok(version)
}

fn make(writing: &WriteTransaction, change: Change, version: u64, now: u64) -> Result<Done, StoreError> {
    match change {
        Change::PutRole(mut role, expected) => {
            role.version = version;
            let name = role.name.clone();
            put(writing, ROLES, &name, &role, expected)
        }
        Change::DeleteRole(name, expected) => {
            let users = count_subjects_with(writing, &name)?;
            if users > 0 {
                return Err(StoreError::InUse(users));
            }
            delete::<Role>(writing, ROLES, &name, expected)
        }
        Change::PutSubject(mut subject, expected) => {
            subject.version = version;
            let id = subject.id.clone();
            put(writing, SUBJECTS, &id, &subject, expected)
        }
        Change::DeleteSubject(id, expected) => {
            delete_keys_of(writing, &id)?;
            delete::<Subject>(writing, SUBJECTS, &id, expected)
        }
        Change::NewKey(key, hash) => new_key(writing, &key, &hash),
        Change::PutKey(key) => put(writing, KEYS, &key.id, &key, Expected::Any),
        Change::RevokeToken(jti, until) => {
            let mut revoked = writing.open_table(REVOKED).map_err(failed)?;
            revoked.retain(|_, until| until > now).map_err(failed)?;
            revoked.insert(jti.as_str(), until).map_err(failed)?;
            Ok(Done { target: jti, before: None, after: None })
        }
    }
}

/// Records that carry their version.
trait Versioned: Serialize + DeserializeOwned {
    fn version(&self) -> u64;
}

impl Versioned for Role {
    fn version(&self) -> u64 {
        self.version
    }
}

impl Versioned for Subject {
    fn version(&self) -> u64 {
        self.version
    }
}

impl Versioned for Key {
    fn version(&self) -> u64 {
        0
    }
}

fn check<T: Versioned>(old: Option<&T>, expected: Expected) -> Result<(), StoreError> {
    match (old, expected) {
        (None, Expected::New) | (Some(_), Expected::Any) => Ok(()),
        (Some(old), Expected::Version(version)) if old.version() == version => Ok(()),
        (None, _) => Err(StoreError::Missing),
        (Some(_), _) => Err(StoreError::Conflict),
    }
}

fn put<T: Versioned>(
    writing: &WriteTransaction,
    table: Records,
    name: &str,
    new: &T,
    expected: Expected,
) -> Result<Done, StoreError> {
    let mut table = writing.open_table(table).map_err(failed)?;
    let old: Option<T> = table.get(name).map_err(failed)?.map(|value| parse(value.value())).transpose()?;
    check(old.as_ref(), expected)?;
    table.insert(name, write(new)?.as_slice()).map_err(failed)?;
    Ok(Done { target: name.to_owned(), before: value(old.as_ref())?, after: value(Some(new))? })
}

fn delete<T: Versioned>(
    writing: &WriteTransaction,
    table: Records,
    name: &str,
    expected: Expected,
) -> Result<Done, StoreError> {
    let mut table = writing.open_table(table).map_err(failed)?;
    let old: Option<T> = table.remove(name).map_err(failed)?.map(|value| parse(value.value())).transpose()?;
    check(old.as_ref(), expected)?;
    Ok(Done { target: name.to_owned(), before: value(old.as_ref())?, after: None })
}

fn new_key(writing: &WriteTransaction, key: &Key, hash: &KeyHash) -> Result<Done, StoreError> {
    let mut hashes = writing.open_table(HASHES).map_err(failed)?;
    if hashes.insert(hash.as_slice(), key.id.as_str()).map_err(failed)?.is_some() {
        return Err(StoreError::Conflict);
    }
    put(writing, KEYS, &key.id, key, Expected::New)
}

fn delete_keys_of(writing: &WriteTransaction, subject: &str) -> Result<(), StoreError> {
    let mut keys = writing.open_table(KEYS).map_err(failed)?;
    let mut hashes = writing.open_table(HASHES).map_err(failed)?;
    let mut gone = Vec::new();
    for entry in keys.iter().map_err(failed)? {
        let (_, record) = entry.map_err(failed)?;
        let key: Key = parse(record.value())?;
        if key.subject == subject {
            gone.push(key.id);
        }
    }
    for id in &gone {
        keys.remove(id.as_str()).map_err(failed)?;
    }
    hashes.retain(|_, id| !gone.iter().any(|gone| gone == id)).map_err(failed)
}

fn count_subjects_with(writing: &WriteTransaction, role: &str) -> Result<u64, StoreError> {
    let subjects = writing.open_table(SUBJECTS).map_err(failed)?;
    let mut count = 0;
    for entry in subjects.iter().map_err(failed)? {
        let subject: Subject = parse(entry.map_err(failed)?.1.value())?;
        count += u64::from(subject.role.as_deref() == Some(role));
    }
    Ok(count)
}

/// Whether a change could take rights from somebody who may give them.
fn touches_admin(writing: &WriteTransaction, change: &Change) -> Result<bool, StoreError> {
    match change {
        Change::PutRole(new, _) => {
            let old: Option<Role> = find(writing, ROLES, &new.name)?;
            Ok(old.is_some_and(|old| policy::is_admin(&old.policy)) && !policy::is_admin(&new.policy))
        }
        Change::PutSubject(Subject { id, .. }, _) | Change::DeleteSubject(id, _) => is_admin(writing, id),
        Change::PutKey(key) => is_admin(writing, &key.subject),
        Change::DeleteRole(..) | Change::NewKey(..) | Change::RevokeToken(..) => Ok(false),
    }
}

/// Whether somebody who may give rights holds a key that works. Ends at the first.
pub(super) fn has_admin(writing: &WriteTransaction, now: u64) -> Result<bool, StoreError> {
    let keys = writing.open_table(KEYS).map_err(failed)?;
    for entry in keys.iter().map_err(failed)? {
        let key: Key = parse(entry.map_err(failed)?.1.value())?;
        let works = key.revoked_at.is_none() && key.expires_at.is_none_or(|end| end > now);
        if works && is_admin(writing, &key.subject)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn is_admin(writing: &WriteTransaction, subject: &str) -> Result<bool, StoreError> {
    let subject: Option<Subject> = find(writing, SUBJECTS, subject)?;
    let Some(subject) = subject.filter(|subject| !subject.disabled) else { return Ok(false) };
    let Some(role) = &subject.role else { return Ok(false) };
    let role: Option<Role> = find(writing, ROLES, role)?;
    Ok(role.is_some_and(|role| policy::is_admin(&subject.overrides.applied_to(&role.policy))))
}

fn find<T: DeserializeOwned>(
    writing: &WriteTransaction,
    table: Records,
    name: &str,
) -> Result<Option<T>, StoreError> {
    let table = writing.open_table(table).map_err(failed)?;
    table.get(name).map_err(failed)?.map(|value| parse(value.value())).transpose()
}

fn next_version(writing: &WriteTransaction) -> Result<u64, StoreError> {
    let mut meta = writing.open_table(META).map_err(failed)?;
    let version = meta.get(VERSION).map_err(failed)?.map_or(0, |value| value.value()) + 1;
    meta.insert(VERSION, version).map_err(failed)?;
    Ok(version)
}

fn record(writing: &WriteTransaction, done: Done, note: &Note) -> Result<(), StoreError> {
    let mut audit = writing.open_table(AUDIT).map_err(failed)?;
    let id = audit.last().map_err(failed)?.map_or(0, |(id, _)| id.value()) + 1;
    let entry = AuditEntry {
        id,
        at: note.at,
        actor: note.actor.clone(),
        action: note.action.to_owned(),
        target: done.target,
        before: done.before,
        after: done.after,
    };
    audit.insert(id, write(&entry)?.as_slice()).map_err(failed)?;
    Ok(())
}

fn value<T: Serialize>(record: Option<&T>) -> Result<Option<Value>, StoreError> {
    record.map(serde_json::to_value).transpose().map_err(failed)
}

/// Remembers when keys were used. Losing the last minute of it in a crash harms nobody.
pub(super) fn touch(database: &Database, used: &[(String, u64)]) -> Result<(), StoreError> {
    let writing = begin(database)?;
    {
        let mut keys = writing.open_table(KEYS).map_err(failed)?;
        for (id, at) in used {
            let old = keys
                .get(id.as_str())
                .map_err(failed)?
                .map(|value| parse::<Key>(value.value()))
                .transpose()?;
            let Some(mut key) = old else { continue };
            key.last_used = Some(*at);
            keys.insert(id.as_str(), write(&key)?.as_slice()).map_err(failed)?;
        }
    }
    writing.commit().map_err(failed)
}
