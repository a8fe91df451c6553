//! Routes over scripted engines: names, shares, and what is served when targets fail.

mod faults;
mod shadows;

use std::sync::Arc;

use futures_util::StreamExt;
use openapi::admin::models::{Balance, KeptRoute, RouteSpec, RouteTarget, Sticky};
use openapi::message::{Content, Message, ResponseFormat, Role, ToolChoice, ToolMode};

use super::{Catalog, Tools};
use crate::engine::scripted::{Gate, Script, ScriptedEngine};
use crate::engine::{
    ChatPrompt, DeltaPart, Engine, EngineError, Event, Generation, GenerationRequest, Prompt, Sampling, Start,
};
use crate::shutdown::Lifecycle;
use crate::telemetry::Metrics;

/// Engines named `a`, `b`, …, each of which says its name and an end.
pub(super) struct Bench {
    pub(super) engines: Vec<Arc<ScriptedEngine>>,
    pub(super) metrics: Metrics,
    pub(super) lifecycle: Lifecycle,
    pub(super) catalog: Catalog,
}

impl Bench {
    pub(super) fn new(count: usize, route: RouteSpec) -> Self {
        Self::playing((0..count).map(|place| Script::text([name(place), ".", "."])).collect(), route)
    }

    pub(super) fn playing(scripts: Vec<Script>, route: RouteSpec) -> Self {
        let engine = |(place, script)| Arc::new(ScriptedEngine::new(name(place), script));
        let engines: Vec<_> = scripts.into_iter().enumerate().map(engine).collect();
        let served = engines.iter().map(|engine| Arc::clone(engine) as Arc<dyn Engine>).collect();
        let (metrics, lifecycle) = (Metrics::default(), Lifecycle::new());
        let tools = Tools { lifecycle: lifecycle.clone(), metrics: metrics.routing.clone() };
        let catalog = Catalog::with_routes(served, &[route], tools).unwrap();
        Self { engines, metrics, lifecycle, catalog }
    }

    /// Starts an answer of the route.
    pub(super) async fn start(&self, subject: &str, prompt: Prompt) -> Result<Generation, EngineError> {
        let engine = self.catalog.resolve_for("route", &subject.into()).unwrap();
        let start = Start { tenant: subject.into(), priority: 0 };
        engine.prepare(request(prompt)).await?.start(start).await
    }

    /// The whole answer of the route.
    pub(super) async fn ask(&self, subject: &str, prompt: &str) -> Result<String, EngineError> {
        read(self.start(subject, chat(&[(Role::User, prompt)])).await?).await
    }

    /// How many answers each engine began.
    pub(super) fn starts(&self) -> Vec<usize> {
        self.engines.iter().map(|engine| engine.starts().len()).collect()
    }
}

pub(super) fn name(place: usize) -> &'static str {
    ["a", "b", "c", "d"][place]
}

pub(super) fn spec(weights: &[u32]) -> RouteSpec {
    let target = |(place, weight): (usize, &u32)| RouteTarget {
        model: name(place).to_owned(),
        weight: *weight,
        cap: None,
    };
    RouteSpec {
        name: "route".to_owned(),
        targets: weights.iter().enumerate().map(target).collect(),
        fallback: Vec::new(),
        balance: Balance::Weight,
        sticky: Sticky::None,
        retries: 2,
        shadow: None,
    }
}

pub(super) fn chat(messages: &[(Role, &str)]) -> Prompt {
    let message = |(role, text): &(Role, &str)| Message {
        role: *role,
        content: Some(Content::Text((*text).to_owned())),
        name: None,
        tool_calls: None,
        tool_call_id: None,
        refusal: None,
        reasoning_content: None,
    };
    Prompt::Chat(ChatPrompt {
        messages: messages.iter().map(message).collect(),
        tools: Vec::new(),
        tool_choice: ToolChoice::Mode(ToolMode::None),
        parallel_tool_calls: true,
    })
}

pub(super) fn request(prompt: Prompt) -> GenerationRequest {
    GenerationRequest {
        prompt,
        sampling: Sampling::default(),
        max_tokens: Some(16),
        stop: Vec::new(),
        choices: 1,
        logprobs: None,
        format: ResponseFormat::Text,
        wire: None,
    }
}

/// An answer's text. Panics where it goes on behind its end.
pub(super) async fn read(mut generation: Generation) -> Result<String, EngineError> {
    let (mut text, mut done) = (String::new(), false);
    while let Some(event) = generation.events.next().await {
        assert!(!done, "something came behind the end");
        match event? {
            Event::Delta(delta) => {
                if let Some(DeltaPart::Content(piece)) = delta.part {
                    text.push_str(&piece);
                }
            }
            Event::Finished { .. } | Event::Wire(_) => {}
            Event::Done(_) => done = true,
        }
    }
    Ok(text)
}

fn catalog(models: &[&str]) -> Catalog {
    let engine = |model: &&str| Arc::new(ScriptedEngine::new(model, Script::new())) as Arc<dyn Engine>;
    Catalog::new(models.iter().map(engine).collect())
}

#[test]
fn a_model_is_found_by_its_exact_name() {
    let catalog = catalog(&["small", "large"]);
    assert_eq!(catalog.resolve("large").unwrap().card().id, "large");
    assert_eq!(&*catalog.default_name().unwrap(), "small");
}

#[test]
fn an_unknown_model_is_told_as_openai_tells_it() {
    let error = catalog(&["small"]).resolve(&"gpt-x".repeat(1000)).err().unwrap();
    let body = error.envelope().error;
    assert_eq!(body.code.as_deref(), Some("model_not_found"));
    assert_eq!(body.param.as_deref(), Some("model"));
    assert!(body.message.len() < 300, "{}", body.message.len());
}

#[test]
fn no_engine_means_not_ready() {
    assert!(!catalog(&[]).is_ready());
    assert!(catalog(&["small"]).is_ready());
}

#[test]
fn one_that_is_not_ready_does_not_count_where_another_has_its_place() {
    let bench = Bench::new(3, spec(&[1, 1]));
    bench.engines[0].set_ready(false);
    assert!(bench.catalog.is_ready());
    bench.engines[2].set_ready(false);
    assert!(!bench.catalog.is_ready(), "no route has c");
}

#[tokio::test]
async fn a_route_is_listed_answers_under_its_name_and_tells_who_did() {
    let bench = Bench::new(2, spec(&[0, 1]));
    let names: Vec<_> = bench.catalog.cards().into_iter().map(|card| card.id).collect();
    assert_eq!(names, ["a", "b", "route"]);
    let generation = bench.start("s", chat(&[(Role::User, "hi")])).await.unwrap();
    assert_eq!(generation.target.as_deref(), Some("b"));
    assert_eq!(read(generation).await.unwrap(), "b..");
}

#[tokio::test]
async fn a_route_may_have_a_models_name_and_then_stands_before_it() {
    let route = RouteSpec { name: "a".to_owned(), ..spec(&[0, 1]) };
    let bench = Bench::new(2, route);
    assert_eq!(bench.catalog.cards().len(), 2);
    let engine = bench.catalog.resolve("a").unwrap();
    let start = Start { tenant: "s".into(), priority: 0 };
    let ready = engine.prepare(request(chat(&[(Role::User, "hi")]))).await.unwrap();
    assert_eq!(read(ready.start(start).await.unwrap()).await.unwrap(), "b..");
}

#[test]
fn a_configured_route_to_nowhere_is_an_error() {
    let engine = Arc::new(ScriptedEngine::new("a", Script::new())) as Arc<dyn Engine>;
    let tools = Tools { lifecycle: Lifecycle::new(), metrics: Metrics::default().routing };
    let error = Catalog::with_routes(vec![engine], &[spec(&[1, 1])], tools).unwrap_err();
    assert_eq!(error.to_string(), "the route `route` names the model `b`, which is not served here");
}

#[tokio::test]
async fn subjects_stay_where_they_are_and_share_by_weight() {
    let bench = Bench::new(2, RouteSpec { sticky: Sticky::Subject, ..spec(&[9, 1]) });
    for subject in 0..2000 {
        let subject = format!("subject-{subject}");
        let first = bench.ask(&subject, "one").await.unwrap();
        assert_eq!(bench.ask(&subject, "two").await.unwrap(), first);
    }
    let canary = bench.starts()[1] / 2;
    assert!((130..270).contains(&canary), "{canary} of 2000 subjects for a tenth");
}

#[tokio::test]
async fn a_conversation_stays_where_it_is_as_it_grows() {
    let bench = Bench::new(3, RouteSpec { sticky: Sticky::Conversation, ..spec(&[1, 1, 1]) });
    let mut used = std::collections::BTreeSet::new();
    for conversation in 0..40 {
        let opening = format!("question {conversation}");
        let mut turns = vec![(Role::System, "be kind"), (Role::User, opening.as_str())];
        let first = bench.start("s", chat(&turns)).await.unwrap().target;
        for _ in 0..3 {
            turns.extend([(Role::Assistant, "an answer"), (Role::User, "and then?")]);
            assert_eq!(bench.start("s", chat(&turns)).await.unwrap().target, first);
        }
        used.insert(first);
    }
    assert_eq!(used.len(), 3);
}

#[tokio::test]
async fn prompts_with_the_same_long_beginning_go_to_one_target_whoever_sends_them() {
    let bench = Bench::new(3, RouteSpec { sticky: Sticky::Prefix, ..spec(&[1, 1, 1]) });
    let long = "é".repeat(600);
    let mut used = std::collections::BTreeSet::new();
    for number in 0..20 {
        let subject = format!("s{number}");
        let prompt = chat(&[(Role::System, &long), (Role::User, &subject)]);
        used.insert(bench.start(&subject, prompt).await.unwrap().target);
    }
    assert_eq!(used.len(), 1);
    assert!(bench.start("s", Prompt::Tokens(vec![1, 2, 3])).await.is_ok());
}

#[tokio::test]
async fn the_one_with_less_to_do_gets_the_next() {
    let gate = Gate::closed();
    let script = || Script::new().say("x").gate(&gate).say("y");
    let route = RouteSpec { balance: Balance::LeastOutstanding, ..spec(&[1, 1]) };
    let bench = Bench::playing(vec![script(), script()], route);
    let mut running = Vec::new();
    for _ in 0..20 {
        running.push(bench.start("s", chat(&[(Role::User, "hi")])).await.unwrap());
    }
    assert_eq!(bench.starts(), [10, 10]);
    // Those that ask for a model by its name count too.
    let direct = bench.catalog.resolve("a").unwrap();
    for _ in 0..6 {
        let ready = direct.prepare(request(chat(&[(Role::User, "hi")]))).await.unwrap();
        running.push(ready.start(Start { tenant: "s".into(), priority: 0 }).await.unwrap());
    }
    for _ in 0..6 {
        running.push(bench.start("s", chat(&[(Role::User, "hi")])).await.unwrap());
    }
    assert_eq!(bench.starts(), [16, 16]);
    gate.open();
}

#[tokio::test]
async fn nobody_has_more_than_its_cap_and_where_all_are_full_that_is_said() {
    let gate = Gate::closed();
    let script = || Script::new().say("x").gate(&gate);
    let mut route = spec(&[100, 1]);
    (route.targets[0].cap, route.targets[1].cap) = (Some(3), Some(2));
    let bench = Bench::playing(vec![script(), script()], route);
    let mut running = Vec::new();
    for _ in 0..5 {
        running.push(bench.start("s", chat(&[(Role::User, "hi")])).await.unwrap());
    }
    assert_eq!(bench.starts(), [3, 2]);
    let full = bench.start("s", chat(&[(Role::User, "hi")])).await.unwrap_err();
    assert!(matches!(full, EngineError::QueueFull { .. }), "{full}");
    gate.open();
    read(running.swap_remove(0)).await.unwrap();
    assert!(bench.ask("s", "hi").await.is_ok(), "a place is free at an answer's end");
}

#[tokio::test]
async fn a_place_is_free_at_the_last_event_though_the_stream_is_still_held() {
    let mut route = spec(&[1]);
    route.targets[0].cap = Some(1);
    let bench = Bench::new(1, route);
    let mut first = bench.start("s", chat(&[(Role::User, "hi")])).await.unwrap();
    while !matches!(first.events.next().await, Some(Ok(Event::Done(_)))) {}
    assert!(bench.ask("s", "hi").await.is_ok());
}

#[tokio::test]
async fn routes_come_change_and_go_while_requests_run() {
    let bench = Bench::new(2, spec(&[1]));
    let kept = |name: &str, weights: &[u32], version| KeptRoute {
        spec: RouteSpec { name: name.to_owned(), ..spec(weights) },
        version,
    };
    bench.catalog.put_routes(vec![kept("x", &[1], 1), kept("route", &[0, 1], 2)]);
    assert!(bench.catalog.served_as("route").unwrap().configured, "the configuration's own counts");
    let held = bench.catalog.resolve("x").unwrap();
    bench.catalog.put_routes(vec![kept("x", &[0, 1], 3)]);
    assert_eq!(bench.catalog.served_as("x").unwrap().targets[0].weight, 0);
    bench.catalog.put_routes(Vec::new());
    assert!(bench.catalog.resolve("x").is_err());
    assert_eq!(held.card().id, "x", "who began with it goes on with it");
    bench.catalog.put_routes(vec![kept("far", &[1, 1, 1], 4)]);
    assert!(bench.catalog.resolve("far").is_err(), "c is not served here");
}

#[tokio::test]
async fn tokens_and_vectors_come_from_a_target_too() {
    let bench = Bench::new(2, spec(&[1, 1]));
    let engine = bench.catalog.resolve("route").unwrap();
    let asked = crate::engine::EmbeddingRequest {
        inputs: vec![crate::engine::EmbeddingInput::Text("hi".to_owned())],
        start: Start { tenant: "s".into(), priority: 0 },
    };
    assert_eq!(engine.embed(asked).await.unwrap().vectors.len(), 1);
    assert_eq!(engine.detokenize(vec![104, 105]).await.unwrap(), "hi");
}

#[tokio::test]
async fn a_prompt_too_long_for_one_goes_to_another_whose_window_holds_it() {
    let engine = |model, window| {
        let scripted =
            ScriptedEngine::new(model, Script::text([model])).with_card(|card| card.context_window = window);
        Arc::new(scripted) as Arc<dyn Engine>
    };
    let tools = Tools { lifecycle: Lifecycle::new(), metrics: Metrics::default().routing };
    let catalog =
        Catalog::with_routes(vec![engine("a", 20), engine("b", 100)], &[spec(&[1, 1])], tools).unwrap();
    let route = catalog.resolve("route").unwrap();
    assert_eq!(route.card().context_window, 20, "what every target can do");
    for _ in 0..20 {
        let engine = catalog.resolve("route").unwrap();
        let ready =
            engine.prepare(request(chat(&[(Role::User, "twenty characters are too long")]))).await.unwrap();
        let generation = ready.start(Start { tenant: "s".into(), priority: 0 }).await.unwrap();
        assert_eq!(read(generation).await.unwrap(), "b");
    }
    let long = "x".repeat(200);
    let refused = route.prepare(request(chat(&[(Role::User, &long)]))).await.err().unwrap();
    assert!(matches!(refused, EngineError::ContextLength { window: 100, .. }), "{refused}");
}
