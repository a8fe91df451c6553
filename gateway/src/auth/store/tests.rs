//! What every store must do, whatever keeps it.

use openapi::admin::keys::Key;
use openapi::admin::models::KeptRoute;
use openapi::admin::policy::{Policy, PolicyChange};
use openapi::admin::roles::Role;
use openapi::admin::subjects::Subject;

use super::embedded::{EmbeddedStore, version_on_disk};
use super::redis::RedisStore;
use super::{AuthStore, Change, Expected, Note, REVOKED_FOR, StoreError, tokens_of};
use crate::auth::{first_key, secret};
use crate::redis_link::test_cluster::Cluster;
use crate::redis_link::test_server::Server;

pub(super) fn note() -> Note {
    Note { actor: "test".to_owned(), action: "role.create", at: 7 }
}

pub(super) fn role(name: &str) -> Role {
    let description = String::new();
    Role { name: name.to_owned(), description, policy: Policy::default(), built_in: false, version: 0 }
}

fn subject(id: &str, role: &str) -> Subject {
    Subject {
        id: id.to_owned(),
        role: Some(role.to_owned()),
        overrides: PolicyChange::default(),
        disabled: false,
        note: String::new(),
        created: 7,
        version: 0,
    }
}

fn key(id: &str, owner: &str) -> Key {
    Key {
        id: id.to_owned(),
        prefix: "sk-x".to_owned(),
        subject: owner.to_owned(),
        note: String::new(),
        created: 7,
        expires_at: None,
        last_used: None,
        revoked_at: None,
    }
}

/// Gives a fresh store an admin with a key.
async fn with_admin(store: impl AuthStore) -> Box<dyn AuthStore> {
    let (subject, key) = first_key::records("sk-test", 0);
    store.apply(Change::PutSubject(subject, Expected::New), note()).await.unwrap();
    store.apply(Change::NewKey(key, secret::hash(b"sk-test")), note()).await.unwrap();
    Box::new(store)
}

/// Each case runs on a fresh store of either kind, with one admin.
macro_rules! conformance {
    ($($case:ident)*) => {
        mod embedded {
            $(#[tokio::test]
            async fn $case() {
                let folder = tempfile::tempdir().unwrap();
                let store = super::EmbeddedStore::open(&folder.path().join("access.redb")).unwrap();
                super::$case(&*super::with_admin(store).await).await;
            })*
        }

        mod redis {
            $(#[tokio::test]
            async fn $case() {
                let server = super::Server::start().await;
                let store = super::RedisStore::open(server.link()).await.unwrap();
                super::$case(&*super::with_admin(store).await).await;
            })*
        }

        mod in_a_cluster {
            $(#[tokio::test]
            async fn $case() {
                let cluster = super::Cluster::start().await;
                let store = super::RedisStore::open(cluster.link()).await.unwrap();
                super::$case(&*super::with_admin(store).await).await;
            })*
        }
    };
}

conformance! {
    a_fresh_store_has_the_built_in_roles
    a_change_is_there_and_makes_another_version
    a_refused_change_leaves_nothing_behind
    the_last_admin_stays
    a_removed_subject_takes_its_keys_along
    a_role_that_subjects_have_stays
    a_route_is_kept_replaced_and_removed_by_its_version
    keys_are_found_by_their_secrets_and_remember_their_last_use
    revoked_tokens_are_forgotten_when_their_time_is_over
    pages_follow_each_other_without_gap_or_repeat
    what_is_only_told_is_audited_and_changes_no_version
    changes_at_the_same_time_are_all_made_or_refused_and_audited_once
}

async fn a_fresh_store_has_the_built_in_roles(store: &dyn AuthStore) {
    let names: Vec<String> = store.roles().await.unwrap().into_iter().map(|role| role.name).collect();
    assert_eq!(names, ["admin", "operator", "user", "viewer"]);
    assert!(store.has_admin(7).await.unwrap());
}

async fn a_route_is_kept_replaced_and_removed_by_its_version(store: &dyn AuthStore) {
    let route = |weight| KeptRoute {
        spec: serde_json::from_value(serde_json::json!({
            "name": "org/x", "targets": [{"model": "m", "weight": weight}]
        }))
        .unwrap(),
        version: 0,
    };
    let first = store.apply(Change::PutRoute(route(1), Expected::New), note()).await.unwrap();
    let again = Change::PutRoute(route(2), Expected::New);
    assert_eq!(store.apply(again, note()).await, Err(StoreError::Conflict));
    let replaced = Change::PutRoute(route(3), Expected::Version(first));
    let second = store.apply(replaced, note()).await.unwrap();
    let kept = store.route("org/x").await.unwrap().unwrap();
    assert_eq!((kept.version, kept.spec.targets[0].weight), (second, 3));
    assert_eq!(store.routes().await.unwrap(), [kept]);
    let late = Change::DeleteRoute("org/x".to_owned(), Expected::Version(first));
    assert_eq!(store.apply(late, note()).await, Err(StoreError::Conflict));
    store.apply(Change::DeleteRoute("org/x".to_owned(), Expected::Version(second)), note()).await.unwrap();
    assert_eq!(store.routes().await.unwrap(), []);
    let audited = store.audit(None, 1).await.unwrap().remove(0);
    assert_eq!((audited.target.as_str(), audited.after), ("org/x", None));
}

async fn a_change_is_there_and_makes_another_version(store: &dyn AuthStore) {
    let before = store.version();
    let version = store.apply(Change::PutRole(role("x"), Expected::New), note()).await.unwrap();
    assert_ne!(store.version(), before);
    assert_eq!(store.role("x").await.unwrap().unwrap().version, version);
    let next = store.apply(Change::PutRole(role("x"), Expected::Version(version)), note()).await.unwrap();
    assert!(next > version);
    let entry = store.audit(None, 1).await.unwrap().remove(0);
    assert_eq!((entry.actor.as_str(), entry.target.as_str(), entry.at), ("test", "x", 7));
    assert_eq!(entry.before.unwrap()["version"], version);
    assert_eq!(entry.after.unwrap()["version"], next);
}

async fn a_refused_change_leaves_nothing_behind(store: &dyn AuthStore) {
    let before = (store.version(), store.audit(None, 100).await.unwrap().len());
    for (change, error) in [
        (Change::PutRole(role("admin"), Expected::New), StoreError::Conflict),
        (Change::PutRole(role("admin"), Expected::Version(99)), StoreError::Conflict),
        (Change::PutRole(role("none"), Expected::Any), StoreError::Missing),
        (Change::PutRole(role("none"), Expected::Version(0)), StoreError::Missing),
        (Change::DeleteRole("admin".to_owned(), Expected::Any), StoreError::InUse(1)),
        (Change::DeleteRole("none".to_owned(), Expected::Any), StoreError::Missing),
        (Change::NewKey(key("k", "a"), secret::hash(b"sk-test")), StoreError::Conflict),
        (Change::PutKey(key("none", "a")), StoreError::Missing),
    ] {
        assert_eq!(store.apply(change, note()).await, Err(error));
    }
    assert_eq!((store.version(), store.audit(None, 100).await.unwrap().len()), before);
    assert!(store.key("k").await.unwrap().is_none());
}

async fn the_last_admin_stays(store: &dyn AuthStore) {
    let admin = store.subject("admin").await.unwrap().unwrap();
    let its_key = store.keys(None, 1).await.unwrap().remove(0);
    let demoted = Subject { role: Some("user".to_owned()), ..admin.clone() };
    let disabled = Subject { disabled: true, ..admin.clone() };
    let revoked = Key { revoked_at: Some(7), ..its_key.clone() };
    let emptied = Role { name: "admin".to_owned(), ..role("admin") };
    for change in [
        Change::PutSubject(demoted.clone(), Expected::Any),
        Change::PutSubject(disabled, Expected::Any),
        Change::DeleteSubject("admin".to_owned(), Expected::Any),
        Change::PutKey(revoked),
        Change::PutRole(emptied, Expected::Any),
    ] {
        assert_eq!(store.apply(change, note()).await, Err(StoreError::LastAdmin));
    }
    store.apply(Change::PutSubject(subject("second", "admin"), Expected::New), note()).await.unwrap();
    let without_key = store.apply(Change::PutSubject(demoted.clone(), Expected::Any), note()).await;
    assert_eq!(without_key, Err(StoreError::LastAdmin), "an admin without a key can give nothing back");
    let brief = Key { expires_at: Some(8), ..key("brief", "second") };
    store.apply(Change::NewKey(brief, [3; 32]), note()).await.unwrap();
    let with_brief_key = store.apply(Change::PutSubject(demoted.clone(), Expected::Any), note()).await;
    assert_eq!(with_brief_key, Err(StoreError::LastAdmin), "nor can one whose key ends in a moment");
    store.apply(Change::NewKey(key("k2", "second"), [2; 32]), note()).await.unwrap();
    store.apply(Change::PutSubject(demoted, Expected::Any), note()).await.unwrap();
}

async fn a_removed_subject_takes_its_keys_along(store: &dyn AuthStore) {
    store.apply(Change::PutSubject(subject("a", "user"), Expected::New), note()).await.unwrap();
    for (id, hash) in [("k1", [1; 32]), ("k2", [2; 32])] {
        store.apply(Change::NewKey(key(id, "a"), hash), note()).await.unwrap();
    }
    store.apply(Change::DeleteSubject("a".to_owned(), Expected::Any), note()).await.unwrap();
    assert!(store.subject("a").await.unwrap().is_none());
    assert!(store.key("k1").await.unwrap().is_none());
    assert!(store.key_by_hash(&[2; 32]).await.unwrap().is_none());
    assert_eq!(store.keys(None, 10).await.unwrap().len(), 1, "the admin's is still there");
    let until = store.revoked_until(&tokens_of("a")).await.unwrap();
    assert_eq!(until, Some(7 + REVOKED_FOR), "tokens made until then are refused");
}

async fn a_role_that_subjects_have_stays(store: &dyn AuthStore) {
    store.apply(Change::PutRole(role("x"), Expected::New), note()).await.unwrap();
    store.apply(Change::PutSubject(subject("a", "x"), Expected::New), note()).await.unwrap();
    let remove = || Change::DeleteRole("x".to_owned(), Expected::Any);
    assert_eq!(store.apply(remove(), note()).await, Err(StoreError::InUse(1)));
    store.apply(Change::PutSubject(subject("a", "user"), Expected::Any), note()).await.unwrap();
    store.apply(remove(), note()).await.unwrap();
    assert!(store.role("x").await.unwrap().is_none());
}

async fn keys_are_found_by_their_secrets_and_remember_their_last_use(store: &dyn AuthStore) {
    store.apply(Change::NewKey(key("k", "a"), [1; 32]), note()).await.unwrap();
    assert_eq!(store.key_by_hash(&[1; 32]).await.unwrap().unwrap().id, "k");
    assert!(store.key_by_hash(&[9; 32]).await.unwrap().is_none());
    let version = store.version();
    store.touch(vec![("k".to_owned(), 99), ("gone".to_owned(), 99)]).await.unwrap();
    assert_eq!(store.version(), version, "a use is no change");
    assert_eq!(store.key("k").await.unwrap().unwrap().last_used, Some(99));
    let listed = store.keys(None, 10).await.unwrap();
    assert_eq!(listed.iter().filter(|key| key.last_used == Some(99)).count(), 1);
}

async fn revoked_tokens_are_forgotten_when_their_time_is_over(store: &dyn AuthStore) {
    store.apply(Change::RevokeToken("old".to_owned(), 5), Note { at: 1, ..note() }).await.unwrap();
    assert!(store.revoked_until("old").await.unwrap().is_some());
    store.apply(Change::RevokeToken("new".to_owned(), 50), Note { at: 9, ..note() }).await.unwrap();
    assert!(store.revoked_until("new").await.unwrap().is_some());
    assert_eq!(store.revoked_until("old").await.unwrap(), None);
}

async fn pages_follow_each_other_without_gap_or_repeat(store: &dyn AuthStore) {
    for index in 0..7 {
        let new = subject(&format!("s{index}"), "user");
        store.apply(Change::PutSubject(new, Expected::New), note()).await.unwrap();
    }
    let (mut seen, mut before) = (Vec::new(), None);
    loop {
        let entries = store.audit(before, 3).await.unwrap();
        let Some(last) = entries.last() else { break };
        before = Some(last.id);
        seen.extend(entries.iter().map(|entry| entry.id));
    }
    assert_eq!(seen, (1..=9).rev().collect::<Vec<u64>>());
    let (mut seen, mut after): (Vec<String>, Option<String>) = (Vec::new(), None);
    loop {
        let page = store.subjects(after.as_deref(), 3).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.id.clone());
        seen.extend(page.into_iter().map(|subject| subject.id));
    }
    assert_eq!(seen, ["admin", "s0", "s1", "s2", "s3", "s4", "s5", "s6"]);
}

async fn what_is_only_told_is_audited_and_changes_no_version(store: &dyn AuthStore) {
    let version = store.version();
    let told = Change::Told("t".to_owned(), serde_json::json!({"subject": "a"}));
    store.apply(told, Note { action: "token.create", ..note() }).await.unwrap();
    assert_eq!(store.version(), version);
    let entry = store.audit(None, 1).await.unwrap().remove(0);
    assert_eq!((entry.action.as_str(), entry.target.as_str()), ("token.create", "t"));
    // The next change must not be taken for one that was prepared before it.
    store.apply(Change::PutRole(role("x"), Expected::New), note()).await.unwrap();
    assert_eq!(store.audit(None, 1).await.unwrap()[0].id, entry.id + 1);
}

async fn changes_at_the_same_time_are_all_made_or_refused_and_audited_once(store: &dyn AuthStore) {
    let before = store.audit(None, 100).await.unwrap().len();
    let changes = (0..10).map(|index| {
        // Half of them want the same name: one of those wins.
        let name = if index % 2 == 0 { "same".to_owned() } else { format!("r{index}") };
        store.apply(Change::PutRole(role(&name), Expected::New), note())
    });
    let outcomes = futures_util::future::join_all(changes).await;
    let refused = outcomes.iter().filter(|outcome| **outcome == Err(StoreError::Conflict)).count();
    assert_eq!(refused, 4, "{outcomes:?}");
    let audit = store.audit(None, 100).await.unwrap();
    assert_eq!(audit.len(), before + 6);
    assert!(audit.windows(2).all(|pair| pair[0].id == pair[1].id + 1));
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
async fn a_file_that_is_no_store_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.redb");
    std::fs::write(&path, "this is not a database, and nobody may make one of it".repeat(100)).unwrap();
    assert!(matches!(EmbeddedStore::open(&path), Err(StoreError::Failed(_))));
}
