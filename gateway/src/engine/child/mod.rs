//! A model in a process of its own: what breaks in it ends its own streams and nothing else.
//!
//! The process is this program as a [worker](crate::api::worker): a gateway that serves one model over a Unix socket
//! in a folder of its owner's, and asks nobody for a credential. It is spoken to as any other server is
//! ([`upstream`](super::upstream)), so its answers pass byte by byte; but prompts are counted there before they are
//! admitted here, and the tenant goes with each request.

mod backoff;
mod folder;
pub mod protocol;
mod supervisor;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::folder::Folder;
pub use self::folder::config_file;
use self::protocol::{Counted, Piece};
use self::supervisor::{State, Supervisor};
use super::progress::Progress;
use super::upstream::{SetupError, UpstreamEngine};
use super::{
    EmbeddingRequest, Embeddings, Engine, EngineError, EngineLoad, GenerationRequest, ModelCard, Operation,
    Prepared, TokenCount, TokenPiece, TokenizeRequest, UpstreamErrorKind,
};
use crate::config::{Http2, ModelConfig, UpstreamHeaders};
use crate::telemetry::Metrics;

/// How long a request waits for a worker that is being started again.
const WAIT: Duration = Duration::from_secs(5);
/// How long a worker may take to its first start: it loads its model.
const START: Duration = Duration::from_mins(30);
/// How long counting may take, which needs no compute of the model.
const COUNTING: Duration = Duration::from_secs(30);
/// In a worker nothing takes longer than it would here, where nothing has a bound.
const UNBOUNDED: Duration = Duration::from_hours(24 * 7);
/// How long the end of a worker is waited for.
const END: Duration = Duration::from_secs(15);
/// How often a worker that ended meanwhile is asked.
const ATTEMPTS: u32 = 3;
/// From one look at whether a start is still wanted to the next.
const LOOK: Duration = Duration::from_millis(100);

/// Why a worker could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its folder or its program.
    #[error("its worker cannot be started: {0}")]
    Io(#[from] std::io::Error),
    /// The way to it.
    #[error("its worker cannot be reached: {0}")]
    Setup(#[from] SetupError),
    /// It ended.
    #[error("its worker ended ({0}); what it said is in the log")]
    Ended(String),
    /// Nobody wants it any more, or it took too long.
    #[error("its worker was not ready in time")]
    NotReady,
}

/// A model in a process of its own. Dropping it ends the process.
pub struct ChildEngine {
    card: ModelCard,
    supervisor: Arc<Supervisor>,
    state: watch::Receiver<State>,
    /// Told when the process has ended.
    ended: Mutex<mpsc::Receiver<()>>,
    _running: Mutex<JoinSet<()>>,
}

impl ChildEngine {
    /// Starts a worker and waits until it has loaded the model. Blocks, on a thread of the runtime's that may.
    ///
    /// # Errors
    /// It cannot be started, or it ends before it is ready.
    pub fn start(
        config: &ModelConfig,
        card: ModelCard,
        data: &Path,
        progress: &Progress,
        metrics: &Metrics,
    ) -> Result<Arc<Self>, StartError> {
        let folder = Folder::create(data)?;
        folder.configure(config, &card.id)?;
        let upstream = UpstreamEngine::of_worker(&way(config, &folder, &card), &card.id, metrics)?;
        let (state, seen) = watch::channel(State::Starting);
        let supervisor = Arc::new(Supervisor {
            name: card.id.as_str().into(),
            program: program()?,
            folder,
            upstream,
            state,
            load: Mutex::default(),
            stop: CancellationToken::new(),
            metrics: metrics.models.of(&card.id),
        });
        let (told, ended) = mpsc::channel();
        let mut running = JoinSet::new();
        let runs = Arc::clone(&supervisor).run();
        let runtime = tokio::runtime::Handle::current();
        running.spawn_on(
            async move {
                runs.await;
                // Where that is not heard nobody waits any more.
                told.send(()).unwrap_or_default();
            },
            &runtime,
        );
        let engine = Arc::new(Self {
            card,
            supervisor,
            state: seen,
            ended: Mutex::new(ended),
            _running: Mutex::new(running),
        });
        runtime.block_on(engine.first_start(progress))?;
        Ok(engine)
    }

    async fn first_start(&self, progress: &Progress) -> Result<(), StartError> {
        let (mut state, until) = (self.state.clone(), Instant::now() + START);
        loop {
            match &*state.borrow_and_update() {
                State::Up => return Ok(()),
                State::Down(reason, _) => return Err(StartError::Ended(reason.clone())),
                State::Stopped => return Err(StartError::NotReady),
                State::Starting => {}
            }
            if progress.is_cancelled() || Instant::now() >= until {
                return Err(StartError::NotReady);
            }
            drop(tokio::time::timeout(LOOK, state.changed()).await);
        }
    }

    /// Returns once the worker answers; one that is being started again is waited for a little.
    async fn up(&self) -> Result<(), EngineError> {
        if *self.state.borrow() == State::Up {
            return Ok(());
        }
        let mut state = self.state.clone();
        let up = state.wait_for(|state| matches!(state, State::Up | State::Stopped));
        match tokio::time::timeout(WAIT, up).await {
            Ok(Ok(state)) if *state == State::Up => Ok(()),
            Ok(_) => Err(EngineError::NotReady("its process has ended")),
            Err(_) => Err(EngineError::Loading { retry_after: self.again() }),
        }
    }

    /// When it may be there.
    fn again(&self) -> Duration {
        let second = Duration::from_secs(1);
        match &*self.state.borrow() {
            State::Down(_, at) => at.saturating_duration_since(Instant::now()) + second,
            _ => second,
        }
    }

    /// Asks what changes nothing there: again where the worker ended meanwhile.
    async fn ask<T: DeserializeOwned>(&self, path: &str, body: Bytes) -> Result<T, EngineError> {
        let mut attempts = 0;
        loop {
            self.up().await?;
            let answer = self.supervisor.upstream.ask_worker(path, body.clone(), COUNTING).await;
            attempts += 1;
            let Err(EngineError::Upstream {
                kind: UpstreamErrorKind::Unreachable | UpstreamErrorKind::Broken,
                ..
            }) = &answer
            else {
                return answer;
            };
            if attempts == ATTEMPTS {
                return answer;
            }
            // Its end is noticed in a moment.
            let mut state = self.state.clone();
            drop(tokio::time::timeout(LOOK, state.wait_for(|state| *state != State::Up)).await);
        }
    }

    async fn count(&self, request: GenerationRequest) -> Result<Box<dyn Prepared>, EngineError> {
        let (operation, body) = self.supervisor.upstream.body_of(&request)?;
        let path = match operation {
            Operation::Chat => "worker/chat",
            Operation::Completion => "worker/completion",
        };
        let counted: Counted = self.ask(path, body).await?;
        let (prompt, output) = counted.fits()?;
        Ok(self.supervisor.upstream.counted(request, TokenCount::Exact(prompt), output))
    }
}

/// The worker as a server of a model.
fn way(config: &ModelConfig, folder: &Folder, card: &ModelCard) -> ModelConfig {
    ModelConfig {
        url: Some(format!("unix:{}", folder.socket().display())),
        upstream_model: Some(card.id.clone()),
        context: card.context_window,
        key_file: None,
        headers: UpstreamHeaders::default(),
        http2: Http2::Never,
        first_byte_timeout: UNBOUNDED,
        idle_timeout: UNBOUNDED,
        total_timeout: UNBOUNDED,
        ..config.clone()
    }
}

/// This program, also where its file was replaced by a newer one since it started.
fn program() -> std::io::Result<PathBuf> {
    let running = PathBuf::from("/proc/self/exe");
    if running.exists() { Ok(running) } else { std::env::current_exe() }
}

fn json<T: serde::Serialize>(value: &T) -> Result<Bytes, EngineError> {
    let text = serde_json::to_vec(value).map_err(|error| EngineError::Failed(error.to_string()))?;
    Ok(text.into())
}

impl Engine for ChildEngine {
    fn card(&self) -> &ModelCard {
        &self.card
    }

    fn load(&self) -> EngineLoad {
        let load = *self.supervisor.load.lock();
        EngineLoad { ready: *self.state.borrow() == State::Up, ..load }
    }

    fn prepare(&self, request: GenerationRequest) -> BoxFuture<'_, Result<Box<dyn Prepared>, EngineError>> {
        self.count(request).boxed()
    }

    fn embed(&self, request: EmbeddingRequest) -> BoxFuture<'_, Result<Embeddings, EngineError>> {
        async move {
            self.up().await?;
            self.supervisor.upstream.embed(request).await
        }
        .boxed()
    }

    fn tokenize(&self, request: TokenizeRequest) -> BoxFuture<'_, Result<Vec<TokenPiece>, EngineError>> {
        async move {
            let asked = match request {
                TokenizeRequest::Text { text, add_special, parse_special } => {
                    openapi::tokens::TokenizeRequest {
                        prompt: Some(text),
                        add_special_tokens: Some(add_special),
                        parse_special: Some(parse_special),
                        ..Default::default()
                    }
                }
                TokenizeRequest::Chat(chat) => openapi::tokens::TokenizeRequest {
                    messages: Some(chat.messages),
                    tools: Some(chat.tools),
                    ..Default::default()
                },
            };
            let pieces: Vec<Piece> = self.ask("worker/tokens", json(&asked)?).await?;
            Ok(pieces.into_iter().map(TokenPiece::from).collect())
        }
        .boxed()
    }

    fn detokenize(&self, tokens: Vec<u32>) -> BoxFuture<'_, Result<String, EngineError>> {
        async move { self.ask("worker/text", json(&tokens)?).await }.boxed()
    }
}

impl Drop for ChildEngine {
    fn drop(&mut self) {
        self.supervisor.stop.cancel();
        // The process frees its memory before this returns, as a model of this process does.
        if self.ended.lock().recv_timeout(END).is_err() {
            tracing::warn!(model = self.card.id, "the model's worker has not ended");
        }
    }
}

impl std::fmt::Debug for ChildEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChildEngine").field("id", &self.card.id).finish_non_exhaustive()
    }
}
