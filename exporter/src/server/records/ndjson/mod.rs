//! Keeps records as newline-delimited JSON in files that follow one another.
//!
//! A batch is handed to the system with one write before it counts as delivered, so a killed process loses none. Files
//! reach the disk when they are full and at the end: a power cut may lose the newest file.

#[cfg(test)]
mod tests;

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::Instant;

use super::Clock;
use super::rolling::Files;
use super::row::Row;
use super::sink::{Sink, SinkError};
use crate::records::wire::RecordBatch;

/// Which files, and how many.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where they are.
    pub folder: PathBuf,
    /// A file that has so many is full.
    pub file_bytes: u64,
    /// So is one that is so old.
    pub file_age: Duration,
    /// The newest that stay.
    pub files: usize,
}

/// Files of newline-delimited JSON.
pub struct Ndjson {
    /// Away while a thread writes with it; a write that was given up takes its file with it.
    writer: Option<Writer>,
    settings: Settings,
    clock: Clock,
}

struct Writer {
    files: Files,
    file_bytes: u64,
    file_age: Duration,
    clock: Clock,
    open: Option<Open>,
}

struct Open {
    file: File,
    bytes: u64,
    since: Instant,
}

impl Ndjson {
    /// Opens nothing yet: a file begins with the first batch.
    pub fn new(settings: Settings, clock: Clock) -> Self {
        Self { writer: None, settings, clock }
    }

    fn writer(&mut self) -> Writer {
        let Settings { folder, file_bytes, file_age, files } = &self.settings;
        let (file_bytes, file_age, clock) = (*file_bytes, *file_age, self.clock);
        self.writer.take().unwrap_or_else(|| {
            let files = Files::new(folder.clone(), String::new(), ".ndjson", *files);
            Writer { files, file_bytes, file_age, clock, open: None }
        })
    }

    async fn with_writer(
        &mut self,
        work: impl FnOnce(&mut Writer) -> io::Result<()> + Send + 'static,
    ) -> Result<(), SinkError> {
        let mut writer = self.writer();
        let done = spawn_blocking(move || {
            let done = work(&mut writer);
            (writer, done)
        });
        let (writer, done) = done.await.map_err(SinkError::later)?;
        self.writer = Some(writer);
        Ok(done?)
    }
}

impl Sink for Ndjson {
    fn name(&self) -> &'static str {
        "ndjson"
    }

    async fn deliver(&mut self, batch: &RecordBatch) -> Result<(), SinkError> {
        let lines = lines(batch).map_err(|error| SinkError::Never(error.to_string()))?;
        self.with_writer(move |writer| writer.write(&lines)).await
    }

    async fn tidy(&mut self) -> Result<(), SinkError> {
        if self.writer.as_ref().is_some_and(Writer::is_due) {
            return self.with_writer(Writer::close).await;
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), SinkError> {
        self.with_writer(Writer::close).await
    }
}

/// A batch as it is written.
///
/// # Errors
/// None that a record can cause.
pub fn lines(batch: &RecordBatch) -> Result<Vec<u8>, serde_json::Error> {
    // Most records take that much, so that the lines do not move while they grow.
    let mut lines = Vec::with_capacity(batch.records.len() * 640);
    for record in &batch.records {
        serde_json::to_writer(&mut lines, &Row::new(&batch.instance, record))?;
        lines.push(b'\n');
    }
    Ok(lines)
}

impl Writer {
    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        if self.is_due() {
            self.close()?;
        }
        let mut open = match self.open.take() {
            Some(open) => open,
            None => Open { file: self.files.create((self.clock)())?, bytes: 0, since: Instant::now() },
        };
        if let Err(error) = open.file.write_all_at(lines, open.bytes) {
            // The same batch comes again: half of it must not stay. Where even that fails, a new file begins.
            if open.file.set_len(open.bytes).is_ok() {
                self.open = Some(open);
            }
            return Err(error);
        }
        open.bytes += lines.len() as u64;
        self.open = Some(open);
        Ok(())
    }

    fn is_due(&self) -> bool {
        self.open
            .as_ref()
            .is_some_and(|open| open.bytes >= self.file_bytes || open.since.elapsed() >= self.file_age)
    }

    fn close(&mut self) -> io::Result<()> {
        self.open.take().map_or(Ok(()), |open| open.file.sync_all())
    }
}
