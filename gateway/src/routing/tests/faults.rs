//! Targets that fail, as a fault injector has them: who is asked instead, how often, and that nobody gets two answers.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use openapi::admin::models::{BreakerState, RouteSpec, Sticky};
use openapi::message::Role;
use prometheus::core::Collector as _;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng};

use super::{Bench, chat, read, spec};
use crate::engine::EngineError;
use crate::engine::scripted::{Gate, Script};

fn refused() -> EngineError {
    EngineError::NotReady("connection refused")
}

fn failed() -> EngineError {
    EngineError::Failed("status 503".to_owned())
}

fn busy() -> EngineError {
    EngineError::QueueFull { retry_after: Duration::from_millis(100) }
}

/// A way for an attempt to fail: when it starts, or between its start and its first event.
fn faults() -> Vec<(&'static str, Script)> {
    vec![
        ("connect", Script::refused(refused())),
        ("429", Script::refused(busy())),
        ("5xx", Script::refused(failed())),
        ("broken before the first event", Script::new().fail(failed())),
    ]
}

/// So many requests, eight at once and a hundred a second, to `a`, which fails so often, and `b`, which is well.
async fn survive(fault: &Script, share: f64, sticky: Sticky) -> (usize, Bench) {
    const REQUESTS: usize = 5000;
    let bench = Bench::new(2, RouteSpec { sticky, ..spec(&[1, 1]) });
    let mut dice = StdRng::seed_from_u64(11);
    for _ in 0..2 * REQUESTS {
        let fails = dice.random::<f64>() < share;
        bench.engines[0].enqueue(if fails { fault.clone() } else { Script::text(["a", ".", "."]) });
    }
    let answers: Vec<_> = stream::iter(0..REQUESTS)
        .map(|number| {
            let bench = &bench;
            async move {
                tokio::time::advance(Duration::from_millis(10)).await;
                bench.ask(&format!("s{number}"), "hi").await
            }
        })
        .buffer_unordered(8)
        .collect()
        .await;
    let good = answers.iter().flatten().count();
    for answer in answers.iter().flatten() {
        assert!(answer == "a.." || answer == "b..", "{answer:?} is not one whole answer");
    }
    // Who began an answer ended it: what was started and gave events was what a client got.
    let cancelled: u32 = bench.engines.iter().map(|engine| engine.cancelled()).sum();
    assert_eq!(cancelled, 0);
    (answers.len() - good, bench)
}

#[tokio::test(start_paused = true)]
async fn with_one_of_two_targets_well_999_of_1000_requests_are_answered_and_each_once() {
    for (name, fault) in faults() {
        for share in [0.1, 0.2, 0.3, 0.5, 1.0] {
            let (lost, bench) = survive(&fault, share, Sticky::None).await;
            assert!(lost <= 5, "{name} in {share} of the attempts lost {lost} of 5000");
            assert!(bench.engines[1].completed() > 2000);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn subjects_that_stick_to_a_broken_target_are_answered_too() {
    for (name, fault) in faults() {
        let (lost, _) = survive(&fault, 1.0, Sticky::Subject).await;
        assert!(lost <= 5, "{name} lost {lost} of 5000");
    }
}

#[tokio::test(start_paused = true)]
async fn what_breaks_after_its_first_event_is_not_begun_anew() {
    let broken = Script::new().say("a").fail(failed());
    let bench = Bench::playing(vec![broken, Script::text(["b"])], spec(&[1_000_000, 1]));
    let generation = bench.start("s", chat(&[(Role::User, "hi")])).await.unwrap();
    assert_eq!(generation.target.as_deref(), Some("a"));
    assert!(matches!(read(generation).await, Err(EngineError::Failed(_))));
    assert_eq!(bench.starts(), [1, 0]);
}

#[tokio::test(start_paused = true)]
async fn answers_that_break_off_count_against_their_target() {
    let broken = Script::new().say("a").fail(failed());
    let bench = Bench::playing(vec![broken, Script::text(["b"])], spec(&[1_000_000, 1]));
    for _ in 0..20 {
        drop(bench.ask("s", "hi").await);
    }
    let state = bench.catalog.served_as("route").unwrap();
    assert_eq!(state.targets[0].breaker, BreakerState::Open);
    assert_eq!(bench.ask("s", "hi").await.unwrap(), "b");
}

#[tokio::test(start_paused = true)]
async fn a_silent_target_is_waited_for_so_long_and_then_it_is_the_one() {
    let gate = Gate::closed();
    let bench = Bench::playing(vec![Script::new().gate(&gate).fail(failed())], spec(&[1]));
    let generation = bench.start("s", chat(&[(Role::User, "hi")])).await.unwrap();
    gate.open();
    assert!(read(generation).await.is_err());
    assert_eq!(bench.starts(), [1]);
}

#[tokio::test(start_paused = true)]
async fn fallbacks_are_asked_in_their_order_after_all_targets() {
    let route = RouteSpec { fallback: vec!["c".to_owned(), "d".to_owned()], ..spec(&[1, 1]) };
    let bench = Bench::new(4, route);
    for place in [0, 1, 2] {
        bench.engines[place].set_ready(false);
    }
    assert_eq!(bench.ask("s", "hi").await.unwrap(), "d..");
    let fallbacks = bench.metrics.routing.fallbacks.with_label_values(&["d"]).get();
    let retries = bench.metrics.routing.retries.collect();
    let retries: f64 = retries[0].get_metric().iter().map(|metric| metric.get_counter().get_value()).sum();
    assert_eq!((fallbacks, retries), (1, 4.0), "three attempts at a and b, then c, then d");
    bench.engines[2].set_ready(true);
    assert_eq!(bench.ask("s", "hi").await.unwrap(), "c..");
}

#[tokio::test(start_paused = true)]
async fn the_only_target_is_asked_again_after_a_pause() {
    let bench = Bench::new(1, spec(&[1]));
    bench.engines[0].enqueue(Script::refused(busy()));
    bench.engines[0].enqueue(Script::refused(refused()));
    let began = tokio::time::Instant::now();
    assert_eq!(bench.ask("s", "hi").await.unwrap(), "a..");
    let waited = began.elapsed();
    assert!(waited >= Duration::from_millis(100) && waited <= Duration::from_millis(260), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn one_that_wants_a_long_pause_is_not_waited_for() {
    let bench = Bench::new(1, spec(&[1]));
    bench.engines[0].enqueue(Script::refused(EngineError::QueueFull { retry_after: Duration::from_mins(1) }));
    let refusal = bench.ask("s", "hi").await.unwrap_err();
    assert!(
        matches!(refusal, EngineError::QueueFull { retry_after } if retry_after == Duration::from_mins(1))
    );
}

#[tokio::test(start_paused = true)]
async fn a_mistake_of_the_request_is_nobody_elses() {
    let invalid = EngineError::Invalid { message: "no".to_owned(), param: None };
    let bench = Bench::playing(vec![Script::refused(invalid), Script::text(["b"])], spec(&[1_000_000, 1]));
    for _ in 0..20 {
        assert!(matches!(bench.ask("s", "hi").await, Err(EngineError::Invalid { .. })));
    }
    assert_eq!(bench.starts(), [0, 0]);
    assert_eq!(bench.catalog.served_as("route").unwrap().targets[0].breaker, BreakerState::Closed);
}

#[tokio::test(start_paused = true)]
async fn when_everything_fails_retries_stay_a_share_and_then_nobody_is_asked() {
    let bench = Bench::playing(vec![Script::refused(failed()), Script::refused(failed())], spec(&[1, 1]));
    for _ in 0..1000 {
        assert!(bench.ask("s", "hi").await.is_err());
    }
    let asked: usize = bench.engines.iter().map(|engine| engine.requests().len()).sum();
    assert!(asked < 40, "{asked} attempts for 1000 requests: both breakers are open");
}

#[tokio::test(start_paused = true)]
async fn a_target_that_is_well_again_is_asked_again() {
    let bench = Bench::new(2, spec(&[1, 1]));
    bench.engines[0].set_ready(false);
    for _ in 0..50 {
        bench.ask("s", "hi").await.unwrap();
    }
    let breaker = |bench: &Bench| bench.catalog.served_as("route").unwrap().targets[0].breaker;
    assert_eq!(breaker(&bench), BreakerState::Open);
    bench.catalog.publish(&bench.metrics);
    let gauge = |bench: &Bench| {
        drop(bench.metrics.gather());
        bench.metrics.routing.breaker_open.with_label_values(&["a"]).get()
    };
    assert_eq!(gauge(&bench), 1);
    bench.engines[0].set_ready(true);
    tokio::time::advance(Duration::from_secs(2)).await;
    assert_eq!(breaker(&bench), BreakerState::HalfOpen);
    for _ in 0..50 {
        bench.ask("s", "hi").await.unwrap();
    }
    assert_eq!((breaker(&bench), gauge(&bench)), (BreakerState::Closed, 0));
    assert!(bench.engines[0].completed() > 5);
}

#[tokio::test(start_paused = true)]
async fn one_that_answers_no_probes_is_passed_over_until_it_does() {
    let bench = Bench::new(2, spec(&[1_000_000, 1]));
    bench.engines[0].set_ready(false);
    for _ in 0..2 {
        bench.catalog.probe().await;
    }
    bench.engines[0].set_ready(true);
    assert_eq!(bench.ask("s", "hi").await.unwrap(), "b..");
    bench.catalog.probe().await;
    assert_eq!(bench.ask("s", "hi").await.unwrap(), "a..");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_while_targets_are_asked_frees_its_place() {
    let gate = Gate::closed();
    let mut route = spec(&[1]);
    route.targets[0].cap = Some(1);
    let bench = Bench::playing(vec![Script::new().gate(&gate).say("x")], route);
    {
        let waiting = bench.start("s", chat(&[(Role::User, "hi")]));
        let left = tokio::time::timeout(Duration::from_secs(1), waiting).await;
        assert!(left.is_err());
    }
    assert_eq!((bench.engines[0].running(), bench.engines[0].cancelled()), (0, 1));
    assert_eq!(bench.catalog.served_as("route").unwrap().targets[0].outstanding, 0);
}
