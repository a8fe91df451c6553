//! The section `[server]`: the socket, its limits and its time-outs.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::duration;
use super::listen::ListenAddress;
use super::{Invalid, require};

/// The socket, its limits and its time-outs.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerConfig {
    /// Where to listen.
    pub listen: ListenAddress,
    /// Threads of the async runtime. Few, because they preempt the model's compute threads.
    pub worker_threads: usize,
    /// Connections held at once; one more waits shortly, then gets 503.
    pub max_connections: usize,
    /// The longest request body.
    pub max_body_bytes: usize,
    /// The most header fields of a request.
    pub max_headers: usize,
    /// The longest request head.
    pub max_header_bytes: usize,
    /// How long a request head may take, from its first byte (or from the connection's start) to its last.
    #[serde(with = "duration")]
    pub header_timeout: Duration,
    /// How long a request body may make no progress.
    #[serde(with = "duration")]
    pub body_timeout: Duration,
    /// How long a connection may stay open between two requests.
    #[serde(with = "duration")]
    pub idle_timeout: Duration,
    /// How long a client may take no byte of an answer before its connection is cut.
    #[serde(with = "duration")]
    pub write_timeout: Duration,
    /// How often a stream with nothing to say sends a comment.
    #[serde(with = "duration")]
    pub keep_alive: Duration,
    /// How long running streams may go on after SIGTERM.
    #[serde(with = "duration")]
    pub drain_timeout: Duration,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            listen: ListenAddress::Tcp("127.0.0.1:8080".to_owned()),
            worker_threads: 2,
            max_connections: 4096,
            max_body_bytes: 4 << 20,
            max_headers: 100,
            max_header_bytes: 32 << 10,
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(75),
            write_timeout: Duration::from_secs(30),
            keep_alive: Duration::from_secs(15),
            drain_timeout: Duration::from_secs(30),
        }
    }
}

impl ServerConfig {
    /// Checks what types cannot say.
    ///
    /// # Errors
    /// The first key whose value cannot work.
    pub fn validate(&self) -> Result<(), Invalid> {
        require((1..=64).contains(&self.worker_threads), "worker_threads", "must be from 1 to 64")?;
        require(self.max_connections > 0, "max_connections", "must be at least 1")?;
        require(self.max_body_bytes >= 1024, "max_body_bytes", "must be at least 1024")?;
        require((8..=1000).contains(&self.max_headers), "max_headers", "must be from 8 to 1000")?;
        // hyper refuses smaller buffers by a panic.
        require(self.max_header_bytes >= 8192, "max_header_bytes", "must be at least 8192")?;
        for (key, value) in [
            ("header_timeout", self.header_timeout),
            ("body_timeout", self.body_timeout),
            ("idle_timeout", self.idle_timeout),
            ("write_timeout", self.write_timeout),
            ("keep_alive", self.keep_alive),
        ] {
            require(!value.is_zero(), key, "must be longer than 0")?;
        }
        Ok(())
    }
}
