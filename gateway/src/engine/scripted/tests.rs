//! The scripted engine keeps the promises of the trait.

use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use openapi::message::ResponseFormat;

use super::{Gate, Script, ScriptedEngine};
use crate::engine::{
    DeltaPart, Engine, EngineError, Event, FinishReason, Generation, GenerationRequest, Prompt, Sampling,
    Start, TokenizeRequest,
};

fn request(change: impl FnOnce(&mut GenerationRequest)) -> GenerationRequest {
    let mut request = GenerationRequest {
        prompt: Prompt::Text("prompt".to_owned()),
        sampling: Sampling::default(),
        max_tokens: None,
        stop: Vec::new(),
        choices: 1,
        logprobs: None,
        wire: None,
        format: ResponseFormat::Text,
    };
    change(&mut request);
    request
}

async fn start(engine: &ScriptedEngine, request: GenerationRequest) -> Result<Generation, EngineError> {
    let start = Start { tenant: "tests".into(), priority: 0 };
    engine.prepare(request).await?.start(start).await
}

async fn play(
    script: Script,
    change: impl FnOnce(&mut GenerationRequest),
) -> Vec<Result<Event, EngineError>> {
    let engine = ScriptedEngine::new("m", script);
    start(&engine, request(change)).await.expect("starts").events.collect().await
}

#[tokio::test]
async fn every_choice_plays_the_script_and_the_usage_counts_all_of_them() {
    let events = play(Script::text(["a", "b"]), |request| request.choices = 2).await;
    let mut texts = [String::new(), String::new()];
    for event in &events {
        if let Ok(Event::Delta(delta)) = event
            && let Some(DeltaPart::Content(text)) = &delta.part
        {
            texts[delta.choice as usize].push_str(text);
        }
    }
    assert_eq!(texts, ["ab", "ab"]);
    let Some(Ok(Event::Done(usage))) = events.last() else { panic!("ends with the usage: {events:?}") };
    assert_eq!((usage.prompt_tokens, usage.completion_tokens), (6, 4));
}

#[tokio::test]
async fn the_token_limit_ends_an_answer_with_length() {
    let events = play(Script::tokens(10, None), |request| request.max_tokens = Some(3)).await;
    let deltas = events.iter().filter(|event| matches!(event, Ok(Event::Delta(_)))).count();
    assert_eq!(deltas, 3);
    assert!(events.iter().any(|e| matches!(e, Ok(Event::Finished { reason: FinishReason::Length, .. }))));
}

#[tokio::test]
async fn a_failure_is_the_last_event() {
    let events = play(Script::text(["a"]).fail(EngineError::Failed("broken".into())).say("b"), |_| {}).await;
    assert_eq!(events.len(), 2);
    assert!(matches!(&events[1], Err(EngineError::Failed(_))));
}

#[tokio::test]
async fn logprobs_come_with_as_many_alternatives_as_asked_for() {
    let events = play(Script::text(["a"]), |request| request.logprobs = Some(3)).await;
    let Ok(Event::Delta(delta)) = &events[0] else { panic!("a delta first: {events:?}") };
    assert_eq!((delta.logprobs.len(), delta.logprobs[0].top.len()), (1, 3));
}

#[tokio::test]
async fn dropping_a_generation_cancels_it() {
    let gate = Gate::closed();
    let engine = ScriptedEngine::new("m", Script::text(["a"]).gate(&gate).say("b"));
    let mut generation = start(&engine, request(|_| {})).await.expect("starts");
    assert!(generation.events.next().await.is_some());
    assert!(generation.events.next().now_or_never().is_none(), "held back by the gate");
    assert_eq!(engine.running(), 1);
    drop(generation);
    assert_eq!((engine.running(), engine.cancelled(), engine.completed()), (0, 1, 0));
}

#[tokio::test]
async fn an_opened_gate_lets_the_rest_through() {
    let gate = Gate::closed();
    let engine = ScriptedEngine::new("m", Script::new().gate(&gate).say("a").gate(&gate).say("b"));
    let generation = start(&engine, request(|_| {})).await.expect("starts");
    gate.let_through(1);
    gate.open();
    assert_eq!(generation.events.count().await, 4);
    assert_eq!((engine.cancelled(), engine.completed()), (0, 1));
}

#[tokio::test]
async fn scripts_are_given_out_in_order_and_then_the_fallback() {
    let engine = ScriptedEngine::new("m", Script::text(["fallback"]));
    engine.enqueue(Script::refused(EngineError::QueueFull { retry_after: Duration::from_secs(1) }));
    assert!(matches!(start(&engine, request(|_| {})).await, Err(EngineError::QueueFull { .. })));
    assert!(start(&engine, request(|_| {})).await.is_ok());
}

#[tokio::test]
async fn a_prompt_beyond_the_window_is_refused_with_both_counts() {
    let engine = ScriptedEngine::new("m", Script::new()).with_card(|card| card.context_window = 8);
    let refused = start(&engine, request(|request| request.max_tokens = Some(3))).await;
    assert!(matches!(refused, Err(EngineError::ContextLength { prompt: 6, output: Some(3), window: 8 })));
}

#[tokio::test]
async fn tokens_turn_back_into_their_text() {
    let engine = ScriptedEngine::new("m", Script::new());
    let text = TokenizeRequest::Text { text: "grüße".into(), add_special: false, parse_special: false };
    let tokens = engine.tokenize(text).await.expect("tokenizes");
    let ids = tokens.iter().map(|piece| piece.id).collect();
    assert_eq!(engine.detokenize(ids).await.expect("detokenizes"), "grüße");
}
