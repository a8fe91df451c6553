//! Requests by route, from their head to the last byte of their answer.

use std::sync::Arc;
use std::time::Instant;

use prometheus::{Histogram, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec};

use super::{Declare, OTHER};

/// From 10 ms to 300 s.
pub(super) const REQUEST_BUCKETS: [f64; 14] =
    [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0];

/// The status of a request whose client left before it was answered: there is none on the wire.
const LEFT: u16 = 499;

/// The families.
pub struct Http {
    requests: IntCounterVec,
    duration: HistogramVec,
    in_flight: IntGaugeVec,
    errors: IntCounterVec,
}

/// One operation's handles. There are as many as operations, and one for each method of an unknown path.
#[derive(Clone)]
pub struct Route {
    method: &'static str,
    name: &'static str,
    requests: IntCounterVec,
    errors: IntCounterVec,
    duration: Histogram,
    in_flight: IntGauge,
}

impl Http {
    pub(super) fn new(declare: &Declare<'_>) -> Self {
        Self {
            requests: declare.counters(
                "http_requests_total",
                "Requests that were answered; status 499 where the client left first.",
                &["method", "route", "status"],
            ),
            duration: declare.histograms(
                ("http_request_duration_seconds", "From a request's head to the last byte of its answer."),
                &REQUEST_BUCKETS,
                &["method", "route"],
            ),
            in_flight: declare.integers("http_requests_in_flight", "Requests being answered.", &["route"]),
            errors: declare.counters(
                "request_errors_total",
                "Refused and failed requests by reason, streams that failed after their status included.",
                &["route", "reason"],
            ),
        }
    }

    /// The handles of an operation.
    pub fn route(&self, method: &'static str, name: &'static str) -> Route {
        // A counter's first value is no increase: what alerts look for is there from the start.
        for failure in ["500", "503"] {
            self.requests.with_label_values(&[method, name, failure]).reset();
        }
        Route {
            method,
            name,
            requests: self.requests.clone(),
            errors: self.errors.clone(),
            duration: self.duration.with_label_values(&[method, name]),
            in_flight: self.in_flight.with_label_values(&[name]),
        }
    }

    /// A stream that failed when its status was told already.
    pub fn failed(&self, route: &str, reason: &str) {
        self.errors.with_label_values(&[route, reason]).inc();
    }
}

impl Route {
    /// A request begins.
    pub fn begin(&self) -> Open {
        self.in_flight.inc();
        Open { route: self.clone(), began: Instant::now(), status: LEFT }
    }
}

/// A request being answered; whoever holds it last ends it, so an answer's body holds it to its last byte.
pub struct Open {
    route: Route,
    began: Instant,
    status: u16,
}

impl Open {
    /// The answer's head is known.
    pub fn answered(&mut self, status: u16, reason: Option<&str>) {
        self.status = status;
        if let Some(reason) = reason {
            self.route.errors.with_label_values(&[self.route.name, reason]).inc();
        }
    }

    /// To be held by the answer's body.
    pub fn shared(self) -> Arc<Self> {
        Arc::new(self)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let route = &self.route;
        let status = status_text(self.status);
        route.requests.with_label_values(&[route.method, route.name, &status]).inc();
        route.duration.observe(self.began.elapsed().as_secs_f64());
        route.in_flight.dec();
    }
}

/// The digits of a status, without a heap.
fn status_text(status: u16) -> StatusText {
    let digit = |power: u16| b'0' + u8::try_from(status / power % 10).unwrap_or(0);
    StatusText([digit(100), digit(10), digit(1)])
}

struct StatusText([u8; 3]);

impl std::ops::Deref for StatusText {
    type Target = str;

    fn deref(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or(OTHER)
    }
}
