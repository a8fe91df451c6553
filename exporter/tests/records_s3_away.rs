//! A bucket of a real service that is away while records come and the exporter ends: the next life brings them there.

#![cfg(feature = "s3")]
#![expect(clippy::unwrap_used, reason = "a test ends by panicking")]

#[path = "support/service.rs"]
mod service;
mod support;

use std::path::Path;
use std::time::{Duration, Instant};

use exporter::records::wire::RecordBatch;
use exporter::server::records::parquet::{Bucket, Parquet, Settings};
use exporter::server::records::{Counters, Delivery, Intake, delivery, wall_clock};
use object_store::aws::AmazonS3Builder;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::file::reader::{FileReader, SerializedFileReader};
use prometheus::{IntCounterVec, IntGaugeVec, Opts};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

const BATCHES: u64 = 30;
const EACH: u64 = 100;

struct Life {
    intake: Intake,
    counters: Counters,
    tasks: JoinSet<()>,
    stop: CancellationToken,
}

impl Life {
    fn begin(folder: &Path, endpoint: &str, prefix: &str) -> Self {
        let bucket = Bucket {
            name: "records".to_owned(),
            prefix: prefix.to_owned(),
            region: "local".to_owned(),
            endpoint: Some(endpoint.to_owned()),
            key_id: "any".to_owned(),
            key: "any".to_owned(),
        };
        // Files of a thousand, so that some are pending and some records only gathered when the end comes.
        let files = Settings { file_records: 1000, ..Settings::default() };
        let sink = Parquet::in_bucket(bucket, files, wall_clock).unwrap();
        let options = |name| Opts::new(name, "A test's.");
        let counters = Counters {
            records: IntCounterVec::new(options("records"), &["sink", "outcome"]).unwrap(),
            spool_bytes: IntGaugeVec::new(options("bytes"), &["sink"]).unwrap(),
        };
        let settings = delivery::Settings {
            queue_batches: 4,
            spool: Some((folder.to_owned(), 64 << 20)),
            shortest_pause: Duration::from_millis(20),
            longest_pause: Duration::from_millis(100),
            ..delivery::Settings::default()
        };
        let (delivery, feed) = Delivery::new(sink, settings, &counters).unwrap();
        let (mut tasks, stop) = (JoinSet::new(), CancellationToken::new());
        tasks.spawn(delivery.run(stop.clone()));
        Self { intake: Intake::new(vec![feed], 10), counters, tasks, stop }
    }

    fn count(&self, outcome: &str) -> u64 {
        self.counters.records.with_label_values(&["parquet", outcome]).get()
    }

    async fn end(&mut self) {
        self.stop.cancel();
        self.tasks.join_next().await.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a service that speaks S3 with a bucket `records`: EXPORTER_TEST_S3=http://HOST:PORT"]
async fn what_was_only_gathered_when_the_bucket_was_away_is_there_after_a_restart() {
    let service = service::address("EXPORTER_TEST_S3", "http://HOST:PORT");
    let start = support::now_ns();
    let prefix = format!("away-{start}/");
    let folder = tempfile::tempdir().unwrap();
    // The way to it: nobody listens at first.
    let way = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = way.local_addr().unwrap();
    drop(way);
    let mut life = Life::begin(folder.path(), &format!("http://{address}"), &prefix);
    for sequence in 0..BATCHES {
        let batch = support::batch(start + sequence * 1_000_000, EACH);
        let batch = RecordBatch { epoch: 1, sequence, ..batch };
        tokio::task::block_in_place(|| life.intake.take(batch));
    }
    life.end().await;
    assert_eq!(
        (life.count("delivered"), life.count("dropped")),
        (0, 0),
        "nothing is kept yet, nothing is lost"
    );
    drop(life);

    let way = TcpListener::bind(address).await.unwrap();
    let to = service.strip_prefix("http://").unwrap().to_owned();
    let mut ways = JoinSet::new();
    ways.spawn(async move {
        let mut open = JoinSet::new();
        while let Ok((mut from, _)) = way.accept().await {
            let mut to = TcpStream::connect(&to).await.unwrap();
            open.spawn(async move { drop(tokio::io::copy_bidirectional(&mut from, &mut to).await) });
        }
    });
    let mut life = Life::begin(folder.path(), &format!("http://{address}"), &prefix);
    let began = Instant::now();
    // The last of them are gathered until the end.
    while life.count("delivered") < (BATCHES - 10) * EACH {
        assert!(began.elapsed() < Duration::from_mins(1), "{}", life.count("delivered"));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    life.end().await;
    assert_eq!((life.count("delivered"), life.count("dropped")), (BATCHES * EACH, 0));
    assert_eq!(rows(&service, &prefix).await, BATCHES * EACH);
}

/// Rows in all files of a folder of the bucket.
async fn rows(service: &str, prefix: &str) -> u64 {
    let builder = AmazonS3Builder::new().with_bucket_name("records").with_region("local");
    let builder = builder.with_access_key_id("any").with_secret_access_key("any");
    let store = builder.with_endpoint(service).with_allow_http(true).build().unwrap();
    let prefix = object_store::path::Path::from(prefix.trim_end_matches('/'));
    let mut rows = 0;
    for file in store.list_with_delimiter(Some(&prefix)).await.unwrap().objects {
        let whole = store.get(&file.location).await.unwrap().bytes().await.unwrap();
        let reader = SerializedFileReader::new(whole).unwrap();
        rows += u64::try_from(reader.metadata().file_metadata().num_rows()).unwrap();
    }
    rows
}
