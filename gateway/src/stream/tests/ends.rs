//! Every way a stream ends is settled once; silence is filled.

use std::time::Duration;

use futures_util::{FutureExt, StreamExt};

use super::{Rest, Stage, body, frame, head, one};
use crate::engine::EngineError;
use crate::engine::scripted::{Gate, Script};
use crate::stream::chat::{ChatWire, fold};

fn only_outcome(rest: &Rest) -> &'static str {
    let outcomes = rest.outcomes();
    assert_eq!(outcomes.len(), 1, "settled once: {outcomes:?}");
    outcomes[0]
}

#[tokio::test]
async fn an_error_after_the_first_byte_is_one_event_and_the_end_without_done() {
    let script = Script::text(["a"]).fail(EngineError::Failed("decode broke at /secret".to_owned())).say("b");
    let (frames, rest) = Stage::set(script, one()).await.chat();
    let body = body(frames).await;
    let last = body.trim_end().rsplit("\n\n").next().expect("an event");
    assert!(last.starts_with(r#"data: {"error":{"message":""#), "{last}");
    assert!(last.contains(r#""type":"server_error""#) && !body.contains("secret"), "{last}");
    assert!(!body.contains("[DONE]"));
    assert_eq!(only_outcome(&rest), "failed");
    assert_eq!(rest.ledger.0.lock()[0].status, 200);
}

#[tokio::test]
async fn a_client_that_leaves_frees_the_engine_and_is_recorded_as_cancelled() {
    let gate = Gate::closed();
    let (mut frames, rest) = Stage::set(Script::text(["a", "b"]).gate(&gate), one()).await.chat();
    frame(&mut frames).await;
    assert!(frames.next().now_or_never().is_none());
    assert_eq!((rest.engine.running(), rest.outcomes().len()), (1, 0));
    drop(frames);
    assert_eq!((rest.engine.running(), rest.engine.cancelled()), (0, 1));
    assert_eq!(only_outcome(&rest), "cancelled");
    let records = rest.ledger.0.lock();
    assert_eq!((records[0].usage.completion_tokens, records[0].finish_label()), (2, "cancelled"));
}

#[tokio::test]
async fn a_completed_stream_is_settled_at_its_end_and_not_when_the_response_is_dropped() {
    let (mut frames, rest) = Stage::set(Script::text(["a"]), one()).await.chat();
    frame(&mut frames).await;
    assert_eq!(only_outcome(&rest), "completed");
    drop(frames);
    assert_eq!(only_outcome(&rest), "completed");
    assert_eq!((rest.engine.completed(), rest.engine.cancelled()), (1, 0));
}

#[tokio::test]
async fn the_drain_deadline_ends_a_stream_with_an_error_event() {
    let gate = Gate::closed();
    let (mut frames, rest) = Stage::set(Script::text(["a"]).gate(&gate), one()).await.chat();
    frame(&mut frames).await;
    rest.killed.cancel();
    let last = frame(&mut frames).await;
    assert!(last.contains(r#""code":"shutting_down""#), "{last}");
    assert!(frames.next().await.is_none());
    assert_eq!((rest.engine.running(), only_outcome(&rest)), (0, "failed"));
}

#[tokio::test]
async fn a_revoked_caller_s_stream_ends_with_an_error_event() {
    let gate = Gate::closed();
    let (mut frames, rest) = Stage::set(Script::text(["a"]).gate(&gate), one()).await.chat();
    frame(&mut frames).await;
    rest.live.end_subject("t");
    let last = frame(&mut frames).await;
    assert!(last.contains(r#""code":"credential_revoked""#), "{last}");
    assert!(frames.next().await.is_none());
    assert_eq!((rest.engine.running(), only_outcome(&rest)), (0, "failed"));
}

#[tokio::test]
async fn a_folded_answer_that_fails_or_is_left_is_settled_too() {
    let stage = Stage::set(Script::text(["a"]).fail(EngineError::SlowReader), one()).await;
    assert!(fold(head(), stage.shape, stage.events).await.is_err());
    assert_eq!(stage.ledger.0.lock()[0].outcome.as_str(), "failed");

    let stage = Stage::set(Script::text(["a"]).gate(&Gate::closed()), one()).await;
    assert!(fold(head(), stage.shape, stage.events).now_or_never().is_none());
    assert_eq!(stage.ledger.0.lock()[0].outcome.as_str(), "cancelled");
}

#[tokio::test]
async fn silence_is_filled_with_one_comment_at_a_time() {
    let gate = Gate::closed();
    let stage = Stage::set(Script::new().gate(&gate).say("a"), one()).await;
    let keep_alive = Duration::from_millis(300);
    let (mut frames, _rest) = stage.frames(ChatWire::new(&head(), one()), keep_alive);
    assert_eq!(frame(&mut frames).await, ": keep-alive\n\n");
    // A reader that was away for long finds one comment, not one for each period.
    tokio::time::sleep(keep_alive * 3).await;
    assert_eq!(frame(&mut frames).await, ": keep-alive\n\n");
    assert!(frames.next().now_or_never().is_none());
    gate.open();
    assert!(frame(&mut frames).await.ends_with("data: [DONE]\n\n"));
}
