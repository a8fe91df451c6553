//! Models between disk and memory over a scripted loader: who waits, who goes, and what is refused.

mod table;

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use openapi::admin::models::LoadState;
use openapi::message::ResponseFormat;
use parking_lot::Condvar;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

use super::*;
use crate::config::{AdapterConfig, LoadWhen, ModelConfig};
use crate::engine::progress::Progress;
use crate::engine::scripted::{Gate, Script, ScriptedEngine};
use crate::engine::{
    Delta, DeltaPart, EmbeddingRequest, Embeddings, Engine, EngineError, EngineLoad, Event, Generation,
    GenerationRequest, ModelCard, Prepared, Prompt, Sampling, Start, TokenPiece, TokenizeRequest,
};

/// What the loader does, for a test to decide.
#[derive(Default)]
struct Stage {
    /// Whether loads have to last.
    held: Mutex<bool>,
    let_go: Condvar,
    fail: AtomicBool,
    loads: AtomicU32,
    /// Engines that there are.
    alive: Arc<AtomicU32>,
    script: Mutex<Option<Script>>,
}

impl Stage {
    fn hold(&self) {
        *self.held.lock() = true;
    }

    fn let_go(&self) {
        *self.held.lock() = false;
        self.let_go.notify_all();
    }
}

/// An engine that is counted while it is there.
struct Counted(ScriptedEngine, Arc<AtomicU32>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.1.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Engine for Counted {
    fn card(&self) -> &ModelCard {
        self.0.card()
    }
    fn load(&self) -> EngineLoad {
        self.0.load()
    }
    fn prepare(&self, request: GenerationRequest) -> BoxFuture<'_, Result<Box<dyn Prepared>, EngineError>> {
        self.0.prepare(request)
    }
    fn embed(&self, request: EmbeddingRequest) -> BoxFuture<'_, Result<Embeddings, EngineError>> {
        self.0.embed(request)
    }
    fn tokenize(&self, request: TokenizeRequest) -> BoxFuture<'_, Result<Vec<TokenPiece>, EngineError>> {
        self.0.tokenize(request)
    }
    fn detokenize(&self, tokens: Vec<u32>) -> BoxFuture<'_, Result<String, EngineError>> {
        self.0.detokenize(tokens)
    }
}

struct Scripted(Arc<Stage>);

/// Every model: 100 bytes of weights, 10 of its own.
const SIZE: Footprint = Footprint { weights: 100, own: 10 };

impl Loader for Scripted {
    fn describe(&self, spec: &Spec) -> Result<Description, LoadFailure> {
        let engine = ScriptedEngine::new(&spec.name, Script::new());
        Ok(Description { card: engine.card().clone(), footprint: SIZE })
    }

    fn load(&self, spec: &Spec, progress: &Arc<Progress>) -> Result<Loaded, LoadFailure> {
        self.0.loads.fetch_add(1, Ordering::SeqCst);
        progress.report(0.5);
        self.0.let_go.wait_while(&mut self.0.held.lock(), |held| *held);
        if self.0.fail.load(Ordering::SeqCst) || !progress.report(1.0) {
            return Err(LoadFailure("it is told to fail".to_owned()));
        }
        self.0.alive.fetch_add(1, Ordering::SeqCst);
        let script = self.0.script.lock().clone().unwrap_or_else(|| Script::text(["Hi"]));
        let engine = Counted(ScriptedEngine::new(&spec.name, script), Arc::clone(&self.0.alive));
        Ok(Loaded { engine: Arc::new(engine), footprint: SIZE })
    }
}

/// Models over the scripted loader, and the task that drives them.
struct Bench {
    stage: Arc<Stage>,
    residents: Residents,
    models: Vec<Arc<Resident>>,
    driver: JoinSet<()>,
}

fn config(name: &str) -> ModelConfig {
    ModelConfig { id: Some(name.to_owned()), load: LoadWhen::OnDemand, ..ModelConfig::default() }
}

impl Drop for Bench {
    /// The runtime waits for its blocking threads, also where a test failed.
    fn drop(&mut self) {
        self.stage.let_go();
    }
}

impl Bench {
    fn new(budget: Option<u64>, models: &[ModelConfig]) -> Self {
        let stage = Arc::new(Stage::default());
        let residents = Residents::new(Box::new(Scripted(Arc::clone(&stage))), budget, &Arc::default());
        let models = models.iter().flat_map(|model| residents.add(model).unwrap()).collect();
        let mut driver = JoinSet::new();
        driver.spawn(residents.clone().drive());
        Self { stage, residents, models, driver }
    }

    fn named(budget: Option<u64>, names: &[&str]) -> Self {
        Self::new(budget, &names.iter().map(|name| config(name)).collect::<Vec<_>>())
    }

    fn state(&self, name: &str) -> LoadState {
        self.residents.shown(name).unwrap().state
    }

    async fn until(&self, name: &str, state: LoadState) {
        while self.state(name) != state {
            tokio::task::yield_now().await;
        }
    }

    /// Begins an answer of a model, somewhere else.
    fn ask(&self, index: usize) -> JoinHandle<Result<Generation, EngineError>> {
        let model = Arc::clone(&self.models[index]);
        #[expect(clippy::disallowed_methods, reason = "a test waits for it")]
        tokio::spawn(async move { start(&*model).await })
    }

    async fn answer(&self, index: usize) -> Result<String, EngineError> {
        read(self.ask(index).await.unwrap()?).await
    }
}

async fn start(model: &dyn Engine) -> Result<Generation, EngineError> {
    let request = GenerationRequest {
        prompt: Prompt::Text("x".to_owned()),
        sampling: Sampling::default(),
        max_tokens: None,
        stop: Vec::new(),
        choices: 1,
        logprobs: None,
        format: ResponseFormat::Text,
        wire: None,
    };
    model.prepare(request).await?.start(Start { tenant: "t".into(), priority: 0 }).await
}

async fn read(mut generation: Generation) -> Result<String, EngineError> {
    let mut text = String::new();
    while let Some(event) = generation.events.next().await {
        if let Event::Delta(Delta { part: Some(DeltaPart::Content(more)), .. }) = event? {
            text.push_str(&more);
        }
    }
    Ok(text)
}

#[tokio::test]
async fn the_first_request_loads_a_model_and_those_that_come_meanwhile_wait_for_it() {
    let bench = Bench::named(None, &["a"]);
    bench.stage.hold();
    let asked: Vec<_> = (0..5).map(|_| bench.ask(0)).collect();
    bench.until("a", LoadState::Loading).await;
    while bench.residents.shown("a").unwrap().waiting < 5 {
        tokio::task::yield_now().await;
    }
    assert!(bench.models[0].load().ready, "it takes requests all the time");
    bench.stage.let_go();
    for asked in asked {
        assert_eq!(read(asked.await.unwrap().unwrap()).await.unwrap(), "Hi");
    }
    let shown = bench.residents.shown("a").unwrap();
    assert_eq!((shown.state, shown.waiting, shown.in_use), (LoadState::Ready, 0, 0));
    assert!(shown.last_used.is_some());
    assert_eq!(bench.stage.loads.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn past_the_bound_of_those_who_wait_a_request_is_told_when_to_come_back() {
    let bench = Bench::new(None, &[ModelConfig { queue: 2, ..config("a") }]);
    bench.stage.hold();
    let waiting = [bench.ask(0), bench.ask(0)];
    while bench.residents.shown("a").unwrap().waiting < 2 {
        tokio::task::yield_now().await;
    }
    let refused = start(&*bench.models[0]).await.unwrap_err();
    let EngineError::Loading { retry_after } = refused else { panic!("{refused:?}") };
    assert!(retry_after >= Duration::from_secs(1) && retry_after < Duration::from_mins(1));
    // Who leaves makes room for the next.
    waiting[0].abort();
    while bench.residents.shown("a").unwrap().waiting > 1 {
        tokio::task::yield_now().await;
    }
    let third = bench.ask(0);
    bench.stage.let_go();
    assert!(third.await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_request_waits_no_longer_than_it_may() {
    let bench = Bench::new(None, &[ModelConfig { load_wait: Duration::from_secs(5), ..config("a") }]);
    bench.stage.hold();
    let asked = Instant::now();
    // Time stands still while the loader's thread runs: the clock is moved by hand.
    let waiting = bench.ask(0);
    bench.until("a", LoadState::Loading).await;
    tokio::time::advance(Duration::from_secs(6)).await;
    let refused = waiting.await.unwrap().unwrap_err();
    assert!(matches!(refused, EngineError::Loading { .. }), "{refused:?}");
    assert!(asked.elapsed() >= Duration::from_secs(5));
    assert_eq!(bench.residents.shown("a").unwrap().waiting, 0);
    bench.stage.let_go();
}

#[tokio::test]
async fn the_least_recently_used_goes_for_another_and_the_budget_is_kept() {
    let bench = Bench::named(Some(220), &["a", "b", "c"]);
    for index in [0, 1, 0] {
        bench.answer(index).await.unwrap();
    }
    bench.answer(2).await.unwrap();
    assert_eq!(bench.state("b"), LoadState::Unloaded);
    assert_eq!((bench.state("a"), bench.state("c")), (LoadState::Ready, LoadState::Ready));
    assert_eq!(bench.residents.bytes(), 220);
    assert_eq!(bench.stage.alive.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn one_that_answers_or_is_pinned_stays_and_the_request_waits_until_there_is_room() {
    let bench = Bench::named(Some(220), &["a", "b", "c"]);
    let gate = Gate::closed();
    *bench.stage.script.lock() = Some(Script::text(["H"]).gate(&gate).say("i"));
    let answering = bench.ask(0).await.unwrap().unwrap();
    *bench.stage.script.lock() = None;
    bench.answer(1).await.unwrap();
    bench.residents.pin("b", true).unwrap();
    let waits = bench.ask(2);
    bench.until("c", LoadState::Queued).await;
    assert_eq!((bench.state("a"), bench.state("b")), (LoadState::Ready, LoadState::Ready));
    gate.open();
    assert_eq!(read(answering).await.unwrap(), "Hi", "the answer is whole");
    waits.await.unwrap().unwrap();
    assert_eq!(bench.state("a"), LoadState::Unloaded);
    assert_eq!(bench.state("b"), LoadState::Ready);
}

#[tokio::test]
async fn a_model_larger_than_the_budget_is_refused_with_both_sizes() {
    let stage = Arc::new(Stage::default());
    let residents = Residents::new(Box::new(Scripted(stage)), Some(109), &Arc::default());
    let refusal = residents.add(&config("a")).err().unwrap();
    assert_eq!(refusal, Refusal::TooLarge { needed: 110, budget: 109 });
    assert!(refusal.to_string().contains("memory_budget_mib"), "{refusal}");
}

#[tokio::test]
async fn a_model_that_answers_is_unloaded_only_when_it_has_ended() {
    let bench = Bench::named(None, &["a"]);
    let gate = Gate::closed();
    *bench.stage.script.lock() = Some(Script::text(["H"]).gate(&gate).say("i"));
    let answering = bench.ask(0).await.unwrap().unwrap();
    assert_eq!(bench.residents.unload("a", false), Err(Refusal::InUse { requests: 1 }));
    assert_eq!(bench.state("a"), LoadState::Ready, "a refusal changes nothing");
    bench.residents.unload("a", true).unwrap();
    assert_eq!(bench.state("a"), LoadState::Draining);
    gate.open();
    assert_eq!(read(answering).await.unwrap(), "Hi");
    assert_eq!(bench.residents.settled("a").await.unwrap().state, LoadState::Unloaded);
    assert_eq!(bench.stage.alive.load(Ordering::SeqCst), 0);
    *bench.stage.script.lock() = None;
    bench.answer(0).await.unwrap();
    assert_eq!(bench.stage.loads.load(Ordering::SeqCst), 2, "the next request loads it again");
}

#[tokio::test]
async fn a_dropped_stream_is_no_use_of_the_model() {
    let bench = Bench::named(None, &["a"]);
    *bench.stage.script.lock() = Some(Script::text(["H"]).gate(&Gate::closed()));
    let answering = bench.ask(0).await.unwrap().unwrap();
    drop(answering);
    bench.residents.unload("a", false).unwrap();
    assert_eq!(bench.residents.settled("a").await.unwrap().state, LoadState::Unloaded);
}

#[tokio::test]
async fn a_failed_load_is_told_and_not_tried_again_at_once_but_by_an_admin() {
    let bench = Bench::named(None, &["a"]);
    bench.stage.fail.store(true, Ordering::SeqCst);
    for _ in 0..3 {
        let refused = bench.answer(0).await.unwrap_err();
        assert!(matches!(refused, EngineError::NotLoaded { .. }), "{refused:?}");
    }
    assert_eq!(bench.stage.loads.load(Ordering::SeqCst), 1);
    let shown = bench.residents.shown("a").unwrap();
    assert_eq!((shown.state, shown.reason.as_deref()), (LoadState::Failed, Some("it is told to fail")));
    assert!(bench.models[0].load().ready, "what is loaded on demand does not make the gateway unready");
    assert!(!bench.models[0].probe().await, "but routes leave it alone");
    bench.stage.fail.store(false, Ordering::SeqCst);
    bench.residents.load("a").unwrap();
    assert_eq!(bench.residents.settled("a").await.unwrap().state, LoadState::Ready);
}

#[tokio::test]
async fn a_load_that_is_called_off_ends_and_those_who_wait_are_told() {
    let bench = Bench::named(None, &["a"]);
    bench.stage.hold();
    let waits = bench.ask(0);
    while bench.residents.shown("a").unwrap().progress != Some(0.5) {
        tokio::task::yield_now().await;
    }
    bench.residents.unload("a", false).unwrap();
    bench.stage.let_go();
    assert!(waits.await.unwrap().is_err());
    assert_eq!(bench.state("a"), LoadState::Unloaded);
    assert_eq!(bench.stage.alive.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn an_idle_model_is_unloaded_after_its_time() {
    let idle = ModelConfig { idle_unload: Duration::from_mins(10), ..config("a") };
    let bench = Bench::new(None, &[idle, config("b")]);
    bench.answer(0).await.unwrap();
    bench.answer(1).await.unwrap();
    tokio::time::advance(Duration::from_mins(9)).await;
    bench.answer(0).await.unwrap();
    tokio::time::advance(Duration::from_mins(9)).await;
    tokio::task::yield_now().await;
    assert_eq!(bench.state("a"), LoadState::Ready);
    tokio::time::advance(Duration::from_mins(2)).await;
    bench.until("a", LoadState::Unloaded).await;
    assert_eq!(bench.state("b"), LoadState::Ready);
}

#[tokio::test]
async fn adapters_are_names_of_their_own_that_share_the_weights() {
    let adapter = |name: &str| AdapterConfig { name: name.to_owned(), path: "x".into(), scale: 1.0 };
    let model = ModelConfig { adapters: vec![adapter("x"), adapter("y")], ..config("a") };
    let bench = Bench::new(Some(120), &[model]);
    let names: Vec<_> = bench.models.iter().map(|model| model.card().id.clone()).collect();
    assert_eq!(names, ["a", "a:x", "a:y"]);
    bench.answer(0).await.unwrap();
    bench.answer(1).await.unwrap();
    assert_eq!(bench.residents.bytes(), 120);
    bench.answer(2).await.unwrap();
    assert_eq!(bench.state("a"), LoadState::Unloaded);
    assert_eq!(bench.residents.bytes(), 120);
}

#[tokio::test]
async fn models_of_the_start_are_there_before_the_gateway_is_ready_as_far_as_there_is_room() {
    let first = |name| ModelConfig { load: LoadWhen::Start, ..config(name) };
    let bench = Bench::new(Some(220), &[first("a"), config("b"), first("c"), first("d")]);
    bench.residents.load_first().await.unwrap();
    let states = ["a", "b", "c", "d"].map(|name| bench.state(name));
    assert_eq!(states, [LoadState::Ready, LoadState::Unloaded, LoadState::Ready, LoadState::Unloaded]);
    bench.residents.unload("a", false).unwrap();
    bench.residents.settled("a").await.unwrap();
    bench.stage.fail.store(true, Ordering::SeqCst);
    bench.answer(0).await.unwrap_err();
    assert!(!bench.models[0].load().ready, "one that is to be there from the start is missed");
    assert!(bench.residents.load_first().await.is_err());
}

#[tokio::test]
async fn nothing_is_left_when_all_is_dropped() {
    let mut bench = Bench::named(None, &["a"]);
    bench.answer(0).await.unwrap();
    bench.driver.shutdown().await;
    let alive = Arc::clone(&bench.stage.alive);
    drop(bench);
    assert_eq!(alive.load(Ordering::SeqCst), 0);
}
