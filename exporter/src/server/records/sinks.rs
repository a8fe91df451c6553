//! From the configuration to running sinks: the one place that names their kinds.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::config::{FolderConfig, RecordsConfig, SinkConfigError};
use super::delivery::{self, Delivery, Feed};
use super::ndjson::{self, Ndjson};
use super::{Counters, Intake, Sink, wall_clock};

/// Processes whose batches are told from repeated ones.
const MOST_INSTANCES: usize = 1000;
/// MiB that wait on disk for a sink that is away.
const SPOOL_MIB: u32 = 256;

/// Opens sinks one after the other.
struct Opening<'a> {
    data: &'a Path,
    spool_bytes: u64,
    counters: &'a Counters,
    tasks: &'a TaskTracker,
    stop: &'a CancellationToken,
    feeds: Vec<Feed>,
}

/// Opens every sink that is configured, files of newline-delimited JSON where none is. Blocks. Their tasks end after
/// `stop` was cancelled.
///
/// # Errors
/// A sink cannot be used.
pub fn open(
    config: &RecordsConfig,
    data: &Path,
    counters: &Counters,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> Result<Arc<Intake>, SinkConfigError> {
    let spool_bytes = u64::from(config.spool_mib.unwrap_or(SPOOL_MIB)) << 20;
    let mut opening = Opening { data, spool_bytes, counters, tasks, stop, feeds: Vec::new() };
    opening.influx(config)?;
    opening.otlp(config)?;
    opening.kafka(config)?;
    opening.parquet(config)?;
    match &config.ndjson {
        Some(files) => opening.ndjson(files)?,
        None if opening.feeds.is_empty() => opening.ndjson(&FolderConfig::default())?,
        None => {}
    }
    Ok(Arc::new(Intake::new(opening.feeds, MOST_INSTANCES)))
}

impl Opening<'_> {
    fn folder(&self, named: Option<&PathBuf>, default: &str) -> PathBuf {
        named.cloned().unwrap_or_else(|| self.data.join(default))
    }

    fn start<S: Sink>(&mut self, key: &'static str, sink: S) -> Result<(), SinkConfigError> {
        let spool = (self.spool_bytes > 0).then(|| (self.data.join("spool").join(key), self.spool_bytes));
        let settings = delivery::Settings { spool, ..delivery::Settings::default() };
        let opened = Delivery::new(sink, settings, self.counters);
        let (delivery, feed) = opened.map_err(|error| SinkConfigError::value(key, error))?;
        self.tasks.spawn(delivery.run(self.stop.clone()));
        self.feeds.push(feed);
        tracing::info!(sink = key, "request records are kept");
        Ok(())
    }

    fn ndjson(&mut self, files: &FolderConfig) -> Result<(), SinkConfigError> {
        let settings = ndjson::Settings {
            folder: self.folder(files.folder.as_ref(), "records"),
            file_bytes: files.file_bytes(),
            file_age: files.file_age(),
            files: files.files(),
        };
        self.start("ndjson", Ndjson::new(settings, wall_clock))
    }

    #[cfg(feature = "influx")]
    fn influx(&mut self, config: &RecordsConfig) -> Result<(), SinkConfigError> {
        let Some(influx) = &config.influx else { return Ok(()) };
        let endpoint = super::config::endpoint("influx", &influx.url)?;
        told("influx.database", &influx.database)?;
        let token = influx.token_file.as_deref().map(|path| secret("influx", path)).transpose()?;
        let settings = super::influx::Settings { endpoint, database: influx.database.clone(), token };
        let sink = super::influx::Influx::new(settings);
        self.start("influx", sink.map_err(|error| SinkConfigError::value("influx", error))?)
    }

    #[cfg(feature = "otlp")]
    fn otlp(&mut self, config: &RecordsConfig) -> Result<(), SinkConfigError> {
        let Some(otlp) = &config.otlp else { return Ok(()) };
        self.start("otlp", super::otlp::Otlp::new(super::config::endpoint("otlp", &otlp.url)?))
    }

    #[cfg(feature = "kafka")]
    fn kafka(&mut self, config: &RecordsConfig) -> Result<(), SinkConfigError> {
        let Some(kafka) = &config.kafka else { return Ok(()) };
        told("kafka.topic", &kafka.topic)?;
        let is_address = |broker: &String| {
            broker
                .rsplit_once(':')
                .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
        };
        if kafka.brokers.is_empty() || !kafka.brokers.iter().all(is_address) {
            return Err(SinkConfigError::value(
                "kafka.brokers",
                "must name at least one broker, each HOST:PORT",
            ));
        }
        let (brokers, topic) = (kafka.brokers.clone(), kafka.topic.clone());
        self.start("kafka", super::kafka::Kafka::new(super::kafka::Settings { brokers, topic }))
    }

    #[cfg(feature = "parquet")]
    fn parquet(&mut self, config: &RecordsConfig) -> Result<(), SinkConfigError> {
        use super::parquet::{Parquet, Settings};
        let Some(parquet) = &config.parquet else { return Ok(()) };
        let failed = |error| SinkConfigError::value("parquet", error);
        if let Some(bucket) = &parquet.bucket {
            let sink = in_bucket(bucket)?;
            return self.start("parquet", sink);
        }
        let folder = self.folder(parquet.folder.as_ref(), "parquet");
        let files = parquet.files.unwrap_or(48).max(1);
        let sink = Parquet::in_folder(folder, files, Settings::default(), wall_clock).map_err(failed)?;
        self.start("parquet", sink)
    }

    #[cfg(not(feature = "influx"))]
    #[expect(clippy::unused_self, reason = "as where it is built")]
    fn influx(&mut self, config: &RecordsConfig) -> Result<(), SinkConfigError> {
        not_built(config.influx.is_some(), "influx")
    }

    #[cfg(not(feature = "otlp"))]
    #[expect(clippy::unused_self, reason = "as where it is built")]
    fn otlp(&mut self, config: &RecordsConfig) -> Result<(), SinkConfigError> {
        not_built(config.otlp.is_some(), "otlp")
    }

    #[cfg(not(feature = "kafka"))]
    #[expect(clippy::unused_self, reason = "as where it is built")]
    fn kafka(&mut self, config: &RecordsConfig) -> Result<(), SinkConfigError> {
        not_built(config.kafka.is_some(), "kafka")
    }

    #[cfg(not(feature = "parquet"))]
    #[expect(clippy::unused_self, reason = "as where it is built")]
    fn parquet(&mut self, config: &RecordsConfig) -> Result<(), SinkConfigError> {
        not_built(config.parquet.is_some(), "parquet")
    }
}

#[cfg(feature = "s3")]
fn in_bucket(bucket: &super::config::BucketConfig) -> Result<super::parquet::Parquet, SinkConfigError> {
    use super::parquet::{Bucket, Parquet, Settings};
    let failed = |error| SinkConfigError::value("parquet.bucket", error);
    told("parquet.bucket.name", &bucket.name)?;
    told("parquet.bucket.region", &bucket.region)?;
    let keys = secret("parquet.bucket", &bucket.key_file)?;
    let (key_id, key) = keys.split_once('\n').ok_or_else(|| {
        SinkConfigError::value("parquet.bucket", "key_file must hold the key's id and the key, a line each")
    })?;
    let whole = Bucket {
        name: bucket.name.clone(),
        prefix: bucket.prefix.clone(),
        region: bucket.region.clone(),
        endpoint: bucket.endpoint.clone(),
        key_id: key_id.trim().to_owned(),
        key: key.trim().to_owned(),
    };
    Parquet::in_bucket(whole, Settings::default(), wall_clock).map_err(failed)
}

#[cfg(all(feature = "parquet", not(feature = "s3")))]
fn in_bucket(_: &super::config::BucketConfig) -> Result<super::parquet::Parquet, SinkConfigError> {
    Err(SinkConfigError::NotBuilt("s3"))
}

#[cfg(not(all(feature = "influx", feature = "otlp", feature = "kafka", feature = "parquet")))]
fn not_built(is_configured: bool, feature: &'static str) -> Result<(), SinkConfigError> {
    if is_configured { Err(SinkConfigError::NotBuilt(feature)) } else { Ok(()) }
}

#[cfg(any(feature = "influx", feature = "kafka", feature = "s3"))]
fn told(key: &'static str, value: &str) -> Result<(), SinkConfigError> {
    if value.trim().is_empty() { Err(SinkConfigError::value(key, "must not be empty")) } else { Ok(()) }
}

#[cfg(any(feature = "influx", feature = "s3"))]
fn secret(key: &'static str, path: &Path) -> Result<String, SinkConfigError> {
    let text = std::fs::read_to_string(path);
    let text = text.map_err(|error| SinkConfigError::value(key, format!("{}: {error}", path.display())))?;
    Ok(text.trim().to_owned())
}
