//! The ledger that counts: what a request's record says, as metrics.

use std::sync::Arc;

use super::{Ledger, Outcome, Record};
use crate::telemetry::Metrics;

/// Counts every request that ended.
#[derive(Debug)]
pub struct Metered(pub Arc<Metrics>);

impl Ledger for Metered {
    fn settle(&self, record: &Record) {
        if let Some(scope) = record.refused {
            self.0.access.refused(&record.role, scope);
        }
        // What was refused before its answer began is counted by its status.
        if record.outcome == Outcome::Failed
            && record.status == 200
            && let Some(reason) = record.reason
        {
            self.0.http.failed(record.route, reason);
        }
        if !record.started {
            return;
        }
        let model = self.0.models.of(&record.model);
        model.finished(record.finish_label());
        model.duration.observe(record.duration.as_secs_f64());
        model.queue.observe(record.usage.queued.as_secs_f64());
        if let Some(time) = record.first_token {
            model.first_token.observe(time.as_secs_f64());
        }
        model.prompt_tokens.inc_by(u64::from(record.usage.prompt_tokens));
        model.cached_tokens.inc_by(u64::from(record.usage.cached_tokens));
        model.generated_tokens.inc_by(u64::from(record.usage.completion_tokens));
    }
}
