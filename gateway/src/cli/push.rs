//! The gateway's side of the exporter: what is pushed to it, under which name.

use std::path::Path;
use std::sync::Arc;

use exporter::client::{Connection, Endpoint, EndpointError, Outcome, Pusher, Settings, Source};
use exporter::records::batcher::{self, Batcher, Counts};
use exporter::records::sampling::Sampler;
use gateway::accounting::{Ledger, Sampled};
use gateway::clock::Clock;
use gateway::config::{ListenAddress, Records, TelemetryConfig};
use gateway::telemetry::Metrics;
use prometheus::proto::MetricFamily;

use super::Failure;
use super::background::Background;

/// What is pushed.
struct Pushed(Arc<Metrics>);

impl Source for Pushed {
    fn gather(&self) -> Vec<MetricFamily> {
        self.0.gather()
    }

    fn pushed(&self, outcome: Outcome) {
        self.0.pushes.with_label_values(&[outcome.as_str()]).inc();
    }
}

impl Counts for Pushed {
    fn count(&self, outcome: &'static str, records: u64) {
        self.0.records.with_label_values(&[outcome]).inc_by(records);
    }
}

/// Pushes every metric from now on, where there is an exporter to push to. Gives the ledger of request records.
pub(super) fn start(
    config: &TelemetryConfig,
    listening: &ListenAddress,
    metrics: &Arc<Metrics>,
    background: &mut Background,
) -> Result<Option<Arc<dyn Ledger>>, Failure> {
    let Some(url) = &config.exporter_url else { return Ok(None) };
    let endpoint: Endpoint =
        url.parse().map_err(|error: EndpointError| Failure::new(format!("--exporter-url: {error}")))?;
    let secret = config.exporter_secret_file.as_deref().map(secret).transpose()?;
    let instance = config.instance.clone().unwrap_or_else(|| name(listening));
    tracing::info!(instance, exporter = url, "metrics will be pushed");
    let (epoch, source) = (Clock::System.now_ms(), Arc::new(Pushed(Arc::clone(metrics))));
    let connection = Connection::new(endpoint.clone(), secret.clone());
    let settings = Settings { endpoint, secret, instance: instance.clone(), interval: config.push_interval };
    let pusher = Pusher::new(settings, Arc::clone(&source) as _, epoch);
    // Last: it also tells what became of the last records.
    background.run_last(|stop| pusher.run(stop));
    if config.records == Records::Off {
        return Ok(None);
    }
    let (inbox, batcher) = Batcher::new(batcher::Settings::default(), (instance, epoch), connection, source);
    background.run(|stop| batcher.run(stop));
    let levels =
        config.levels().map_err(|invalid| Failure::new(format!("--record-levels: {}", invalid.message)))?;
    Ok(Some(Arc::new(Sampled {
        inbox,
        sampler: Sampler::new(&levels),
        slow: config.slow_request,
        clock: Clock::System,
        metrics: Arc::clone(metrics),
    })))
}

fn secret(path: &Path) -> Result<Arc<str>, Failure> {
    let failed = |problem: String| Failure::new(format!("{} (--exporter-secret): {problem}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
    let text = text.trim();
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(failed("must hold one line of printable characters".to_owned()));
    }
    Ok(text.into())
}

/// The machine's name, which is a container's own, and the port, for several gateways on one machine.
fn name(listening: &ListenAddress) -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = if host.trim().is_empty() { "gateway" } else { host.trim() };
    match listening {
        ListenAddress::Tcp(address) => {
            let port = address.rsplit_once(':').map_or("", |(_, port)| port);
            format!("{host}:{port}")
        }
        ListenAddress::Unix(_) => host.to_owned(),
    }
}
