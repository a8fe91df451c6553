//! What each request used and how it ended, told exactly once to a ledger.

mod record;
mod settlement;
pub mod usage;

use std::sync::Arc;

pub use record::{Outcome, Record};
pub use settlement::Settlement;

/// Learns of every request that ended.
pub trait Ledger: Send + Sync + 'static {
    /// Called once for each request, from wherever it ended: it must be quick and must not block.
    fn settle(&self, record: &Record);
}

/// The ledger that writes one log line a request; never what was said.
#[derive(Debug, Clone, Copy, Default)]
pub struct LogLedger;

impl Ledger for LogLedger {
    fn settle(&self, record: &Record) {
        tracing::info!(
            id = %record.id,
            route = record.route,
            model = %record.model,
            status = record.status,
            outcome = record.outcome.as_str(),
            reason = record.reason,
            finish = record.finish_label(),
            prompt_tokens = record.usage.prompt_tokens,
            cached_tokens = record.usage.cached_tokens,
            completion_tokens = record.usage.completion_tokens,
            queue_seconds = record.usage.queued.as_secs_f64(),
            first_token_seconds = record.first_token.map(|time| time.as_secs_f64()),
            seconds = record.duration.as_secs_f64(),
            "request"
        );
    }
}

/// Several ledgers, told one after the other.
impl Ledger for Vec<Arc<dyn Ledger>> {
    fn settle(&self, record: &Record) {
        for ledger in self {
            ledger.settle(record);
        }
    }
}

/// Opens the account of a request.
#[derive(Clone)]
pub struct Books {
    ledger: Arc<dyn Ledger>,
}

impl Books {
    /// Books whose closed accounts go to a ledger.
    pub fn new(ledger: Arc<dyn Ledger>) -> Self {
        Self { ledger }
    }

    /// The account of a request that has just been let in.
    pub fn open(&self, id: impl Into<Arc<str>>, route: &'static str, subject: &Arc<str>) -> Settlement {
        Settlement::open(Arc::clone(&self.ledger), id.into(), route, Arc::clone(subject))
    }
}

impl std::fmt::Debug for Books {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Books").finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(crate) mod tests;
