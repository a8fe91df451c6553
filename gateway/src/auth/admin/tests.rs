//! What an admin may change, and what nobody may.

use std::sync::Arc;

use openapi::admin::access::ExplainRequest;
use openapi::admin::keys::NewKey;
use openapi::admin::policy::{PermissionName, Policy, PolicyChange};
use openapi::admin::roles::{NewRole, RoleChange};
use openapi::admin::subjects::{NewSubject, SubjectChange};

use super::Admin;
use crate::auth::store::Expected;
use crate::auth::tests::access;
use crate::auth::{Access, Principal};
use crate::error::ApiError;

const KEY: &str = "sk-test";

async fn admin() -> (Arc<Access>, Principal) {
    let access = access(KEY);
    let admin = access.identify(KEY.as_bytes(), None).await.unwrap();
    (access, admin)
}

/// Somebody who may give the rights of a user, and no more.
async fn deputy(access: &Access, admin: &Principal) -> Principal {
    let policy = Policy {
        permissions: [
            PermissionName::Chat,
            PermissionName::ModelsRead,
            PermissionName::RolesManage,
            PermissionName::KeysManage,
        ]
        .into(),
        tokens_per_day: Some(1000),
        ..Policy::default()
    };
    let office = Admin::new(access, admin);
    office.create_role(NewRole { name: "deputy".into(), description: String::new(), policy }).await.unwrap();
    let subject = NewSubject { id: "dora".into(), role: Some("deputy".into()), ..NewSubject::default() };
    office.create_subject(subject).await.unwrap();
    access.principal("dora", None).await.unwrap()
}

fn code(error: &ApiError) -> (u16, Option<String>) {
    (error.status().as_u16(), error.envelope().error.code.map(std::borrow::Cow::into_owned))
}

fn role(name: &str, permissions: &[PermissionName], tokens_per_day: Option<u64>) -> NewRole {
    let policy =
        Policy { permissions: permissions.iter().copied().collect(), tokens_per_day, ..Policy::default() };
    NewRole { name: name.into(), description: String::new(), policy }
}

#[tokio::test]
async fn nobody_grants_what_they_lack_by_any_way() {
    let (access, admin) = admin().await;
    let dora = deputy(&access, &admin).await;
    let dora = Admin::new(&access, &dora);
    let beyond = (403, Some("beyond_own_rights".to_owned()));
    let refused = |error: ApiError| assert_eq!(code(&error), beyond);

    refused(dora.create_role(role("x", &[PermissionName::UsageRead], Some(1))).await.unwrap_err());
    refused(dora.create_role(role("x", &[PermissionName::Chat], None)).await.unwrap_err());
    let up = SubjectChange { role: Some(Some("admin".into())), ..SubjectChange::default() };
    refused(dora.change_subject("dora", Expected::Any, up).await.unwrap_err());
    let overrides = PolicyChange { tokens_per_day: Some(None), ..PolicyChange::default() };
    let more = SubjectChange { overrides: Some(overrides), ..SubjectChange::default() };
    refused(dora.change_subject("dora", Expected::Any, more).await.unwrap_err());
    let new = NewSubject { id: "eve".into(), role: Some("admin".into()), ..NewSubject::default() };
    refused(dora.create_subject(new).await.unwrap_err());
    for role in [None, Some("admin".to_owned())] {
        let key = NewKey { subject: "admin".into(), role, ..NewKey::default() };
        refused(dora.create_key(key).await.unwrap_err());
    }
    let eve = NewKey { subject: "eve".into(), role: Some("admin".into()), ..NewKey::default() };
    refused(dora.create_key(eve).await.unwrap_err());
    refused(dora.delete_subject("admin", Expected::Any).await.unwrap_err());
    refused(dora.change_role("admin", Expected::Any, RoleChange::default()).await.unwrap_err());

    dora.create_role(role("x", &[PermissionName::Chat], Some(1000))).await.unwrap();
}

#[tokio::test]
async fn the_last_admin_stays_whoever_is_changed() {
    let (access, admin) = admin().await;
    let office = Admin::new(&access, &admin);
    let last = (409, Some("last_admin".to_owned()));
    let none = PolicyChange { permissions: Some([].into()), ..PolicyChange::default() };
    let change = RoleChange { policy: none.clone(), ..RoleChange::default() };
    assert_eq!(code(&office.change_role("admin", Expected::Any, change).await.unwrap_err()), last);
    for change in [
        SubjectChange { disabled: Some(true), ..SubjectChange::default() },
        SubjectChange { role: Some(None), ..SubjectChange::default() },
        SubjectChange { role: Some(Some("viewer".into())), ..SubjectChange::default() },
        SubjectChange { overrides: Some(none.clone()), ..SubjectChange::default() },
    ] {
        assert_eq!(code(&office.change_subject("admin", Expected::Any, change).await.unwrap_err()), last);
    }
    assert_eq!(code(&office.delete_subject("admin", Expected::Any).await.unwrap_err()), last);
    let key = access.store().keys(None, 1).await.unwrap().remove(0);
    assert_eq!(code(&office.revoke_key(&key.id).await.unwrap_err()), last);

    let second = NewKey { subject: "root".into(), role: Some("admin".into()), ..NewKey::default() };
    office.create_key(second).await.unwrap();
    assert!(office.revoke_key(&key.id).await.unwrap().revoked_at.is_some());
}

#[tokio::test]
async fn two_admins_do_not_overwrite_each_other() {
    let (access, admin) = admin().await;
    let office = Admin::new(&access, &admin);
    let made = office.create_role(role("x", &[PermissionName::Chat], None)).await.unwrap();
    let change = || RoleChange { description: Some("new".into()), ..RoleChange::default() };
    let first = office.change_role("x", Expected::Version(made.version), change()).await.unwrap();
    assert!(first.version > made.version);
    let late = office.change_role("x", Expected::Version(made.version), change()).await.unwrap_err();
    assert_eq!(late.status().as_u16(), 412);
    let again = office.create_role(role("x", &[], None)).await.unwrap_err();
    assert_eq!(code(&again), (409, Some("exists".to_owned())));
}

#[tokio::test]
async fn a_role_that_is_built_in_or_in_use_is_not_removed() {
    let (access, admin) = admin().await;
    let office = Admin::new(&access, &admin);
    let built_in = office.delete_role("viewer", Expected::Any).await.unwrap_err();
    assert_eq!(code(&built_in), (409, Some("built_in".to_owned())));
    office.create_role(role("x", &[], None)).await.unwrap();
    let subject = NewSubject { id: "sam".into(), role: Some("x".into()), ..NewSubject::default() };
    office.create_subject(subject).await.unwrap();
    assert_eq!(
        code(&office.delete_role("x", Expected::Any).await.unwrap_err()),
        (409, Some("in_use".into()))
    );
    office.delete_subject("sam", Expected::Any).await.unwrap();
    office.delete_role("x", Expected::Any).await.unwrap();
    assert_eq!(access.store().role("x").await.unwrap(), None);
}

#[tokio::test]
async fn every_change_is_in_the_audit_without_secrets() {
    let (access, admin) = admin().await;
    let office = Admin::new(&access, &admin);
    let new = NewKey { subject: "alice".into(), role: Some("user".into()), ..NewKey::default() };
    let made = office.create_key(new).await.unwrap();
    office.revoke_key(&made.key.id).await.unwrap();
    let entries = access.store().audit(None, 3).await.unwrap();
    let actions: Vec<&str> = entries.iter().map(|entry| entry.action.as_str()).collect();
    assert_eq!(actions, ["key.revoke", "key.create", "subject.create"]);
    assert!(entries.iter().all(|entry| entry.actor == "admin" && entry.at == 1000));
    assert_eq!((&entries[0].target, entries[0].before.is_some()), (&made.key.id, true));
    assert!(!serde_json::to_string(&entries).unwrap().contains(&made.secret));
}

#[tokio::test]
async fn explain_names_the_rule_that_decides() {
    let (access, admin) = admin().await;
    let office = Admin::new(&access, &admin);
    let subject = NewSubject {
        id: "sam".into(),
        role: Some("user".into()),
        overrides: PolicyChange { models: Some(vec!["small*".into()]), ..PolicyChange::default() },
        ..NewSubject::default()
    };
    office.create_subject(subject).await.unwrap();
    let ask = async |subject: &str, permission, model: &str| {
        let request = ExplainRequest { subject: subject.into(), permission, model: Some(model.into()) };
        let answer = office.explain(&request).await.unwrap();
        (answer.allowed, answer.rule)
    };
    let (allowed, rule) = ask("sam", PermissionName::Chat, "small-1").await;
    assert!(allowed && rule.contains("user"), "{rule}");
    assert!(!ask("sam", PermissionName::Chat, "large").await.0);
    let (allowed, rule) = ask("sam", PermissionName::RolesRead, "small-1").await;
    assert!(!allowed && rule.contains("roles:read"), "{rule}");
    assert!(ask("nobody", PermissionName::Chat, "small-1").await.1.contains("no role"));
}

#[tokio::test]
async fn names_that_could_mean_something_else_are_refused() {
    let (access, admin) = admin().await;
    let office = Admin::new(&access, &admin);
    for name in ["", "a b", "a/b", "ä", "a\n", &"x".repeat(257)] {
        assert_eq!(office.create_role(role(name, &[], None)).await.unwrap_err().status().as_u16(), 400);
    }
}
