//! Tokens that were verified a moment ago: a client sends the same one with each request, and a signature costs a
//! hundred times what a look-up does.

use std::collections::{HashMap, VecDeque};

use parking_lot::Mutex;

use super::verify::{Checked, Verified};

/// The SHA-256 of a token. The token itself is not kept.
pub(super) type Digest = [u8; 32];

/// What the cache knows of a token.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Lookup {
    /// It was verified, and its time is not over.
    Hit(Verified),
    /// Nothing. The epoch goes with what is stored after verifying.
    Miss(u64),
}

/// A bounded memory of verified tokens. Only they get in, so nobody fills it with inventions.
#[derive(Debug)]
pub(super) struct Cache {
    bound: usize,
    entries: Mutex<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    /// Counts how often everything was forgotten.
    epoch: u64,
    verified: HashMap<Digest, Checked>,
    /// The same digests, the oldest first.
    order: VecDeque<Digest>,
}

impl Cache {
    /// An empty one for at most `bound` tokens.
    pub(super) fn new(bound: usize) -> Self {
        Self { bound, entries: Mutex::default() }
    }

    /// What is known of a token at `now`, in Unix seconds.
    pub(super) fn get(&self, digest: &Digest, now: u64) -> Lookup {
        let entries = self.entries.lock();
        match entries.verified.get(digest) {
            Some(checked) if now < checked.good_until => Lookup::Hit(checked.verified.clone()),
            _ => Lookup::Miss(entries.epoch),
        }
    }

    /// Remembers a token that was verified after a miss. Where everything was forgotten since, so is this: it may
    /// have been verified with what is no longer so.
    pub(super) fn put(&self, epoch: u64, digest: Digest, checked: Checked) {
        let mut entries = self.entries.lock();
        if entries.epoch != epoch || self.bound == 0 {
            return;
        }
        if entries.verified.insert(digest, checked).is_some() {
            return;
        }
        entries.order.push_back(digest);
        if entries.order.len() > self.bound
            && let Some(oldest) = entries.order.pop_front()
        {
            entries.verified.remove(&oldest);
        }
    }

    /// Forgets all.
    pub(super) fn forget_all(&self) {
        let mut entries = self.entries.lock();
        entries.epoch += 1;
        entries.verified.clear();
        entries.order.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::super::verify::Issuer;
    use super::*;

    fn checked(good_until: u64) -> Checked {
        let verified = Verified {
            subject: "alice".into(),
            role: None,
            issuer: Issuer::Own,
            jti: None,
            issued_at: None,
            expires_at: good_until,
            good_until,
        };
        Checked { verified, good_until }
    }

    fn hit(cache: &Cache, digest: u8, now: u64) -> bool {
        matches!(cache.get(&[digest; 32], now), Lookup::Hit(_))
    }

    #[test]
    fn an_entry_ends_with_its_token() {
        let cache = Cache::new(4);
        cache.put(0, [1; 32], checked(10));
        assert!(hit(&cache, 1, 9));
        assert!(!hit(&cache, 1, 10));
    }

    #[test]
    fn a_full_cache_forgets_the_oldest_and_never_grows() {
        let cache = Cache::new(2);
        for digest in [1, 2, 2, 3] {
            cache.put(0, [digest; 32], checked(10));
        }
        assert_eq!([1, 2, 3].map(|digest| hit(&cache, digest, 0)), [false, true, true]);
        let entries = cache.entries.lock();
        assert_eq!((entries.verified.len(), entries.order.len()), (2, 2));
    }

    #[test]
    fn what_was_verified_before_all_was_forgotten_is_not_remembered_after() {
        let cache = Cache::new(2);
        let Lookup::Miss(epoch) = cache.get(&[1; 32], 0) else { panic!("an empty cache knows nothing") };
        cache.forget_all();
        cache.put(epoch, [1; 32], checked(10));
        assert!(!hit(&cache, 1, 0));
    }
}
