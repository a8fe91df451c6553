//! From a credential to a principal, with its policy of this moment.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use openapi::admin::keys::Key;
use openapi::admin::policy::Policy;
use parking_lot::Mutex;
use poem::http::{HeaderMap, HeaderValue};

use super::issuers::RoleNames;
use super::live::{Live, LiveStream};
use super::memory::{Epoch, Memory, Remembered};
use super::secret::{self, PREFIX};
use super::store::{AuthStore, KeyHash, REVOKED_FOR, StoreError, tokens_of};
use super::throttle::Throttle;
use super::token::{Issuer, Tokens, Verified};
use super::{AuthError, Principal, policy};
use crate::clock::Clock;
use crate::config::worker::{PRIORITY, TENANT};

/// Keys whose last use is to be written down; more are not noted.
const MOST_USED: usize = 10_000;
/// Credentials that are looked up again at the same time after a change.
const AT_ONCE: usize = 64;
/// How exactly the last use of a key is known, seconds.
const TOUCH_EVERY: u64 = 60;

/// Who holds which credential, and what they may do.
pub struct Access {
    store: Arc<dyn AuthStore>,
    clock: Clock,
    tokens: Option<Arc<Tokens>>,
    roles: Arc<RoleNames>,
    throttle: Option<Throttle>,
    live: Live,
    memory: Memory,
    used: Mutex<HashMap<String, u64>>,
    /// This is a worker: whoever reaches it may do everything, for whom it says.
    is_worker: bool,
}

/// A credential as it was sent, and when.
struct Shown<'a> {
    credential: &'a [u8],
    hash: KeyHash,
    epoch: Epoch,
    /// The store's version then.
    version: u64,
    now: u64,
}

impl Access {
    /// Access by what a store holds.
    pub fn new(store: Arc<dyn AuthStore>, clock: Clock) -> Self {
        Self {
            store,
            clock,
            tokens: None,
            roles: Arc::default(),
            throttle: None,
            live: Live::default(),
            memory: Memory::default(),
            used: Mutex::default(),
            is_worker: false,
        }
    }

    /// Takes everybody for the gateway that started this worker: who may reach its socket was decided by the system.
    #[must_use]
    pub fn of_worker(mut self) -> Self {
        self.is_worker = true;
        self
    }

    /// The caller of a worker, by what the gateway says of it.
    pub(super) fn stand_in(&self, headers: &HeaderMap) -> Option<Principal> {
        if !self.is_worker {
            return None;
        }
        let admin = policy::built_in().into_iter().find(|role| role.name == policy::ADMIN);
        let mut rights = admin.map(|role| role.policy).unwrap_or_default();
        let field = |name| headers.get(name).map(HeaderValue::as_bytes).map(String::from_utf8_lossy);
        rights.priority = field(PRIORITY).and_then(|text| text.parse().ok()).unwrap_or_default();
        let tenant = field(TENANT).unwrap_or_default();
        let caller = Principal::unlisted(&tenant, policy::ADMIN, rights);
        Some(Principal { version: self.store.version(), ..caller })
    }

    /// The store.
    pub fn store(&self) -> &Arc<dyn AuthStore> {
        &self.store
    }

    /// Accepts tokens too; `roles` are the names that their verification knows.
    #[must_use]
    pub fn with_tokens(mut self, tokens: Tokens, roles: Arc<RoleNames>) -> Self {
        self.tokens = Some(Arc::new(tokens));
        self.roles = roles;
        self
    }

    /// Slows addresses whose credentials fail.
    #[must_use]
    pub fn with_throttle(mut self, throttle: Throttle) -> Self {
        self.throttle = Some(throttle);
        self
    }

    /// What makes and verifies tokens.
    pub fn tokens(&self) -> Option<&Tokens> {
        self.tokens.as_deref()
    }

    /// The same, for work on another thread.
    pub(super) fn shared_tokens(&self) -> Option<Arc<Tokens>> {
        self.tokens.clone()
    }

    /// Our public keys.
    pub fn jwks(&self) -> serde_json::Value {
        self.tokens().map_or_else(|| serde_json::json!({"keys": []}), Tokens::jwks)
    }

    /// The names of the roles, as tokens are verified by them.
    pub(super) fn role_names(&self) -> &RoleNames {
        &self.roles
    }

    /// What runs at this moment.
    pub fn live(&self) -> &Live {
        &self.live
    }

    /// Puts a stream of the caller on the list of what runs, from where a revocation ends it.
    ///
    /// # Errors
    /// It was revoked since it was identified.
    pub async fn begin(&self, caller: &Principal) -> Result<LiveStream, AuthError> {
        let stream = self.live.begin(caller);
        if self.store.version() != caller.version {
            // Changed in between: the change ended what was on the list, and this may not have been.
            self.end_revoked(std::slice::from_ref(&caller.subject), caller.key.as_slice()).await?;
        }
        if stream.is_revoked() { Err(AuthError::Revoked) } else { Ok(stream) }
    }

    /// Seconds since the Unix epoch.
    pub fn now(&self) -> u64 {
        self.clock.now_s()
    }

    /// The caller by its credential, sent from an address.
    ///
    /// # Errors
    /// The credential is unknown, expired or revoked, or its subject is disabled, or the address has failed too often.
    pub async fn identify(&self, credential: &[u8], address: Option<IpAddr>) -> Result<Principal, AuthError> {
        let now = self.now();
        // Read before the records: a change in between makes what is remembered old, never the other way round.
        let version = self.store.version();
        let hash = secret::hash(credential);
        let (before, epoch) = self.memory.get(&hash);
        let shown = Shown { credential, hash, epoch, version, now };
        let was_good = before.is_some();
        let known = match before.filter(|known| known.holds(version, now)) {
            Some(known) => known,
            // Who was good here before is not taken for a guesser.
            None if was_good => self.look_up(&shown).await?,
            None => self.look_up_slowed(&shown, address).await?,
        };
        if let Some(key) = known.principal.key.as_ref().filter(|_| known.token.is_none()) {
            self.note_use(key, now);
        }
        Ok(known.principal)
    }

    /// Looks a credential up that was never good here, unless its address has failed too often.
    async fn look_up_slowed(
        &self,
        shown: &Shown<'_>,
        address: Option<IpAddr>,
    ) -> Result<Remembered, AuthError> {
        let Some((throttle, address)) = self.throttle.as_ref().zip(address) else {
            return self.look_up(shown).await;
        };
        throttle.check(address).map_err(AuthError::Throttled)?;
        let found = self.look_up(shown).await;
        if found.as_ref().is_err_and(AuthError::is_guess) {
            throttle.failed(address);
        }
        found
    }

    async fn look_up(&self, shown: &Shown<'_>) -> Result<Remembered, AuthError> {
        let found = self.find(shown).await;
        self.memory.keep(shown.epoch, &shown.hash, &found);
        found
    }

    async fn find(&self, shown: &Shown<'_>) -> Result<Remembered, AuthError> {
        let Shown { credential, hash, version, now, .. } = *shown;
        if credential.starts_with(PREFIX.as_bytes()) {
            self.by_key(&hash, version, now).await
        } else {
            let (Some(tokens), Ok(token)) = (&self.tokens, std::str::from_utf8(credential)) else {
                return Err(AuthError::Unknown);
            };
            let verified = tokens.verify(token).await.map_err(AuthError::Token)?;
            self.by_token(Arc::new(verified), version).await
        }
    }

    /// Looks everybody up again who is remembered from before a change, so that they stay known if the store goes
    /// away after it. Where it has gone already, what is remembered stays as it is.
    pub(super) async fn refresh(&self) {
        let (version, now) = (self.store.version(), self.now());
        let (old, epoch) = self.memory.old(version, now);
        for some in old.chunks(AT_ONCE) {
            let looked_up = some.iter().map(|(hash, known)| async move {
                match &known.token {
                    None => self.by_key(hash, version, now).await,
                    Some(token) if token.good_until > now => self.by_token(Arc::clone(token), version).await,
                    Some(_) => Err(AuthError::Expired),
                }
            });
            let found = futures_util::future::join_all(looked_up).await;
            for ((hash, _), found) in some.iter().zip(&found) {
                self.memory.keep(epoch, hash, found);
            }
        }
    }

    /// Forgets the callers whose tokens were verified: each is verified anew, by the keys of this moment.
    pub(super) fn forget_tokens(&self) {
        self.memory.forget_tokens();
    }

    async fn by_key(&self, hash: &KeyHash, version: u64, now: u64) -> Result<Remembered, AuthError> {
        let key = self.store.key_by_hash(hash).await?.ok_or(AuthError::Unknown)?;
        check(&key, now)?;
        let principal = self.principal(&key.subject, None).await?;
        let principal = Principal { key: Some(Arc::from(key.id)), version, ..principal };
        Ok(Remembered { version, until: key.expires_at, token: None, principal })
    }

    /// The caller by a token that was verified.
    async fn by_token(&self, verified: Arc<Verified>, version: u64) -> Result<Remembered, AuthError> {
        if let Some(jti) = &verified.jti
            && self.store.revoked_until(jti).await?.is_some()
        {
            return Err(AuthError::Revoked);
        }
        // Issuers may have subjects of the same name: theirs carry the issuer's.
        let subject = match &verified.issuer {
            Issuer::Own => verified.subject.to_string(),
            Issuer::External(name) => format!("{name}|{}", verified.subject),
        };
        let removed = self.store.revoked_until(&tokens_of(&subject)).await?;
        let removed_at = removed.map(|until| until.saturating_sub(REVOKED_FOR));
        let of_before = removed_at.is_some_and(|at| verified.issued_at.is_none_or(|made| made <= at));
        // A subject that has a record again is judged by that.
        if of_before && self.store.subject(&subject).await?.is_none() {
            return Err(AuthError::Revoked);
        }
        let principal = self.principal(&subject, verified.role.as_deref()).await?;
        let key = verified.jti.as_deref().map(Arc::from);
        let principal = Principal { key, version, ..principal };
        Ok(Remembered { version, until: Some(verified.good_until), token: Some(verified), principal })
    }

    /// A subject with its role and policy of this moment. A subject's record wins over the role that its credential
    /// claims; without either it may do nothing.
    pub async fn principal(&self, subject: &str, claimed: Option<&str>) -> Result<Principal, AuthError> {
        let version = self.store.version();
        let record = self.store.subject(subject).await?;
        if record.as_ref().is_some_and(|record| record.disabled) {
            return Err(AuthError::Disabled);
        }
        let assigned = record.as_ref().and_then(|record| record.role.clone());
        let role = assigned.or_else(|| claimed.map(str::to_owned)).unwrap_or_default();
        let policy = match self.store.role(&role).await? {
            Some(found) => {
                record.map_or(found.policy.clone(), |record| record.overrides.applied_to(&found.policy))
            }
            None => Policy::default(),
        };
        Ok(Principal {
            subject: Arc::from(subject),
            role: Arc::from(role),
            key: None,
            policy: Arc::new(policy),
            version,
        })
    }

    fn note_use(&self, key: &Arc<str>, now: u64) {
        let mut used = self.used.lock();
        if !used.contains_key(&**key) && used.len() < MOST_USED {
            used.insert(key.to_string(), now);
        }
    }

    /// Writes down which keys were used since the last time; the caller does this every minute or so.
    pub async fn flush_uses(&self) -> Result<(), StoreError> {
        let used: Vec<(String, u64)> = self.used.lock().drain().collect();
        if used.is_empty() { Ok(()) } else { self.store.touch(used).await }
    }

    /// Flushes uses and forgives failures until it is dropped.
    pub async fn keep_flushing(self: Arc<Self>) {
        let mut minute = tokio::time::interval(std::time::Duration::from_secs(TOUCH_EVERY));
        loop {
            minute.tick().await;
            let access = Arc::clone(&self);
            // A walk over up to 100,000 addresses: not on a thread that serves requests.
            let tidied = tokio::task::spawn_blocking(move || access.throttle.as_ref().map(Throttle::tidy));
            if let Err(error) = tidied.await {
                tracing::warn!(%error, "failed logins could not be tidied up");
            }
            if let Err(error) = self.flush_uses().await {
                tracing::warn!(%error, "the last use of keys could not be written");
            }
        }
    }
}

fn check(key: &Key, now: u64) -> Result<(), AuthError> {
    if key.revoked_at.is_some() {
        return Err(AuthError::Revoked);
    }
    if key.expires_at.is_some_and(|end| end <= now) {
        return Err(AuthError::Expired);
    }
    Ok(())
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Access").finish_non_exhaustive()
    }
}
