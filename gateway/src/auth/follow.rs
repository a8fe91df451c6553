//! What another replica changed is taken over here: role names, signing keys, and the end of streams.

use std::sync::Arc;
use std::time::Duration;

use super::access::Access;
use super::store::StoreError;
use super::token::{KeyFileError, Tokens};

/// From a failure to the next attempt.
const AGAIN: Duration = Duration::from_millis(500);

impl Access {
    /// Takes over the changes of other replicas until the store is gone. Returns at once where no other replica can
    /// change anything.
    pub async fn follow(self: Arc<Self>) {
        let Some(mut changes) = self.store().changes() else { return };
        while changes.changed().await.is_ok() {
            while let Err(error) = self.take_over().await {
                tracing::warn!(%error, "a change of access could not be taken over; trying again");
                tokio::time::sleep(AGAIN).await;
            }
        }
    }

    /// Signs tokens with a new key from now on; see [`Tokens::rotate`].
    pub(super) async fn rotate(&self, overlap: Option<Duration>) -> Result<String, StoreError> {
        let kid = self.blocking(move |tokens| tokens.rotate(overlap)).await?;
        // Without an overlap the old key is not trusted any more, nor what was believed by it.
        self.forget_tokens();
        Ok(kid)
    }

    /// Takes over what stands in the store now.
    pub async fn take_over(&self) -> Result<(), StoreError> {
        self.roles_changed().await?;
        if self.blocking(Tokens::reload).await? {
            self.forget_tokens();
        }
        let (subjects, keys) = self.live().running();
        self.end_revoked(&subjects, &keys).await?;
        self.refresh().await;
        Ok(())
    }

    /// Roles came or went: what they mean to tokens is looked up anew.
    pub(super) async fn roles_changed(&self) -> Result<(), StoreError> {
        self.role_names().refresh(&**self.store()).await?;
        if let Some(tokens) = self.tokens() {
            tokens.forget_all();
        }
        Ok(())
    }

    /// Works on the signing keys, which are read and written by calls that block.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Tokens) -> Result<T, KeyFileError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let failed = |error: &dyn std::fmt::Display| StoreError::Failed(error.to_string());
        let tokens = self.shared_tokens().ok_or_else(|| failed(&"tokens are not accepted here"))?;
        let done =
            tokio::task::spawn_blocking(move || work(&tokens)).await.map_err(|error| failed(&error))?;
        done.map_err(|error| match error {
            KeyFileError::Store(error) => error,
            error => failed(&error),
        })
    }

    /// Ends the streams of whoever may no longer call. Asked of the store for each that runs: nothing that a message
    /// could have said is lost with it.
    pub(super) async fn end_revoked(
        &self,
        subjects: &[Arc<str>],
        keys: &[Arc<str>],
    ) -> Result<(), StoreError> {
        for subject in subjects {
            if self.store().subject(subject).await?.is_some_and(|subject| subject.disabled) {
                self.live().end_subject(subject);
            }
        }
        for id in keys {
            let is_key = id.starts_with(super::secret::ID_PREFIX);
            let ended = if is_key {
                // A key that is gone was removed with its subject.
                self.store().key(id).await?.is_none_or(|key| key.revoked_at.is_some())
            } else {
                self.store().revoked_until(id).await?.is_some()
            };
            if ended {
                self.live().end_key(id);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use openapi::admin::keys::NewKey;
    use openapi::admin::subjects::SubjectChange;
    use openapi::admin::tokens::{InspectRequest, NewToken, RotateRequest};
    use tokio::task::JoinSet;

    use super::*;
    use crate::auth::admin::Admin;
    use crate::auth::store::redis::RedisStore;
    use crate::auth::store::{AuthStore, Expected};
    use crate::auth::{AuthError, Principal, RoleNames, ensure_admin, issuers};
    use crate::clock::Clock;
    use crate::redis_link::test_server::Server;

    /// A gateway's access beside others on one Redis.
    struct Replica(Arc<Access>, #[expect(dead_code, reason = "ends with it")] JoinSet<()>);

    impl Replica {
        async fn start(server: &Server) -> Self {
            let store = RedisStore::open(server.link()).await.unwrap();
            let mut tasks = JoinSet::new();
            tasks.spawn(store.clone().keep_looking());
            let store: Arc<dyn AuthStore> = Arc::new(store);
            let roles = Arc::new(RoleNames::default());
            roles.refresh(&*store).await.unwrap();
            let (known, shared) = (Arc::clone(&roles), Arc::clone(&store));
            let folder = std::path::PathBuf::from("unused: the keys are shared");
            let open = move || issuers::open(&folder, "sluice", None, &*shared, known).unwrap();
            let tokens = tokio::task::spawn_blocking(open).await.unwrap();
            let access = Arc::new(Access::new(store, Clock::System).with_tokens(tokens, roles));
            tasks.spawn(Arc::clone(&access).follow());
            Self(access, tasks)
        }

        /// The first start's admin, by its key.
        async fn admin(&self) -> Principal {
            let folder = tempfile::tempdir().unwrap();
            let key = ensure_admin(&**self.0.store(), folder.path(), self.0.now()).await.unwrap();
            self.0.identify(key.expect("a first start").as_bytes(), None).await.unwrap()
        }

        /// Waits until another's change is in force here.
        async fn until<F: Future<Output = bool>>(mut in_force: impl FnMut() -> F) {
            while !in_force().await {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }

    #[tokio::test]
    async fn a_subject_disabled_at_one_replica_is_out_at_the_other_and_its_streams_end() {
        let server = Server::start().await;
        let (one, other) = (Replica::start(&server).await, Replica::start(&server).await);
        let admin = one.admin().await;
        let new = NewKey { subject: "a".into(), role: Some("user".into()), ..NewKey::default() };
        let key = Admin::new(&one.0, &admin).create_key(new).await.unwrap();
        let ask = || other.0.identify(key.secret.as_bytes(), None);
        Replica::until(|| async { ask().await.is_ok() }).await;
        let stream = other.0.live().begin(&ask().await.unwrap());
        let change = SubjectChange { disabled: Some(true), ..SubjectChange::default() };
        Admin::new(&one.0, &admin).change_subject("a", Expected::Any, change).await.unwrap();
        stream.revoked().await;
        assert_eq!(ask().await, Err(AuthError::Disabled));
    }

    #[tokio::test]
    async fn replicas_accept_each_others_tokens_also_after_a_rotation_and_until_they_are_revoked() {
        let server = Server::start().await;
        let (one, other) = (Replica::start(&server).await, Replica::start(&server).await);
        let principal = one.admin().await;
        let admin = Admin::new(&one.0, &principal);
        let token = async || {
            let new =
                NewToken { subject: "t".into(), role: Some("user".into()), note: None, expires_in: None };
            admin.create_token(new).await.unwrap()
        };
        let first = token().await;
        let caller = other.0.identify(first.token.as_bytes(), None).await.unwrap();
        assert_eq!(&*caller.role, "user");
        let rotated = admin.rotate(&RotateRequest { overlap: None }).await.unwrap();
        let second = token().await;
        Replica::until(|| async { other.0.identify(second.token.as_bytes(), None).await.is_ok() }).await;
        assert!(other.0.jwks().to_string().contains(&rotated.kid));
        assert!(other.0.identify(first.token.as_bytes(), None).await.is_ok());

        let stream = other.0.live().begin(&caller);
        admin.revoke_token(&first.jti).await.unwrap();
        stream.revoked().await;
        let state = Admin::new(&other.0, &principal)
            .inspect_token(&InspectRequest { token: first.token })
            .await
            .unwrap();
        assert_eq!((state.active, state.reason.as_deref()), (false, Some("revoked")));
        let state = admin.inspect_token(&InspectRequest { token: second.token.clone() }).await.unwrap();
        assert_eq!((state.active, state.role.as_deref()), (true, Some("user")));
        let actions: Vec<_> =
            other.0.store().audit(None, 4).await.unwrap().into_iter().map(|entry| entry.action).collect();
        assert_eq!(actions, ["token.revoke", "token.create", "signing_key.rotate", "token.create"]);
    }

    #[tokio::test]
    async fn after_a_leak_no_token_of_the_old_key_is_good_also_where_it_was_remembered() {
        let server = Server::start().await;
        let (one, other) = (Replica::start(&server).await, Replica::start(&server).await);
        let principal = one.admin().await;
        let admin = Admin::new(&one.0, &principal);
        let new = NewToken { subject: "t".into(), role: Some("user".into()), note: None, expires_in: None };
        let leaked = admin.create_token(new).await.unwrap().token;
        for replica in [&one, &other] {
            replica.0.identify(leaked.as_bytes(), None).await.unwrap();
        }
        admin.rotate(&RotateRequest { overlap: Some(0) }).await.unwrap();
        assert!(one.0.identify(leaked.as_bytes(), None).await.is_err());
        Replica::until(|| async { other.0.identify(leaked.as_bytes(), None).await.is_err() }).await;
    }
}
