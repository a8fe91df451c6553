//! Logs in the Redis that replicas share: a stream each, whose entries are numbered as the events are.
//!
//! Event `n` is the entry `n+1-0`, since an entry's number cannot be 0. Redis refuses an entry that is not behind the
//! last one, which is how events that are there already are not added again.

use std::time::Duration;

use ::redis::streams::StreamRangeReply;
use ::redis::{Script, cmd, pipe};
use bytes::Bytes;
use futures_util::FutureExt;

use super::{EventLog, KEPT, MOST, Numbered, SILENCE, Standing};
use crate::conversation::store::{Answer, StoreError};
use crate::redis_link::{RedisLink, tag};

const FIELD: &str = "e";

/// Logs that replicas share.
#[derive(Debug)]
pub struct RedisLog {
    link: RedisLink,
    append: Script,
}

/// The keys of one log.
struct Keys {
    events: String,
    heard: String,
    cancelled: String,
}

impl Keys {
    fn of(owner: &str, id: &str) -> Self {
        let key = |kind: &str| format!("sluice:events:{}:{kind}:{id}", tag(owner));
        Self { events: key("log"), heard: key("heard"), cancelled: key("cancelled") }
    }
}

impl RedisLog {
    /// Logs behind a link.
    pub fn new(link: RedisLink) -> Self {
        Self { link, append: Script::new(include_str!("append.lua")) }
    }
}

fn seconds(time: Duration) -> u64 {
    time.as_secs()
}

impl EventLog for RedisLog {
    fn append<'a>(&'a self, owner: &'a str, id: &'a str, events: &'a [Numbered]) -> Answer<'a, Standing> {
        async move {
            let keys = Keys::of(owner, id);
            let mut call = self.append.key(&keys.events);
            call.key(&keys.heard).key(&keys.cancelled);
            call.arg(seconds(KEPT)).arg(seconds(SILENCE)).arg(MOST);
            for (number, event) in events {
                call.arg(number + 1).arg(event.as_ref());
            }
            let cancelled: bool = self.link.run(&call).await.map_err(StoreError::of)?;
            Ok(Standing { alive: true, cancelled })
        }
        .boxed()
    }

    fn read<'a>(
        &'a self,
        owner: &'a str,
        id: &'a str,
        after: Option<u64>,
        most: usize,
    ) -> Answer<'a, Vec<Numbered>> {
        async move {
            let mut range = cmd("XRANGE");
            let from =
                after.map_or_else(|| "-".to_owned(), |after| format!("({}-0", after.saturating_add(1)));
            range.arg(Keys::of(owner, id).events).arg(from).arg("+").arg("COUNT").arg(most);
            let reply: StreamRangeReply = self.link.query(&range).await.map_err(StoreError::of)?;
            let numbered = reply.ids.iter().filter_map(|entry| {
                let number: u64 = entry.id.split('-').next()?.parse().ok()?;
                let event: Vec<u8> = entry.get(FIELD)?;
                Some((number.checked_sub(1)?, Bytes::from(event)))
            });
            Ok(numbered.collect())
        }
        .boxed()
    }

    fn standing<'a>(&'a self, owner: &'a str, id: &'a str) -> Answer<'a, Standing> {
        async move {
            let keys = Keys::of(owner, id);
            let mut both = pipe();
            both.exists(&keys.heard).exists(&keys.cancelled);
            let (alive, cancelled): (bool, bool) = self.link.pipeline(&both).await.map_err(StoreError::of)?;
            Ok(Standing { alive, cancelled })
        }
        .boxed()
    }

    fn cancel<'a>(&'a self, owner: &'a str, id: &'a str) -> Answer<'a, ()> {
        async move {
            let mut set = cmd("SET");
            set.arg(Keys::of(owner, id).cancelled).arg(1).arg("EX").arg(seconds(KEPT));
            self.link.query(&set).await.map_err(StoreError::of)
        }
        .boxed()
    }

    fn remove<'a>(&'a self, owner: &'a str, id: &'a str) -> Answer<'a, ()> {
        async move {
            let keys = Keys::of(owner, id);
            let mut del = cmd("DEL");
            del.arg(keys.events).arg(keys.heard).arg(keys.cancelled);
            self.link.query(&del).await.map_err(StoreError::of)
        }
        .boxed()
    }
}
