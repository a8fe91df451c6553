//! A request's way along the seats of its route: who is asked next, after what pause, and when nobody is.

use std::sync::Arc;
use std::time::Duration;

use rand::RngExt as _;

use super::route::{Route, Seat};
use super::target::{Place, Shut};
use crate::engine::EngineError;
use crate::engine::failure::Blame;

/// Before a target is asked again: up to so long the first time, twice that the second.
const BACKOFF: Duration = Duration::from_millis(50);
/// A target that asks for more patience than this is not waited for.
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// Where every target has all that it may: places come free all the time.
const PLACES_SOON: Duration = Duration::from_secs(1);

/// The way of one request. Each step is a place at a target; whoever gets one tells how it went before the next.
pub(super) struct Walk {
    route: Arc<Route>,
    /// The seats to come, last one first.
    steps: Vec<usize>,
    /// What each seat said, where it was asked or looked at.
    said: Vec<Option<Said>>,
    /// Attempts that the targets still have, all together; fallbacks have one each.
    attempts: u32,
    rounds: u32,
    full: bool,
    last: Option<EngineError>,
    /// Who refused or failed last, and how, for the metrics.
    missed: Option<(Arc<str>, &'static str)>,
}

#[derive(Debug, Clone, Copy)]
enum Said {
    /// Not now; after so long it may be asked again.
    Later(Duration),
    /// It will not do.
    Never,
}

impl Walk {
    /// Along an order of seats: the targets, once and again as often as the route retries; then each fallback.
    pub(super) fn new(route: &Arc<Route>, order: &[usize]) -> Self {
        let is_fallback = |place: &usize| route.seats().get(*place).is_some_and(|seat| seat.fallback);
        let (fallbacks, targets): (Vec<usize>, Vec<usize>) =
            order.iter().partition(|place| is_fallback(place));
        let attempts = route.spec().retries.saturating_add(1);
        let rounds = (0..attempts).flat_map(|_| targets.iter().copied());
        let mut steps: Vec<usize> = rounds.chain(fallbacks).collect();
        steps.reverse();
        Self {
            said: vec![None; route.seats().len()],
            route: Arc::clone(route),
            steps,
            attempts,
            rounds: 0,
            full: false,
            last: None,
            missed: None,
        }
    }

    /// A seat that is known not to do.
    pub(super) fn pass_over(&mut self, place: usize) {
        self.say(place, Said::Never);
    }

    /// A seat was looked at, and is shut at this moment.
    pub(super) fn saw(&mut self, shut: Shut) {
        self.full |= shut == Shut::Full;
    }

    /// The next one to ask; none where nobody is left, or no attempt in the route's budget.
    pub(super) async fn next(&mut self) -> Option<(usize, Place)> {
        loop {
            let place = self.steps.pop()?;
            let route = Arc::clone(&self.route);
            let seat = route.seats().get(place)?;
            let Some(pause) = self.pause(place, seat) else { continue };
            if self.missed.is_some() && !route.take_attempt() {
                return None;
            }
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
            match seat.target.enter(seat.cap) {
                Ok(entered) => {
                    self.attempts = self.attempts.saturating_sub(u32::from(!seat.fallback));
                    self.count();
                    return Some((place, entered));
                }
                Err(shut) => self.is_shut(place, shut),
            }
        }
    }

    /// How long to wait before a seat is asked; none where it is not to be.
    fn pause(&mut self, place: usize, seat: &Seat) -> Option<Duration> {
        if !seat.fallback && self.attempts == 0 {
            return None;
        }
        if let Some(shut) = seat.shut() {
            self.is_shut(place, shut);
            return None;
        }
        match self.said.get(place).copied().flatten() {
            None => Some(Duration::ZERO),
            Some(Said::Never) => None,
            Some(Said::Later(wait)) if wait > LONGEST_WAIT => None,
            Some(Said::Later(wait)) => {
                let most = BACKOFF.saturating_mul(2_u32.saturating_pow(self.rounds)).min(LONGEST_WAIT);
                self.rounds += 1;
                // Whoever failed together would come back together.
                Some(wait + most.mul_f64(rand::rng().random::<f64>()))
            }
        }
    }

    /// The one that was asked refused or failed. An error is for the client: nobody else is asked.
    pub(super) fn missed(&mut self, place: usize, error: EngineError) -> Result<(), EngineError> {
        let (said, reason) = match error.blame() {
            Blame::Request => return Err(error),
            Blame::Fit => (Said::Never, "unfit"),
            Blame::Busy(wait) => (Said::Later(wait), "busy"),
            Blame::Engine => (Said::Later(Duration::ZERO), "failed"),
        };
        self.say(place, said);
        let name = self.route.seats().get(place).map(|seat| Arc::clone(seat.target.name()));
        self.missed = name.map(|name| (name, reason));
        self.last = Some(error);
        Ok(())
    }

    /// Somebody answers.
    pub(super) fn found(&self, place: usize) {
        if let Some(seat) = self.route.seats().get(place).filter(|seat| seat.fallback) {
            self.route.metrics().fallbacks.with_label_values(&[seat.target.name()]).inc();
        }
    }

    /// What the client is told where nobody answered.
    pub(super) fn give_up(self) -> EngineError {
        self.last.unwrap_or(if self.full {
            EngineError::QueueFull { retry_after: PLACES_SOON }
        } else {
            EngineError::NotReady("none of those that serve it is well")
        })
    }

    fn is_shut(&mut self, place: usize, shut: Shut) {
        self.saw(shut);
        self.say(place, Said::Never);
    }

    fn say(&mut self, place: usize, said: Said) {
        if let Some(slot) = self.said.get_mut(place) {
            *slot = Some(said);
        }
    }

    /// An attempt that makes another's refusal or failure good.
    fn count(&self) {
        if let Some((target, reason)) = &self.missed {
            self.route.metrics().retries.with_label_values(&[&**target, reason]).inc();
        }
    }
}
