//! A log of events whose operations are timed.

use std::sync::Arc;

use super::{EventLog, Numbered, Standing};
use crate::conversation::store::Answer;
use crate::telemetry::metrics::store::Store;

/// Times what it hands on.
pub struct Metered {
    inner: Arc<dyn EventLog>,
    handles: Store,
}

impl Metered {
    /// Over a log.
    pub fn new(inner: Arc<dyn EventLog>, handles: Store) -> Self {
        Self { inner, handles }
    }

    fn time<'a, T: Send + 'a>(&'a self, operation: &'static str, answer: Answer<'a, T>) -> Answer<'a, T> {
        Box::pin(self.handles.time(operation, |_| true, answer))
    }
}

impl EventLog for Metered {
    fn append<'a>(&'a self, owner: &'a str, id: &'a str, events: &'a [Numbered]) -> Answer<'a, Standing> {
        self.time("append", self.inner.append(owner, id, events))
    }

    fn read<'a>(
        &'a self,
        owner: &'a str,
        id: &'a str,
        after: Option<u64>,
        most: usize,
    ) -> Answer<'a, Vec<Numbered>> {
        self.time("read", self.inner.read(owner, id, after, most))
    }

    fn standing<'a>(&'a self, owner: &'a str, id: &'a str) -> Answer<'a, Standing> {
        self.time("standing", self.inner.standing(owner, id))
    }

    fn cancel<'a>(&'a self, owner: &'a str, id: &'a str) -> Answer<'a, ()> {
        self.time("cancel", self.inner.cancel(owner, id))
    }

    fn remove<'a>(&'a self, owner: &'a str, id: &'a str) -> Answer<'a, ()> {
        self.time("remove", self.inner.remove(owner, id))
    }
}
