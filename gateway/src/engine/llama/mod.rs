//! The in-process engine: llama.cpp behind a scheduler thread. The only user of `llama_cpp_2`.
//!
//! A request is rendered and counted where it arrives (`prepare`), then handed to the one thread that owns the
//! context ([`scheduler`]), which sends drawn tokens back; they become events where the stream is read ([`generation`]).

mod adapter;
pub mod compute;
pub mod constraint;
pub mod context;
mod devices;
mod embedding;
mod footprint;
pub mod gauges;
pub mod generation;
mod header;
pub mod kv;
pub mod memory_file;
pub mod model;
pub mod output;
mod prepare;
pub mod queue;
pub mod sampler;
pub mod scheduler;
pub mod sequence;
#[cfg(test)]
mod simulated;
pub mod speculation;
pub mod template;
mod thread;
pub mod vocabulary;

use std::path::Path;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use self::constraint::ConstraintFactory;
pub use self::footprint::{Outlook, outlook};
use self::gauges::{Gauges, SpillCounts};
pub use self::model::{LoadError, Model};
use self::template::ChatTemplate;
use crate::config::{ModelConfig, ShareScope};
use crate::engine::{
    EmbeddingRequest, Embeddings, Engine, EngineError, EngineLoad, GenerationRequest, ModelCard, Prepared,
    TokenPiece, TokenizeRequest,
};
use crate::telemetry::Metrics;

/// A GGUF model served by this process.
pub struct LlamaEngine {
    shared: Arc<Shared>,
}

/// What requests need of the model; the context itself belongs to the scheduler's thread.
struct Shared {
    card: ModelCard,
    model: Arc<Model>,
    template: ChatTemplate,
    constraints: ConstraintFactory,
    worker: thread::Worker,
    gauges: Arc<Gauges>,
    share_prefix: ShareScope,
    /// Longest input to embed, in tokens.
    embedding_window: u32,
    /// Rendering, tokenizing and compiling grammars have their own bounded place, off the runtime's threads.
    preparing: tokio::sync::Semaphore,
}

/// Requests prepared at once: more would take the compute threads' cores.
const PREPARING: usize = 2;

/// The folder of spilled KV in the data folder.
const SPILLED: &str = "kv";

/// Removes spilled KV that no engine of this or another process uses: call it when all models are loaded.
pub fn forget_unused_spills(data: &Path) {
    kv::spill::forget_unused(&data.join(SPILLED));
}

impl LlamaEngine {
    /// Starts a scheduler over a loaded model, with one of its adapters where `adapter` names it. Blocks until the
    /// context is allocated. `card` is what the model's [`outlook`] said; `data` is the data folder.
    pub fn start(
        model: &Arc<Model>,
        config: &ModelConfig,
        (card, adapter): (ModelCard, Option<&str>),
        data: &Path,
        metrics: &Metrics,
    ) -> Result<Arc<Self>, LoadError> {
        let id = card.id.as_str();
        let template = prepare::compile_template(model, config)?;
        let constraints = ConstraintFactory::new(model.vocabulary())
            .map_err(|error| LoadError::Vocabulary(error.to_string()))?;
        let mut settings = thread::settings(model.trained_context(), config);
        settings.adapter = adapter.and_then(|name| model.adapter(name));
        let gauges = Arc::new(Gauges::new(config.queue, metrics.models.of(id)));
        let worker = thread::start((id, &data.join(SPILLED)), model, &settings, config, &gauges)?;
        // What the file's head does not tell, the loaded model does.
        let card = ModelCard {
            context_window: settings.limits.window,
            embedding_dimensions: model.embedding_dimensions(),
            ..card
        };
        let shared = Shared {
            card,
            model: Arc::clone(model),
            template,
            constraints,
            worker,
            gauges,
            share_prefix: config.share_prefix,
            embedding_window: thread::embedding_rows(&settings),
            preparing: tokio::sync::Semaphore::new(PREPARING),
        };
        Ok(Arc::new(Self { shared: Arc::new(shared) }))
    }

    /// What became of sequences on disk.
    pub fn spill_counts(&self) -> &SpillCounts {
        self.shared.gauges.spill()
    }

    /// How many sequences were preempted because the KV cache was full.
    pub fn preemptions(&self) -> u64 {
        self.shared.gauges.preemptions()
    }
}

impl Engine for LlamaEngine {
    fn card(&self) -> &ModelCard {
        &self.shared.card
    }

    fn load(&self) -> EngineLoad {
        self.shared.gauges.load()
    }

    fn prepare(&self, request: GenerationRequest) -> BoxFuture<'_, Result<Box<dyn Prepared>, EngineError>> {
        Box::pin(async move {
            let prepared = self.blocking(move |shared| prepare::prepare(shared, &request)).await?;
            Ok(Box::new(prepared) as Box<dyn Prepared>)
        })
    }

    fn embed(&self, request: EmbeddingRequest) -> BoxFuture<'_, Result<Embeddings, EngineError>> {
        Box::pin(async move {
            let inputs = self.blocking(move |shared| embedding::tokenize(shared, &request)).await?;
            embedding::embed(&self.shared, inputs).await
        })
    }

    fn tokenize(&self, request: TokenizeRequest) -> BoxFuture<'_, Result<Vec<TokenPiece>, EngineError>> {
        Box::pin(self.blocking(move |shared| prepare::tokenize(shared, &request)))
    }

    fn detokenize(&self, tokens: Vec<u32>) -> BoxFuture<'_, Result<String, EngineError>> {
        Box::pin(async move { prepare::detokenize(&self.shared, &tokens) })
    }
}

impl LlamaEngine {
    /// Runs work of preparation off the runtime's threads, a bounded number at once.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Arc<Shared>) -> Result<T, EngineError> + Send + 'static,
    ) -> Result<T, EngineError> {
        let shared = Arc::clone(&self.shared);
        let _permit =
            self.shared.preparing.acquire().await.map_err(|_| EngineError::NotReady("shutting down"))?;
        tokio::task::spawn_blocking(move || work(&shared))
            .await
            .map_err(|_| EngineError::Failed("the request could not be prepared".to_owned()))?
    }
}
