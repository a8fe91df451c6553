//! Reads: records by name, in pages, and the audit from its end.

use openapi::admin::audit::AuditEntry;
use openapi::admin::keys::Key;
use redis::{Script, cmd, pipe};

use super::super::change::{Kept, Table, failed, parse};
use super::super::{KeyHash, StoreError};
use super::layout::{AUDIT, HASHES, USED, names, records};
use crate::redis_link::RedisLink;

/// A record by its name.
pub(super) async fn get<T: Kept>(link: &RedisLink, name: &str) -> Result<Option<T>, StoreError> {
    let record: Option<Vec<u8>> =
        link.query(cmd("HGET").arg(records(T::TABLE)).arg(name)).await.map_err(failed)?;
    record.map(|record| parse(&record)).transpose()
}

/// Records behind `after`, in the order of their names.
pub(super) async fn page<T: Kept>(
    link: &RedisLink,
    table: Table,
    after: Option<&str>,
    most: usize,
) -> Result<Vec<T>, StoreError> {
    let after = after.map_or_else(|| "-".to_owned(), |after| format!("({after}"));
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let mut range = cmd("ZRANGEBYLEX");
    range.arg(names(table)).arg(after).arg("+").arg("LIMIT").arg(0).arg(most);
    let found: Vec<String> = link.query(&range).await.map_err(failed)?;
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let found: Vec<Option<Vec<u8>>> =
        link.query(cmd("HMGET").arg(records(table)).arg(found)).await.map_err(failed)?;
    found.iter().flatten().map(|record| parse(record)).collect()
}

/// A key by its secret's hash, in one round trip.
pub(super) async fn key_by_hash(link: &RedisLink, hash: &KeyHash) -> Result<Option<Key>, StoreError> {
    let script = Script::new(
        "local id = redis.call('HGET', KEYS[1], ARGV[1]); if not id then return false end; \
         return redis.call('HGET', KEYS[2], id)",
    );
    let mut call = script.key(HASHES);
    call.key(records(Table::Keys)).arg(hex(hash));
    let record: Option<Vec<u8>> = link.run(&call).await.map_err(failed)?;
    record.map(|record| parse(&record)).transpose()
}

/// Adds to keys when they were last used.
pub(super) async fn with_last_use(link: &RedisLink, mut keys: Vec<Key>) -> Result<Vec<Key>, StoreError> {
    if keys.is_empty() {
        return Ok(keys);
    }
    let ids: Vec<&str> = keys.iter().map(|key| key.id.as_str()).collect();
    let used: Vec<Option<u64>> = link.query(cmd("HMGET").arg(USED).arg(ids)).await.map_err(failed)?;
    for (key, used) in keys.iter_mut().zip(used) {
        key.last_used = used.or(key.last_used);
    }
    Ok(keys)
}

/// Writes down when keys were used.
pub(super) async fn touch(link: &RedisLink, used: &[(String, u64)]) -> Result<(), StoreError> {
    for used in used.chunks(500) {
        let mut commands = pipe();
        for (id, at) in used {
            commands.hset(USED, id, at).ignore();
        }
        let () = link.pipeline(&commands).await.map_err(failed)?;
    }
    Ok(())
}

/// Audit entries before `before`, newest first.
pub(super) async fn audit(
    link: &RedisLink,
    before: Option<u64>,
    most: usize,
) -> Result<Vec<AuditEntry>, StoreError> {
    let length: u64 = link.query(cmd("LLEN").arg(AUDIT)).await.map_err(failed)?;
    // Entry 1 is at place 0: those before `before` end at place `before - 2`.
    let end = before.map_or(length, |before| before.saturating_sub(1).min(length));
    let start = end.saturating_sub(u64::try_from(most).unwrap_or(u64::MAX));
    if start == end {
        return Ok(Vec::new());
    }
    let entries: Vec<Vec<u8>> =
        link.query(cmd("LRANGE").arg(AUDIT).arg(start).arg(end - 1)).await.map_err(failed)?;
    entries.iter().rev().map(|entry| parse(entry)).collect()
}

/// A hash as it is written in Redis.
pub(super) fn hex(hash: &KeyHash) -> String {
    use std::fmt::Write as _;
    hash.iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
