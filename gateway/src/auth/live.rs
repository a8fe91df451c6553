//! What runs at this moment and for whom, so that a revoked credential's streams end.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::Principal;

/// The streams that run, by the names that they end with: the subject's and the key's.
#[derive(Debug, Default)]
pub struct Live {
    running: Arc<Mutex<HashMap<Name, Running>>>,
}

/// Subjects and keys are named apart: a subject may be called like a key's id.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Name {
    Subject(Arc<str>),
    Key(Arc<str>),
}

#[derive(Debug)]
struct Running {
    streams: usize,
    ended: CancellationToken,
}

/// One running stream. Dropping it takes it off the list.
#[derive(Debug)]
pub struct LiveStream {
    running: Arc<Mutex<HashMap<Name, Running>>>,
    names: Vec<Name>,
    tokens: Vec<CancellationToken>,
}

impl Live {
    /// Puts a stream of the caller on the list.
    pub fn begin(&self, caller: &Principal) -> LiveStream {
        let subject = Name::Subject(Arc::clone(&caller.subject));
        let names: Vec<Name> =
            std::iter::once(subject).chain(caller.key.iter().cloned().map(Name::Key)).collect();
        let mut running = self.running.lock();
        let tokens = names.iter().map(|name| {
            let fresh = || Running { streams: 0, ended: CancellationToken::new() };
            let entry = running.entry(name.clone()).or_insert_with(fresh);
            entry.streams += 1;
            entry.ended.clone()
        });
        let tokens = tokens.collect();
        drop(running);
        LiveStream { running: Arc::clone(&self.running), names, tokens }
    }

    /// The subjects and the keys that run something.
    pub fn running(&self) -> (Vec<Arc<str>>, Vec<Arc<str>>) {
        let running = self.running.lock();
        let (mut subjects, mut keys) = (Vec::new(), Vec::new());
        for name in running.keys() {
            match name {
                Name::Subject(subject) => subjects.push(Arc::clone(subject)),
                Name::Key(key) => keys.push(Arc::clone(key)),
            }
        }
        (subjects, keys)
    }

    /// Ends the streams of a subject.
    pub fn end_subject(&self, subject: &str) {
        self.end(&Name::Subject(Arc::from(subject)));
    }

    /// Ends the streams that were begun with a key.
    pub fn end_key(&self, key: &str) {
        self.end(&Name::Key(Arc::from(key)));
    }

    fn end(&self, name: &Name) {
        if let Some(running) = self.running.lock().get(name) {
            running.ended.cancel();
        }
    }
}

impl LiveStream {
    /// Whether it was ended already.
    pub fn is_revoked(&self) -> bool {
        self.tokens.iter().any(CancellationToken::is_cancelled)
    }

    /// Waits until the caller may no longer call.
    pub fn revoked(&self) -> impl Future<Output = ()> + Send + use<> {
        let tokens: Vec<_> =
            self.tokens.iter().map(|token| Box::pin(token.clone().cancelled_owned())).collect();
        async move {
            futures_util::future::select_all(tokens).await;
        }
    }
}

impl Drop for LiveStream {
    fn drop(&mut self) {
        let mut running = self.running.lock();
        for name in &self.names {
            let Some(entry) = running.get_mut(name) else { continue };
            entry.streams -= 1;
            if entry.streams == 0 {
                running.remove(name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn caller(subject: &str, key: &str) -> Principal {
        Principal {
            subject: subject.into(),
            role: "user".into(),
            key: Some(key.into()),
            policy: Arc::default(),
            version: 0,
        }
    }

    async fn is_revoked(stream: &LiveStream) -> bool {
        tokio::time::timeout(Duration::ZERO, stream.revoked()).await.is_ok()
    }

    #[tokio::test]
    async fn a_revoked_keys_streams_end_and_the_subjects_others_go_on() {
        let live = Live::default();
        let (one, other) = (live.begin(&caller("a", "k1")), live.begin(&caller("a", "k2")));
        live.end_key("k1");
        assert_eq!((is_revoked(&one).await, is_revoked(&other).await), (true, false));
        live.end_subject("a");
        assert!(is_revoked(&other).await);
    }

    #[tokio::test]
    async fn a_subject_that_comes_back_is_not_cut_again() {
        let live = Live::default();
        let first = live.begin(&caller("a", "k1"));
        live.end_subject("a");
        drop(first);
        assert!(!is_revoked(&live.begin(&caller("a", "k1"))).await);
        live.end_subject("nobody");
    }

    #[test]
    fn nothing_is_kept_of_streams_that_ended() {
        let live = Live::default();
        drop(live.begin(&caller("a", "k1")));
        assert!(live.running.lock().is_empty());
    }
}
