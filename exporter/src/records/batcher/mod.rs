//! Gathers records and sends them in batches, beside the requests that they tell of: nobody ever waits for it.

mod inbox;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rand::RngExt as _;
use tokio::time::{Instant, sleep, timeout_at};

pub use self::inbox::Inbox;
use self::inbox::Outlet;
use crate::client::{Connection, SendError};
use crate::protocol::{self, VERSION};
use crate::records::wire::{RECORDS_PATH, Record, RecordBatch};

/// The longest pause while the exporter does not take records.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// The first pause.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// How long one batch may take.
const SEND_LIMIT: Duration = Duration::from_secs(5);
/// How long the last ones may hold the end of the process.
const LAST_SEND: Duration = Duration::from_secs(2);

/// How records are gathered.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// A batch is sent when it has so many.
    pub batch: usize,
    /// Or when its first one has waited so long.
    pub linger: Duration,
    /// So many may wait; what comes then is dropped, and counted.
    pub waiting: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { batch: 500, linger: Duration::from_secs(5), waiting: 10_000 }
    }
}

/// Is told what became of records.
pub trait Counts: Send + Sync + 'static {
    /// So many were `sent` or `dropped`.
    fn count(&self, outcome: &'static str, records: u64);
}

/// The way to the exporter.
pub trait Transport: Send + 'static {
    /// Posts a compressed batch.
    fn post(&mut self, body: Bytes) -> impl Future<Output = Result<(), SendError>> + Send;
}

impl Transport for Connection {
    async fn post(&mut self, body: Bytes) -> Result<(), SendError> {
        Connection::post(self, RECORDS_PATH, body).await
    }
}

/// Sends what is offered.
pub struct Batcher<T> {
    outlet: Outlet,
    counts: Arc<dyn Counts>,
    settings: Settings,
    transport: T,
    /// The name of the process and when it began: by them and the sequence a repeated batch is told.
    life: (String, u64),
    sequence: u64,
    failing: bool,
}

impl<T: Transport> Batcher<T> {
    /// A batcher of the process `life`: its name, and when it began in Unix milliseconds.
    pub fn new(
        settings: Settings,
        life: (String, u64),
        transport: T,
        counts: Arc<dyn Counts>,
    ) -> (Inbox, Self) {
        let (inbox, outlet) = inbox::inbox(settings, Arc::clone(&counts));
        (inbox, Self { outlet, counts, settings, transport, life, sequence: 0, failing: false })
    }

    /// Sends until `stop` is ready, and then what still waits, for a bounded time.
    pub async fn run(mut self, stop: impl Future<Output = ()>) {
        let mut stop = std::pin::pin!(stop);
        let (mut batch, mut body) = (Vec::new(), None);
        loop {
            tokio::select! {
                biased;
                () = &mut stop => break,
                () = self.gather(&mut batch) => {}
            }
            let encoded = self.encode(&batch);
            body = Some(encoded.clone());
            let outcome = tokio::select! {
                biased;
                () = &mut stop => break,
                outcome = self.send_until_done(&encoded) => outcome,
            };
            self.settle(&mut batch, outcome);
            body = None;
        }
        self.finish(batch, body).await;
    }

    /// The same batch again and again, under the same number: the exporter knows what it has.
    async fn send_until_done(&mut self, body: &Bytes) -> &'static str {
        let mut pause = FIRST_PAUSE;
        loop {
            if let Some(outcome) = self.send(body).await {
                return outcome;
            }
            // Not all gateways at the same moment.
            let share = rand::rng().random_range(0.5..1.0);
            sleep(pause.mul_f64(share)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Waits for a batch: a full one, or one whose first record has waited long enough. Given up in the middle, it has
    /// taken nothing.
    async fn gather(&mut self, batch: &mut Vec<Record>) {
        let mut until = None;
        loop {
            let waiting = self.outlet.waiting();
            let is_late = until.is_some_and(|until| until <= Instant::now());
            if waiting >= self.settings.batch || (is_late && waiting > 0) {
                self.outlet.fill(batch);
                if !batch.is_empty() {
                    return;
                }
                // What was let in is just about to come.
                tokio::task::yield_now().await;
            } else if waiting == 0 {
                until = None;
                self.outlet.changed().await;
            } else {
                let until = *until.get_or_insert_with(|| Instant::now() + self.settings.linger);
                // That it is time shows above.
                drop(timeout_at(until, self.outlet.changed()).await);
            }
        }
    }

    /// A batch as it is sent. Encoding fails only without memory; then what is sent is refused, and counted.
    fn encode(&mut self, records: &[Record]) -> Bytes {
        self.sequence += 1;
        let (instance, epoch) = self.life.clone();
        let (sequence, records) = (self.sequence, records.to_vec());
        let batch = RecordBatch { protocol: VERSION, instance, epoch, sequence, records };
        protocol::encode(&batch).unwrap_or_default()
    }

    /// What became of a batch; `None` where it may be taken at another time.
    async fn send(&mut self, body: &Bytes) -> Option<&'static str> {
        let sent = tokio::time::timeout(SEND_LIMIT, self.transport.post(body.clone())).await;
        match sent.unwrap_or(Err(SendError::TimedOut)) {
            Ok(()) => {
                if std::mem::take(&mut self.failing) {
                    tracing::info!("request records are sent again");
                }
                Some("sent")
            }
            Err(error) => {
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::warn!(%error, "request records are not taken");
                }
                (!error.may_pass_later()).then_some("dropped")
            }
        }
    }

    fn settle(&self, batch: &mut Vec<Record>, outcome: &'static str) {
        self.counts.count(outcome, batch.len() as u64);
        batch.clear();
    }

    /// The last batches, as long as there is time; first the one that was on its way, as it was.
    async fn finish(mut self, mut batch: Vec<Record>, mut body: Option<Bytes>) {
        self.outlet.close();
        let until = Instant::now() + LAST_SEND;
        loop {
            if body.is_none() {
                self.outlet.fill(&mut batch);
            }
            if batch.is_empty() {
                return;
            }
            let encoded = body.take().unwrap_or_else(|| self.encode(&batch));
            let outcome = timeout_at(until, self.send_until_done(&encoded)).await;
            self.settle(&mut batch, outcome.unwrap_or("dropped"));
        }
    }
}

#[cfg(test)]
mod tests;
