//! The table `[records]` of the configuration file: which sinks there are, each a table of its own.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

#[cfg(any(feature = "influx", feature = "otlp"))]
use crate::client::Endpoint;

/// What keeps request records.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RecordsConfig {
    /// Most MiB of the records of one sink that wait on disk while it is away; 256 if not said, 0: none.
    pub spool_mib: Option<u32>,
    /// Files of newline-delimited JSON; the default.
    pub ndjson: Option<FolderConfig>,
    /// `InfluxDB`.
    pub influx: Option<InfluxConfig>,
    /// A collector of traces.
    pub otlp: Option<OtlpConfig>,
    /// Kafka.
    pub kafka: Option<KafkaConfig>,
    /// Parquet files.
    pub parquet: Option<ParquetConfig>,
}

/// Files in a folder.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FolderConfig {
    /// Where; a folder in the data folder, if not said.
    pub folder: Option<PathBuf>,
    /// A file of so many MiB is full; 64 if not said.
    pub file_mib: Option<u32>,
    /// So is one that is so many seconds old; 3600 if not said.
    pub file_seconds: Option<u32>,
    /// The newest that stay; 48 if not said.
    pub files: Option<usize>,
}

/// `InfluxDB`, by its line protocol.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InfluxConfig {
    /// `http://host:port`
    pub url: String,
    /// The database; of version 2, the bucket that is mapped to it.
    pub database: String,
    /// File with the token, or with `USER:PASSWORD` of version 1.8.
    pub token_file: Option<PathBuf>,
}

/// A collector of traces, by OTLP over HTTP.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OtlpConfig {
    /// `http://host:port`
    pub url: String,
}

/// A topic of Kafka.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KafkaConfig {
    /// Brokers to begin with, each `host:port`.
    pub brokers: Vec<String>,
    /// The topic; it must be there.
    pub topic: String,
}

/// Parquet files in a folder, or in a bucket.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ParquetConfig {
    /// Where; a folder in the data folder, if neither this nor a bucket is named.
    pub folder: Option<PathBuf>,
    /// The newest that stay in a folder; 48 if not said.
    pub files: Option<usize>,
    /// A bucket instead of a folder.
    pub bucket: Option<BucketConfig>,
}

/// A bucket of S3 or what speaks like it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BucketConfig {
    /// Its name.
    pub name: String,
    /// Put before the names of files.
    #[serde(default)]
    pub prefix: String,
    /// Its region.
    pub region: String,
    /// `http(s)://host:port` of a service other than Amazon's.
    pub endpoint: Option<String>,
    /// File with the id of the key and the key, a line each.
    pub key_file: PathBuf,
}

/// Why a sink cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SinkConfigError {
    /// A value makes no sense.
    #[error("records.{key}: {problem}")]
    Value {
        /// The key in the file.
        key: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// This exporter was built without it.
    #[error("records.{0}: this exporter was built without the feature `{0}`")]
    NotBuilt(&'static str),
}

impl SinkConfigError {
    pub(super) fn value(key: &'static str, problem: impl std::fmt::Display) -> Self {
        Self::Value { key, problem: problem.to_string() }
    }
}

impl FolderConfig {
    pub(super) fn file_bytes(&self) -> u64 {
        u64::from(self.file_mib.unwrap_or(64).max(1)) << 20
    }

    pub(super) fn file_age(&self) -> Duration {
        Duration::from_secs(self.file_seconds.unwrap_or(3600).max(1).into())
    }

    pub(super) fn files(&self) -> usize {
        self.files.unwrap_or(48).max(1)
    }
}

#[cfg(any(feature = "influx", feature = "otlp"))]
pub(super) fn endpoint(key: &'static str, url: &str) -> Result<Endpoint, SinkConfigError> {
    url.parse().map_err(|error: crate::client::EndpointError| SinkConfigError::value(key, error))
}
