//! The exporter's own metrics.

use parking_lot::Mutex;
use prometheus::core::Collector;
use prometheus::process_collector::ProcessCollector;
use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

use super::instances::Instances;
use super::records::Counters;
use crate::protocol::families;
use crate::protocol::metrics::MetricFamily;

/// From 50 µs to 100 ms.
const INGEST_BUCKETS: [f64; 11] =
    [0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1];

/// The metrics.
pub(super) struct Own {
    registry: Registry,
    /// One at a time gathers: what is told of gateways is written anew each time.
    gathering: Mutex<()>,
    pub(super) snapshots: IntCounterVec,
    pub(super) rejected: IntCounterVec,
    pub(super) ingest: Histogram,
    /// What became of request records.
    pub(super) records: Counters,
    instances: IntGauge,
    series: Gauge,
    up: IntGaugeVec,
    last_push: GaugeVec,
}

impl Own {
    pub(super) fn new() -> Self {
        let registry = Registry::new();
        let counters =
            |name, help, labels: &[&str]| made(&registry, IntCounterVec::new(Opts::new(name, help), labels));
        let snapshots =
            counters("exporter_snapshots_total", "Snapshots pushed, by what became of them.", &["outcome"]);
        let rejected =
            counters("exporter_rejected_total", "Bodies that were not taken, by reason.", &["reason"]);
        let info = made(
            &registry,
            IntGaugeVec::new(
                Opts::new("exporter_build_info", "The version that runs; always 1."),
                &["version"],
            ),
        );
        info.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        made(&registry, Ok(Process(std::sync::Arc::new(ProcessCollector::for_self()))));
        let options = HistogramOpts::new("exporter_ingest_seconds", "From a body read to a snapshot kept.");
        Self {
            ingest: made(&registry, Histogram::with_opts(options.buckets(INGEST_BUCKETS.to_vec()))),
            instances: made(&registry, IntGauge::new("exporter_instances", "Gateways heard of lately.")),
            series: made(&registry, Gauge::new("exporter_series", "Series held of all gateways.")),
            up: made(
                &registry,
                IntGaugeVec::new(
                    Opts::new("exporter_instance_up", "Whether a gateway was heard of lately."),
                    &["instance"],
                ),
            ),
            last_push: made(
                &registry,
                GaugeVec::new(
                    Opts::new(
                        "exporter_instance_last_push_seconds",
                        "When a gateway last pushed, Unix time.",
                    ),
                    &["instance"],
                ),
            ),
            records: Counters {
                records: counters(
                    "exporter_records_total",
                    "Request records, by sink and what became of them.",
                    &["sink", "outcome"],
                ),
                spool_bytes: made(
                    &registry,
                    IntGaugeVec::new(
                        Opts::new(
                            "exporter_records_spool_bytes",
                            "Request records that wait on disk, bytes.",
                        ),
                        &["sink"],
                    ),
                ),
            },
            gathering: Mutex::default(),
            snapshots,
            rejected,
            registry,
        }
    }

    /// All of them at this moment.
    pub(super) fn gather(&self, instances: &Instances) -> Vec<MetricFamily> {
        let _one = self.gathering.lock();
        let standings = instances.standings();
        // Those that nobody remembers any more leave.
        self.up.reset();
        self.last_push.reset();
        for standing in &standings {
            self.up.with_label_values(&[&*standing.name]).set(standing.up.into());
            self.last_push.with_label_values(&[&*standing.name]).set(standing.heard_at);
        }
        let up = standings.iter().filter(|standing| standing.up).count();
        self.instances.set(i64::try_from(up).unwrap_or(i64::MAX));
        self.series.set(instances.series() as f64);
        families(&self.registry.gather())
    }
}

/// The process' own numbers, which the crate does not let clone.
#[derive(Clone)]
struct Process(std::sync::Arc<ProcessCollector>);

impl Collector for Process {
    fn desc(&self) -> Vec<&prometheus::core::Desc> {
        self.0.desc()
    }

    fn collect(&self) -> Vec<prometheus::proto::MetricFamily> {
        self.0.collect()
    }
}

#[expect(clippy::expect_used, reason = "names are constants, each declared once, as every start proves")]
fn made<C: Collector + Clone + 'static>(registry: &Registry, collector: prometheus::Result<C>) -> C {
    let collector = collector.expect("names and labels are well-formed");
    registry.register(Box::new(collector.clone())).expect("a metric is declared once");
    collector
}
