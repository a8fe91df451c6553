//! What routes do: attempts after the first, answers by fallbacks, open breakers, and how shadows compare.

use prometheus::{HistogramVec, IntCounterVec, IntGaugeVec};

use super::Declare;

/// From ten seconds sooner than the answer to ten seconds later.
const DIFFERENCE_BUCKETS: [f64; 13] =
    [-10.0, -3.0, -1.0, -0.3, -0.1, -0.03, 0.0, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0];

/// The families. Targets are models that the configuration names; clones are the same metrics.
#[derive(Debug, Clone)]
pub struct Routing {
    /// `upstream_breaker_open{target}`
    pub breaker_open: IntGaugeVec,
    /// `upstream_retries_total{target,reason}`: by the target that did not answer.
    pub retries: IntCounterVec,
    /// `upstream_fallbacks_total{target}`: by the target that answered.
    pub fallbacks: IntCounterVec,
    /// `upstream_shadow_total{target,outcome}`
    pub shadows: IntCounterVec,
    /// `upstream_shadow_difference_seconds{target,stage}`
    pub difference: HistogramVec,
}

impl Routing {
    pub(super) fn new(declare: &Declare<'_>) -> Self {
        Self {
            breaker_open: declare.integers(
                "upstream_breaker_open",
                "Whether routes leave a target alone, but for trials, since too many requests failed.",
                &["target"],
            ),
            retries: declare.counters(
                "upstream_retries_total",
                "Attempts after the first, by the target whose refusal or failure they make good.",
                &["target", "reason"],
            ),
            fallbacks: declare.counters(
                "upstream_fallbacks_total",
                "Requests that a fallback answered, by its name.",
                &["target"],
            ),
            shadows: declare.counters(
                "upstream_shadow_total",
                "Copies of requests for a shadow, by what became of them.",
                &["target", "outcome"],
            ),
            difference: declare.histograms(
                (
                    "upstream_shadow_difference_seconds",
                    "How much later than the answer that was given a shadow's came; less than 0 is sooner.",
                ),
                &DIFFERENCE_BUCKETS,
                &["target", "stage"],
            ),
        }
    }
}
