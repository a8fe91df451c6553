//! What counts as a credential, and what a credential counts for.

use std::sync::Arc;

use openapi::admin::keys::NewKey;
use openapi::admin::policy::{PermissionName, PolicyChange};
use openapi::admin::roles::RoleChange;
use openapi::admin::subjects::SubjectChange;
use poem::Request;
use poem::http::StatusCode;

use super::admin::Admin;
use super::carrier::Bearer;
use super::store::Expected;
use super::store::embedded::EmbeddedStore;
use super::throttle::Throttle;
use super::{Access, AuthError, Principal, identify};
use crate::clock::Clock;

const KEY: &str = "sk-test";

/// Access to a store in memory whose admin holds a key.
pub(crate) fn access(key: &str) -> Arc<Access> {
    Arc::new(Access::new(Arc::new(EmbeddedStore::in_memory(key)), Clock::manual(1_000_000)))
}

async fn status_for(headers: &[&str]) -> Option<StatusCode> {
    let mut request = Request::builder();
    for value in headers {
        request = request.header("authorization", *value);
    }
    let mut request = request.finish();
    request.set_data(access(KEY));
    identify::<Bearer>(&request).await.err().map(|error| error.status())
}

#[tokio::test]
async fn the_key_passes_whatever_the_case_of_its_scheme() {
    assert_eq!(status_for(&["Bearer sk-test"]).await, None);
    assert_eq!(status_for(&["bearer  sk-test "]).await, None);
}

#[tokio::test]
async fn everything_else_is_unauthenticated() {
    let refused: [&[&str]; 8] = [
        &[],
        &[""],
        &["Bearer"],
        &["Bearer "],
        &["Bearer sk-tes"],
        &["Basic sk-test"],
        &["sk-test"],
        &["Bearer sk-test", "Bearer sk-test"],
    ];
    for headers in refused {
        assert_eq!(status_for(headers).await, Some(StatusCode::UNAUTHORIZED), "{headers:?}");
    }
}

#[tokio::test]
async fn a_request_that_lost_the_access_is_refused() {
    let request = Request::builder().header("authorization", "Bearer sk-test").finish();
    assert_eq!(identify::<Bearer>(&request).await.unwrap_err().status(), StatusCode::INTERNAL_SERVER_ERROR);
}

/// An admin at work on a fresh store, with a user's key.
struct Office {
    access: Arc<Access>,
    admin: Principal,
    secret: String,
    key: String,
}

impl Office {
    async fn open() -> Self {
        let access = access(KEY);
        let admin = access.identify(KEY.as_bytes(), None).await.unwrap();
        let new = NewKey { subject: "alice".into(), role: Some("user".into()), ..NewKey::default() };
        let made = Admin::new(&access, &admin).create_key(new).await.unwrap();
        Self { access, admin, secret: made.secret, key: made.key.id }
    }

    fn admin(&self) -> Admin<'_> {
        Admin::new(&self.access, &self.admin)
    }

    async fn user(&self) -> Result<Principal, AuthError> {
        self.access.identify(self.secret.as_bytes(), None).await
    }
}

#[tokio::test]
async fn a_key_stands_for_its_subject_with_the_role_of_this_moment() {
    let office = Office::open().await;
    let user = office.user().await.unwrap();
    assert_eq!((&*user.subject, &*user.role), ("alice", "user"));
    assert!(user.require(PermissionName::Chat).is_ok());
    assert!(user.require(PermissionName::RolesManage).is_err());
    let policy =
        PolicyChange { permissions: Some([PermissionName::ModelsRead].into()), ..Default::default() };
    let change = RoleChange { policy, ..RoleChange::default() };
    office.admin().change_role("user", Expected::Any, change).await.unwrap();
    assert!(office.user().await.unwrap().require(PermissionName::Chat).is_err());
}

#[tokio::test]
async fn a_revoked_key_a_disabled_subject_and_a_removed_one_are_refused_at_once() {
    let office = Office::open().await;
    assert!(office.user().await.is_ok());
    office.admin().revoke_key(&office.key).await.unwrap();
    assert_eq!(office.user().await, Err(AuthError::Revoked));

    let office = Office::open().await;
    let disable = |disabled| SubjectChange { disabled: Some(disabled), ..SubjectChange::default() };
    office.admin().change_subject("alice", Expected::Any, disable(true)).await.unwrap();
    assert_eq!(office.user().await, Err(AuthError::Disabled));
    office.admin().change_subject("alice", Expected::Any, disable(false)).await.unwrap();
    assert!(office.user().await.is_ok());
    office.admin().delete_subject("alice", Expected::Any).await.unwrap();
    assert_eq!(office.user().await, Err(AuthError::Unknown));
}

#[tokio::test]
async fn an_expired_key_is_refused_also_when_it_was_remembered() {
    let clock = Clock::manual(1_000_000);
    let access = Access::new(Arc::new(EmbeddedStore::in_memory(KEY)), clock.clone());
    let admin = access.identify(KEY.as_bytes(), None).await.unwrap();
    let new = NewKey {
        subject: "bob".into(),
        role: Some("user".into()),
        expires_in: Some(60),
        ..NewKey::default()
    };
    let made = Admin::new(&access, &admin).create_key(new).await.unwrap();
    assert!(access.identify(made.secret.as_bytes(), None).await.is_ok());
    clock.advance(59_999);
    assert!(access.identify(made.secret.as_bytes(), None).await.is_ok());
    clock.advance(1);
    assert_eq!(access.identify(made.secret.as_bytes(), None).await, Err(AuthError::Expired));
}

#[tokio::test]
async fn a_subjects_record_wins_over_a_claimed_role() {
    let office = Office::open().await;
    let claimed = office.access.principal("alice", Some("admin")).await.unwrap();
    assert_eq!(&*claimed.role, "user");
    let unknown = office.access.principal("carol", Some("viewer")).await.unwrap();
    assert_eq!(&*unknown.role, "viewer");
    let nobody = office.access.principal("carol", None).await.unwrap();
    assert!(nobody.policy.permissions.is_empty());
}

#[tokio::test]
async fn the_last_use_of_a_key_is_written_down() {
    let office = Office::open().await;
    office.user().await.unwrap();
    office.access.flush_uses().await.unwrap();
    let key = office.access.store().key(&office.key).await.unwrap().unwrap();
    assert_eq!(key.last_used, Some(1000));
}

#[tokio::test]
async fn an_address_that_fails_too_often_waits_and_who_was_good_before_does_not() {
    let throttle = Throttle::per_minute(std::num::NonZeroU32::new(2).unwrap());
    let store = Arc::new(EmbeddedStore::in_memory(KEY));
    let access = Access::new(store, Clock::manual(1_000_000)).with_throttle(throttle);
    let (guesser, other) = (Some([192, 0, 2, 1].into()), Some([192, 0, 2, 2].into()));
    let admin = access.identify(KEY.as_bytes(), guesser).await.unwrap();
    for _ in 0..2 {
        assert_eq!(access.identify(b"sk-guess", guesser).await, Err(AuthError::Unknown));
    }
    assert!(matches!(access.identify(b"sk-guess", guesser).await, Err(AuthError::Throttled(_))));
    assert_eq!(access.identify(b"sk-guess", other).await, Err(AuthError::Unknown));

    let new = NewKey { subject: "a".into(), role: Some("user".into()), ..NewKey::default() };
    let made = Admin::new(&access, &admin).create_key(new).await.unwrap();
    assert!(access.identify(KEY.as_bytes(), guesser).await.is_ok(), "also after a change");
    let newcomer = access.identify(made.secret.as_bytes(), guesser).await;
    assert!(matches!(newcomer, Err(AuthError::Throttled(_))), "not even looked at");
    access.identify(made.secret.as_bytes(), other).await.unwrap();
    Admin::new(&access, &admin).revoke_key(&made.key.id).await.unwrap();
    assert_eq!(access.identify(made.secret.as_bytes(), other).await, Err(AuthError::Revoked));
    assert!(matches!(access.identify(made.secret.as_bytes(), guesser).await, Err(AuthError::Throttled(_))));
}
