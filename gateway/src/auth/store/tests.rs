//! What every store must do.

use openapi::admin::policy::Policy;
use openapi::admin::roles::Role;

use super::embedded::{EmbeddedStore, version_on_disk};
use super::{AuthStore, Change, Expected, Note, StoreError};

fn note() -> Note {
    Note { actor: "test".to_owned(), action: "role.create", at: 7 }
}

fn role(name: &str) -> Role {
    let description = String::new();
    Role { name: name.to_owned(), description, policy: Policy::default(), built_in: false, version: 0 }
}

#[tokio::test]
async fn a_fresh_store_has_the_built_in_roles() {
    let store = EmbeddedStore::in_memory("sk-test");
    let names: Vec<String> = store.roles().await.unwrap().into_iter().map(|role| role.name).collect();
    assert_eq!(names, ["admin", "operator", "user", "viewer"]);
}

#[tokio::test]
async fn what_was_answered_is_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.redb");
    let store = EmbeddedStore::open(&path).unwrap();
    let version = store.apply(Change::PutRole(role("x"), Expected::New), note()).await.unwrap();
    drop(store);
    let store = EmbeddedStore::open(&path).unwrap();
    assert_eq!((store.version(), version_on_disk(&store)), (version, version));
    assert_eq!(store.role("x").await.unwrap().unwrap().version, version);
    assert_eq!(store.audit(None, 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_refused_change_leaves_nothing_behind() {
    let store = EmbeddedStore::in_memory("sk-test");
    let before = (store.version(), store.audit(None, 100).await.unwrap().len());
    for (change, error) in [
        (Change::PutRole(role("admin"), Expected::New), StoreError::Conflict),
        (Change::PutRole(role("admin"), Expected::Version(99)), StoreError::Conflict),
        (Change::PutRole(role("none"), Expected::Any), StoreError::Missing),
        (Change::PutRole(role("none"), Expected::Version(0)), StoreError::Missing),
        (Change::DeleteRole("admin".to_owned(), Expected::Any), StoreError::InUse(1)),
        (Change::DeleteRole("none".to_owned(), Expected::Any), StoreError::Missing),
    ] {
        assert_eq!(store.apply(change, note()).await, Err(error));
    }
    assert_eq!((store.version(), store.audit(None, 100).await.unwrap().len()), before);
}

#[tokio::test]
async fn pages_follow_each_other_without_gap_or_repeat() {
    let store = EmbeddedStore::in_memory("sk-test");
    for index in 0..7 {
        store.apply(Change::PutRole(role(&format!("r{index}")), Expected::New), note()).await.unwrap();
    }
    let (mut seen, mut before) = (Vec::new(), None);
    loop {
        let entries = store.audit(before, 3).await.unwrap();
        let Some(last) = entries.last() else { break };
        before = Some(last.id);
        seen.extend(entries.iter().map(|entry| entry.id));
    }
    assert_eq!(seen, (1..=9).rev().collect::<Vec<u64>>());
}

#[tokio::test]
async fn a_file_that_is_no_store_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.redb");
    std::fs::write(&path, "this is not a database, and nobody may make one of it".repeat(100)).unwrap();
    assert!(matches!(EmbeddedStore::open(&path), Err(StoreError::Failed(_))));
}
