//! What each request used and how it ended, told exactly once to a ledger.

mod metered;
mod record;
mod sampled;
mod settlement;
pub mod usage;

use std::sync::Arc;

pub use metered::Metered;
pub use record::{Outcome, Record};
pub use sampled::Sampled;
pub use settlement::Settlement;

use exporter::records::trace::TraceContext;

use crate::auth::Principal;
use crate::telemetry::Metrics;

/// Which request it is.
#[derive(Debug, Clone)]
pub struct Origin {
    /// The id that the client is told.
    pub id: Arc<str>,
    /// Its place in its trace.
    pub trace: TraceContext,
}

impl Origin {
    /// A request's id and its `traceparent`, if it has one.
    pub fn new(id: Arc<str>, traceparent: Option<&[u8]>) -> Self {
        Self { id, trace: TraceContext::of(traceparent, &mut rand::rng()) }
    }
}

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
            trace_id = %record.trace.trace(),
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
    metrics: Arc<Metrics>,
}

impl Books {
    /// Books whose closed accounts go to a ledger.
    pub fn new(ledger: Arc<dyn Ledger>, metrics: Arc<Metrics>) -> Self {
        Self { ledger, metrics }
    }

    /// The account of a request that has just been let in.
    pub fn open(&self, origin: Origin, route: &'static str, caller: &Principal) -> Settlement {
        let shared = (Arc::clone(&self.ledger), Arc::clone(&self.metrics));
        Settlement::open(shared, origin, route, caller)
    }
}

impl std::fmt::Debug for Books {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Books").finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(crate) mod tests;
