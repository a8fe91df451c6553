//! The newest snapshot of each gateway, kept apart: nothing is ever summed, and nothing older takes its place.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::protocol::Snapshot;
use crate::protocol::metrics::MetricFamily;

/// Every gateway heard of.
#[derive(Debug)]
pub struct Instances {
    silence: Duration,
    remember: Duration,
    most: usize,
    known: Mutex<BTreeMap<Arc<str>, Known>>,
}

#[derive(Debug)]
struct Known {
    /// Epoch and sequence of the newest snapshot.
    newest: (u64, u64),
    heard: Instant,
    /// Unix seconds.
    heard_at: f64,
    /// It said that it was about to end.
    ended: bool,
    /// What is shown; `None` once it has been silent.
    current: Option<Held>,
    /// A later life's, which waits until the last word of the one before it has been shown once: what that one
    /// counted and nobody scraped would be lost to every `increase()`.
    next: Option<Held>,
    /// Since when `next` waits.
    waits: Option<Instant>,
}

/// A snapshot's metrics.
#[derive(Debug)]
struct Held {
    epoch: u64,
    families: Arc<Vec<MetricFamily>>,
    series: usize,
    /// A scrape has had it.
    shown: bool,
}

impl Known {
    fn take(&mut self, held: Held, now: Instant) {
        let unseen = self.current.as_ref().is_some_and(|old| old.epoch != held.epoch && !old.shown);
        if unseen {
            self.waits.get_or_insert(now);
            self.next = Some(held);
        } else {
            self.current = Some(held);
            (self.next, self.waits) = (None, None);
        }
    }

    /// The later life takes its place, if one waits.
    fn hand_over(&mut self) {
        if let Some(next) = self.next.take() {
            self.current = Some(next);
        }
        self.waits = None;
    }
}

/// What became of a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is the newest.
    Accepted,
    /// It is here already.
    Repeated,
    /// A newer one is.
    Stale,
    /// There are as many gateways as may be.
    Full,
}

/// A gateway's part of an answer.
#[derive(Debug, Clone)]
pub struct Live {
    /// Its name.
    pub name: Arc<str>,
    /// Its metrics.
    pub families: Arc<Vec<MetricFamily>>,
}

/// How a gateway stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// Its name.
    pub name: Arc<str>,
    /// It has been heard of lately.
    pub up: bool,
    /// When it last was, Unix seconds.
    pub heard_at: f64,
}

impl Instances {
    /// `silence`: after how long without a word a gateway's series leave; `remember`: after how long its name does.
    pub fn new(silence: Duration, remember: Duration, most: usize) -> Self {
        Self { silence, remember, most, known: Mutex::default() }
    }

    /// Takes a checked snapshot in. `now` is the wall clock's time, Unix seconds.
    pub fn take(&self, snapshot: Snapshot, series: usize, now: f64) -> Verdict {
        let Snapshot { instance, epoch, sequence, r#final: ended, families, .. } = snapshot;
        let newest = (epoch, sequence);
        let held = Held { epoch, families: Arc::new(families), series, shown: false };
        let heard = Instant::now();
        let mut all = self.known.lock();
        if let Some(known) = all.get_mut(&*instance) {
            if newest <= known.newest {
                return if newest == known.newest { Verdict::Repeated } else { Verdict::Stale };
            }
            let (was_silent, other_life) = (known.current.is_none(), known.newest.0 != epoch);
            (known.newest, known.heard, known.heard_at, known.ended) = (newest, heard, now, ended);
            known.take(held, heard);
            drop(all);
            if other_life {
                tracing::info!(instance, "a gateway has started again");
            } else if was_silent {
                tracing::info!(instance, "a gateway is back");
            }
            return Verdict::Accepted;
        }
        if all.len() >= self.most && !forget_one(&mut all) {
            return Verdict::Full;
        }
        let current = Some(held);
        let known = Known { newest, heard, heard_at: now, ended, current, next: None, waits: None };
        all.insert(instance.as_str().into(), known);
        drop(all);
        tracing::info!(instance, "a gateway pushes its metrics");
        Verdict::Accepted
    }

    /// Lets the series of the silent go, and the names of those silent for long.
    pub fn sweep(&self) {
        let now = Instant::now();
        let mut gone = Vec::new();
        self.known.lock().retain(|name, known| {
            let silent = now.saturating_duration_since(known.heard);
            if known.waits.is_some_and(|since| now.saturating_duration_since(since) >= self.silence) {
                known.hand_over();
            }
            if silent >= self.silence && known.current.take().is_some() {
                known.next = None;
                gone.push(Arc::clone(name));
            }
            // Whose end was meant is nobody's worry for long.
            silent < if known.ended { self.silence * 2 } else { self.remember }
        });
        for instance in gone {
            tracing::warn!(%instance, seconds = self.silence.as_secs_f64(), "a gateway has been silent; its series leave");
        }
    }

    /// Those that have been heard of lately, by name, to be shown to a scrape; of one name alone where one is given.
    pub fn scrape(&self, name: Option<&str>) -> Vec<Live> {
        self.sweep();
        let mut all = self.known.lock();
        let wanted = all.iter_mut().filter(|(known, _)| name.is_none_or(|name| ***known == *name));
        let live = wanted.filter_map(|(name, known)| {
            let held = known.current.as_mut()?;
            held.shown = true;
            let live = Live { name: Arc::clone(name), families: Arc::clone(&held.families) };
            known.hand_over();
            Some(live)
        });
        live.collect()
    }

    /// The names of those that have been heard of lately.
    pub fn names(&self) -> Vec<Arc<str>> {
        self.sweep();
        let all = self.known.lock();
        all.iter().filter(|(_, known)| known.current.is_some()).map(|(name, _)| Arc::clone(name)).collect()
    }

    /// How each stands.
    pub fn standings(&self) -> Vec<Standing> {
        let known = self.known.lock();
        let standing = |(name, known): (&Arc<str>, &Known)| Standing {
            name: Arc::clone(name),
            up: known.current.is_some(),
            heard_at: known.heard_at,
        };
        known.iter().map(standing).collect()
    }

    /// Series held.
    pub fn series(&self) -> usize {
        let all = self.known.lock();
        let held = all.values().flat_map(|known| known.current.iter().chain(&known.next));
        held.map(|held| held.series).sum()
    }
}

/// Forgets, before its time, the one that has been silent for longest: those that live need the place. Whether there
/// was one.
fn forget_one(all: &mut BTreeMap<Arc<str>, Known>) -> bool {
    let silent = all.iter().filter(|(_, known)| known.current.is_none());
    let Some((name, _)) = silent.min_by_key(|(_, known)| known.heard) else { return false };
    let name = Arc::clone(name);
    all.remove(&name).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SILENCE: Duration = Duration::from_secs(15);
    const REMEMBER: Duration = Duration::from_hours(1);

    fn instances() -> Instances {
        Instances::new(SILENCE, REMEMBER, 2)
    }

    fn snapshot(instance: &str, epoch: u64, sequence: u64) -> Snapshot {
        Snapshot { instance: instance.to_owned(), epoch, sequence, ..Snapshot::default() }
    }

    fn take(instances: &Instances, instance: &str, epoch: u64, sequence: u64) -> Verdict {
        instances.take(snapshot(instance, epoch, sequence), 1, 5.0)
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_older_is_refused_and_what_is_repeated_changes_nothing() {
        let all = instances();
        assert_eq!(take(&all, "a", 10, 5), Verdict::Accepted);
        assert_eq!(take(&all, "a", 10, 4), Verdict::Stale);
        assert_eq!(take(&all, "a", 9, 99), Verdict::Stale);
        assert_eq!(take(&all, "a", 10, 5), Verdict::Repeated);
        assert_eq!(take(&all, "a", 11, 1), Verdict::Accepted, "a later life begins to count again");
        assert_eq!(take(&all, "a", 10, 6), Verdict::Stale, "of two that live, the older one is refused");
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_gateway_loses_its_series_at_once_and_its_name_later() {
        let all = instances();
        take(&all, "a", 1, 1);
        tokio::time::advance(SILENCE / 2).await;
        assert_eq!(all.scrape(None).len(), 1);
        tokio::time::advance(SILENCE / 2).await;
        assert_eq!(all.scrape(None).len(), 0);
        assert_eq!(all.series(), 0);
        assert_eq!(all.standings(), [Standing { name: "a".into(), up: false, heard_at: 5.0 }]);
        assert_eq!(take(&all, "a", 1, 1), Verdict::Repeated, "silence does not make the old new");
        assert_eq!(take(&all, "a", 1, 2), Verdict::Accepted);
        assert_eq!(all.scrape(Some("a")).len(), 1);
        tokio::time::advance(REMEMBER).await;
        all.sweep();
        assert_eq!(all.standings(), []);
    }

    #[tokio::test(start_paused = true)]
    async fn a_gateway_that_said_its_last_word_is_not_remembered_as_down_for_long() {
        let all = instances();
        all.take(Snapshot { r#final: true, ..snapshot("a", 1, 1) }, 1, 5.0);
        tokio::time::advance(SILENCE).await;
        assert_eq!(all.scrape(None).len(), 0);
        assert_eq!(all.standings().len(), 1);
        tokio::time::advance(SILENCE).await;
        all.sweep();
        assert_eq!(all.standings(), []);
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_word_of_a_life_is_shown_once_before_the_next_life_is() {
        let all = instances();
        let shown = || all.scrape(None)[0].families[0].help.clone();
        let take = |epoch, sequence, help: &str| {
            let families = vec![MetricFamily { help: help.to_owned(), ..MetricFamily::default() }];
            all.take(Snapshot { families, ..snapshot("a", epoch, sequence) }, 1, 5.0)
        };
        take(1, 1, "old, seen");
        assert_eq!(shown(), "old, seen");
        take(2, 1, "new");
        assert_eq!(shown(), "new", "what was seen need not wait");
        take(2, 2, "new, unseen");
        take(3, 1, "newest");
        take(3, 2, "newest of all");
        assert_eq!(take(2, 3, "from the dead"), Verdict::Stale);
        assert_eq!(shown(), "new, unseen");
        assert_eq!(shown(), "newest of all");
        take(3, 3, "unseen");
        take(4, 1, "after nobody looked");
        tokio::time::advance(SILENCE / 2).await;
        take(4, 2, "after nobody looked for long");
        tokio::time::advance(SILENCE / 2).await;
        assert_eq!(shown(), "after nobody looked for long");
    }

    #[tokio::test(start_paused = true)]
    async fn there_are_no_more_than_so_many() {
        let all = instances();
        assert_eq!(take(&all, "a", 1, 1), Verdict::Accepted);
        assert_eq!(take(&all, "b", 1, 1), Verdict::Accepted);
        assert_eq!(take(&all, "c", 1, 1), Verdict::Full);
        assert_eq!(take(&all, "a", 1, 2), Verdict::Accepted);
        tokio::time::advance(SILENCE / 2).await;
        assert_eq!(take(&all, "b", 1, 2), Verdict::Accepted);
        tokio::time::advance(SILENCE / 2).await;
        all.sweep();
        assert_eq!(take(&all, "c", 1, 1), Verdict::Accepted, "the silent make room");
        assert_eq!(take(&all, "a", 1, 3), Verdict::Full, "the living do not");
    }
}
