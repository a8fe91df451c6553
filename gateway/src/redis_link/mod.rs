//! The way to Redis: one connection that comes back by itself, and commands that answer soon or fail.
//!
//! `redis://` and `rediss://` (TLS) name one server, `unix://` its socket; `redis+cluster://` and `rediss+cluster://`
//! name some nodes of a cluster, with commas between them. All keys that one command or script names must share a hash
//! tag, so that a cluster keeps them together.

#[cfg(test)]
pub(crate) mod test_certificates;
#[cfg(test)]
pub(crate) mod test_cluster;
#[cfg(test)]
pub(crate) mod test_server;
#[cfg(test)]
mod tests;

use std::time::Duration;

use redis::aio::{ConnectionLike, ConnectionManager, ConnectionManagerConfig};
use redis::cluster::{ClusterClient, ClusterConfig};
use redis::cluster_async::ClusterConnection;
use redis::io::tcp::TcpSettings;
use redis::{
    Client, Cmd, FromRedisValue, IntoConnectionInfo, Pipeline, RedisError, RedisFuture, RedisResult,
    ScriptInvocation, TlsCertificates, Value,
};

/// Replies are awaited so long. A request is decided within it, by Redis or by what stands in for it.
pub const TIMEOUT: Duration = Duration::from_millis(250);

/// Why Redis did not answer.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// It took too long.
    #[error("no answer from Redis within {0:?}")]
    TimedOut(Duration),
    /// It cannot be reached, or answered with an error.
    #[error("Redis failed: {0}")]
    Failed(#[from] RedisError),
}

impl LinkError {
    /// Whether the server was not reached; what it answered with an error, it would so again.
    pub fn may_pass_later(&self) -> bool {
        match self {
            Self::TimedOut(_) => true,
            Self::Failed(error) => error.code().is_none(),
        }
    }
}

/// A connection and what is run over it. Clones share it.
#[derive(Clone)]
pub struct RedisLink {
    connection: Connection,
}

/// One server, or many that know each other.
#[derive(Clone)]
enum Connection {
    Single(ConnectionManager),
    Cluster(ClusterConnection),
}

impl RedisLink {
    /// Connects at the first use. Needs a tokio runtime around it. `ca` is a PEM file's content: whom TLS trusts
    /// instead of the system's authorities.
    ///
    /// # Errors
    /// The URL or the certificates make no sense.
    pub fn new(url: &str, ca: Option<&[u8]>) -> Result<Self, LinkError> {
        let connection = match url.split_once("+cluster://") {
            Some((scheme, nodes)) => Connection::Cluster(cluster(scheme, nodes, ca)?),
            None => Connection::Single(single(url, ca)?),
        };
        Ok(Self { connection })
    }

    /// Runs a command.
    pub async fn query<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, LinkError> {
        let mut connection = self.connection.clone();
        in_time(command.query_async(&mut connection)).await
    }

    /// Runs commands in one round trip.
    pub async fn pipeline<T: FromRedisValue>(&self, commands: &Pipeline) -> Result<T, LinkError> {
        let mut connection = self.connection.clone();
        in_time(commands.query_async(&mut connection)).await
    }

    /// Runs a script.
    pub async fn run<T: FromRedisValue>(&self, call: &ScriptInvocation<'_>) -> Result<T, LinkError> {
        let mut connection = self.connection.clone();
        in_time(call.invoke_async(&mut connection)).await
    }
}

/// A name as a hash tag, braces included: all keys that have it are in one slot of a cluster. A closing brace inside it
/// would end it early, or leave it empty; an empty one is none to Redis, so that no name has a mark of its own.
pub fn tag(name: &str) -> String {
    if name.is_empty() {
        return "{%}".to_owned();
    }
    if name.contains(['}', '%']) {
        return format!("{{{}}}", name.replace('%', "%25").replace('}', "%7D"));
    }
    format!("{{{name}}}")
}

/// The time-out covers connecting too, which the connection's own does not.
async fn in_time<T>(reply: impl Future<Output = RedisResult<T>>) -> Result<T, LinkError> {
    match tokio::time::timeout(TIMEOUT, reply).await {
        Ok(reply) => Ok(reply?),
        Err(_) => Err(LinkError::TimedOut(TIMEOUT)),
    }
}

fn single(url: &str, ca: Option<&[u8]>) -> RedisResult<ConnectionManager> {
    let info = url.into_connection_info()?.set_tcp_settings(TcpSettings::default().set_nodelay(true));
    let client = match ca {
        Some(ca) => Client::build_with_tls(info, trusting(ca))?,
        None => Client::open(info)?,
    };
    // No retries inside: whoever asks has a policy for failure, and asks again.
    let config = ConnectionManagerConfig::new()
        .set_number_of_retries(0)
        .set_connection_timeout(Some(TIMEOUT))
        .set_response_timeout(Some(TIMEOUT));
    ConnectionManager::new_lazy_with_config(client, config)
}

fn cluster(scheme: &str, nodes: &str, ca: Option<&[u8]>) -> RedisResult<ClusterConnection> {
    // User and password stand once, before all nodes.
    let (user, nodes) = nodes.rsplit_once('@').map_or(("", nodes), |(user, nodes)| (user, nodes));
    let user = if user.is_empty() { String::new() } else { format!("{user}@") };
    let nodes = nodes.trim_end_matches('/').split(',').map(|node| format!("{scheme}://{user}{node}/"));
    let mut builder =
        ClusterClient::builder(nodes).retries(1).tcp_settings(TcpSettings::default().set_nodelay(true));
    if let Some(ca) = ca {
        builder = builder.certs(trusting(ca));
    }
    let config = ClusterConfig::new().set_connection_timeout(TIMEOUT).set_response_timeout(TIMEOUT);
    Ok(builder.build()?.get_pending_async_connection_with_config(config))
}

fn trusting(ca: &[u8]) -> TlsCertificates {
    TlsCertificates { client_tls: None, root_cert: Some(ca.to_vec()) }
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::Single(connection) => connection.req_packed_command(cmd),
            Self::Cluster(connection) => connection.req_packed_command(cmd),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::Single(connection) => connection.req_packed_commands(pipeline, offset, count),
            Self::Cluster(connection) => connection.req_packed_commands(pipeline, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::Single(connection) => connection.get_db(),
            Self::Cluster(connection) => connection.get_db(),
        }
    }
}

impl std::fmt::Debug for RedisLink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisLink").finish_non_exhaustive()
    }
}
