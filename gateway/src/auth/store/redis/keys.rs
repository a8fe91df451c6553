//! The signing keys that replicas share.

use redis::{Script, cmd};
use tokio::runtime::Handle;

use super::super::change::failed;
use super::super::{SharedKeys, StoreError};
use super::layout::{SIGNING_KEYS, VERSION};
use crate::redis_link::RedisLink;

/// The keys in Redis. Whoever may write there may give himself any role: a key that signs is no more than that.
#[derive(Debug)]
pub(super) struct Keys {
    link: RedisLink,
    runtime: Handle,
}

impl Keys {
    /// Needs a tokio runtime around it, and calls from threads that may block.
    pub(super) fn new(link: RedisLink) -> Self {
        Self { link, runtime: Handle::current() }
    }
}

impl SharedKeys for Keys {
    fn read(&self) -> Result<Option<Vec<u8>>, StoreError> {
        self.runtime.block_on(self.link.query(cmd("GET").arg(SIGNING_KEYS))).map_err(failed)
    }

    fn replace(&self, old: Option<&[u8]>, new: &[u8]) -> Result<bool, StoreError> {
        // A new version makes the other replicas read them.
        let script = Script::new(
            "if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end; \
             redis.call('SET', KEYS[1], ARGV[2]); redis.call('INCR', KEYS[2]); return 1",
        );
        let mut call = script.key(SIGNING_KEYS);
        call.key(VERSION).arg(old.unwrap_or_default()).arg(new);
        self.runtime.block_on(self.link.run(&call)).map_err(failed)
    }
}
