//! The promises of the store in Redis, against a real server of each test's own.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::link::{Link, Time};
use super::{OUTBOX, RedisStore, Timing, Worker};
use crate::clock::Clock;
use crate::limits::store::conformance::{self, Bed};
use crate::limits::store::{Fallback, LimitStore, Outages};
use crate::limits::{Admission, Allowance, Demand, Limits};
use crate::redis_link::RedisLink;
use crate::redis_link::test_cluster::Cluster;
use crate::redis_link::test_server::Server;

const ALL: Allowance = Allowance {
    requests_per_minute: Some(10),
    tokens_per_minute: Some(1_000),
    tokens_per_day: Some(5_000),
    concurrency: Some(2),
};

fn store(server: &Server, clock: &Clock, timing: Timing, outbox: usize) -> (Arc<RedisStore>, Worker) {
    store_at(server.link(), clock, timing, outbox)
}

fn store_at(link: RedisLink, clock: &Clock, timing: Timing, outbox: usize) -> (Arc<RedisStore>, Worker) {
    let link = Link::new(link, Time::Given(clock.clone()));
    let (store, worker) = RedisStore::with_link(link, timing, outbox);
    (Arc::new(store), worker)
}

/// A replica that does not work behind its requests' backs unless told.
fn replica(server: &Server, clock: &Clock) -> (Arc<RedisStore>, Worker, Limits) {
    let (store, worker) = store(server, clock, Timing::default(), OUTBOX);
    let limits = Limits::new(Arc::clone(&store) as Arc<dyn LimitStore>);
    (store, worker, limits)
}

async fn bed() -> Bed {
    let server = Server::start().await;
    bed_at(server.link(), server)
}

/// A bed whose server lives as long as it.
fn bed_at(link: RedisLink, server: impl Send + Sync + 'static) -> Bed {
    let clock = Clock::manual(conformance::START);
    // The suite's clock leaps over days, between which no worker renews.
    let timing = Timing { lease: Duration::from_hours(24 * 365 * 100), ..Timing::default() };
    let (store, worker) = store_at(link, &clock, timing, OUTBOX);
    let mut tasks = JoinSet::new();
    tasks.spawn(worker.run(std::future::pending()));
    let pending = Arc::clone(&store);
    Bed::new(store, clock).with_pending(move || pending.pending(), (tasks, server))
}

conformance::suite!(bed());

mod in_a_cluster {
    use super::{Bed, Cluster, bed_at, conformance};

    async fn bed() -> Bed {
        let cluster = Cluster::start().await;
        bed_at(cluster.link(), cluster)
    }

    conformance::suite! { bed();
        a_budget_lasts_until_midnight,
        a_place_is_free_when_its_request_ends,
        subjects_do_not_touch_each_other,
        sixty_four_tasks_never_exceed_a_limit,
    }
}

fn demand() -> Demand {
    Demand { subject: "team".into(), allowance: ALL, tokens: 100 }
}

async fn running(limits: &Limits) -> u32 {
    limits.peek("team", &ALL).await.unwrap().concurrency.unwrap().running
}

async fn tokens_left(limits: &Limits) -> u64 {
    limits.peek("team", &ALL).await.unwrap().tokens.unwrap().remaining
}

/// Settles what was handed over.
async fn settle(worker: &mut Worker) {
    while let Ok(job) = worker.inbox.try_recv() {
        worker.batch.push(job);
    }
    worker.settle().await;
}

#[tokio::test]
async fn every_key_expires_by_itself_and_time_is_the_servers() {
    let server = Server::start().await;
    let (store, mut worker) = RedisStore::new(server.link(), Timing::default());
    let limits = Limits::new(Arc::new(store));
    let admission = limits.admit(Demand { tokens: 1_000, ..demand() }).await.unwrap();
    let refusal = limits.admit(demand()).await.unwrap_err();
    worker.beat().await;
    let keys: Vec<String> = server.query(redis::cmd("KEYS").arg("*"));
    assert_eq!(keys.len(), 5, "{keys:?}");
    for key in keys {
        let expires: i64 = server.query(redis::cmd("PTTL").arg(&key));
        assert!(expires > 0 && expires <= 86_460_000, "{key}: {expires}");
    }
    let crate::limits::LimitError::Refused(refusal) = refusal else { panic!("unavailable") };
    let wait = refusal.retry_after.unwrap();
    assert!(wait > Duration::from_secs(59) && wait <= Duration::from_secs(61), "{wait:?}");
    drop(admission);
}

#[tokio::test]
async fn the_places_of_a_replica_that_died_come_back_and_those_of_the_living_stay() {
    let (server, clock) = (Server::start().await, Clock::manual(conformance::START));
    let (_dead_store, dead_worker, dead) = replica(&server, &clock);
    let (_store, mut worker, limits) = replica(&server, &clock);
    let lost = dead.admit(demand()).await.unwrap();
    let held = limits.admit(demand()).await.unwrap();
    drop(dead_worker);
    for _ in 0..6 {
        assert!(limits.admit(demand()).await.is_err());
        clock.advance(5_000);
        worker.beat().await;
    }
    assert_eq!(running(&limits).await, 1);
    let _next = limits.admit(demand()).await.unwrap();
    assert_eq!(tokens_left(&limits).await, 700, "what the dead reserved stays spent");
    drop((lost, held));
}

#[tokio::test]
async fn a_settlement_counts_once_however_often_it_arrives() {
    let (server, clock) = (Server::start().await, Clock::manual(conformance::START));
    let (store, mut worker, limits) = replica(&server, &clock);
    let other = limits.admit(demand()).await.unwrap();
    drop(limits.admit(demand()).await.unwrap());
    let job = worker.inbox.recv().await.unwrap();
    for _ in 0..3 {
        store.shared.settle(&job).await.unwrap();
        assert_eq!((running(&limits).await, tokens_left(&limits).await), (1, 900));
    }
    drop(other);
    settle(&mut worker).await;
    assert_eq!((running(&limits).await, tokens_left(&limits).await), (0, 1_000));
}

#[tokio::test]
async fn a_caller_that_leaves_while_it_waits_pays_no_tokens_and_holds_no_place() {
    let (server, clock) = (Server::start().await, Clock::manual(conformance::START));
    let (store, mut worker, limits) = replica(&server, &clock);
    drop(limits.admit(demand()).await.unwrap());
    settle(&mut worker).await;
    server.freeze();
    assert!(timeout(Duration::from_millis(50), limits.admit(demand())).await.is_err(), "the caller leaves");
    assert!(limits.admit(demand()).await.is_err(), "the answer is late");
    assert_eq!(store.pending(), 2);
    server.thaw();
    sleep(Duration::from_millis(50)).await;
    assert_eq!(running(&limits).await, 2, "both were granted, and nobody heard of it");
    settle(&mut worker).await;
    assert_eq!((running(&limits).await, tokens_left(&limits).await), (0, 1_000));
}

#[tokio::test]
async fn where_the_queue_is_full_places_come_back_later_and_tokens_stay_spent() {
    let (server, clock) = (Server::start().await, Clock::manual(conformance::START));
    let (store, mut worker) = store(&server, &clock, Timing::default(), 1);
    let limits = Limits::new(Arc::clone(&store) as Arc<dyn LimitStore>);
    let both: Vec<Admission> =
        vec![limits.admit(demand()).await.unwrap(), limits.admit(demand()).await.unwrap()];
    drop(both);
    assert_eq!((store.pending(), store.lost()), (1, 1));
    settle(&mut worker).await;
    assert_eq!(running(&limits).await, 1);
    clock.advance(30_000);
    worker.beat().await;
    assert_eq!((running(&limits).await, tokens_left(&limits).await), (0, 900));
}

#[tokio::test]
async fn settlements_wait_for_redis_and_are_not_lost() {
    let (server, clock) = (Server::start().await, Clock::manual(conformance::START));
    let (store, mut worker, limits) = replica(&server, &clock);
    let admission = limits.admit(demand()).await.unwrap();
    server.freeze();
    drop(admission);
    settle(&mut worker).await;
    worker.beat().await;
    assert_eq!((store.pending(), store.lost()), (1, 0));
    server.thaw();
    worker.beat().await;
    assert_eq!((store.pending(), running(&limits).await, tokens_left(&limits).await), (0, 0, 1_000));
}

#[tokio::test]
async fn a_worker_that_is_stopped_settles_what_waits_and_leaves_the_fleet() {
    let (server, clock) = (Server::start().await, Clock::manual(conformance::START));
    let (one, one_worker, limits) = replica(&server, &clock);
    let (two, mut two_worker, _) = replica(&server, &clock);
    let mut one_worker = one_worker;
    one_worker.beat().await;
    two_worker.beat().await;
    assert_eq!((one.fleet().replicas(), two.fleet().replicas()), (1, 2));

    let admissions = [limits.admit(demand()).await.unwrap(), limits.admit(demand()).await.unwrap()];
    drop(admissions);
    one_worker.run(std::future::ready(())).await;
    assert_eq!((one.pending(), running(&limits).await), (0, 0));
    two_worker.beat().await;
    assert_eq!(two.fleet().replicas(), 1);
}

#[tokio::test]
async fn a_replica_that_is_not_heard_of_is_taken_for_dead() {
    let (server, clock) = (Server::start().await, Clock::manual(conformance::START));
    let (_one, mut one_worker, _) = replica(&server, &clock);
    let (two, mut two_worker, _) = replica(&server, &clock);
    one_worker.beat().await;
    clock.advance(29_999);
    two_worker.beat().await;
    assert_eq!(two.fleet().replicas(), 2);
    clock.advance(1);
    two_worker.beat().await;
    assert_eq!(two.fleet().replicas(), 1);
}

#[tokio::test]
async fn a_server_that_forgot_its_data_and_scripts_is_told_again_what_runs() {
    let (server, clock) = (Server::start().await, Clock::manual(conformance::START));
    let (_store, mut worker, limits) = replica(&server, &clock);
    let held = limits.admit(demand()).await.unwrap();
    let _: () = server.query(&redis::cmd("FLUSHALL"));
    let _: () = server.query(redis::cmd("SCRIPT").arg("FLUSH"));
    assert_eq!(running(&limits).await, 0);
    worker.beat().await;
    assert_eq!(running(&limits).await, 1);
    drop(held);
    settle(&mut worker).await;
    assert_eq!((running(&limits).await, tokens_left(&limits).await), (0, 1_000));
}

#[tokio::test]
async fn the_gateway_goes_on_while_redis_is_dead_or_hangs_and_uses_it_when_it_is_back() {
    let (mut server, clock) = (Server::start().await, Clock::manual(conformance::START));
    let (store, worker, _) = replica(&server, &clock);
    let mut tasks = JoinSet::new();
    tasks.spawn(worker.run(std::future::pending()));
    let fleet = store.fleet();
    let allowance = Allowance { requests_per_minute: Some(100), ..ALL };
    let limits = Limits::new(Arc::new(Fallback::new(store, Outages::default(), fleet, clock)));
    drop(limits.admit(Demand { allowance, ..demand() }).await.unwrap());
    assert!(!limits.degraded());

    for hang in [true, false] {
        if hang {
            server.freeze();
        } else {
            server.stop();
        }
        let start = Instant::now();
        for _ in 0..8 {
            drop(limits.admit(Demand { allowance, ..demand() }).await.unwrap());
        }
        assert!(limits.degraded());
        assert!(start.elapsed() < Duration::from_millis(900), "{:?}", start.elapsed());
        if hang {
            server.thaw();
        } else {
            server.restart().await;
        }
        let start = Instant::now();
        while limits.degraded() {
            assert!(start.elapsed() < Duration::from_secs(20), "it does not come back");
            sleep(Duration::from_millis(20)).await;
            limits.peek("team", &ALL).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_request_limit_alone_needs_no_lease() {
    let (server, clock) = (Server::start().await, Clock::manual(conformance::START));
    let (store, _worker, limits) = replica(&server, &clock);
    let allowance = Allowance { requests_per_minute: Some(1), ..Allowance::default() };
    drop(limits.admit(Demand { allowance, ..demand() }).await.unwrap());
    assert_eq!((store.pending(), store.shared.held.lock().len()), (0, 0));
    let keys: Vec<String> = server.query(redis::cmd("KEYS").arg("*"));
    assert_eq!(keys, ["sluice:{team}:requests"]);
}

#[tokio::test]
async fn a_connection_that_was_never_there_is_an_error_and_soon() {
    let (store, _worker) =
        RedisStore::new(RedisLink::new("redis://127.0.0.1:1/", None).unwrap(), Timing::default());
    let start = Instant::now();
    assert!(store.take(&demand()).await.is_err());
    assert!(start.elapsed() < Duration::from_millis(500));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement: cargo test --release -- --ignored --nocapture admissions"]
#[expect(clippy::print_stdout, reason = "its only purpose is to print")]
async fn admissions_per_second() {
    let bed = bed().await;
    for at_once in [1_usize, 128] {
        let (start, mut tasks) = (Instant::now(), JoinSet::new());
        let each = 20_000 / at_once;
        for task in 0..at_once {
            let (store, clock) = (Arc::clone(&bed.store), bed.clock.clone());
            tasks.spawn(admit_many(store, clock, task, each));
        }
        while tasks.join_next().await.is_some() {}
        bed.settled().await;
        let rate = (each * at_once) as f64 / start.elapsed().as_secs_f64();
        println!("{at_once} at once: {rate:.0} admissions and settlements a second");
    }
}

/// One of sixteen subjects spends, while the clock goes on.
async fn admit_many(store: Arc<dyn LimitStore>, clock: Clock, task: usize, times: usize) {
    let allowance = Allowance {
        requests_per_minute: Some(1 << 40),
        tokens_per_minute: Some(1 << 40),
        tokens_per_day: Some(1 << 40),
        concurrency: Some(1_000),
    };
    let limits = Limits::new(store);
    for _ in 0..times {
        let subject = (task % 16).to_string().into();
        drop(limits.admit(Demand { subject, allowance, tokens: 100 }).await.unwrap());
        clock.advance(1);
    }
}
