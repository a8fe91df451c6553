//! Keeps records as Parquet files, in a folder or in a bucket.
//!
//! Such a file cannot be added to, so records are gathered in memory until there are enough of them or the oldest has
//! waited long enough. They count as delivered only then: a killed process loses what it gathered, an ending one
//! writes it or hands it back. Files are there whole or not at all.

mod columns;
#[cfg(test)]
mod tests;

use std::fs::{DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};
use prost::Message as _;
use tokio::task::spawn_blocking;
use tokio::time::Instant;

use super::Clock;
use super::rolling::Files;
use super::sink::{Sink, SinkError};
use crate::records::wire::RecordBatch;

const SUFFIX: &str = ".parquet";

/// When a file is written.
#[derive(Debug, Clone)]
pub struct Settings {
    /// So many records are enough.
    pub file_records: usize,
    /// So many bytes of them, as they were sent, are too.
    pub file_bytes: usize,
    /// So long may the oldest wait.
    pub file_age: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self { file_records: 50_000, file_bytes: 32 << 20, file_age: Duration::from_mins(1) }
    }
}

/// Where a bucket is, and who writes to it.
#[cfg(feature = "s3")]
#[derive(Clone)]
pub struct Bucket {
    /// Its name.
    pub name: String,
    /// Put before the names of files; may be empty.
    pub prefix: String,
    /// Its region.
    pub region: String,
    /// `http(s)://HOST:PORT` of a service other than Amazon's.
    pub endpoint: Option<String>,
    /// The id of the key.
    pub key_id: String,
    /// The key.
    pub key: String,
}

/// Parquet files.
pub struct Parquet {
    settings: Settings,
    clock: Clock,
    store: Arc<dyn ObjectStore>,
    prefix: String,
    /// Names, and the old files of a folder.
    files: Files,
    /// Of files in a folder.
    folder: Option<PathBuf>,
    gathered: Arc<Vec<RecordBatch>>,
    records: usize,
    bytes: usize,
    oldest: Option<Instant>,
    pending: Option<Pending>,
}

/// A whole file that is not kept yet: under the same name when it is tried again, so that it is there once.
struct Pending {
    name: String,
    file: Bytes,
    /// What is in it.
    batches: Arc<Vec<RecordBatch>>,
    records: usize,
}

impl Parquet {
    /// Files in a folder, made where there is none; the newest `most` of them stay. Blocks.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn in_folder(
        folder: PathBuf,
        most: usize,
        settings: Settings,
        clock: Clock,
    ) -> Result<Self, SinkError> {
        // Only this user comes to the files in it.
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        let store = LocalFileSystem::new_with_prefix(&folder).map_err(SinkError::later)?.with_fsync(true);
        let files = Files::new(folder.clone(), tag(), SUFFIX, most);
        Ok(Self { folder: Some(folder), ..Self::new(Arc::new(store), files, settings, clock) })
    }

    /// Files in a bucket, which are never removed by this.
    ///
    /// # Errors
    /// What was said of the bucket makes no sense.
    #[cfg(feature = "s3")]
    pub fn in_bucket(bucket: Bucket, settings: Settings, clock: Clock) -> Result<Self, SinkError> {
        use object_store::aws::AmazonS3Builder;
        // The delivery has its own pauses.
        let retry = object_store::RetryConfig {
            max_retries: 1,
            retry_timeout: Duration::from_secs(10),
            ..object_store::RetryConfig::default()
        };
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(bucket.name)
            .with_region(bucket.region)
            .with_access_key_id(bucket.key_id)
            .with_secret_access_key(bucket.key)
            .with_retry(retry);
        if let Some(endpoint) = bucket.endpoint {
            builder = builder.with_allow_http(endpoint.starts_with("http://")).with_endpoint(endpoint);
        }
        let store = builder.build().map_err(SinkError::later)?;
        let files = Files::new(PathBuf::new(), tag(), SUFFIX, usize::MAX);
        Ok(Self { prefix: bucket.prefix, ..Self::new(Arc::new(store), files, settings, clock) })
    }

    fn new(store: Arc<dyn ObjectStore>, files: Files, settings: Settings, clock: Clock) -> Self {
        Self {
            settings,
            clock,
            store,
            prefix: String::new(),
            files,
            folder: None,
            gathered: Arc::default(),
            records: 0,
            bytes: 0,
            oldest: None,
            pending: None,
        }
    }

    fn is_due(&self) -> bool {
        self.pending.is_some()
            || self.records >= self.settings.file_records
            || self.bytes >= self.settings.file_bytes
            || self.oldest.is_some_and(|oldest| oldest.elapsed() >= self.settings.file_age)
    }

    fn gather(&mut self, batch: &RecordBatch) {
        self.records += batch.records.len();
        self.bytes += batch.encoded_len();
        self.oldest.get_or_insert_with(Instant::now);
        Arc::make_mut(&mut self.gathered).push(batch.clone());
    }

    /// Writes what was gathered. Given up in the middle, it is still there.
    async fn write(&mut self) -> Result<(), SinkError> {
        if self.pending.is_none() {
            if self.gathered.is_empty() {
                return Ok(());
            }
            let gathered = Arc::clone(&self.gathered);
            let file = spawn_blocking(move || columns::write(&gathered)).await.map_err(SinkError::later)?;
            let file = file.map_err(SinkError::later)?.into();
            let (name, batches) = (self.files.name((self.clock)()), std::mem::take(&mut self.gathered));
            self.pending = Some(Pending { name, file, batches, records: self.records });
            (self.records, self.bytes, self.oldest) = (0, 0, None);
        }
        let Some(Pending { name, file, .. }) = &self.pending else { return Ok(()) };
        let path = Path::from(format!("{}{name}", self.prefix));
        self.store.put(&path, file.clone().into()).await.map_err(SinkError::later)?;
        if let Some(folder) = &self.folder {
            let path = folder.join(name);
            let permitted =
                spawn_blocking(move || std::fs::set_permissions(path, Permissions::from_mode(0o600)));
            permitted.await.map_err(SinkError::later)??;
            self.files.trim();
        }
        self.pending = None;
        Ok(())
    }
}

impl Sink for Parquet {
    fn name(&self) -> &'static str {
        "parquet"
    }

    async fn deliver(&mut self, batch: &RecordBatch) -> Result<(), SinkError> {
        // First, so that a batch that cannot be taken is not gathered either.
        if self.is_due() {
            self.write().await?;
        }
        self.gather(batch);
        Ok(())
    }

    async fn tidy(&mut self) -> Result<(), SinkError> {
        if self.is_due() { self.write().await } else { Ok(()) }
    }

    async fn flush(&mut self) -> Result<(), SinkError> {
        // What could not be kept before, and what was gathered since.
        self.write().await?;
        self.write().await
    }

    fn gathered(&self) -> u64 {
        let pending = self.pending.as_ref().map_or(0, |pending| pending.records);
        (pending + self.records) as u64
    }

    fn give_back(&mut self) -> Vec<RecordBatch> {
        let pending = self.pending.take().map(|pending| pending.batches).unwrap_or_default();
        let gathered = std::mem::take(&mut self.gathered);
        (self.records, self.bytes, self.oldest) = (0, 0, None);
        [pending, gathered].into_iter().flat_map(Arc::unwrap_or_clone).collect()
    }
}

/// Tells the files of this process from those of others.
fn tag() -> String {
    format!("-{:08x}", rand::random::<u32>())
}
