//! What every log does, whatever it is made of.

use std::time::Duration;

use bytes::Bytes;

use super::memory::MemoryLog;
use super::redis::RedisLog;
use super::{EventLog, Numbered, SILENCE};
use crate::clock::Clock;
use crate::redis_link::test_cluster::Cluster;
use crate::redis_link::test_server::Server;

fn events(numbers: std::ops::Range<u64>) -> Vec<Numbered> {
    numbers.map(|number| (number, Bytes::from(format!("data: {number}\n\n")))).collect()
}

async fn is_read_from_any_place(log: &dyn EventLog) {
    log.append("a", "resp_1", &events(0..3)).await.unwrap();
    log.append("a", "resp_1", &events(3..5)).await.unwrap();
    assert_eq!(log.read("a", "resp_1", None, 100).await.unwrap(), events(0..5));
    assert_eq!(log.read("a", "resp_1", Some(2), 100).await.unwrap(), events(3..5));
    assert_eq!(log.read("a", "resp_1", Some(0), 2).await.unwrap(), events(1..3));
    assert_eq!(log.read("a", "resp_1", Some(4), 100).await.unwrap(), []);
    assert_eq!(log.read("a", "resp_1", Some(u64::MAX), 100).await.unwrap(), []);
}

async fn holds_an_event_once(log: &dyn EventLog) {
    log.append("a", "resp_2", &events(0..3)).await.unwrap();
    log.append("a", "resp_2", &events(1..4)).await.unwrap();
    assert_eq!(log.read("a", "resp_2", None, 100).await.unwrap(), events(0..4));
}

async fn is_its_owners_alone(log: &dyn EventLog) {
    log.append("a", "resp_3", &events(0..3)).await.unwrap();
    assert_eq!(log.read("b", "resp_3", None, 100).await.unwrap(), []);
    assert!(!log.standing("b", "resp_3").await.unwrap().alive);
    log.cancel("b", "resp_3").await.unwrap();
    log.remove("b", "resp_3").await.unwrap();
    assert!(!log.append("a", "resp_3", &[]).await.unwrap().cancelled);
    assert_eq!(log.read("a", "resp_3", None, 100).await.unwrap().len(), 3);
}

async fn tells_its_writer_of_a_cancellation(log: &dyn EventLog) {
    assert!(!log.append("a", "resp_4", &events(0..1)).await.unwrap().cancelled);
    assert!(log.standing("a", "resp_4").await.unwrap().alive);
    log.cancel("a", "resp_4").await.unwrap();
    assert!(log.append("a", "resp_4", &events(1..2)).await.unwrap().cancelled);
    assert!(log.standing("a", "resp_4").await.unwrap().cancelled);
}

async fn is_gone_once_removed(log: &dyn EventLog) {
    log.append("a", "resp_5", &events(0..3)).await.unwrap();
    log.remove("a", "resp_5").await.unwrap();
    assert_eq!(log.read("a", "resp_5", None, 100).await.unwrap(), []);
    assert!(!log.standing("a", "resp_5").await.unwrap().alive);
}

async fn all(log: &dyn EventLog) {
    is_read_from_any_place(log).await;
    holds_an_event_once(log).await;
    is_its_owners_alone(log).await;
    tells_its_writer_of_a_cancellation(log).await;
    is_gone_once_removed(log).await;
}

#[tokio::test]
async fn a_log_in_memory_conforms() {
    all(&MemoryLog::new(Clock::manual(1_000_000))).await;
}

#[tokio::test]
async fn a_log_in_redis_conforms() {
    let server = Server::start().await;
    all(&RedisLog::new(server.link())).await;
}

#[tokio::test]
async fn a_log_in_a_cluster_conforms() {
    let cluster = Cluster::start().await;
    all(&RedisLog::new(cluster.link())).await;
}

#[tokio::test]
async fn a_silent_writer_is_given_up() {
    let clock = Clock::manual(1_000_000);
    let log = MemoryLog::new(clock.clone());
    log.append("a", "resp_1", &[]).await.unwrap();
    clock.advance(u64::try_from(SILENCE.as_millis()).unwrap() - 1);
    assert!(log.standing("a", "resp_1").await.unwrap().alive);
    clock.advance(1);
    assert!(!log.standing("a", "resp_1").await.unwrap().alive);
}

#[tokio::test]
async fn redis_forgets_a_log_by_itself() {
    let server = Server::start().await;
    let log = RedisLog::new(server.link());
    log.append("a", "resp_1", &events(0..1)).await.unwrap();
    let ttl: i64 = server.query(redis::cmd("TTL").arg("sluice:events:{a}:log:resp_1"));
    assert!(Duration::from_secs(ttl.unsigned_abs()) <= super::KEPT && ttl > 0, "{ttl}");
}
