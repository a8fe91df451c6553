//! What other servers do for us.

use std::collections::HashSet;

use parking_lot::Mutex;
use prometheus::{Histogram, HistogramVec};

use super::http::REQUEST_BUCKETS;
use super::{Declare, MOST_VALUES, OTHER};

/// The families, and the servers seen so far.
pub struct Upstreams {
    seconds: HistogramVec,
    known: Mutex<HashSet<Box<str>>>,
}

impl Upstreams {
    pub(super) fn new(declare: &Declare<'_>) -> Self {
        let seconds = declare.histograms(
            (
                "upstream_request_seconds",
                "From a request to a server to the end of its answer, whichever way.",
            ),
            &REQUEST_BUCKETS,
            &["target"],
        );
        Self { seconds, known: Mutex::default() }
    }

    /// `upstream_request_seconds` of a server; all beyond a hundred are one.
    pub fn of(&self, target: &str) -> Histogram {
        let mut known = self.known.lock();
        if known.len() < MOST_VALUES {
            known.insert(target.into());
        }
        let target = if known.contains(target) { target } else { OTHER };
        self.seconds.with_label_values(&[target])
    }
}
