//! What is being asked of a server at this moment, and how long it took.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use prometheus::Histogram;

/// The requests of one server.
#[derive(Debug)]
pub(super) struct Load {
    running: Arc<AtomicU32>,
    seconds: Histogram,
}

impl Load {
    pub(super) fn new(seconds: Histogram) -> Self {
        Self { running: Arc::default(), seconds }
    }

    /// Requests that have not ended.
    pub(super) fn running(&self) -> u32 {
        self.running.load(Ordering::Relaxed)
    }

    /// A request begins.
    pub(super) fn enter(&self) -> InFlight {
        self.running.fetch_add(1, Ordering::Relaxed);
        InFlight { running: Arc::clone(&self.running), seconds: self.seconds.clone(), began: Instant::now() }
    }
}

/// A request, until it is dropped.
#[derive(Debug)]
pub(super) struct InFlight {
    running: Arc<AtomicU32>,
    seconds: Histogram,
    began: Instant,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.running.fetch_sub(1, Ordering::Relaxed);
        self.seconds.observe(self.began.elapsed().as_secs_f64());
    }
}
