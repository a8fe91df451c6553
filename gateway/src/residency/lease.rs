//! A request's hold on a model: from its preparation to the end of its answer the model stays in memory.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, Stream};
use tokio::time::Instant;

use super::Shared;
use crate::engine::{Engine, EngineError, Event, Generation, Prepared, Start, TokenCount};

/// A hold on a model, until it is dropped.
pub(super) struct Lease {
    engine: Option<Arc<dyn Engine>>,
    shared: Arc<Shared>,
    index: usize,
}

impl Lease {
    pub(super) fn new(shared: &Arc<Shared>, index: usize, engine: Arc<dyn Engine>) -> Self {
        Self { engine: Some(engine), shared: Arc::clone(shared), index }
    }

    /// What serves the model.
    pub(super) fn engine(&self) -> Result<&Arc<dyn Engine>, EngineError> {
        // Gone only while it is dropped.
        self.engine.as_ref().ok_or(EngineError::NotReady("its engine has stopped"))
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // The handle first: who counts no leases may rely on there being no other handle.
        drop(self.engine.take());
        let at = self.shared.clock.now_s();
        if self.shared.table.lock().leave(self.index, Instant::now(), at) {
            self.shared.work.notify_one();
        }
    }
}

/// A request's place among those who wait for a model, until it is dropped.
pub(super) struct Waiting {
    pub(super) shared: Arc<Shared>,
    pub(super) index: usize,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.shared.table.lock().stop_waiting(self.index);
    }
}

/// A prepared request that holds its model. Fields are dropped in order: the hold last.
pub(super) struct Leased {
    pub(super) prepared: Box<dyn Prepared>,
    pub(super) lease: Lease,
}

impl Prepared for Leased {
    fn prompt_tokens(&self) -> TokenCount {
        self.prepared.prompt_tokens()
    }

    fn max_output_tokens(&self) -> u32 {
        self.prepared.max_output_tokens()
    }

    fn start(self: Box<Self>, start: Start) -> BoxFuture<'static, Result<Generation, EngineError>> {
        async move {
            let Self { prepared, lease } = *self;
            let Generation { events, target } = prepared.start(start).await?;
            Ok(Generation { events: Box::pin(Holding { events, lease: Some(lease) }), target })
        }
        .boxed()
    }
}

/// The events of an answer, which hold the model until the last of them.
struct Holding {
    events: Pin<Box<dyn Stream<Item = Result<Event, EngineError>> + Send>>,
    lease: Option<Lease>,
}

impl Stream for Holding {
    type Item = Result<Event, EngineError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = std::task::ready!(self.events.as_mut().poll_next(context));
        if matches!(next, Some(Ok(Event::Done(_)) | Err(_)) | None) {
            self.lease = None;
        }
        Poll::Ready(next)
    }
}
