//! Changes, whatever keeps them: each checked and made inside one transaction, with the audit entry beside it.

use openapi::admin::audit::AuditEntry;
use openapi::admin::keys::Key;
use openapi::admin::models::KeptRoute;
use openapi::admin::roles::Role;
use openapi::admin::subjects::Subject;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Change, Expected, KeyHash, Note, REVOKED_FOR, StoreError, tokens_of};
use crate::auth::policy;

/// Keys that are looked at in one go.
const PAGE: usize = 500;

/// A kind of record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Table {
    Roles,
    Subjects,
    Keys,
    Routes,
}

/// What is kept as JSON by its name.
pub(super) trait Kept: Serialize + DeserializeOwned {
    /// Where.
    const TABLE: Table;

    /// The store's version when it was last changed; 0 where nobody asks.
    fn version(&self) -> u64 {
        0
    }
}

impl Kept for Role {
    const TABLE: Table = Table::Roles;

    fn version(&self) -> u64 {
        self.version
    }
}

impl Kept for Subject {
    const TABLE: Table = Table::Subjects;

    fn version(&self) -> u64 {
        self.version
    }
}

impl Kept for KeptRoute {
    const TABLE: Table = Table::Routes;

    fn version(&self) -> u64 {
        self.version
    }
}

impl Kept for Key {
    const TABLE: Table = Table::Keys;
}

/// What a change reads and writes: a transaction, which is committed or leaves nothing behind. It reads what it wrote.
pub(super) trait Tables {
    /// The version before the change.
    fn version(&mut self) -> Result<u64, StoreError>;
    /// A record's bytes.
    fn get(&mut self, table: Table, name: &str) -> Result<Option<Vec<u8>>, StoreError>;
    /// Writes a record.
    fn put(&mut self, table: Table, name: &str, record: Vec<u8>) -> Result<(), StoreError>;
    /// Removes a record.
    fn remove(&mut self, table: Table, name: &str) -> Result<(), StoreError>;
    /// Keys behind `after`, by id.
    fn keys_after(&mut self, after: Option<&str>, most: usize) -> Result<Vec<Key>, StoreError>;
    /// The keys of a subject, by id.
    fn keys_of(&mut self, subject: &str) -> Result<Vec<String>, StoreError>;
    /// How many subjects have a role.
    fn subjects_with(&mut self, role: &str) -> Result<u64, StoreError>;
    /// Makes a key findable by its secret's hash; `false` where the hash is taken.
    fn add_hash(&mut self, hash: &KeyHash, key: &str) -> Result<bool, StoreError>;
    /// Forgets the hashes of keys.
    fn remove_hashes(&mut self, keys: &[String]) -> Result<(), StoreError>;
    /// Refuses a token until a time, and forgets those whose time is over.
    fn revoke(&mut self, jti: &str, until: u64, now: u64) -> Result<(), StoreError>;
    /// The audit's last id; 0 where it is empty.
    fn last_audit(&mut self) -> Result<u64, StoreError>;
    /// Adds to the audit.
    fn append_audit(&mut self, entry: &AuditEntry) -> Result<(), StoreError>;
}

/// What a change did, for the audit.
struct Done {
    target: String,
    before: Option<Value>,
    after: Option<Value>,
}

/// Makes a change; returns the version after it.
pub(super) fn apply(tables: &mut impl Tables, change: Change, note: &Note) -> Result<u64, StoreError> {
    // What is only told to the audit changes nothing that anybody remembers.
    let version = tables.version()? + u64::from(!matches!(change, Change::Told(..)));
    // Looking for an admin may read every key: only where the change could take the last one away.
    let before = if touches_admin(tables, &change)? { admins(tables, note.at)? } else { Admins::None };
    let done = make(tables, change, version, note.at)?;
    if before > Admins::None && admins(tables, note.at)? < before {
        return Err(StoreError::LastAdmin);
    }
    record(tables, done, note)?;
    Ok(version)
}

fn make(tables: &mut impl Tables, change: Change, version: u64, now: u64) -> Result<Done, StoreError> {
    match change {
        Change::PutRole(mut role, expected) => {
            role.version = version;
            let name = role.name.clone();
            put(tables, &name, &role, expected)
        }
        Change::DeleteRole(name, expected) => {
            let users = tables.subjects_with(&name)?;
            if users > 0 {
                return Err(StoreError::InUse(users));
            }
            delete::<Role>(tables, &name, expected)
        }
        Change::PutSubject(mut subject, expected) => {
            subject.version = version;
            let id = subject.id.clone();
            put(tables, &id, &subject, expected)
        }
        Change::DeleteSubject(id, expected) => {
            let done = delete::<Subject>(tables, &id, expected)?;
            let keys = tables.keys_of(&id)?;
            tables.remove_hashes(&keys)?;
            keys.iter().try_for_each(|key| tables.remove(Table::Keys, key))?;
            // Without its record, what its tokens claim would count again.
            tables.revoke(&tokens_of(&id), now.saturating_add(REVOKED_FOR), now)?;
            Ok(done)
        }
        Change::PutRoute(mut route, expected) => {
            route.version = version;
            let name = route.spec.name.clone();
            put(tables, &name, &route, expected)
        }
        Change::DeleteRoute(name, expected) => delete::<KeptRoute>(tables, &name, expected),
        Change::NewKey(key, hash) => {
            if !tables.add_hash(&hash, &key.id)? {
                return Err(StoreError::Conflict);
            }
            put(tables, &key.id, &key, Expected::New)
        }
        Change::PutKey(key) => put(tables, &key.id, &key, Expected::Any),
        Change::RevokeToken(jti, until) => {
            tables.revoke(&jti, until, now)?;
            Ok(Done { target: jti, before: None, after: None })
        }
        Change::Told(target, what) => Ok(Done { target, before: None, after: Some(what) }),
    }
}

fn check<T: Kept>(old: Option<&T>, expected: Expected) -> Result<(), StoreError> {
    match (old, expected) {
        (None, Expected::New) | (Some(_), Expected::Any) => Ok(()),
        (Some(old), Expected::Version(version)) if old.version() == version => Ok(()),
        (None, _) => Err(StoreError::Missing),
        (Some(_), _) => Err(StoreError::Conflict),
    }
}

fn put<T: Kept>(
    tables: &mut impl Tables,
    name: &str,
    new: &T,
    expected: Expected,
) -> Result<Done, StoreError> {
    let old: Option<T> = find(tables, name)?;
    check(old.as_ref(), expected)?;
    tables.put(T::TABLE, name, write(new)?)?;
    Ok(Done { target: name.to_owned(), before: value(old.as_ref())?, after: value(Some(new))? })
}

fn delete<T: Kept>(tables: &mut impl Tables, name: &str, expected: Expected) -> Result<Done, StoreError> {
    let old: Option<T> = find(tables, name)?;
    check(old.as_ref(), expected)?;
    tables.remove(T::TABLE, name)?;
    Ok(Done { target: name.to_owned(), before: value(old.as_ref())?, after: None })
}

/// Whether a change could take rights from somebody who may give them.
fn touches_admin(tables: &mut impl Tables, change: &Change) -> Result<bool, StoreError> {
    match change {
        Change::PutRole(new, _) => {
            let old: Option<Role> = find(tables, &new.name)?;
            Ok(old.is_some_and(|old| policy::is_admin(&old.policy)) && !policy::is_admin(&new.policy))
        }
        Change::PutSubject(Subject { id, .. }, _) | Change::DeleteSubject(id, _) => is_admin(tables, id),
        Change::PutKey(key) => is_admin(tables, &key.subject),
        Change::DeleteRole(..)
        | Change::PutRoute(..)
        | Change::DeleteRoute(..)
        | Change::NewKey(..)
        | Change::RevokeToken(..)
        | Change::Told(..) => Ok(false),
    }
}

/// Whether somebody who may give rights holds a key that works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Admins {
    /// Nobody.
    None,
    /// For now: each such key ends some day.
    Passing,
    /// For good.
    Lasting,
}

/// Looks until it finds one for good.
pub(super) fn admins(tables: &mut impl Tables, now: u64) -> Result<Admins, StoreError> {
    let mut found = Admins::None;
    let mut after: Option<String> = None;
    loop {
        let keys = tables.keys_after(after.as_deref(), PAGE)?;
        for key in &keys {
            let works = key.revoked_at.is_none() && key.expires_at.is_none_or(|end| end > now);
            if works && is_admin(tables, &key.subject)? {
                if key.expires_at.is_none() {
                    return Ok(Admins::Lasting);
                }
                found = Admins::Passing;
            }
        }
        if keys.len() < PAGE {
            return Ok(found);
        }
        after = keys.into_iter().next_back().map(|key| key.id);
    }
}

fn is_admin(tables: &mut impl Tables, subject: &str) -> Result<bool, StoreError> {
    let subject: Option<Subject> = find(tables, subject)?;
    let Some(subject) = subject.filter(|subject| !subject.disabled) else { return Ok(false) };
    let Some(role) = &subject.role else { return Ok(false) };
    let role: Option<Role> = find(tables, role)?;
    Ok(role.is_some_and(|role| policy::is_admin(&subject.overrides.applied_to(&role.policy))))
}

fn find<T: Kept>(tables: &mut impl Tables, name: &str) -> Result<Option<T>, StoreError> {
    tables.get(T::TABLE, name)?.map(|bytes| parse(&bytes)).transpose()
}

fn record(tables: &mut impl Tables, done: Done, note: &Note) -> Result<(), StoreError> {
    let entry = AuditEntry {
        id: tables.last_audit()? + 1,
        at: note.at,
        actor: note.actor.clone(),
        action: note.action.to_owned(),
        target: done.target,
        before: done.before,
        after: done.after,
    };
    tables.append_audit(&entry)
}

fn value<T: Serialize>(record: Option<&T>) -> Result<Option<Value>, StoreError> {
    record.map(serde_json::to_value).transpose().map_err(failed)
}

/// A record from its bytes.
pub(super) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(bytes).map_err(failed)
}

/// A record's bytes.
pub(super) fn write<T: Serialize>(record: &T) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(record).map_err(failed)
}

/// Any failure of what keeps the records.
pub(super) fn failed(error: impl std::fmt::Display) -> StoreError {
    StoreError::Failed(error.to_string())
}
