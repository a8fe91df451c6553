//! The words of limits: what may be spent, what is asked for, what is left, and why not.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What a subject may spend; `None` is unlimited.
///
/// A scope is counted only while it is limited: one that becomes limited starts from nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Allowance {
    /// Requests in any 60 seconds.
    pub requests_per_minute: Option<u64>,
    /// Tokens in any 60 seconds.
    pub tokens_per_minute: Option<u64>,
    /// Tokens in a day of UTC.
    pub tokens_per_day: Option<u64>,
    /// Requests at the same time.
    pub concurrency: Option<u32>,
}

impl Allowance {
    /// Whether nothing is limited.
    pub fn is_unlimited(&self) -> bool {
        self.requests_per_minute.is_none() && !self.settles()
    }

    /// Whether a request has something to give back at its end.
    pub(crate) fn settles(&self) -> bool {
        self.tokens_per_minute.is_some() || self.tokens_per_day.is_some() || self.concurrency.is_some()
    }

    /// Whether a request of so many tokens could ever pass.
    pub(crate) fn could_grant(&self, tokens: u64) -> bool {
        let enough = |limit: Option<u64>, want| limit.is_none_or(|limit| want <= limit);
        enough(self.requests_per_minute, 1)
            && enough(self.tokens_per_minute, tokens)
            && enough(self.tokens_per_day, tokens)
            && enough(self.concurrency.map(u64::from), 1)
    }
}

/// What a request asks for: itself, its tokens and a place among those that run.
#[derive(Debug, Clone)]
pub struct Demand {
    /// Who spends.
    pub subject: Arc<str>,
    /// What it may spend.
    pub allowance: Allowance,
    /// Tokens to reserve: the prompt's and the most that may be generated.
    pub tokens: u64,
}

/// Which limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Requests a minute.
    Requests,
    /// Tokens a minute.
    Tokens,
    /// Tokens a day.
    TokensPerDay,
    /// Requests at the same time.
    Concurrency,
}

impl Scope {
    /// The name, one of four: the `code` of the error, and fit for a label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Tokens => "tokens",
            Self::TokensPerDay => "budget",
            Self::Concurrency => "concurrency",
        }
    }
}

/// Where a subject stands after its request, for the `x-ratelimit-*` headers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Standing {
    /// Requests a minute, where limited.
    pub requests: Option<Window>,
    /// Tokens a minute, where limited.
    pub tokens: Option<Window>,
    /// Tokens a day, where limited; no header tells of it.
    pub tokens_per_day: Option<Window>,
}

/// What is left of a limit over time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// The limit.
    pub limit: u64,
    /// What is left of it.
    pub remaining: u64,
    /// Until it is full again, if nothing more is spent.
    pub reset: Duration,
}

/// What is left of a limit on requests at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Places {
    /// The limit.
    pub limit: u32,
    /// How many run.
    pub running: u32,
}

/// What is left of each limit; `None` where there is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Balance {
    /// Requests a minute.
    pub requests: Option<Window>,
    /// Tokens a minute.
    pub tokens: Option<Window>,
    /// Tokens a day.
    pub tokens_per_day: Option<Window>,
    /// Requests at the same time.
    pub concurrency: Option<Places>,
}

/// Why a request may not pass now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// The limit that keeps it longest.
    pub scope: Scope,
    /// When the same request passes if nobody else comes; `None` where it never can, being larger than the limit.
    ///
    /// To the millisecond, except where [`Scope::Concurrency`] decides: when others end cannot be known, so that is
    /// the estimate [`CONCURRENCY_RETRY`](crate::limits::CONCURRENCY_RETRY).
    pub retry_after: Option<Duration>,
    /// Where the subject stands; this request cost it nothing.
    pub standing: Standing,
}

/// A request was not admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LimitError {
    /// It is over a limit.
    #[error("over the limit: {}", .0.scope.as_str())]
    Refused(Refusal),
    /// The limits cannot be read, and the policy is to admit nobody then.
    #[error("the limits cannot be read")]
    Unavailable,
}
