//! What keeps records, and how it says no.

use std::time::Duration;

use crate::records::wire::RecordBatch;

/// Keeps records.
pub trait Sink: Send + 'static {
    /// A bounded label.
    fn name(&self) -> &'static str;

    /// Keeps a batch, whole or not at all as far as the sink can. Given up in the middle where it takes too long; the
    /// same batch then comes again.
    ///
    /// # Errors
    /// It is not kept.
    fn deliver(&mut self, batch: &RecordBatch) -> impl Future<Output = Result<(), SinkError>> + Send;

    /// Called each second while nothing is to be delivered, for a sink that gathers.
    ///
    /// # Errors
    /// What it gathered is not kept yet.
    fn tidy(&mut self) -> impl Future<Output = Result<(), SinkError>> + Send {
        std::future::ready(Ok(()))
    }

    /// Makes sure of what was delivered.
    ///
    /// # Errors
    /// Some of it may be lost.
    fn flush(&mut self) -> impl Future<Output = Result<(), SinkError>> + Send;

    /// How many records it took and gathers: they are not kept yet, and count as delivered once they are.
    fn gathered(&self) -> u64 {
        0
    }

    /// Hands back what it gathered and never kept; the last call, after a [`flush`](Self::flush) that failed.
    fn give_back(&mut self) -> Vec<RecordBatch> {
        Vec::new()
    }

    /// How many records of those that it took were refused, each on its own, since this was last asked.
    fn take_refused(&mut self) -> u64 {
        0
    }
}

/// Why a batch was not kept.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// It may be taken at another time.
    #[error("{message}")]
    Later {
        /// What went wrong.
        message: String,
        /// When to try again, if that was said.
        after: Option<Duration>,
    },
    /// It never will be.
    #[error("{0}")]
    Never(String),
}

impl SinkError {
    /// It may be taken at another time.
    pub fn later(message: impl std::fmt::Display) -> Self {
        Self::Later { message: message.to_string(), after: None }
    }
}

impl From<std::io::Error> for SinkError {
    fn from(error: std::io::Error) -> Self {
        Self::later(error)
    }
}
