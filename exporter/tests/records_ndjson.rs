//! Records from the intake to their files, across an outage and a restart.

#![cfg(feature = "server")]
#![expect(clippy::unwrap_used, reason = "a test ends by panicking")]

mod support;

use std::fs;
use std::path::Path;
use std::time::Duration;

use exporter::server::records::ndjson::{Ndjson, Settings};
use exporter::server::records::{Counters, Delivery, Intake, Taken, delivery, wall_clock};
use prometheus::{IntCounterVec, IntGaugeVec, Opts};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

const COUNT: u64 = 40;

/// One life of the exporter.
struct Life {
    intake: Intake,
    tasks: JoinSet<()>,
    stop: CancellationToken,
    counters: Counters,
}

impl Life {
    fn begin(folder: &Path) -> Self {
        let options = |name| Opts::new(name, "A test's.");
        let counters = Counters {
            records: IntCounterVec::new(options("records"), &["sink", "outcome"]).unwrap(),
            spool_bytes: IntGaugeVec::new(options("bytes"), &["sink"]).unwrap(),
        };
        let file_age = Duration::from_hours(1);
        let files = Settings { folder: folder.join("records"), file_bytes: 1 << 20, file_age, files: 9 };
        let spool = Some((folder.join("spool"), 1 << 20));
        let settings = delivery::Settings { queue_batches: 4, spool, ..delivery::Settings::default() };
        let (delivery, feed) = Delivery::new(Ndjson::new(files, wall_clock), settings, &counters).unwrap();
        let (mut tasks, stop) = (JoinSet::new(), CancellationToken::new());
        tasks.spawn(delivery.run(stop.clone()));
        Self { intake: Intake::new(vec![feed], 10), tasks, stop, counters }
    }

    fn count(&self, outcome: &str) -> u64 {
        self.counters.records.with_label_values(&["ndjson", outcome]).get()
    }

    /// Returns once so many were delivered.
    async fn until_delivered(&self, count: u64) {
        while self.count("delivered") < count {
            tokio::task::yield_now().await;
        }
    }

    async fn end(mut self) {
        self.stop.cancel();
        self.tasks.join_next().await.unwrap().unwrap();
    }
}

fn ids(folder: &Path) -> Vec<String> {
    let files = fs::read_dir(folder).unwrap().map(|file| fs::read_to_string(file.unwrap().path()).unwrap());
    let ids = files.flat_map(|text| {
        let rows = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        rows.map(|row| row.get("trace_id").unwrap().as_str().unwrap().to_owned()).collect::<Vec<_>>()
    });
    let mut ids: Vec<_> = ids.collect();
    ids.sort();
    ids
}

#[tokio::test]
async fn what_an_outage_held_up_is_there_once_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let records = folder.path().join("records");
    fs::write(&records, "in the way").unwrap();
    let life = Life::begin(folder.path());
    for sequence in 0..COUNT {
        let batch = support::batch(support::now_ns() + sequence * 1_000_000, 10);
        let batch = exporter::records::wire::RecordBatch { sequence, epoch: 1, ..batch };
        assert_eq!(life.intake.take(batch.clone()), Taken::Accepted);
        assert_eq!(life.intake.take(batch), Taken::Repeated);
        tokio::task::yield_now().await;
    }
    assert!(life.count("spooled") > 0 && life.count("delivered") == 0);
    life.end().await;
    fs::remove_file(&records).unwrap();
    let life = Life::begin(folder.path());
    life.until_delivered(COUNT * 10).await;
    assert_eq!(life.count("dropped"), 0);
    life.end().await;
    let mut found = ids(&records);
    assert_eq!(found.len() as u64, COUNT * 10);
    found.dedup();
    assert_eq!(found.len() as u64, COUNT * 10, "none is there twice");
}
