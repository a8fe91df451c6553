//! What only a store that replicas share must do, against a real server.

use std::time::Duration;

use tokio::task::JoinSet;

use super::super::tests::{note, role};
use super::super::{AuthStore, Change, Expected, StoreError};
use super::{EPOCH, RedisStore};
use crate::redis_link::test_server::Server;

async fn replica(server: &Server, looking: &mut JoinSet<()>) -> RedisStore {
    let store = RedisStore::open(server.link()).await.unwrap();
    looking.spawn(store.clone().keep_looking());
    store
}

fn new_role(name: &str) -> Change {
    Change::PutRole(role(name), Expected::New)
}

#[tokio::test]
async fn a_change_of_one_replica_is_seen_by_the_others() {
    let server = Server::start().await;
    let mut looking = JoinSet::new();
    let (one, other) = (replica(&server, &mut looking).await, replica(&server, &mut looking).await);
    let (mut changes, stamp) = (other.changes().unwrap(), other.version());
    one.apply(new_role("x"), note()).await.unwrap();
    changes.changed().await.unwrap();
    assert_ne!(other.version(), stamp);
    assert!(other.role("x").await.unwrap().is_some());
}

#[tokio::test]
async fn two_replicas_cannot_overwrite_each_other() {
    let server = Server::start().await;
    let mut looking = JoinSet::new();
    let (one, other) = (replica(&server, &mut looking).await, replica(&server, &mut looking).await);
    let version = one.apply(new_role("x"), note()).await.unwrap();
    let change = || Change::PutRole(role("x"), Expected::Version(version));
    let outcomes = tokio::join!(one.apply(change(), note()), other.apply(change(), note()));
    let (Ok(_), Err(StoreError::Conflict)) =
        (outcomes.0.clone().or(outcomes.1.clone()), outcomes.0.and(outcomes.1))
    else {
        panic!("one of them wins");
    };
}

#[tokio::test]
async fn while_redis_is_away_nothing_is_asked_twice_and_who_is_known_stays_known_for_a_while() {
    let mut server = Server::start().await;
    let store = RedisStore::believing(server.link(), super::BELIEVED).await.unwrap();
    let doubting = RedisStore::believing(server.link(), Duration::ZERO).await.unwrap();
    let stamp = store.version();
    server.stop();
    assert!(store.look().await.is_err());
    store.seen.missed(&"away");
    assert!(matches!(store.role("admin").await, Err(StoreError::Failed(_))));
    assert_eq!(store.version(), stamp);
    assert_eq!(doubting.version(), u64::MAX, "what was remembered holds no longer");
    server.restart().await;
    while store.look().await.is_err() {}
    assert!(store.role("admin").await.unwrap().is_some());
}

#[tokio::test]
async fn a_redis_that_lost_its_data_has_the_built_in_roles_and_nothing_remembered_holds() {
    let server = Server::start().await;
    let store = RedisStore::open(server.link()).await.unwrap();
    for name in ["x", "y"] {
        store.apply(new_role(name), note()).await.unwrap();
    }
    let stamp = store.version();
    let () = server.query(&redis::cmd("FLUSHALL"));
    store.look().await.unwrap();
    assert_ne!(store.version(), stamp);
    assert!(store.role("x").await.unwrap().is_none());
    assert!(store.role("user").await.unwrap().is_some());
    store.apply(new_role("x"), note()).await.unwrap();
}

#[tokio::test]
async fn another_programs_layout_is_refused() {
    let server = Server::start().await;
    let () = server.query(redis::cmd("SET").arg(EPOCH).arg("2:abc"));
    assert!(matches!(RedisStore::open(server.link()).await, Err(StoreError::Failed(_))));
}
