//! The engine of another server: any that speaks OpenAI's protocol, such as vLLM, llama-server, `LiteLLM`, OpenAI
//! itself, or another gateway like this.
//!
//! A request is estimated where it arrives ([`estimate`]), sent when it starts, and its streamed answer read as it
//! comes ([`events`]). Whatever goes wrong before the head of an answer is an [`EngineError::Upstream`] that routing may
//! answer by another server. Dropping a generation closes its connection, which every such server takes for the end.

pub(in crate::engine) mod body;
mod chunk;
mod client;
mod connector;
mod embedding;
pub mod events;
mod generation;
pub mod http1;
mod load;
pub mod passage;
mod patch;
mod reader;
mod refusal;
mod setup;
pub mod sse;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderValue};
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout_at};

use self::client::Client;
use self::events::{ChunkReader, Expected};
use self::generation::Running;
use self::load::Load;
use self::passage::{FrameReader, WholeReader};
use self::reader::Reader;
pub use self::setup::SetupError;
use crate::config::{ModelConfig, worker};
use crate::engine::{
    EmbeddingRequest, Embeddings, Engine, EngineError, EngineLoad, Generation, GenerationRequest, ModelCard,
    Operation, Prepared, Start, TokenCount, TokenPiece, TokenizeRequest, UpstreamErrorKind, estimate,
};
use crate::telemetry::Metrics;

/// The window of a model whose entry says none, as most hosted ones have it.
const WINDOW: u32 = 128 << 10;

/// A model that another server serves.
pub struct UpstreamEngine {
    card: ModelCard,
    remote: Arc<Remote>,
}

/// What a request needs of the server.
struct Remote {
    client: Client,
    /// The server's name of the model.
    model: String,
    /// Our name of the server.
    target: Arc<str>,
    limits: Limits,
    load: Load,
    /// It is a worker of ours, which is told whose a request is.
    is_worker: bool,
}

/// How long an answer's phases may take.
#[derive(Debug, Clone, Copy)]
struct Limits {
    first_byte: Duration,
    idle: Duration,
    total: Duration,
}

/// The ends of one answer's phases.
#[derive(Debug, Clone, Copy)]
struct Times {
    first_byte: Instant,
    idle: Duration,
    total: Instant,
}

impl Limits {
    fn ends(self) -> Times {
        let now = Instant::now();
        Times { first_byte: now + self.first_byte, idle: self.idle, total: now + self.total }
    }
}

impl UpstreamEngine {
    /// Reads what the entry names; nothing is sent. `created` is when, in seconds since the Unix epoch.
    ///
    /// # Errors
    /// A file cannot be used.
    pub fn new(
        config: &ModelConfig,
        id: &str,
        created: u64,
        metrics: &Metrics,
    ) -> Result<Arc<Self>, SetupError> {
        let engine = Self::build(config, (id, created), metrics, false)?;
        sample(&engine, metrics);
        Ok(engine)
    }

    /// The way to a [worker](super::child) that serves a model of this machine.
    pub(in crate::engine) fn of_worker(
        config: &ModelConfig,
        id: &str,
        metrics: &Metrics,
    ) -> Result<Arc<Self>, SetupError> {
        Self::build(config, (id, 0), metrics, true)
    }

    fn build(
        config: &ModelConfig,
        (id, created): (&str, u64),
        metrics: &Metrics,
        is_worker: bool,
    ) -> Result<Arc<Self>, SetupError> {
        let card = ModelCard {
            id: id.to_owned(),
            created,
            owned_by: "upstream".to_owned(),
            context_window: if config.context == 0 { WINDOW } else { config.context },
            embedding_dimensions: None,
        };
        let limits = Limits {
            first_byte: config.first_byte_timeout,
            idle: config.idle_timeout,
            total: config.total_timeout,
        };
        let remote = Remote {
            client: Client::new(config)?,
            model: config.upstream_name(),
            target: id.into(),
            limits,
            load: Load::new(metrics.upstreams.of(id)),
            is_worker,
        };
        Ok(Arc::new(Self { card, remote: Arc::new(remote) }))
    }

    /// The operation that answers a request, and what is sent to it.
    pub(in crate::engine) fn body_of(
        &self,
        request: &GenerationRequest,
    ) -> Result<(Operation, Bytes), EngineError> {
        let call = self.remote.call(request, 0)?;
        Ok((call.operation, call.body))
    }

    /// A request that was counted there.
    pub(in crate::engine) fn counted(
        &self,
        request: GenerationRequest,
        prompt: TokenCount,
        most: u32,
    ) -> Box<dyn Prepared> {
        Box::new(Asked { remote: Arc::clone(&self.remote), request, prompt, most })
    }

    /// Asks a worker what is no operation of OpenAI's.
    pub(in crate::engine) async fn ask_worker<T: DeserializeOwned>(
        &self,
        path: &str,
        body: Bytes,
        patience: Duration,
    ) -> Result<T, EngineError> {
        let until = Instant::now() + patience;
        let response = self.remote.client.post(path, body, HeaderMap::new(), until).await?;
        let whole = timeout_at(until, response.into_body().collect()).await;
        let whole = whole.map_err(|_| client::timed_out("the answer has not come"))?;
        let broken = |error: String| client::failure(UpstreamErrorKind::Broken, error);
        let bytes = whole.map_err(|error| broken(error.to_string()))?.to_bytes();
        serde_json::from_slice(&bytes).map_err(|error| broken(error.to_string()))
    }
}

/// Before each snapshot of the metrics, as long as there is the engine, its load is looked at.
fn sample(engine: &Arc<UpstreamEngine>, metrics: &Metrics) {
    let (remote, model) = (Arc::downgrade(&engine.remote), metrics.models.of(&engine.card.id));
    metrics.sample(move || {
        let remote = remote.upgrade();
        model.running.set(remote.as_ref().map_or(0, |remote| remote.load.running().into()));
        model.loaded.set(remote.is_some().into());
    });
}

impl Engine for UpstreamEngine {
    fn card(&self) -> &ModelCard {
        &self.card
    }

    fn load(&self) -> EngineLoad {
        EngineLoad { ready: true, running: self.remote.load.running(), ..EngineLoad::default() }
    }

    fn prepare(&self, request: GenerationRequest) -> BoxFuture<'_, Result<Box<dyn Prepared>, EngineError>> {
        let prompt = estimate::prompt(&request.prompt);
        let window = self.card.context_window;
        let prepared = match (prompt, request.max_tokens) {
            // Only what was counted is refused: a guess may be wrong, and the server will say.
            (TokenCount::Exact(prompt), output) if prompt.saturating_add(output.unwrap_or(1)) > window => {
                Err(EngineError::ContextLength { prompt, output, window })
            }
            _ => {
                let rest = window.saturating_sub(length(prompt)).max(1);
                let most = request.max_tokens.unwrap_or(rest).saturating_mul(request.choices);
                Ok(self.counted(request, prompt, most))
            }
        };
        std::future::ready(prepared).boxed()
    }

    fn embed(&self, request: EmbeddingRequest) -> BoxFuture<'_, Result<Embeddings, EngineError>> {
        embedding::embed(&self.remote, request).boxed()
    }

    fn tokenize(&self, _: TokenizeRequest) -> BoxFuture<'_, Result<Vec<TokenPiece>, EngineError>> {
        std::future::ready(Err(self.no_tokenizer())).boxed()
    }

    fn detokenize(&self, _: Vec<u32>) -> BoxFuture<'_, Result<String, EngineError>> {
        std::future::ready(Err(self.no_tokenizer())).boxed()
    }
}

impl UpstreamEngine {
    fn no_tokenizer(&self) -> EngineError {
        EngineError::Unsupported(format!(
            "the model `{}` is served elsewhere: its tokens cannot be told here",
            self.card.id
        ))
    }
}

/// A request that was estimated, or counted.
struct Asked {
    remote: Arc<Remote>,
    request: GenerationRequest,
    prompt: TokenCount,
    /// The most tokens that all choices may have.
    most: u32,
}

fn length(prompt: TokenCount) -> u32 {
    let (TokenCount::Exact(tokens) | TokenCount::Estimate(tokens)) = prompt;
    tokens
}

impl Remote {
    /// The client's own request, where it may be passed on, else ours.
    fn call(&self, request: &GenerationRequest, prompt_tokens: u32) -> Result<Call, EngineError> {
        let expected =
            Expected { choices: request.choices, logprobs: request.logprobs.is_some(), prompt_tokens };
        if let Some(wire) = &request.wire
            && let Some(body) = patch::patch(&wire.body, &self.model, wire.stream)
        {
            let reader = if wire.stream {
                Reader::Frames(FrameReader::new(expected, wire.include_usage))
            } else {
                Reader::Whole(WholeReader::new(expected.prompt_tokens))
            };
            return Ok(Call { operation: wire.operation, body, reader });
        }
        let (operation, body) = body::write(&self.model, request, self.client.dialect())?;
        Ok(Call { operation, body, reader: Reader::Chunks(ChunkReader::new(expected)) })
    }

    /// Whose a request is: for our own workers alone.
    fn headers(&self, start: &Start) -> Result<HeaderMap, EngineError> {
        let mut headers = HeaderMap::new();
        if self.is_worker {
            let failed = |_| EngineError::Failed("the subject's name fits no header field".to_owned());
            let tenant = HeaderValue::from_bytes(start.tenant.as_bytes()).map_err(failed)?;
            headers.insert(worker::TENANT, tenant);
            headers.insert(worker::PRIORITY, u16::from(start.priority).into());
        }
        Ok(headers)
    }
}

impl Asked {
    async fn send(self, start: &Start) -> Result<Generation, EngineError> {
        let remote = Arc::clone(&self.remote);
        let Call { operation, body, reader } = remote.call(&self.request, length(self.prompt))?;
        let (mut times, in_flight) = (remote.limits.ends(), remote.load.enter());
        if let Reader::Whole(_) = reader {
            // Nothing comes before the answer is made.
            (times.first_byte, times.idle) = (times.total, remote.limits.total);
        }
        let headers = remote.headers(start)?;
        let until = times.first_byte.min(times.total);
        let response = remote.client.post(path(operation), body, headers, until).await?;
        if !matches!(reader, Reader::Whole(_)) {
            client::check_stream(&response)?;
        }
        Ok(Running { remote, body: response.into_body(), reader, times, _in_flight: in_flight }.generation())
    }
}

/// What is sent, and how the answer is read.
struct Call {
    operation: Operation,
    body: Bytes,
    reader: Reader,
}

fn path(operation: Operation) -> &'static str {
    match operation {
        Operation::Chat => "chat/completions",
        Operation::Completion => "completions",
    }
}

impl Prepared for Asked {
    fn prompt_tokens(&self) -> TokenCount {
        self.prompt
    }

    fn max_output_tokens(&self) -> u32 {
        self.most
    }

    fn start(self: Box<Self>, start: Start) -> BoxFuture<'static, Result<Generation, EngineError>> {
        async move { self.send(&start).await }.boxed()
    }
}

impl std::fmt::Debug for UpstreamEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UpstreamEngine").field("id", &self.card.id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
