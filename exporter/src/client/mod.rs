//! Pushes a process's metrics: one snapshot each interval, only ever the newest, until the process ends.
//!
//! There is no queue: what could not be sent is said again, newer, by the next snapshot. So an exporter that is away
//! costs one connection attempt now and then, and loses nothing.

mod connection;
mod link;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use prometheus::proto::MetricFamily;
use rand::RngExt as _;
use tokio::time::{Instant, sleep, sleep_until, timeout};

pub use self::connection::{Connection, Endpoint, EndpointError, SendError};
pub use self::link::{Answer, Link, LinkError};
use crate::protocol::{self, Snapshot};

/// How long one push may take, connecting included.
const PUSH_LIMIT: Duration = Duration::from_secs(5);
/// How long the last push may hold the end of the process.
const LAST_PUSH: Duration = Duration::from_secs(2);
/// Between two tries of the last push.
const LAST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause while the exporter is away.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// What became of a push.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The exporter has it.
    Sent,
    /// The exporter could not be reached, or had no room.
    Failed,
    /// The exporter does not want it: a wrong secret, a newer process of the same name, too many series.
    Refused,
}

impl Outcome {
    /// A bounded label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Failed => "failed",
            Self::Refused => "refused",
        }
    }
}

/// What pushes have of the process they speak for.
pub trait Source: Send + Sync + 'static {
    /// All metrics at this moment. Called on a thread that may block.
    fn gather(&self) -> Vec<MetricFamily>;

    /// Told of every push.
    fn pushed(&self, outcome: Outcome);
}

/// Who pushes where.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The exporter.
    pub endpoint: Endpoint,
    /// The secret that the exporter knows, if it asks for one.
    pub secret: Option<Arc<str>>,
    /// The name of this process among its like.
    pub instance: String,
    /// Between two snapshots.
    pub interval: Duration,
}

/// Pushes the metrics of one process.
pub struct Pusher {
    settings: Settings,
    source: Arc<dyn Source>,
    connection: Connection,
    epoch: u64,
    sequence: u64,
    /// The last outcome, so that only changes are logged; and how many in a row failed.
    last: Option<Outcome>,
    failures: u32,
}

impl Pusher {
    /// Begins a life of the process: `epoch` is when, in Unix milliseconds. Later lives of the same name are newer.
    pub fn new(settings: Settings, source: Arc<dyn Source>, epoch: u64) -> Self {
        let connection = Connection::new(settings.endpoint.clone(), settings.secret.clone());
        Self { settings, source, connection, epoch, sequence: 0, last: None, failures: 0 }
    }

    /// Pushes until `stop` is ready, and then once more.
    pub async fn run(mut self, stop: impl Future<Output = ()>) {
        let mut stop = std::pin::pin!(stop);
        loop {
            let next = Instant::now() + self.pause();
            tokio::select! {
                () = &mut stop => break,
                () = sleep_until(next) => {}
            }
            tokio::select! {
                // A push that is cut off may have arrived; the last one is newer.
                () = &mut stop => break,
                () = self.push() => {}
            }
        }
        if timeout(LAST_PUSH, self.push_last()).await.is_err() {
            tracing::warn!("the last metrics could not be pushed: the exporter does not take them");
        }
    }

    /// Until the next push: the interval, or longer after failures, never at the same moment as all others.
    fn pause(&self) -> Duration {
        if self.failures == 0 {
            return self.settings.interval;
        }
        let longer = self.settings.interval.saturating_mul(1 << self.failures.min(10)).min(LONGEST_PAUSE);
        longer.mul_f64(rand::rng().random_range(0.5..1.0))
    }

    async fn push(&mut self) {
        let outcome = self.send(false).await;
        self.note(&outcome);
    }

    async fn push_last(&mut self) {
        loop {
            let outcome = self.send(true).await;
            self.note(&outcome);
            match outcome {
                Ok(()) => return,
                Err(error) if !error.may_pass_later() => return,
                Err(_) => sleep(LAST_PAUSE).await,
            }
        }
    }

    /// Gathers, and sends what was gathered.
    async fn send(&mut self, last: bool) -> Result<(), SendError> {
        let source = Arc::clone(&self.source);
        self.sequence += 1;
        let (instance, epoch, sequence) = (self.settings.instance.clone(), self.epoch, self.sequence);
        let encoded = tokio::task::spawn_blocking(move || {
            let families = protocol::families(&source.gather());
            let protocol = protocol::VERSION;
            protocol::encode(&Snapshot { protocol, instance, epoch, sequence, r#final: last, families })
        });
        let body: Bytes = encoded.await.map_err(|_| SendError::Encode)?.map_err(|_| SendError::Encode)?;
        let sent = timeout(PUSH_LIMIT, self.connection.post(protocol::PUSH_PATH, body)).await;
        sent.unwrap_or(Err(SendError::TimedOut))
    }

    /// Counts an outcome, and logs the first of its kind.
    fn note(&mut self, outcome: &Result<(), SendError>) {
        let kind = match outcome {
            Ok(()) => Outcome::Sent,
            Err(error) if error.may_pass_later() => Outcome::Failed,
            Err(_) => Outcome::Refused,
        };
        self.source.pushed(kind);
        self.failures = if outcome.is_ok() { 0 } else { self.failures.saturating_add(1) };
        let changed = self.last.replace(kind) != Some(kind);
        match outcome {
            Ok(()) if changed => tracing::info!(exporter = %self.settings.endpoint, "metrics are pushed"),
            Err(SendError::Status { status: StatusCode::CONFLICT, .. }) if changed => {
                tracing::error!(
                    instance = self.settings.instance,
                    "metrics are not taken: a newer process pushes under the same name"
                );
            }
            Err(error) if changed => {
                tracing::warn!(%error, exporter = %self.settings.endpoint, "metrics are not pushed");
            }
            _ => {}
        }
    }
}
