//! What became of records, counted.

use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

/// The metrics of all sinks. Whoever makes them registers them.
#[derive(Debug, Clone)]
pub struct Counters {
    /// `exporter_records_total{sink,outcome}`
    pub records: IntCounterVec,
    /// `exporter_records_spool_bytes{sink}`
    pub spool_bytes: IntGaugeVec,
}

/// The metrics of one sink. In records, not batches.
#[derive(Debug, Clone)]
pub(super) struct Tally {
    /// The sink has them.
    pub(super) delivered: IntCounter,
    /// The sink said no and is asked again; each time counts.
    pub(super) retried: IntCounter,
    /// They wait in the spool; each time counts.
    pub(super) spooled: IntCounter,
    /// They are lost.
    pub(super) dropped: IntCounter,
    pub(super) spool_bytes: IntGauge,
}

impl Counters {
    /// All of them at zero from the start, so that a first loss is an increase.
    pub(super) fn of(&self, sink: &str) -> Tally {
        let outcome = |outcome| self.records.with_label_values(&[sink, outcome]);
        Tally {
            delivered: outcome("delivered"),
            retried: outcome("retried"),
            spooled: outcome("spooled"),
            dropped: outcome("dropped"),
            spool_bytes: self.spool_bytes.with_label_values(&[sink]),
        }
    }
}

#[cfg(test)]
pub(super) fn for_tests() -> Counters {
    let options = |name| prometheus::Opts::new(name, "A test's.");
    Counters {
        records: IntCounterVec::new(options("records"), &["sink", "outcome"]).unwrap(),
        spool_bytes: IntGaugeVec::new(options("bytes"), &["sink"]).unwrap(),
    }
}
