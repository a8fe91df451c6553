//! What every subject used of every model on each day: counted in memory where requests end, written down each second.
//!
//! At most a second of it is lost where the process is killed. Where the store is away, counts wait in memory and are
//! written once it is back; a batch whose answer was lost is sent again under the same name and counts once.

mod day;
pub mod embedded;
pub mod redis;
mod table;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use parking_lot::Mutex;

pub use self::day::{Day, NoDay};
pub use self::table::{Counts, Spent, Table};
use super::{Ledger, Record};
use crate::clock::Clock;

/// From one writing down to the next.
const FLUSH_EVERY: Duration = Duration::from_secs(1);
/// Days that usage is kept.
pub const KEPT_DAYS: u32 = 400;

/// The store could not be used.
#[derive(Debug, thiserror::Error)]
#[error("the store of usage failed: {0}")]
pub struct UsageError(pub(crate) String);

impl UsageError {
    fn of(error: impl std::fmt::Display) -> Self {
        Self(error.to_string())
    }
}

/// What is asked for: inclusive days, one subject or model or all of them, and the rows behind one.
#[derive(Debug, Clone)]
pub struct Query {
    /// The first day.
    pub from: Day,
    /// The last day.
    pub to: Day,
    /// One subject's rows only.
    pub subject: Option<String>,
    /// One model's rows only.
    pub model: Option<String>,
    /// Rows behind this one only.
    pub after: Option<Spent>,
    /// Rows at most.
    pub most: usize,
}

impl Query {
    fn wants(&self, row: &Spent) -> bool {
        (self.from..=self.to).contains(&row.day)
            && self.subject.as_deref().is_none_or(|subject| *row.subject == *subject)
            && self.model.as_deref().is_none_or(|model| *row.model == *model)
            && self.after.as_ref().is_none_or(|after| row > after)
    }
}

/// What is written down at once, under a name that makes it count once.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Its name, which no other has.
    pub name: String,
    /// What it adds.
    pub rows: Vec<(Spent, Counts)>,
}

/// What a store answers, in its time.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, UsageError>>;

/// Where usage is written down.
pub trait UsageStore: Send + Sync + 'static {
    /// Adds a batch; a batch that was added before is not added again. Days before `oldest` may be forgotten.
    fn add<'a>(&'a self, batch: &'a Arc<Batch>, oldest: Day) -> Answer<'a, ()>;
    /// Rows in the order of day, subject and model.
    fn rows<'a>(&'a self, query: &'a Query) -> Answer<'a, Vec<(Spent, Counts)>>;
}

/// The usage of all subjects.
pub struct Usage {
    store: Arc<dyn UsageStore>,
    clock: Clock,
    state: Mutex<State>,
    /// Held while a batch goes from memory to the store, so that no reader finds it in both or in neither.
    moving: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    /// What was not sent yet.
    fresh: Table,
    /// What was sent and not answered.
    sent: Option<Arc<Batch>>,
    away: bool,
}

impl Usage {
    /// Usage that is written down in a store.
    pub fn new(store: Arc<dyn UsageStore>, clock: Clock) -> Self {
        Self { store, clock, state: Mutex::default(), moving: tokio::sync::Mutex::default() }
    }

    /// Usage that is kept in memory and nowhere else.
    #[cfg(test)]
    pub(crate) fn in_memory() -> Self {
        Self::new(Arc::new(embedded::EmbeddedUsage::in_memory()), Clock::manual(1_000_000))
    }

    /// Rows of the store and of what is on the way there, in the order of day, subject and model.
    pub async fn rows(&self, query: &Query) -> Result<Vec<(Spent, Counts)>, UsageError> {
        let _still = self.moving.lock().await;
        let mut rows = self.on_the_way(query);
        for (row, counts) in self.store.rows(query).await? {
            rows.add(row, &counts);
        }
        let mut rows = rows.into_rows();
        rows.truncate(query.most);
        Ok(rows)
    }

    fn on_the_way(&self, query: &Query) -> Table {
        let state = self.state.lock();
        let mut rows = Table::default();
        let sent = state.sent.iter().flat_map(|batch| batch.rows.iter().map(|(row, counts)| (row, counts)));
        for (row, counts) in sent.chain(state.fresh.iter()).filter(|(row, _)| query.wants(row)) {
            rows.add(row.clone(), counts);
        }
        rows
    }

    /// Writes down what was used since the last time.
    pub async fn flush(&self) -> Result<(), UsageError> {
        let _moving = self.moving.lock().await;
        let batch = {
            let mut state = self.state.lock();
            if state.sent.is_none() && !state.fresh.is_empty() {
                let rows = std::mem::take(&mut state.fresh).into_rows();
                let name = format!("{:032x}", rand::random::<u128>());
                state.sent = Some(Arc::new(Batch { name, rows }));
            }
            state.sent.clone()
        };
        let Some(batch) = batch else { return Ok(()) };
        let oldest = Day::of(self.clock.now_s()).before(KEPT_DAYS);
        let added = self.store.add(&batch, oldest).await;
        let mut state = self.state.lock();
        match &added {
            Ok(()) => {
                state.sent = None;
                if std::mem::take(&mut state.away) {
                    tracing::info!("the store of usage is back");
                }
            }
            Err(error) if !std::mem::replace(&mut state.away, true) => {
                tracing::warn!(%error, "usage waits in memory");
            }
            Err(_) => {}
        }
        added
    }

    /// Writes down each second, and a last time at `stop`.
    pub async fn keep_flushing(self: Arc<Self>, stop: impl Future<Output = ()> + Send) {
        let mut stop = std::pin::pin!(stop);
        let mut beat = tokio::time::interval(FLUSH_EVERY);
        loop {
            tokio::select! {
                () = &mut stop => break,
                // A failure is logged once, and the next beat tries again.
                _ = beat.tick() => drop(self.flush().await),
            }
        }
        // What was sent before, then what came since.
        for _ in 0..2 {
            drop(self.flush().await);
        }
    }
}

impl Ledger for Usage {
    fn settle(&self, record: &Record) {
        // What was refused used nothing, and its names are the client's invention.
        if !record.started {
            return;
        }
        let row = Spent {
            day: Day::of(self.clock.now_s()),
            subject: Arc::clone(&record.subject),
            model: Arc::clone(&record.model),
        };
        self.state.lock().fresh.add(row, &Counts::of(record));
    }
}

impl std::fmt::Debug for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Usage").finish_non_exhaustive()
    }
}
