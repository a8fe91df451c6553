//! A route as an engine, for one request: it asks its targets in their order until one answers.
//!
//! Until the first event of an answer came the request may be given to another target; from then on it may not, so
//! that no client ever gets parts of two answers. A target that is silent for long counts as answering, since the
//! client should see the head of its answer: what fails after that has failed.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt};

use super::held::Held;
use super::route::Route;
use super::shadow::Side;
use super::target::Place;
use super::walk::Walk;
use crate::engine::{
    EmbeddingRequest, Embeddings, Engine, EngineError, EngineLoad, Generation, GenerationRequest, ModelCard,
    Prepared, Prompt, Start, TokenCount, TokenPiece, TokenizeRequest,
};

/// How long the first event is waited for before the client sees the head of its answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// A route as one request sees it.
pub(super) struct Routed {
    route: Arc<Route>,
    subject: Arc<str>,
    /// Drawn once: all prompts of a request, and each attempt to make a prompt fit, go the same way.
    order: OnceLock<Vec<usize>>,
}

impl Routed {
    /// For a request of a subject.
    pub(super) fn new(route: Arc<Route>, subject: Arc<str>) -> Self {
        Self { route, subject, order: OnceLock::new() }
    }

    fn order(&self, prompt: Option<&Prompt>) -> &[usize] {
        self.order.get_or_init(|| self.route.order(&self.subject, prompt))
    }

    /// The engine to ask what costs nothing.
    fn first(&self) -> Result<&Arc<dyn Engine>, EngineError> {
        let first = self.order(None).first().and_then(|place| self.route.seats().get(*place));
        first.map(|seat| seat.target.engine()).ok_or(EngineError::NotReady("nobody serves it"))
    }

    async fn prepare_some(&self, request: GenerationRequest) -> Result<Attempts, EngineError> {
        let order = self.order(Some(&request.prompt)).to_vec();
        let mut walk = Walk::new(&self.route, &order);
        let mut refusal: Option<EngineError> = None;
        for place in &order {
            let Some(seat) = self.route.seats().get(*place) else { continue };
            if let Some(shut) = seat.shut() {
                // It may have a place again when the request starts.
                walk.saw(shut);
                continue;
            }
            match seat.target.engine().prepare(request.clone()).await {
                Ok(ready) => {
                    let (prompt, most) = (ready.prompt_tokens(), ready.max_output_tokens());
                    let ready = Some((*place, ready));
                    return Ok(Attempts {
                        walk,
                        ready,
                        request,
                        prompt,
                        most,
                        route: Arc::clone(&self.route),
                    });
                }
                Err(error @ EngineError::Invalid { .. }) => return Err(error),
                Err(error) => {
                    walk.pass_over(*place);
                    refusal = Some(wider(refusal, error));
                }
            }
        }
        Err(refusal.unwrap_or_else(|| walk.give_up()))
    }

    async fn embed_some(&self, request: EmbeddingRequest) -> Result<Embeddings, EngineError> {
        self.route.count_request();
        let mut walk = Walk::new(&self.route, self.order(None));
        while let Some((place, mut entered)) = walk.next().await {
            match entered.target().engine().embed(request.clone()).await {
                Ok(mut embeddings) => {
                    entered.answered();
                    walk.found(place);
                    embeddings.target.get_or_insert_with(|| Arc::clone(entered.target().name()));
                    return Ok(embeddings);
                }
                Err(error) => {
                    entered.failed(&error);
                    walk.missed(place, error)?;
                }
            }
        }
        Err(walk.give_up())
    }
}

/// Of two refusals of too long a prompt the one with the wider window: a prompt that is cut to it fits somewhere.
fn wider(one: Option<EngineError>, other: EngineError) -> EngineError {
    let window = |error: &EngineError| match error {
        EngineError::ContextLength { window, .. } => *window,
        _ => 0,
    };
    match one {
        Some(one) if window(&one) >= window(&other) => one,
        _ => other,
    }
}

impl Engine for Routed {
    fn card(&self) -> &ModelCard {
        self.route.card()
    }

    fn load(&self) -> EngineLoad {
        let mut sum = EngineLoad::default();
        for seat in self.route.seats() {
            let load = seat.target.engine().load();
            sum.ready |= load.ready && seat.target.is_well();
            sum.running = sum.running.saturating_add(load.running);
            sum.waiting = sum.waiting.saturating_add(load.waiting);
            sum.kv_used_ratio = sum.kv_used_ratio.max(load.kv_used_ratio);
        }
        sum
    }

    fn prepare(&self, request: GenerationRequest) -> BoxFuture<'_, Result<Box<dyn Prepared>, EngineError>> {
        async move { Ok(Box::new(self.prepare_some(request).await?) as Box<dyn Prepared>) }.boxed()
    }

    fn embed(&self, request: EmbeddingRequest) -> BoxFuture<'_, Result<Embeddings, EngineError>> {
        self.embed_some(request).boxed()
    }

    fn tokenize(&self, request: TokenizeRequest) -> BoxFuture<'_, Result<Vec<TokenPiece>, EngineError>> {
        async move { self.first()?.tokenize(request).await }.boxed()
    }

    fn detokenize(&self, tokens: Vec<u32>) -> BoxFuture<'_, Result<String, EngineError>> {
        async move { self.first()?.detokenize(tokens).await }.boxed()
    }
}

/// A request that one target has prepared, and that others may still get.
struct Attempts {
    route: Arc<Route>,
    walk: Walk,
    ready: Option<(usize, Box<dyn Prepared>)>,
    request: GenerationRequest,
    prompt: TokenCount,
    most: u32,
}

impl Attempts {
    async fn run(mut self, start: Start) -> Result<Generation, EngineError> {
        self.route.count_request();
        let mut side = self.route.shade().and_then(|shade| shade.cast(&self.request, &start));
        while let Some((place, entered)) = self.walk.next().await {
            let ready = match self.ready.take_if(|(prepared, _)| *prepared == place) {
                Some((_, ready)) => Ok(ready),
                None => entered.target().engine().prepare(self.request.clone()).await,
            };
            let outcome = match ready {
                Ok(ready) => attempt(ready, start.clone(), entered, &mut side).await,
                Err(error) => Err(error),
            };
            match outcome {
                Ok(generation) => {
                    self.walk.found(place);
                    return Ok(generation);
                }
                Err(error) => self.walk.missed(place, error)?,
            }
        }
        Err(self.walk.give_up())
    }
}

impl Prepared for Attempts {
    fn prompt_tokens(&self) -> TokenCount {
        self.prompt
    }

    fn max_output_tokens(&self) -> u32 {
        self.most
    }

    fn start(self: Box<Self>, start: Start) -> BoxFuture<'static, Result<Generation, EngineError>> {
        self.run(start).boxed()
    }
}

/// One attempt at one target, to the first event of its answer.
async fn attempt(
    ready: Box<dyn Prepared>,
    start: Start,
    mut place: Place,
    side: &mut Option<Side>,
) -> Result<Generation, EngineError> {
    let begun = async {
        let Generation { mut events, target } = ready.start(start).await?;
        let first = match tokio::time::timeout(PATIENCE, events.next()).await {
            Ok(Some(first)) => Some(first?),
            Ok(None) => return Err(EngineError::Failed("the answer ended before it began".to_owned())),
            Err(_) => None,
        };
        Ok((first, events, target))
    };
    match begun.await {
        Ok((first, events, target)) => {
            let target = target.or_else(|| Some(Arc::clone(place.target().name())));
            Ok(Generation { events: Box::pin(Held::new(first, events, place, side.take())), target })
        }
        Err(error) => {
            place.failed(&error);
            Err(error)
        }
    }
}
