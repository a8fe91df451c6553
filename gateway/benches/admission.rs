//! What access and limits add to a request: the caller by its key, and everything taken from its limits and given
//! back, with the embedded stores and with Redis; beside it a bare PING over the same link.
//!
//! `cargo bench -p gateway --bench admission`; with `ADMISSION_REDIS=redis://…` also with Redis.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a measurement fails by panicking, prints its result, and has its environment for a configuration"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use gateway::auth::admin::Admin;
use gateway::auth::store::AuthStore;
use gateway::auth::store::embedded::EmbeddedStore;
use gateway::auth::store::redis::RedisStore as RedisAccess;
use gateway::auth::{Access, Principal, policy};
use gateway::clock::Clock;
use gateway::limits::store::{LimitStore, MemoryStore, RedisStore, Timing};
use gateway::limits::{Admission, Allowance, Demand, Limits};
use gateway::redis_link::RedisLink;
use openapi::admin::keys::NewKey;
use tokio::runtime::Runtime;

const ROUNDS: usize = 50_000;

/// A caller that is known and limited in every way.
struct Setting {
    access: Access,
    limits: Limits,
    secret: String,
}

impl Setting {
    async fn new(store: Arc<dyn AuthStore>, limits: Arc<dyn LimitStore>) -> Self {
        let access = Access::new(store, Clock::System);
        let admin = policy::built_in().into_iter().find(|role| role.name == policy::ADMIN).unwrap();
        let owner = Principal::unlisted("bench", policy::ADMIN, admin.policy);
        let subject = format!("bench-{:x}", rand::random::<u64>());
        let new = NewKey { subject, role: Some("user".into()), ..NewKey::default() };
        let secret = Admin::new(&access, &owner).create_key(new).await.unwrap().secret;
        Self { access, limits: Limits::new(limits), secret }
    }

    async fn request(&self) -> Admission {
        let caller = self.access.identify(self.secret.as_bytes(), None).await.unwrap();
        let allowance = Allowance {
            requests_per_minute: Some(1 << 40),
            tokens_per_minute: Some(1 << 40),
            tokens_per_day: Some(1 << 40),
            concurrency: Some(1 << 20),
        };
        let demand = Demand { subject: caller.subject, allowance, tokens: 100 };
        let admission = self.limits.admit(demand).await.unwrap();
        admission.use_tokens(50);
        admission
    }
}

/// Percentiles in microseconds of as many rounds, one after the other. What a round returns is dropped after its time
/// was taken, and `settled` awaited: a request is settled at its end, behind its back.
fn measure<T>(
    name: &str,
    rounds: usize,
    runtime: &Runtime,
    round: impl AsyncFn() -> T,
    settled: impl AsyncFn(),
) {
    let mut times = Vec::with_capacity(rounds);
    let total = runtime.block_on(async {
        for _ in 0..rounds / 10 {
            drop(round().await);
            settled().await;
        }
        let total = Instant::now();
        for _ in 0..rounds {
            let begun = Instant::now();
            let held = round().await;
            times.push(begun.elapsed());
            drop(held);
            settled().await;
        }
        total.elapsed()
    });
    times.sort_unstable();
    let at = |percent: usize| micros(times.get((rounds - 1) * percent / 100).copied().unwrap_or_default());
    let each = micros(total) / f64::from(u32::try_from(rounds).unwrap());
    println!("{name:<12} p50 {:>7.1} us   p99 {:>7.1} us   {:>8.0}/s", at(50), at(99), 1e6 / each);
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(EmbeddedStore::open(&folder.path().join("access.redb")).unwrap());
    let embedded = runtime.block_on(Setting::new(store, Arc::new(MemoryStore::new(Clock::System))));
    measure("embedded", ROUNDS, &runtime, async || embedded.request().await, async || ());
    let Ok(url) = std::env::var("ADMISSION_REDIS") else { return };
    let (link, shared, limits, worker) = runtime.block_on(async {
        let link = RedisLink::new(&url, None).unwrap();
        let store = Arc::new(RedisAccess::open(link.clone()).await.unwrap());
        let (limits, worker) = RedisStore::new(link.clone(), Timing::default());
        let limits = Arc::new(limits);
        let shared = Setting::new(store, Arc::clone(&limits) as Arc<dyn LimitStore>).await;
        (link, shared, limits, worker)
    });
    let ping = async || link.query::<()>(&redis::cmd("PING")).await.unwrap();
    let all_settled = async || {
        while limits.pending() > 0 {
            tokio::task::yield_now().await;
        }
    };
    runtime.spawn(worker.run(std::future::pending()));
    for _ in 0..3 {
        measure("redis PING", ROUNDS / 5, &runtime, ping, async || ());
        measure("redis", ROUNDS / 5, &runtime, async || shared.request().await, all_settled);
    }
}
