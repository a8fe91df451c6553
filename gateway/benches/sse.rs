//! What it costs to frame a token as a server-sent event: events in, body frames out.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use futures_util::{StreamExt, stream};
use gateway::accounting::{Books, Ledger, Origin, Record};
use gateway::auth::Principal;
use gateway::auth::live::Live;
use gateway::engine::{Candidate, Delta, DeltaPart, Event, FinishReason, Generation, TokenLogprob, Usage};
use gateway::stream::chat::ChatWire;
use gateway::stream::{Frames, Head, StreamShape, Watched};
use openapi::admin::policy::Policy;
use tokio_util::sync::CancellationToken;

const TOKENS: u32 = 1000;

/// Forgets what it is told.
struct NoLedger;

impl Ledger for NoLedger {
    fn settle(&self, record: &Record) {
        black_box(record);
    }
}

fn events(logprobs: bool) -> Vec<Event> {
    let candidate = || Candidate { id: 1, bytes: b" word".to_vec(), logprob: -1.25 };
    let entry = || TokenLogprob { token: candidate(), top: (0..5).map(|_| candidate()).collect() };
    let delta = |_| {
        Event::Delta(Delta {
            choice: 0,
            tokens: 1,
            part: Some(DeltaPart::Content(" word".to_owned())),
            logprobs: logprobs.then(entry).into_iter().collect(),
        })
    };
    let end = [
        Event::Finished { choice: 0, reason: FinishReason::Stop, stop: None },
        Event::Done(Usage::default()),
    ];
    (0..TOKENS).map(delta).chain(end).collect()
}

/// The body's length. Events that are all ready share frames; with `one_by_one` each has its own.
async fn drain(events: Vec<Event>, logprobs: bool, one_by_one: bool) -> usize {
    let source = stream::iter(events.into_iter().map(Ok));
    let events = if one_by_one { source.then(yielding).boxed() } else { source.boxed() };
    let head = Head {
        id: "chatcmpl-0123456789abcdef0123456789abcdef".to_owned(),
        created: 1_790_000_000,
        model: "some-model-instruct".to_owned(),
        fingerprint: "fp_0123456789".to_owned(),
        service_tier: None,
    };
    let caller = Principal::unlisted("bench", "user", Policy::default());
    let settlement = Books::new(Arc::new(NoLedger), Arc::default()).open(
        Origin::new("req_1".into(), None),
        "bench",
        &caller,
    );
    let live = Live::default().begin(&caller);
    let watched =
        Watched::new(Generation { events, target: None }, settlement, CancellationToken::new(), live);
    let shape = StreamShape { choices: 1, logprobs, include_usage: true };
    let mut frames = Frames::new(watched, ChatWire::new(&head, shape), Duration::from_secs(15));
    let mut length = 0;
    while let Some(Ok(frame)) = frames.next().await {
        length += frame.len();
    }
    length
}

async fn yielding<T>(event: T) -> T {
    tokio::task::yield_now().await;
    event
}

fn framing(criterion: &mut Criterion) {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_time().build() else { return };
    let mut group = criterion.benchmark_group("sse");
    group.throughput(Throughput::Elements(TOKENS.into()));
    let kinds = [("ready", false, false), ("one_by_one", false, true), ("logprobs", true, false)];
    for (name, logprobs, one_by_one) in kinds {
        let made = events(logprobs);
        group.bench_function(name, |bencher| {
            bencher.iter_batched(
                || made.clone(),
                |events| runtime.block_on(drain(events, logprobs, one_by_one)),
                BatchSize::LargeInput,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, framing);
criterion_main!(benches);
