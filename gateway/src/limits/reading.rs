//! What each limit says to a demand, and the one place where that becomes an answer: both stores read, none judges.

use std::time::Duration;

use super::terms::{Balance, Places, Refusal, Scope, Standing, Window};

/// What is told to those whom the limit on requests at the same time refuses. An estimate: a place is free when some
/// request ends, which nobody knows beforehand.
pub const CONCURRENCY_RETRY: Duration = Duration::from_secs(1);

/// What one limit says to a demand; the later, the greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verdict {
    /// It passes.
    Passes,
    /// It passes after this time, if nobody else comes.
    After(Duration),
    /// It is larger than the limit.
    Never,
}

/// One limit, read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reading {
    /// The limit.
    pub(crate) limit: u64,
    /// What counts against it.
    pub(crate) used: u64,
    /// Until nothing counts against it.
    pub(crate) reset: Duration,
    /// What it says to the demand.
    pub(crate) verdict: Verdict,
}

impl Reading {
    /// The limit on requests at the same time.
    pub(crate) fn of_places(limit: u32, running: u32) -> Self {
        let verdict = match (limit, running) {
            (0, _) => Verdict::Never,
            (limit, running) if running < limit => Verdict::Passes,
            _ => Verdict::After(CONCURRENCY_RETRY),
        };
        Self { limit: limit.into(), used: running.into(), reset: Duration::ZERO, verdict }
    }

    fn window(self) -> Window {
        Window { limit: self.limit, remaining: self.limit.saturating_sub(self.used), reset: self.reset }
    }

    fn places(self) -> Places {
        let narrow = |count| u32::try_from(count).unwrap_or(u32::MAX);
        Places { limit: narrow(self.limit), running: narrow(self.used) }
    }
}

/// All limits of a subject, read at one moment; `None` where there is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Readings {
    /// Requests a minute.
    pub(crate) requests: Option<Reading>,
    /// Tokens a minute.
    pub(crate) tokens: Option<Reading>,
    /// Tokens a day.
    pub(crate) tokens_per_day: Option<Reading>,
    /// Requests at the same time.
    pub(crate) concurrency: Option<Reading>,
}

impl Readings {
    /// Where the subject stands.
    pub(crate) fn standing(&self) -> Standing {
        Standing {
            requests: self.requests.map(Reading::window),
            tokens: self.tokens.map(Reading::window),
            tokens_per_day: self.tokens_per_day.map(Reading::window),
        }
    }

    /// What is left of each limit.
    pub(crate) fn balance(&self) -> Balance {
        Balance {
            requests: self.requests.map(Reading::window),
            tokens: self.tokens.map(Reading::window),
            tokens_per_day: self.tokens_per_day.map(Reading::window),
            concurrency: self.concurrency.map(Reading::places),
        }
    }

    /// Why the demand may not pass, if it may not: the limit that keeps it longest decides.
    pub(crate) fn refusal(&self) -> Option<Refusal> {
        let all = [
            (Scope::Requests, self.requests),
            (Scope::Tokens, self.tokens),
            (Scope::TokensPerDay, self.tokens_per_day),
            (Scope::Concurrency, self.concurrency),
        ];
        let (mut longest, mut decisive) = (Verdict::Passes, None);
        for (scope, reading) in all {
            let verdict = reading.map_or(Verdict::Passes, |reading| reading.verdict);
            if verdict > longest {
                (longest, decisive) = (verdict, Some(scope));
            }
        }
        let retry_after = match longest {
            Verdict::After(wait) => Some(wait),
            Verdict::Passes | Verdict::Never => None,
        };
        decisive.map(|scope| Refusal { scope, retry_after, standing: self.standing() })
    }
}
