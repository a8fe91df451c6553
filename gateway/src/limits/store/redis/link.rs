//! The way to Redis: one connection that comes back by itself, and scripts that answer soon or fail.

use std::time::Duration;

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::io::tcp::TcpSettings;
use redis::{Client, FromRedisValue, IntoConnectionInfo, Script, ScriptInvocation};

#[cfg(test)]
use crate::clock::Clock;
use crate::limits::store::StoreError;

/// Replies are awaited so long. A request is decided within it, by Redis or by what stands in for it.
pub(super) const TIMEOUT: Duration = Duration::from_millis(250);

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
    manager: ConnectionManager,
    time: Time,
    pub(super) scripts: Scripts,
}

impl Link {
    /// Connects at the first use. Needs a tokio runtime around it.
    pub(super) fn new(url: &str, time: Time) -> Result<Self, StoreError> {
        let info = url.into_connection_info().map_err(StoreError::Failed)?;
        let info = info.set_tcp_settings(TcpSettings::default().set_nodelay(true));
        let client = Client::open(info).map_err(StoreError::Failed)?;
        // No retries inside: whoever asks has a policy for failure, and asks again.
        let config = ConnectionManagerConfig::new()
            .set_number_of_retries(0)
            .set_connection_timeout(Some(TIMEOUT))
            .set_response_timeout(Some(TIMEOUT));
        let manager = ConnectionManager::new_lazy_with_config(client, config).map_err(StoreError::Failed)?;
        Ok(Self { manager, time, scripts: Scripts::default() })
    }

    /// Begins a call of a script, with the time.
    pub(super) fn call<'a>(&self, script: &'a Script) -> ScriptInvocation<'a> {
        let mut call = script.prepare_invoke();
        call.arg(self.time.arg());
        call
    }

    /// Runs a script. The time-out covers connecting too, which the connection's own does not.
    pub(super) async fn run<T: FromRedisValue>(&self, call: &ScriptInvocation<'_>) -> Result<T, StoreError> {
        let mut manager = self.manager.clone();
        match tokio::time::timeout(TIMEOUT, call.invoke_async(&mut manager)).await {
            Ok(reply) => reply.map_err(StoreError::Failed),
            Err(_) => Err(StoreError::TimedOut(TIMEOUT)),
        }
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

/// The keys of a subject. The tag in braces puts all of them into one slot of a cluster; a closing brace inside it
/// would end it early, or leave it empty.
pub(super) fn key(subject: &str, what: &str) -> String {
    if subject.contains(['}', '%']) {
        let subject = subject.replace('%', "%25").replace('}', "%7D");
        return format!("sluice:{{{subject}}}:{what}");
    }
    format!("sluice:{{{subject}}}:{what}")
}

#[cfg(test)]
mod tests {
    use super::key;

    #[test]
    fn every_subject_is_one_tag() {
        assert_eq!(key("team a", "tokens"), "sluice:{team a}:tokens");
        assert_eq!(key("}:x", "tokens"), "sluice:{%7D:x}:tokens");
        assert_ne!(key("%7D", "tokens"), key("}", "tokens"));
    }
}
