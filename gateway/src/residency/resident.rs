//! A model of this machine as an engine: there whether it is in memory or not.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use openapi::admin::models::{LoadState, Residency};
use tokio::time::Instant;

use super::Shared;
use super::lease::{Lease, Leased, Waiting};
use super::table::Entry;
use crate::engine::{
    EmbeddingRequest, Embeddings, Engine, EngineError, EngineLoad, GenerationRequest, ModelCard, Prepared,
    TokenPiece, TokenizeRequest,
};

/// A local model. A request for one that is not in memory has it loaded, and waits.
pub struct Resident {
    shared: Arc<Shared>,
    index: usize,
    card: ModelCard,
    /// How long a request waits at most.
    wait: Duration,
    /// The gateway is not ready where this one failed.
    required: bool,
}

impl Resident {
    pub(super) fn new(
        shared: Arc<Shared>,
        index: usize,
        card: ModelCard,
        (wait, required): (Duration, bool),
    ) -> Self {
        Self { shared, index, card, wait, required }
    }

    fn shown(&self) -> Option<Residency> {
        self.shared.table.lock().shown(self.index)
    }

    /// A hold on the model, once it is in memory.
    async fn lease(&self) -> Result<Lease, EngineError> {
        if let Some(lease) = self.enter(false)? {
            return Ok(lease);
        }
        let waiting = Waiting { shared: Arc::clone(&self.shared), index: self.index };
        self.shared.work.notify_one();
        let leased = tokio::time::timeout(self.wait, self.await_entry()).await;
        drop(waiting);
        leased.unwrap_or_else(|_| {
            let retry_after = self.shared.table.lock().remaining(self.index, Instant::now());
            Err(EngineError::Loading { retry_after })
        })
    }

    async fn await_entry(&self) -> Result<Lease, EngineError> {
        loop {
            let mut changed = Box::pin(self.changed()?.notified_owned());
            // Enabled before the look: no change is missed.
            changed.as_mut().enable();
            if let Some(lease) = self.enter(true)? {
                return Ok(lease);
            }
            self.shared.work.notify_one();
            changed.await;
        }
    }

    fn changed(&self) -> Result<Arc<tokio::sync::Notify>, EngineError> {
        let table = self.shared.table.lock();
        let slot = table.slot(self.index).ok_or(EngineError::NotReady("it is not served any more"))?;
        Ok(Arc::clone(&slot.changed))
    }

    fn enter(&self, waits: bool) -> Result<Option<Lease>, EngineError> {
        match self.shared.table.lock().enter(self.index, waits, Instant::now())? {
            Entry::Entered(engine) => Ok(Some(Lease::new(&self.shared, self.index, engine))),
            Entry::Wait => Ok(None),
        }
    }
}

impl Engine for Resident {
    fn card(&self) -> &ModelCard {
        &self.card
    }

    fn load(&self) -> EngineLoad {
        if let Some(load) = self.shared.load(self.index) {
            return load;
        }
        let shown = self.shown();
        let failed = shown.as_ref().is_some_and(|shown| shown.state == LoadState::Failed);
        EngineLoad {
            // What is loaded when it is asked for takes requests at any time.
            ready: !(failed && self.required),
            waiting: shown.map_or(0, |shown| shown.waiting),
            ..EngineLoad::default()
        }
    }

    fn probe(&self) -> BoxFuture<'_, bool> {
        let failed = self.shown().is_some_and(|shown| shown.state == LoadState::Failed);
        std::future::ready(!failed && self.load().ready).boxed()
    }

    fn residency(&self) -> Option<Residency> {
        self.shown()
    }

    fn prepare(&self, request: GenerationRequest) -> BoxFuture<'_, Result<Box<dyn Prepared>, EngineError>> {
        async move {
            let lease = self.lease().await?;
            let prepared = lease.engine()?.prepare(request).await?;
            Ok(Box::new(Leased { prepared, lease }) as Box<dyn Prepared>)
        }
        .boxed()
    }

    fn embed(&self, request: EmbeddingRequest) -> BoxFuture<'_, Result<Embeddings, EngineError>> {
        async move {
            let lease = self.lease().await?;
            lease.engine()?.embed(request).await
        }
        .boxed()
    }

    fn tokenize(&self, request: TokenizeRequest) -> BoxFuture<'_, Result<Vec<TokenPiece>, EngineError>> {
        async move {
            let lease = self.lease().await?;
            lease.engine()?.tokenize(request).await
        }
        .boxed()
    }

    fn detokenize(&self, tokens: Vec<u32>) -> BoxFuture<'_, Result<String, EngineError>> {
        async move {
            let lease = self.lease().await?;
            lease.engine()?.detokenize(tokens).await
        }
        .boxed()
    }
}
