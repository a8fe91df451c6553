//! What the script `take` answers, as readings.

use std::time::Duration;

use crate::limits::reading::{Reading, Readings, Verdict};
use crate::limits::store::StoreError;
use crate::limits::terms::Allowance;

/// The answer of `take.lua`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reply {
    granted: bool,
    now_ms: u64,
    requests: Spent,
    tokens: Spent,
    tokens_per_day: Spent,
    running: u32,
}

/// What it says of one limit over time.
#[derive(Debug, Clone, Copy)]
struct Spent {
    used: u64,
    reset: Duration,
    verdict: Verdict,
}

impl Reply {
    /// Reads the script's list of numbers.
    pub(super) fn parse(numbers: &[i64]) -> Result<Self, StoreError> {
        Self::read(&mut numbers.iter().copied()).ok_or(StoreError::Garbled)
    }

    fn read(numbers: &mut impl Iterator<Item = i64>) -> Option<Self> {
        Some(Self {
            granted: numbers.next()? == 1,
            now_ms: numbers.next()?.try_into().ok()?,
            requests: Spent::read(numbers)?,
            tokens: Spent::read(numbers)?,
            tokens_per_day: Spent::read(numbers)?,
            running: numbers.next()?.try_into().ok()?,
        })
    }

    /// The server's time.
    pub(super) fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// Whether it was granted. A grant's readings are of after it, when a limit may well be spent.
    pub(super) fn granted(&self) -> bool {
        self.granted
    }

    /// What counts now.
    pub(super) fn readings(&self, allowance: &Allowance) -> Readings {
        let reading = |limit: Option<u64>, Spent { used, reset, verdict }| {
            limit.map(|limit| Reading { limit, used, reset, verdict })
        };
        Readings {
            requests: reading(allowance.requests_per_minute, self.requests),
            tokens: reading(allowance.tokens_per_minute, self.tokens),
            tokens_per_day: reading(allowance.tokens_per_day, self.tokens_per_day),
            concurrency: allowance.concurrency.map(|limit| Reading::of_places(limit, self.running)),
        }
    }
}

impl Spent {
    fn read(numbers: &mut impl Iterator<Item = i64>) -> Option<Self> {
        let used = numbers.next()?.try_into().ok()?;
        let reset = Duration::from_millis(numbers.next()?.try_into().ok()?);
        let verdict = match numbers.next()? {
            0 => Verdict::Passes,
            wait if wait > 0 => Verdict::After(Duration::from_millis(wait.unsigned_abs())),
            _ => Verdict::Never,
        };
        Some(Self { used, reset, verdict })
    }
}
