//! What only the store in memory promises: bounded memory, and its speed.

use std::sync::Arc;
use std::time::Instant;

use super::{MemoryStore, SPARE};
use crate::clock::Clock;
use crate::limits::store::conformance::{self, Bed};
use crate::limits::store::{LimitStore, Taken};
use crate::limits::{Allowance, Demand};

const START: u64 = 1_700_000_000_250;

fn bed() -> Bed {
    let clock = Clock::manual(conformance::START);
    Bed::new(Arc::new(MemoryStore::new(clock.clone())), clock)
}

conformance::suite!(async { bed() });

fn demand(subject: Arc<str>, allowance: Allowance) -> Demand {
    Demand { subject, allowance, tokens: 100 }
}

#[test]
fn a_million_subjects_leave_nothing_behind() {
    let clock = Clock::manual(START);
    let store = MemoryStore::new(clock.clone());
    let allowance = Allowance { requests_per_minute: Some(10), ..Allowance::default() };
    for subject in 0..1_000_000 {
        store.take_now(&demand(subject.to_string().into(), allowance));
    }
    assert_eq!(store.subjects(), 1_000_000);

    // Fewer demands of others are enough: each looks at two accounts.
    clock.advance(61_000);
    for subject in 0..800_000 {
        let subject = (1_000_000 + subject % 10_000).to_string();
        store.take_now(&demand(subject.into(), allowance));
    }
    assert!(store.subjects() <= 10_000, "{} are left", store.subjects());
    for shard in store.more.iter().chain([&store.first]) {
        let shard = shard.lock();
        assert!(shard.accounts.capacity() <= 8 * SPARE, "{} places are left", shard.accounts.capacity());
        assert_eq!(shard.round.len(), shard.accounts.len());
    }
}

#[test]
fn an_account_with_a_running_request_stays() {
    let clock = Clock::manual(START);
    let store = MemoryStore::new(clock.clone());
    let allowance = Allowance { concurrency: Some(1), ..Allowance::default() };
    assert!(matches!(store.take_now(&demand("one".into(), allowance)), Taken::Granted(_)));
    clock.advance(86_400_000);
    for other in 0..10_000 {
        store.take_now(&demand(other.to_string().into(), Allowance { concurrency: Some(0), ..allowance }));
    }
    assert!(matches!(store.take_now(&demand("one".into(), allowance)), Taken::Refused(_)));
}

#[tokio::test]
#[ignore = "a measurement: cargo test --release -- --ignored --nocapture admissions"]
#[expect(clippy::print_stdout, reason = "its only purpose is to print")]
async fn admissions_per_second() {
    let all = Allowance {
        requests_per_minute: Some(u64::MAX),
        tokens_per_minute: Some(u64::MAX),
        tokens_per_day: Some(u64::MAX),
        concurrency: Some(u32::MAX),
    };
    for subjects in [1, 1_000, 100_000] {
        let limits =
            crate::limits::Limits::new(Arc::new(MemoryStore::new(Clock::System)) as Arc<dyn LimitStore>);
        let names: Vec<Arc<str>> = (0..subjects).map(|name| name.to_string().into()).collect();
        let rounds = 2_000_000 / subjects;
        let start = Instant::now();
        for _ in 0..rounds {
            for name in &names {
                let admission = limits.admit(demand(Arc::clone(name), all)).await.unwrap();
                admission.use_tokens(40);
            }
        }
        let rate = f64::from(rounds * subjects) / start.elapsed().as_secs_f64();
        println!("{subjects} subjects: {rate:.0} admissions and settlements a second on one core");
    }
}
