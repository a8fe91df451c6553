//! Copies for a model on trial: made, bounded, compared, and nobody's business but the metrics'.

use openapi::admin::models::{RouteSpec, Shadow};
use openapi::message::Role;

use super::{Bench, chat, read, spec};
use crate::engine::EngineError;
use crate::engine::scripted::{Gate, Script};

fn shadowed(percent: u32, at_once: u32) -> RouteSpec {
    RouteSpec { shadow: Some(Shadow { model: "b".to_owned(), percent, at_once }), ..spec(&[1]) }
}

fn outcomes(bench: &Bench, outcome: &str) -> u64 {
    bench.metrics.routing.shadows.with_label_values(&["b", outcome]).get()
}

fn compared(bench: &Bench, stage: &str) -> u64 {
    bench.metrics.routing.difference.with_label_values(&["b", stage]).get_sample_count()
}

/// Waits until all copies have ended.
async fn ended(bench: &Bench) {
    while bench.engines[1].completed() + bench.engines[1].cancelled()
        < u32::try_from(bench.starts()[1]).unwrap()
        || bench.engines[1].requests().len() > bench.starts()[1]
        || outcomes(bench, "answered") + outcomes(bench, "failed") < bench.starts()[1] as u64
    {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_copy_is_answered_for_nobody_and_compared() {
    let bench = Bench::new(2, shadowed(100, 4));
    assert_eq!(bench.ask("s", "hi").await.unwrap(), "a..");
    while bench.starts()[1] == 0 {
        tokio::task::yield_now().await;
    }
    ended(&bench).await;
    assert_eq!(bench.starts(), [1, 1]);
    assert_eq!(&*bench.engines[1].starts()[0].tenant, "shadow\ns");
    assert_eq!((compared(&bench, "first_token"), compared(&bench, "whole")), (1, 1));
    assert_eq!(outcomes(&bench, "answered"), 1);
}

#[tokio::test]
async fn no_more_copies_are_made_at_once_than_there_is_room_for() {
    let gate = Gate::closed();
    let bench = Bench::playing(vec![Script::text(["a"]), Script::new().gate(&gate)], shadowed(100, 2));
    for _ in 0..10 {
        assert_eq!(bench.ask("s", "hi").await.unwrap(), "a");
    }
    assert_eq!(outcomes(&bench, "skipped"), 8);
    gate.open();
    while outcomes(&bench, "answered") < 2 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_shadow_that_fails_harms_nobody() {
    let broken = Script::new().say("x").fail(EngineError::Failed("x".to_owned()));
    let bench = Bench::playing(vec![Script::text(["a"]), broken], shadowed(100, 1));
    assert_eq!(bench.ask("s", "hi").await.unwrap(), "a");
    while outcomes(&bench, "failed") == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(compared(&bench, "whole"), 0);
}

#[tokio::test]
async fn copies_end_when_the_process_drains() {
    let gate = Gate::closed();
    let bench = Bench::playing(vec![Script::text(["a"]), Script::new().gate(&gate)], shadowed(100, 1));
    assert_eq!(bench.ask("s", "hi").await.unwrap(), "a");
    bench.lifecycle.drain();
    bench.lifecycle.finished(std::time::Duration::from_mins(1)).await;
    assert_eq!(bench.engines[1].running(), 0);
    let generation = bench.start("s", chat(&[(Role::User, "hi")])).await.unwrap();
    read(generation).await.unwrap();
    assert!(bench.starts()[1] <= 1, "none is made any more");
}
