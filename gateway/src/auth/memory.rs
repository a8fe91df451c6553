//! Callers that were identified a moment ago: the store and the keys are not asked for each request.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::store::KeyHash;
use super::token::Verified;
use super::{AuthError, Principal};

/// Callers that are remembered between requests; one more forgets them all.
const MOST: usize = 10_000;

/// A principal, as long as nothing was changed and its credential has not ended.
#[derive(Clone)]
pub(super) struct Remembered {
    /// The store's version that this was read at.
    pub version: u64,
    /// When the credential ends, in Unix seconds.
    pub until: Option<u64>,
    /// What the token proved; a key's record says all of it, and its last use is written down.
    pub token: Option<Arc<Verified>>,
    /// The caller.
    pub principal: Principal,
}

impl Remembered {
    /// Whether it still stands at a version of the store and a time in Unix seconds.
    pub(super) fn holds(&self, version: u64, now: u64) -> bool {
        self.version == version && self.until.is_none_or(|until| now < until)
    }
}

/// How often the tokens were forgotten. Taken before looking a caller up and given with what was found: a token
/// that was verified by keys from before is not remembered after.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Epoch(u64);

/// A bounded memory of callers.
#[derive(Default)]
pub(super) struct Memory(Mutex<Callers>);

#[derive(Default)]
struct Callers {
    epoch: Epoch,
    known: HashMap<KeyHash, Remembered>,
}

impl Memory {
    /// Who was known by a credential, if it was ever good; it may not hold any more.
    pub(super) fn get(&self, hash: &KeyHash) -> (Option<Remembered>, Epoch) {
        let callers = self.0.lock();
        (callers.known.get(hash).cloned(), callers.epoch)
    }

    /// Those that do not hold any more.
    pub(super) fn old(&self, version: u64, now: u64) -> (Vec<(KeyHash, Remembered)>, Epoch) {
        let callers = self.0.lock();
        let old = callers.known.iter().filter(|(_, known)| !known.holds(version, now));
        (old.map(|(hash, known)| (*hash, known.clone())).collect(), callers.epoch)
    }

    /// Keeps who was found, forgets who is refused; where the store did not answer, what is known stays.
    pub(super) fn keep(&self, epoch: Epoch, hash: &KeyHash, found: &Result<Remembered, AuthError>) {
        let mut callers = self.0.lock();
        match found {
            Ok(known) if known.token.is_some() && epoch != callers.epoch => {}
            Ok(known) => {
                if callers.known.len() >= MOST && !callers.known.contains_key(hash) {
                    callers.known.clear();
                }
                callers.known.insert(*hash, known.clone());
            }
            Err(error) if error.is_guess() => drop(callers.known.remove(hash)),
            Err(_) => {}
        }
    }

    /// Forgets the callers whose tokens were verified: each is verified anew, by the keys of this moment.
    pub(super) fn forget_tokens(&self) {
        let mut callers = self.0.lock();
        callers.epoch.0 += 1;
        callers.known.retain(|_, known| known.token.is_none());
    }
}

#[cfg(test)]
mod tests {
    use openapi::admin::policy::Policy;

    use super::*;
    use crate::auth::store::StoreError;
    use crate::auth::token::Issuer;

    fn caller(token: bool) -> Remembered {
        let verified = Verified {
            issuer: Issuer::Own,
            subject: "a".into(),
            role: None,
            jti: None,
            issued_at: None,
            expires_at: 100,
            good_until: 100,
        };
        let principal = Principal {
            subject: Arc::from("a"),
            role: Arc::from("user"),
            key: None,
            policy: Arc::new(Policy::default()),
            version: 1,
        };
        Remembered { version: 1, until: None, token: token.then(|| Arc::new(verified)), principal }
    }

    #[test]
    fn a_token_verified_before_all_were_forgotten_is_not_kept_after() {
        let (memory, hash) = (Memory::default(), [1; 32]);
        let (_, before) = memory.get(&hash);
        memory.forget_tokens();
        memory.keep(before, &hash, &Ok(caller(true)));
        assert!(memory.get(&hash).0.is_none());
        let (_, now) = memory.get(&hash);
        memory.keep(now, &hash, &Ok(caller(true)));
        assert!(memory.get(&hash).0.is_some());
    }

    #[test]
    fn keys_outlive_the_forgetting_of_tokens() {
        let (memory, hash) = (Memory::default(), [1; 32]);
        let (_, before) = memory.get(&hash);
        memory.keep(before, &hash, &Ok(caller(false)));
        memory.forget_tokens();
        assert!(memory.get(&hash).0.is_some());
    }

    #[test]
    fn who_is_refused_is_forgotten_and_who_could_not_be_asked_for_is_not() {
        let (memory, hash) = (Memory::default(), [1; 32]);
        let (_, epoch) = memory.get(&hash);
        memory.keep(epoch, &hash, &Ok(caller(false)));
        memory.keep(epoch, &hash, &Err(StoreError::Failed("away".into()).into()));
        assert!(memory.get(&hash).0.is_some());
        memory.keep(epoch, &hash, &Err(AuthError::Revoked));
        assert!(memory.get(&hash).0.is_none());
    }
}
