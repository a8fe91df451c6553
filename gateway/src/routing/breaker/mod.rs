//! When a target is left alone: a state machine over the outcomes of the last seconds, with the time passed in.
//!
//! Closed, everything passes. Too many failures open it: nothing passes for a while. Then one request passes as a trial,
//! and after it another: so many good ones in a row close the breaker, a bad one opens it again, for longer each time.
//! Times count from any fixed moment.

use std::time::Duration;

pub(super) use openapi::admin::models::BreakerState;

/// Parts of the window, each forgotten whole.
const SLOTS: usize = 10;
/// An answer that breaks off counts as so many failures: its client has lost it, where others are asked again.
const BROKEN_OFF: u32 = 2;

/// When it opens, and for how long.
#[derive(Debug, Clone, Copy)]
pub(super) struct Settings {
    /// Outcomes are counted for so long.
    pub(super) window: Duration,
    /// Fewer failures in the window never open it.
    pub(super) least_failures: u32,
    /// From one failure in so many outcomes on it opens.
    pub(super) one_in: u32,
    /// How long it is open the first time; doubled by each trial that fails.
    pub(super) open_for: Duration,
    /// How long it is open at most.
    pub(super) longest: Duration,
    /// So many good trials in a row close it: what fails now and then has one good answer soon.
    pub(super) trials: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(10),
            least_failures: 5,
            one_in: 4,
            open_for: Duration::from_secs(2),
            longest: Duration::from_secs(30),
            trials: 3,
        }
    }
}

/// The breaker of one target.
#[derive(Debug)]
pub(super) struct Breaker {
    settings: Settings,
    state: State,
    window: Window,
    /// Grows when it opens: outcomes of requests that passed before say nothing of now.
    era: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed,
    /// Until then nothing passes.
    Open {
        until: Duration,
        trials: Trials,
    },
    /// One request is out to see how the target is.
    Trial(Trials),
}

/// What trials have shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Trials {
    /// How often one failed since it was closed.
    bad: u32,
    /// Good ones in a row.
    good: u32,
}

/// A request was let through. Its outcome must be told, or that it has none.
#[derive(Debug)]
#[must_use = "the breaker waits for the outcome of a trial"]
pub(super) struct Pass {
    era: u64,
    trial: bool,
}

impl Breaker {
    /// A closed one.
    pub(super) fn new(settings: Settings) -> Self {
        Self { settings, state: State::Closed, window: Window::default(), era: 0 }
    }

    /// What it is at a time.
    pub(super) fn state(&self, now: Duration) -> BreakerState {
        match self.state {
            State::Closed => BreakerState::Closed,
            State::Open { until, .. } if now < until => BreakerState::Open,
            State::Open { .. } | State::Trial(_) => BreakerState::HalfOpen,
        }
    }

    /// Whether a request would be let through.
    pub(super) fn would_pass(&self, now: Duration) -> bool {
        match self.state {
            State::Closed => true,
            State::Open { until, .. } => now >= until,
            State::Trial(_) => false,
        }
    }

    /// Lets a request through, if any may pass.
    pub(super) fn pass(&mut self, now: Duration) -> Option<Pass> {
        let era = self.era;
        match self.state {
            State::Closed => Some(Pass { era, trial: false }),
            State::Open { until, trials } if now >= until => {
                self.state = State::Trial(trials);
                Some(Pass { era, trial: true })
            }
            State::Open { .. } | State::Trial(_) => None,
        }
    }

    /// A request that passed was answered, or its answer has begun.
    pub(super) fn succeeded(&mut self, pass: &Pass, now: Duration) {
        if pass.era != self.era {
            return;
        }
        match self.state {
            State::Closed => self.window.add(self.slot(now), false, 1),
            State::Trial(trials) if pass.trial => {
                let trials = Trials { good: trials.good + 1, ..trials };
                if trials.good < self.settings.trials {
                    self.state = State::Open { until: now, trials };
                } else {
                    self.state = State::Closed;
                    self.window = Window::default();
                }
            }
            State::Open { .. } | State::Trial(_) => {}
        }
    }

    /// A request that passed failed, and the target is to blame.
    pub(super) fn failed(&mut self, pass: &Pass, now: Duration) {
        self.blame(pass, now, 1);
    }

    /// An answer that had begun well broke off.
    pub(super) fn broke(&mut self, pass: &Pass, now: Duration) {
        self.blame(pass, now, BROKEN_OFF);
    }

    /// A request that passed ended without saying anything of the target.
    pub(super) fn abandoned(&mut self, pass: &Pass, now: Duration) {
        if let State::Trial(trials) = self.state
            && pass.trial
            && pass.era == self.era
        {
            self.state = State::Open { until: now, trials };
        }
    }

    fn blame(&mut self, pass: &Pass, now: Duration, weight: u32) {
        if pass.era != self.era {
            return;
        }
        match self.state {
            State::Closed => {
                let slot = self.slot(now);
                self.window.add(slot, true, weight);
                let (all, failures) = self.window.sums(slot);
                let one_in = failures.saturating_mul(self.settings.one_in);
                if failures >= self.settings.least_failures && one_in >= all {
                    self.open(0, now);
                }
            }
            State::Open { trials, .. } | State::Trial(trials) if pass.trial => self.open(trials.bad + 1, now),
            State::Open { .. } | State::Trial(_) => {}
        }
    }

    fn open(&mut self, bad: u32, now: Duration) {
        let times = 2_u32.saturating_pow(bad);
        let wait = self.settings.open_for.saturating_mul(times).min(self.settings.longest);
        self.state = State::Open { until: now.saturating_add(wait), trials: Trials { bad, good: 0 } };
        self.era += 1;
    }

    fn slot(&self, now: Duration) -> u64 {
        let width = (self.settings.window.as_millis() / SLOTS as u128).max(1);
        u64::try_from(now.as_millis() / width).unwrap_or(u64::MAX)
    }
}

/// Outcomes by the slot of time that they fell in.
#[derive(Debug, Default)]
struct Window([Slot; SLOTS]);

#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    number: u64,
    all: u32,
    failures: u32,
}

impl Window {
    fn add(&mut self, number: u64, failure: bool, weight: u32) {
        let index = usize::try_from(number % SLOTS as u64).unwrap_or(0);
        let Some(slot) = self.0.get_mut(index) else { return };
        if slot.number != number {
            *slot = Slot { number, ..Slot::default() };
        }
        slot.all = slot.all.saturating_add(weight);
        slot.failures = slot.failures.saturating_add(if failure { weight } else { 0 });
    }

    /// All outcomes, and the failures among them, of the window that ends with a slot.
    fn sums(&self, last: u64) -> (u32, u32) {
        let recent = self.0.iter().filter(|slot| slot.number + SLOTS as u64 > last && slot.number <= last);
        recent.fold((0, 0), |(all, failures), slot| {
            (slot.all.saturating_add(all), slot.failures.saturating_add(failures))
        })
    }
}

#[cfg(test)]
mod tests;
