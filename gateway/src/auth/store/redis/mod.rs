//! The store that many replicas share, in Redis.
//!
//! A change is prepared by the same rules as in the embedded store and committed by one script, if no other change came
//! between. Every replica looks at the version four times a second; what it remembers of callers holds as long as
//! the version stands. While Redis is away, callers who are remembered stay known for [`BELIEVED`]; nobody else is,
//! and nothing can be changed.

mod draft;
mod keys;
mod layout;
mod reading;
#[cfg(test)]
mod tests;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use openapi::admin::audit::AuditEntry;
use openapi::admin::keys::Key;
use openapi::admin::models::KeptRoute;
use openapi::admin::roles::Role;
use openapi::admin::subjects::Subject;
use redis::{Script, cmd};

use self::layout::{EPOCH, REVOKED, VERSION, names, records};
use self::watch::Seen;
use super::change::{Table, failed, write};
use super::{Answer, AuthStore, Change, KeyHash, Note, SharedKeys, StoreError};
use crate::auth::policy;
use crate::redis_link::RedisLink;

/// This program's layout, and how an epoch begins.
const LAYOUT: &str = "1:";
/// How long callers stay known while Redis is away: a revocation cannot reach this replica then.
pub const BELIEVED: Duration = Duration::from_mins(5);

/// A store that replicas share.
#[derive(Clone)]
pub struct RedisStore {
    link: RedisLink,
    seen: Arc<Seen>,
}

impl RedisStore {
    /// Opens the store, and makes the built-in roles where it is empty.
    ///
    /// # Errors
    /// Redis does not answer, or holds what another version of this program wrote.
    pub async fn open(link: RedisLink) -> Result<Self, StoreError> {
        Self::believing(link, BELIEVED).await
    }

    async fn believing(link: RedisLink, believed: Duration) -> Result<Self, StoreError> {
        let epoch = initialize(&link).await?;
        let version: Option<u64> = link.query(cmd("GET").arg(VERSION)).await.map_err(failed)?;
        let seen = Seen::new(epoch, version.unwrap_or(0), believed);
        Ok(Self { link, seen: Arc::new(seen) })
    }

    /// Looks at the version until it is dropped.
    pub async fn keep_looking(self) {
        let mut beats = watch::beats();
        loop {
            beats.tick().await;
            if let Err(error) = self.look().await {
                self.seen.missed(&error);
            }
        }
    }

    async fn look(&self) -> Result<(), StoreError> {
        let found: (Option<String>, Option<u64>) =
            self.link.query(cmd("MGET").arg(EPOCH).arg(VERSION)).await.map_err(failed)?;
        let (epoch, version) = match found {
            (Some(epoch), version) => (epoch, version.unwrap_or(0)),
            // Its data are lost: it is usable again, and whoever is asked for stays unknown.
            (None, _) => (initialize(&self.link).await?, 0),
        };
        self.seen.saw(&epoch, version);
        Ok(())
    }

    /// Asks, unless the last look just failed: then there is no use in waiting for another time-out.
    fn ask<'a, T: Send + 'a>(
        &'a self,
        answer: impl Future<Output = Result<T, StoreError>> + Send + 'a,
    ) -> Answer<'a, T> {
        async move {
            if self.seen.away() {
                return Err(StoreError::Failed("Redis is away".to_owned()));
            }
            answer.await
        }
        .boxed()
    }
}

/// Sees to it that there are the built-in roles; returns the epoch.
async fn initialize(link: &RedisLink) -> Result<String, StoreError> {
    let script = Script::new(include_str!("initialize.lua"));
    let mut call = script.key(EPOCH);
    call.key(records(Table::Roles)).key(names(Table::Roles));
    call.arg(format!("{LAYOUT}{:032x}", rand::random::<u128>()));
    for role in policy::built_in() {
        call.arg(&role.name).arg(write(&role)?);
    }
    let epoch: String = link.run(&call).await.map_err(failed)?;
    if epoch.starts_with(LAYOUT) {
        return Ok(epoch);
    }
    Err(StoreError::Failed("it was written by another version of this program".to_owned()))
}

impl AuthStore for RedisStore {
    fn version(&self) -> u64 {
        self.seen.stamp()
    }

    fn changes(&self) -> Option<tokio::sync::watch::Receiver<u64>> {
        Some(self.seen.changes())
    }

    fn shared_keys(&self) -> Option<Box<dyn SharedKeys>> {
        Some(Box::new(keys::Keys::new(self.link.clone())))
    }

    fn role<'a>(&'a self, name: &'a str) -> Answer<'a, Option<Role>> {
        self.ask(reading::get(&self.link, name))
    }

    fn roles(&self) -> Answer<'_, Vec<Role>> {
        self.ask(reading::page(&self.link, Table::Roles, None, usize::MAX))
    }

    fn route<'a>(&'a self, name: &'a str) -> Answer<'a, Option<KeptRoute>> {
        self.ask(reading::get(&self.link, name))
    }

    fn routes(&self) -> Answer<'_, Vec<KeptRoute>> {
        self.ask(reading::page(&self.link, Table::Routes, None, usize::MAX))
    }

    fn subject<'a>(&'a self, id: &'a str) -> Answer<'a, Option<Subject>> {
        self.ask(reading::get(&self.link, id))
    }

    fn subjects<'a>(&'a self, after: Option<&'a str>, most: usize) -> Answer<'a, Vec<Subject>> {
        self.ask(reading::page(&self.link, Table::Subjects, after, most))
    }

    fn key<'a>(&'a self, id: &'a str) -> Answer<'a, Option<Key>> {
        self.ask(async move {
            let found: Option<Key> = reading::get(&self.link, id).await?;
            Ok(reading::with_last_use(&self.link, found.into_iter().collect()).await?.pop())
        })
    }

    fn key_by_hash<'a>(&'a self, hash: &'a KeyHash) -> Answer<'a, Option<Key>> {
        self.ask(reading::key_by_hash(&self.link, hash))
    }

    fn keys<'a>(&'a self, after: Option<&'a str>, most: usize) -> Answer<'a, Vec<Key>> {
        self.ask(async move {
            let keys = reading::page(&self.link, Table::Keys, after, most).await?;
            reading::with_last_use(&self.link, keys).await
        })
    }

    fn audit(&self, before: Option<u64>, most: usize) -> Answer<'_, Vec<AuditEntry>> {
        self.ask(reading::audit(&self.link, before, most))
    }

    fn revoked_until<'a>(&'a self, name: &'a str) -> Answer<'a, Option<u64>> {
        self.ask(async move { self.link.query(cmd("ZSCORE").arg(REVOKED).arg(name)).await.map_err(failed) })
    }

    fn has_admin(&self, now: u64) -> Answer<'_, bool> {
        let link = self.link.clone();
        let found = tokio::task::spawn_blocking(move || draft::has_admin(&link, now));
        self.ask(async move { found.await.map_err(failed)? })
    }

    fn apply(&self, change: Change, note: Note) -> Answer<'_, u64> {
        let link = self.link.clone();
        self.ask(async move {
            let made = tokio::task::spawn_blocking(move || draft::apply(&link, &change, &note));
            let version = made.await.map_err(failed)??;
            self.seen.made(version);
            Ok(version)
        })
    }

    fn touch(&self, used: Vec<(String, u64)>) -> Answer<'_, ()> {
        self.ask(async move { reading::touch(&self.link, &used).await })
    }
}

impl std::fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisStore").field("seen", &self.seen).finish_non_exhaustive()
    }
}
