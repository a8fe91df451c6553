//! A model under its own name, without a route: as its engine is, but counted, so that routes to it know its load.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::held::Held;
use super::target::Target;
use crate::engine::{
    EmbeddingRequest, Embeddings, Engine, EngineError, EngineLoad, Generation, GenerationRequest, ModelCard,
    Prepared, Start, TokenCount, TokenPiece, TokenizeRequest,
};

/// A model that is asked by name. It is asked whatever its breaker says: there is nobody else.
pub(super) struct Direct(pub(super) Arc<Target>);

impl Engine for Direct {
    fn card(&self) -> &ModelCard {
        self.0.engine().card()
    }

    fn load(&self) -> EngineLoad {
        self.0.engine().load()
    }

    fn probe(&self) -> BoxFuture<'_, bool> {
        self.0.engine().probe()
    }

    fn prepare(&self, request: GenerationRequest) -> BoxFuture<'_, Result<Box<dyn Prepared>, EngineError>> {
        async move {
            let ready = self.0.engine().prepare(request).await?;
            Ok(Box::new(Counted { ready, target: Arc::clone(&self.0) }) as Box<dyn Prepared>)
        }
        .boxed()
    }

    fn embed(&self, request: EmbeddingRequest) -> BoxFuture<'_, Result<Embeddings, EngineError>> {
        async move {
            let _place = self.0.enter_freely();
            self.0.engine().embed(request).await
        }
        .boxed()
    }

    fn tokenize(&self, request: TokenizeRequest) -> BoxFuture<'_, Result<Vec<TokenPiece>, EngineError>> {
        self.0.engine().tokenize(request)
    }

    fn detokenize(&self, tokens: Vec<u32>) -> BoxFuture<'_, Result<String, EngineError>> {
        self.0.engine().detokenize(tokens)
    }
}

struct Counted {
    ready: Box<dyn Prepared>,
    target: Arc<Target>,
}

impl Prepared for Counted {
    fn prompt_tokens(&self) -> TokenCount {
        self.ready.prompt_tokens()
    }

    fn max_output_tokens(&self) -> u32 {
        self.ready.max_output_tokens()
    }

    fn start(self: Box<Self>, start: Start) -> BoxFuture<'static, Result<Generation, EngineError>> {
        async move {
            let place = self.target.enter_freely();
            let Generation { events, target } = self.ready.start(start).await?;
            let events = Box::pin(Held::new(None, events, place, None));
            Ok(Generation { events, target: target.or_else(|| Some(Arc::clone(self.target.name()))) })
        }
        .boxed()
    }
}
