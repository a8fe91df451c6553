//! The process that Prometheus scrapes: takes snapshots in, keeps the newest of each gateway apart, shows them all.
//!
//! `http` answers → `check` refuses what is malformed or too much → `instances` keeps → `expose` shows.

mod address;
pub mod check;
pub mod config;
mod consul;
pub mod expose;
mod http;
pub mod instances;
mod listener;
mod own;
pub mod records;
mod stalling;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use self::address::Address;
pub use self::config::Options;
use self::config::Settings;
pub use self::consul::ConsulSettings;
use self::consul::Registration;
pub use self::http::App;
use self::instances::Instances;
pub use self::listener::Listener;
use self::own::Own;
use self::records::config::SinkConfigError;
use self::records::sinks;

/// How long running answers may take when the process ends.
const LAST_ANSWERS: Duration = Duration::from_secs(5);
/// How long records may take then: longer than a sink may.
const LAST_RECORDS: Duration = Duration::from_secs(10);
/// How often what is silent is looked for.
const SWEEP: Duration = Duration::from_secs(1);

impl App {
    /// The parts, joined.
    pub fn new(settings: &Settings) -> Self {
        let own = Own::new();
        let instances = Instances::new(settings.silence, settings.remember, settings.limits.instances);
        Self::of(settings, Arc::new(instances), own)
    }
}

/// Serves until `stop` is cancelled, and carries request records to their sinks.
///
/// # Errors
/// A sink cannot be used.
pub async fn serve(
    listener: Listener,
    app: Arc<App>,
    settings: &Settings,
    stop: CancellationToken,
) -> Result<(), SinkConfigError> {
    let (answers, carriers) = (TaskTracker::new(), TaskTracker::new());
    // After the last answer: what it brought is carried too.
    let carried = CancellationToken::new();
    let counters = app.record_counters();
    app.record(sinks::open(&settings.records, &settings.data_dir, counters, &carriers, &carried)?);
    let sweeping = Arc::clone(&app);
    let ended = stop.clone();
    answers.spawn(async move {
        let mut tick = interval(SWEEP);
        tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
        while ended.run_until_cancelled(tick.tick()).await.is_some() {
            sweeping.instances().sweep();
        }
    });
    if let Some(consul) = &settings.consul {
        answers.spawn(Registration::new(consul).run(stop.clone()));
    }
    listener.accept(app, settings.max_connections, &answers, stop).await;
    answers.close();
    if timeout(LAST_ANSWERS, answers.wait()).await.is_err() {
        tracing::warn!(connections = answers.len(), "connections did not end in time");
    }
    carried.cancel();
    carriers.close();
    if timeout(LAST_RECORDS, carriers.wait()).await.is_err() {
        tracing::warn!("not all request records could be carried to their sinks");
    }
    Ok(())
}
