//! The ledger that sends records: those that are sampled, and every failed or slow one.

use std::sync::Arc;
use std::time::Duration;

use exporter::records::batcher::Inbox;
use exporter::records::sampling::{Decision, Sampler};
use exporter::records::wire;

use super::{Ledger, Outcome, Record};
use crate::clock::Clock;
use crate::telemetry::Metrics;

/// Hands records to the exporter's sinks.
pub struct Sampled {
    /// Where they are gathered.
    pub inbox: Inbox,
    /// Which are kept.
    pub sampler: Sampler,
    /// From so long on a request is slow.
    pub slow: Duration,
    /// What happened when.
    pub clock: Clock,
    /// Where those are counted that are not kept.
    pub metrics: Arc<Metrics>,
}

impl Ledger for Sampled {
    fn settle(&self, record: &Record) {
        let now_ms = self.clock.now_ms();
        let failed = record.outcome == Outcome::Failed || record.status >= 400;
        let slow = record.duration >= self.slow;
        match self.sampler.decide(&record.trace.trace_id, failed, slow, now_ms) {
            Decision::Keep { weight, kept } => self.inbox.offer(written(record, weight, kept, now_ms)),
            Decision::Drop => self.metrics.records.with_label_values(&["sampled_out"]).inc(),
        }
    }
}

fn written(record: &Record, weight: f64, kept: &str, now_ms: u64) -> wire::Record {
    let duration_ns = nanoseconds(record.duration);
    let parent = record.trace.parent_id;
    wire::Record {
        time_unix_ns: now_ms.saturating_mul(1_000_000).saturating_sub(duration_ns),
        duration_ns,
        id: record.id.to_string(),
        trace_id: record.trace.trace_id.to_vec(),
        span_id: record.trace.span_id.to_vec(),
        parent_span_id: parent.map(|id| id.to_vec()).unwrap_or_default(),
        route: record.route.to_owned(),
        model: record.model.to_string(),
        subject: record.subject.to_string(),
        role: record.role.to_string(),
        status: record.status.into(),
        outcome: record.outcome.as_str().to_owned(),
        reason: record.reason.unwrap_or_default().to_owned(),
        finish: if record.started { record.finish_label().to_owned() } else { String::new() },
        prompt_tokens: record.usage.prompt_tokens,
        cached_tokens: record.usage.cached_tokens,
        completion_tokens: record.usage.completion_tokens,
        queue_ns: nanoseconds(record.usage.queued),
        first_token_ns: record.first_token.map(nanoseconds).unwrap_or_default(),
        stream: record.stream,
        weight,
        kept: kept.to_owned(),
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
