//! A change being prepared: it reads from Redis, keeps what it would write, and is committed if nothing came between.

use std::collections::HashMap;

use openapi::admin::audit::AuditEntry;
use openapi::admin::keys::Key;
use openapi::admin::subjects::Subject;
use redis::{FromRedisValue, Script, cmd};
use tokio::runtime::Handle;

use super::super::change::{self, Admins, Table, Tables, failed, parse, write};
use super::super::{Change, KeyHash, Note, StoreError};
use super::layout::{AUDIT, HASH_OF, HASHES, REVOKED, USED, VERSION, keys_of, names, records, subjects_with};
use super::reading;
use crate::redis_link::RedisLink;

/// Changes of others that may come between before a change gives up.
const ATTEMPTS: usize = 64;

/// Fields that one command may remove.
const FEW: usize = 500;

/// What was read and would be written. Lives on a thread that may block.
struct Draft<'a> {
    link: &'a RedisLink,
    runtime: Handle,
    version: u64,
    commands: Vec<Vec<String>>,
    /// Records that it wrote or removed, which Redis does not know yet.
    written: HashMap<(Table, String), Option<Vec<u8>>>,
}

/// Makes a change: prepared against what is read, committed only if that still stands, else prepared again.
/// Returns the version after it. Blocks.
pub(super) fn apply(link: &RedisLink, change: &Change, note: &Note) -> Result<u64, StoreError> {
    let commit = Script::new(include_str!("commit.lua"));
    for _ in 0..ATTEMPTS {
        let mut draft = Draft::begin(link)?;
        change::apply(&mut draft, change.clone(), note)?;
        let told_only = matches!(change, Change::Told(..));
        let commands = serde_json::to_string(&draft.commands).map_err(failed)?;
        let mut call = commit.key(VERSION);
        call.arg(draft.version).arg(u8::from(!told_only)).arg(commands);
        let version: i64 = draft.runtime.block_on(link.run(&call)).map_err(failed)?;
        if let Ok(version) = u64::try_from(version) {
            return Ok(version);
        }
    }
    Err(StoreError::Failed("others made changes all the time".to_owned()))
}

/// Whether somebody who may give rights holds a key that works. Blocks.
pub(super) fn has_admin(link: &RedisLink, now: u64) -> Result<bool, StoreError> {
    Ok(change::admins(&mut Draft::begin(link)?, now)? > Admins::None)
}

impl<'a> Draft<'a> {
    fn begin(link: &'a RedisLink) -> Result<Self, StoreError> {
        let runtime = Handle::current();
        let version: Option<u64> = runtime.block_on(link.query(cmd("GET").arg(VERSION))).map_err(failed)?;
        let version = version.unwrap_or(0);
        Ok(Self { link, runtime, version, commands: Vec::new(), written: HashMap::new() })
    }

    fn query<T: FromRedisValue>(&self, command: &redis::Cmd) -> Result<T, StoreError> {
        self.runtime.block_on(self.link.query(command)).map_err(failed)
    }

    fn will(&mut self, command: &[&str]) {
        self.commands.push(command.iter().map(|&part| part.to_owned()).collect());
    }

    fn old<T: change::Kept>(&mut self, name: &str) -> Result<Option<T>, StoreError> {
        self.get(T::TABLE, name)?.map(|bytes| parse(&bytes)).transpose()
    }

    /// A subject's role is found from both sides.
    fn index_role(&mut self, id: &str, new: Option<&Subject>) -> Result<(), StoreError> {
        let old: Option<Subject> = self.old(id)?;
        if let Some(role) = old.and_then(|old| old.role) {
            self.will(&["SREM", &subjects_with(&role), id]);
        }
        if let Some(role) = new.and_then(|new| new.role.as_ref()) {
            self.will(&["SADD", &subjects_with(role), id]);
        }
        Ok(())
    }
}

impl Tables for Draft<'_> {
    fn version(&mut self) -> Result<u64, StoreError> {
        Ok(self.version)
    }

    fn get(&mut self, table: Table, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        if let Some(written) = self.written.get(&(table, name.to_owned())) {
            return Ok(written.clone());
        }
        self.query(cmd("HGET").arg(records(table)).arg(name))
    }

    fn put(&mut self, table: Table, name: &str, record: Vec<u8>) -> Result<(), StoreError> {
        match table {
            Table::Roles | Table::Routes => {}
            Table::Subjects => self.index_role(name, Some(&parse(&record)?))?,
            Table::Keys => {
                let key: Key = parse(&record)?;
                self.will(&["SADD", &keys_of(&key.subject), name]);
            }
        }
        let text = String::from_utf8(record.clone()).map_err(failed)?;
        self.will(&["HSET", records(table), name, &text]);
        self.will(&["ZADD", names(table), "0", name]);
        self.written.insert((table, name.to_owned()), Some(record));
        Ok(())
    }

    fn remove(&mut self, table: Table, name: &str) -> Result<(), StoreError> {
        match table {
            Table::Roles | Table::Routes => {}
            Table::Subjects => self.index_role(name, None)?,
            Table::Keys => {
                if let Some(key) = self.old::<Key>(name)? {
                    self.will(&["SREM", &keys_of(&key.subject), name]);
                }
                self.will(&["HDEL", USED, name]);
            }
        }
        self.will(&["HDEL", records(table), name]);
        self.will(&["ZREM", names(table), name]);
        self.written.insert((table, name.to_owned()), None);
        Ok(())
    }

    fn keys_after(&mut self, after: Option<&str>, most: usize) -> Result<Vec<Key>, StoreError> {
        let found: Vec<Key> = self.runtime.block_on(reading::page(self.link, Table::Keys, after, most))?;
        let mut keys = Vec::with_capacity(found.len());
        for key in found {
            match self.written.get(&(Table::Keys, key.id.clone())) {
                None => keys.push(key),
                Some(Some(written)) => keys.push(parse(written)?),
                // Kept in the page, which must not look like the last one; it works no more.
                Some(None) => keys.push(Key { revoked_at: Some(0), ..key }),
            }
        }
        Ok(keys)
    }

    fn keys_of(&mut self, subject: &str) -> Result<Vec<String>, StoreError> {
        self.query(cmd("SMEMBERS").arg(keys_of(subject)))
    }

    fn subjects_with(&mut self, role: &str) -> Result<u64, StoreError> {
        self.query(cmd("SCARD").arg(subjects_with(role)))
    }

    fn add_hash(&mut self, hash: &KeyHash, key: &str) -> Result<bool, StoreError> {
        let hash = reading::hex(hash);
        let taken: bool = self.query(cmd("HEXISTS").arg(HASHES).arg(&hash))?;
        self.will(&["HSET", HASHES, &hash, key]);
        self.will(&["HSET", HASH_OF, key, &hash]);
        Ok(!taken)
    }

    fn remove_hashes(&mut self, keys: &[String]) -> Result<(), StoreError> {
        for keys in keys.chunks(FEW) {
            let hashes: Vec<Option<String>> = self.query(cmd("HMGET").arg(HASH_OF).arg(keys))?;
            let hashes: Vec<&str> = hashes.iter().flatten().map(String::as_str).collect();
            if !hashes.is_empty() {
                self.will(&[&["HDEL", HASHES], hashes.as_slice()].concat());
            }
            let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
            self.will(&[&["HDEL", HASH_OF], keys.as_slice()].concat());
        }
        Ok(())
    }

    fn revoke(&mut self, jti: &str, until: u64, now: u64) -> Result<(), StoreError> {
        self.will(&["ZREMRANGEBYSCORE", REVOKED, "-inf", &now.to_string()]);
        self.will(&["ZADD", REVOKED, &until.to_string(), jti]);
        Ok(())
    }

    fn last_audit(&mut self) -> Result<u64, StoreError> {
        self.query(cmd("LLEN").arg(AUDIT))
    }

    fn append_audit(&mut self, entry: &AuditEntry) -> Result<(), StoreError> {
        let text = String::from_utf8(write(entry)?).map_err(failed)?;
        self.will(&["RPUSH", AUDIT, &text]);
        Ok(())
    }
}
