//! Every metric of the gateway, declared once with its help, labels and buckets; handles are resolved before they are used.

pub mod access;
pub mod http;
pub mod model;
pub mod routing;
pub mod store;
#[cfg(test)]
mod tests;
pub mod upstream;

use std::fmt;

use parking_lot::Mutex;
use prometheus::core::Collector;
use prometheus::process_collector::ProcessCollector;
use prometheus::proto::MetricFamily;
use prometheus::{Gauge, HistogramOpts, IntCounterVec, IntGaugeVec, Opts, Registry};

use self::access::Access;
use self::http::Http;
use self::model::Models;
use self::routing::Routing;
use self::store::Stores;
use self::upstream::Upstreams;
use crate::clock::Clock;

/// Values that a label takes from configuration or changes at run time; what comes after so many is [`OTHER`].
const MOST_VALUES: usize = 100;
/// The label value of whatever is not one of the bounded.
pub const OTHER: &str = "other";

/// All metrics of the process.
pub struct Metrics {
    registry: Registry,
    /// Requests and their answers.
    pub http: Http,
    /// What the models do.
    pub models: Models,
    /// Who answers in whose place.
    pub routing: Routing,
    /// Whom nobody lets in.
    pub access: Access,
    /// What is kept, and how long that takes.
    pub stores: Stores,
    /// What other servers do for us.
    pub upstreams: Upstreams,
    /// `records_total{outcome}`: what became of request records.
    pub records: IntCounterVec,
    /// `push_snapshots_total{outcome}`: what became of pushes to the exporter.
    pub pushes: IntCounterVec,
    samplers: Mutex<Vec<Box<dyn Fn() + Send>>>,
}

impl Metrics {
    /// A registry of its own: two gateways in one process (tests) do not meet.
    pub fn new(clock: &Clock) -> Self {
        let registry = Registry::new();
        let declare = Declare(&registry);
        declare.build_info();
        let started = declare.gauge("gateway_start_time_seconds", "When this process began, Unix time.");
        started.set(clock.now_ms() as f64 / 1e3);
        declare.add(ProcessCollector::for_self());
        let outcomes = |name, help, outcomes: &[&str]| {
            let counters = declare.counters(name, help, &["outcome"]);
            // A counter's first value is no increase: what alerts look for is there from the start.
            for outcome in outcomes {
                counters.with_label_values(&[*outcome]).reset();
            }
            counters
        };
        Self {
            http: Http::new(&declare),
            models: Models::new(&declare),
            routing: Routing::new(&declare),
            access: Access::new(&declare, clock.clone()),
            stores: Stores::new(&declare),
            upstreams: Upstreams::new(&declare),
            records: outcomes(
                "records_total",
                "Request records, by what became of them.",
                &["sent", "sampled_out", "dropped"],
            ),
            pushes: outcomes(
                "push_snapshots_total",
                "Snapshots of all metrics pushed to the exporter, by what became of them.",
                &["sent", "failed", "refused"],
            ),
            samplers: Mutex::default(),
            registry,
        }
    }

    /// Has something looked at before every snapshot, such as the load of an engine.
    pub fn sample(&self, sampler: impl Fn() + Send + 'static) {
        self.samplers.lock().push(Box::new(sampler));
    }

    /// All of it at this moment.
    pub fn gather(&self) -> Vec<MetricFamily> {
        for sampler in &*self.samplers.lock() {
            sampler();
        }
        self.access.sample();
        self.registry.gather()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new(&Clock::System)
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

/// Declares metrics in a registry. Names and labels are constants, so declaring cannot fail but by a slip of ours,
/// which the first start would show.
struct Declare<'a>(&'a Registry);

impl Declare<'_> {
    #[expect(
        clippy::expect_used,
        reason = "each name is declared once, which every test that starts a gateway proves"
    )]
    fn add<C: Collector + 'static>(&self, collector: C) {
        self.0.register(Box::new(collector)).expect("a metric is declared once");
    }

    #[expect(clippy::expect_used, reason = "names are constants that the library takes")]
    fn made<C: Collector + Clone + 'static>(&self, collector: prometheus::Result<C>) -> C {
        let collector = collector.expect("names and labels are well-formed");
        self.add(collector.clone());
        collector
    }

    fn gauge(&self, name: &str, help: &str) -> Gauge {
        self.made(Gauge::new(name, help))
    }

    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.made(IntCounterVec::new(Opts::new(name, help), labels))
    }

    fn integers(&self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        self.made(IntGaugeVec::new(Opts::new(name, help), labels))
    }

    fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> prometheus::GaugeVec {
        self.made(prometheus::GaugeVec::new(Opts::new(name, help), labels))
    }

    fn histograms(
        &self,
        (name, help): (&str, &str),
        buckets: &[f64],
        labels: &[&str],
    ) -> prometheus::HistogramVec {
        let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
        self.made(prometheus::HistogramVec::new(options, labels))
    }

    fn build_info(&self) {
        let info = self.integers("gateway_build_info", "The version that runs; always 1.", &["version"]);
        info.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
    }
}
