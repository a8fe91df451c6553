//! A model behind routes: its engine, the requests that it has, and how it has been lately.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::breaker::{Breaker, BreakerState, Pass, Settings};
use crate::engine::failure::Blame;
use crate::engine::{Engine, EngineError};

/// An engine with too much to do is not asked first for so long: at least, and at most.
const REST: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(10));

/// From so many probes in a row that it did not answer a target is not well.
const MISSES: u32 = 2;

/// A model behind routes. All routes to it share one, so each knows what the others learn.
pub(super) struct Target {
    name: Arc<str>,
    engine: Arc<dyn Engine>,
    /// What times are counted from.
    origin: Instant,
    outstanding: AtomicU32,
    breaker: Mutex<Breaker>,
    /// When it may have time again, in milliseconds from the origin.
    rests_until: AtomicU64,
    /// Probes in a row that it did not answer.
    misses: AtomicU32,
}

/// Why a target is not sent a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shut {
    /// It has as many requests as the route allows.
    Full,
    /// Too many failed, or it did not answer when it was asked how it is.
    Unwell,
}

impl Target {
    /// A target that is well and has nothing to do.
    pub(super) fn new(engine: Arc<dyn Engine>) -> Self {
        Self {
            name: engine.card().id.as_str().into(),
            engine,
            origin: Instant::now(),
            outstanding: AtomicU32::new(0),
            breaker: Mutex::new(Breaker::new(Settings::default())),
            rests_until: AtomicU64::new(0),
            misses: AtomicU32::new(0),
        }
    }

    /// The model's name.
    pub(super) fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// What serves the model.
    pub(super) fn engine(&self) -> &Arc<dyn Engine> {
        &self.engine
    }

    /// Requests that it has.
    pub(super) fn outstanding(&self) -> u32 {
        self.outstanding.load(Ordering::Relaxed)
    }

    /// What its breaker is.
    pub(super) fn breaker(&self) -> BreakerState {
        self.breaker.lock().state(self.now())
    }

    /// Whether it answered one of the last probes.
    pub(super) fn is_well(&self) -> bool {
        self.misses.load(Ordering::Relaxed) < MISSES
    }

    /// It was asked how it is.
    pub(super) fn probed(&self, well: bool) {
        let before = self.is_well();
        let misses = if well { 0 } else { self.misses.load(Ordering::Relaxed).saturating_add(1) };
        self.misses.store(misses, Ordering::Relaxed);
        if self.is_well() != before {
            tracing::info!(model = &*self.name, well, "a target's health changed");
        }
    }

    /// Whether it said that it has too much to do.
    pub(super) fn rests(&self) -> bool {
        u128::from(self.rests_until.load(Ordering::Relaxed)) > self.now().as_millis()
    }

    /// Why it would not be sent a request, if so.
    pub(super) fn shut(&self, cap: Option<u32>) -> Option<Shut> {
        if !self.is_well() || !self.breaker.lock().would_pass(self.now()) {
            return Some(Shut::Unwell);
        }
        cap.filter(|cap| self.outstanding() >= *cap).map(|_| Shut::Full)
    }

    /// A place for a request of a route.
    pub(super) fn enter(self: &Arc<Self>, cap: Option<u32>) -> Result<Place, Shut> {
        if !self.is_well() {
            return Err(Shut::Unwell);
        }
        let room = |now: u32| now.checked_add(1).filter(|_| cap.is_none_or(|cap| now < cap));
        self.outstanding.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room).map_err(|_| Shut::Full)?;
        // From here on dropping the place gives it back.
        let mut place = Place { target: Arc::clone(self), pass: None, answered: false, judged: true };
        place.pass = self.breaker.lock().pass(self.now());
        if place.pass.is_some() { Ok(place) } else { Err(Shut::Unwell) }
    }

    /// A place for a request that goes here whatever the target is like: it is counted, and says nothing of it.
    pub(super) fn enter_freely(self: &Arc<Self>) -> Place {
        self.outstanding.fetch_add(1, Ordering::Relaxed);
        Place { target: Arc::clone(self), pass: None, answered: false, judged: false }
    }

    /// Time since a moment that all of its times are counted from.
    fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    fn rest(&self, wait: Duration) {
        let until = self.now().saturating_add(wait.clamp(REST.0, REST.1)).as_millis();
        self.rests_until.fetch_max(u64::try_from(until).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A request's place at a target, until it is dropped. Told what becomes of it, it tells the breaker.
#[derive(Debug)]
pub(super) struct Place {
    target: Arc<Target>,
    pass: Option<Pass>,
    /// Its answer has begun.
    answered: bool,
    /// Whether outcomes count.
    judged: bool,
}

impl Place {
    /// Where it is.
    pub(super) fn target(&self) -> &Arc<Target> {
        &self.target
    }

    /// The first event of an answer came.
    pub(super) fn answered(&mut self) {
        if !self.answered
            && let Some(pass) = &self.pass
        {
            self.target.breaker.lock().succeeded(pass, self.target.now());
        }
        self.answered = true;
    }

    /// The request was refused or failed, or its answer broke off.
    pub(super) fn failed(&mut self, error: &EngineError) {
        if !self.judged {
            return;
        }
        match error.blame() {
            Blame::Engine => {
                let (breaker, now) = (&self.target.breaker, self.target.now());
                match self.pass.take() {
                    Some(pass) if self.answered => breaker.lock().broke(&pass, now),
                    Some(pass) => breaker.lock().failed(&pass, now),
                    None => {}
                }
            }
            Blame::Busy(wait) => {
                self.target.rest(wait);
                // It lives, and said so.
                self.answered();
            }
            Blame::Request | Blame::Fit => self.answered(),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.answered
            && let Some(pass) = self.pass.take()
        {
            self.target.breaker.lock().abandoned(&pass, self.target.now());
        }
        self.target.outstanding.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::scripted::{Script, ScriptedEngine};

    fn target() -> Arc<Target> {
        Arc::new(Target::new(Arc::new(ScriptedEngine::new("m", Script::new()))))
    }

    fn broken() -> EngineError {
        EngineError::Failed("x".to_owned())
    }

    #[test]
    fn no_more_than_the_cap_are_let_in_and_a_dropped_place_is_free_again() {
        let target = target();
        let one = target.enter(Some(2)).unwrap();
        let _two = target.enter(Some(2)).unwrap();
        assert_eq!(target.enter(Some(2)).unwrap_err(), Shut::Full);
        assert_eq!((target.shut(Some(2)), target.shut(None)), (Some(Shut::Full), None));
        drop(one);
        assert!(target.enter(Some(2)).is_ok());
        assert_eq!(target.outstanding(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn failures_shut_it_and_trials_that_are_answered_open_it_again() {
        let target = target();
        for _ in 0..5 {
            target.enter(None).unwrap().failed(&broken());
        }
        assert_eq!(target.enter(None).unwrap_err(), Shut::Unwell);
        assert_eq!(target.outstanding(), 0);
        tokio::time::advance(Duration::from_secs(2)).await;
        drop(target.enter(None).unwrap());
        for _ in 0..3 {
            let mut trial = target.enter(None).unwrap();
            assert_eq!(target.shut(None), Some(Shut::Unwell));
            trial.answered();
        }
        assert_eq!(target.breaker(), BreakerState::Closed);
    }

    #[tokio::test(start_paused = true)]
    async fn a_busy_one_rests_and_is_not_broken() {
        let target = target();
        let busy = EngineError::QueueFull { retry_after: Duration::from_mins(10) };
        for _ in 0..20 {
            target.enter(None).unwrap().failed(&busy);
        }
        assert!(target.rests());
        assert_eq!(target.breaker(), BreakerState::Closed);
        tokio::time::advance(REST.1).await;
        assert!(!target.rests());
    }

    #[test]
    fn one_that_does_not_answer_a_probe_is_left_alone_by_routes_alone() {
        let target = target();
        target.probed(false);
        assert!(target.enter(None).is_ok(), "one lost probe says little");
        target.probed(false);
        assert_eq!(target.enter(None).unwrap_err(), Shut::Unwell);
        let mut direct = target.enter_freely();
        direct.failed(&broken());
        assert_eq!(target.outstanding(), 1);
        target.probed(true);
        assert!(target.enter(None).is_ok());
    }

    #[test]
    fn mistakes_of_clients_say_nothing_against_it() {
        let target = target();
        for _ in 0..100 {
            target.enter(None).unwrap().failed(&EngineError::Invalid { message: "x".into(), param: None });
        }
        assert!(target.enter(None).is_ok());
    }
}
