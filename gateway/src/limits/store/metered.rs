//! A store of limits whose operations are timed.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::{LimitStore, Settlement, StoreError, Taken};
use crate::limits::terms::{Allowance, Balance, Demand};
use crate::telemetry::metrics::store::Store;

/// Times what it hands on. Settling is left alone: it is handed to a task, and never waited for.
pub struct Metered {
    inner: Arc<dyn LimitStore>,
    handles: Store,
}

impl Metered {
    /// Over a store.
    pub fn new(inner: Arc<dyn LimitStore>, handles: Store) -> Self {
        Self { inner, handles }
    }

    fn time<'a, T: Send + 'a>(
        &'a self,
        operation: &'static str,
        answer: BoxFuture<'a, Result<T, StoreError>>,
    ) -> BoxFuture<'a, Result<T, StoreError>> {
        Box::pin(self.handles.time(operation, |_| true, answer))
    }
}

impl LimitStore for Metered {
    fn settle(&self, settlement: Settlement) {
        self.inner.settle(settlement);
    }

    fn degraded(&self) -> bool {
        self.inner.degraded()
    }

    fn take<'a>(&'a self, demand: &'a Demand) -> BoxFuture<'a, Result<Taken, StoreError>> {
        self.time("take", self.inner.take(demand))
    }

    fn peek<'a>(
        &'a self,
        subject: &'a str,
        allowance: &'a Allowance,
    ) -> BoxFuture<'a, Result<Balance, StoreError>> {
        self.time("peek", self.inner.peek(subject, allowance))
    }
}
