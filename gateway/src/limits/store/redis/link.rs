//! What is run in Redis for the limits: its scripts, their clock, and the keys of a subject.

use redis::{FromRedisValue, Script, ScriptInvocation};

#[cfg(test)]
use crate::clock::Clock;
use crate::limits::store::StoreError;
use crate::redis_link::{RedisLink, tag};

/// Where the scripts' time comes from.
#[derive(Debug, Clone)]
pub(super) enum Time {
    /// The server: one clock for all replicas.
    Server,
    /// A clock that a test drives.
    #[cfg(test)]
    Given(Clock),
}

impl Time {
    /// The scripts' first argument; 0 asks the server.
    fn arg(&self) -> u64 {
        match self {
            Self::Server => 0,
            #[cfg(test)]
            Self::Given(clock) => clock.now_ms(),
        }
    }
}

/// A connection and what is run over it.
pub(super) struct Link {
    redis: RedisLink,
    time: Time,
    pub(super) scripts: Scripts,
}

impl Link {
    pub(super) fn new(redis: RedisLink, time: Time) -> Self {
        Self { redis, time, scripts: Scripts::default() }
    }

    /// Begins a call of a script, with the time.
    pub(super) fn call<'a>(&self, script: &'a Script) -> ScriptInvocation<'a> {
        let mut call = script.prepare_invoke();
        call.arg(self.time.arg());
        call
    }

    /// Runs a script.
    pub(super) async fn run<T: FromRedisValue>(&self, call: &ScriptInvocation<'_>) -> Result<T, StoreError> {
        Ok(self.redis.run(call).await?)
    }
}

macro_rules! script {
    ($file:literal) => {
        Script::new(concat!(include_str!("prelude.lua"), include_str!($file)))
    };
}

/// Everything that is run in Redis.
pub(super) struct Scripts {
    pub(super) take: Script,
    pub(super) settle: Script,
    pub(super) renew: Script,
    pub(super) announce: Script,
    pub(super) leave: Script,
}

impl Default for Scripts {
    fn default() -> Self {
        Self {
            take: script!("take.lua"),
            settle: script!("settle.lua"),
            renew: script!("renew.lua"),
            announce: script!("announce.lua"),
            leave: Script::new("return redis.call('ZREM', KEYS[1], ARGV[2])"),
        }
    }
}

/// A key of a subject.
pub(super) fn key(subject: &str, what: &str) -> String {
    format!("sluice:{}:{what}", tag(subject))
}

#[cfg(test)]
mod tests {
    use super::key;

    #[test]
    fn every_subject_is_one_tag() {
        assert_eq!(key("team a", "tokens"), "sluice:{team a}:tokens");
        assert_eq!(key("}:x", "tokens"), "sluice:{%7D:x}:tokens");
        assert_eq!(key("", "tokens"), "sluice:{%}:tokens");
        assert_ne!(key("%7D", "tokens"), key("}", "tokens"));
    }
}
