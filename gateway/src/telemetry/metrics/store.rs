//! What is kept: how long each operation of a store takes, and whether it works.

use std::time::Instant;

use prometheus::{HistogramVec, IntCounterVec, IntGauge, IntGaugeVec};

use super::Declare;

/// From half a millisecond, a round trip, to ten times a time-out.
const STORE_BUCKETS: [f64; 12] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5];

/// The families.
pub struct Stores {
    seconds: HistogramVec,
    errors: IntCounterVec,
    degraded: IntGaugeVec,
}

/// One store's handles.
#[derive(Debug, Clone)]
pub struct Store {
    name: &'static str,
    seconds: HistogramVec,
    errors: IntCounterVec,
    degraded: IntGauge,
}

impl Stores {
    pub(super) fn new(declare: &Declare<'_>) -> Self {
        Self {
            seconds: declare.histograms(
                ("store_operation_seconds", "Operations of a store."),
                &STORE_BUCKETS,
                &["store", "operation"],
            ),
            errors: declare.counters(
                "store_errors_total",
                "Operations that a store could not do.",
                &["store", "operation"],
            ),
            degraded: declare.integers(
                "store_degraded",
                "Whether a store could not do what it was last asked.",
                &["store"],
            ),
        }
    }

    /// The handles of a store.
    pub fn of(&self, name: &'static str) -> Store {
        Store {
            name,
            seconds: self.seconds.clone(),
            errors: self.errors.clone(),
            degraded: self.degraded.with_label_values(&[name]),
        }
    }
}

impl Store {
    /// Times an operation. `broken` says of an error whether the store is at fault, and not what was asked of it.
    pub async fn time<T, E>(
        &self,
        operation: &'static str,
        broken: impl FnOnce(&E) -> bool,
        doing: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let began = Instant::now();
        let outcome = doing.await;
        self.seconds.with_label_values(&[self.name, operation]).observe(began.elapsed().as_secs_f64());
        let failed = outcome.as_ref().is_err_and(broken);
        if failed {
            self.errors.with_label_values(&[self.name, operation]).inc();
        }
        self.degraded.set(i64::from(failed));
        outcome
    }
}
