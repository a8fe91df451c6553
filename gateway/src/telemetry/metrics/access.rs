//! Who was not let in, who was over a limit, and whose budget is nearly spent. By role, never by subject.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use prometheus::{GaugeVec, IntCounterVec};

use super::{Declare, MOST_VALUES, OTHER};
use crate::clock::Clock;

/// The families.
pub struct Access {
    failures: IntCounterVec,
    refused: IntCounterVec,
    budget: GaugeVec,
    nearest: Mutex<HashMap<Box<str>, Nearest>>,
    clock: Clock,
}

/// The subject of a role that has used the most of its budget today.
#[derive(Debug, Clone, Copy)]
struct Nearest {
    ratio: f64,
    /// When its day ends, Unix milliseconds.
    until: u64,
}

impl Access {
    pub(super) fn new(declare: &Declare<'_>, clock: Clock) -> Self {
        Self {
            failures: declare.counters(
                "auth_failures_total",
                "Credentials that were not taken, by reason.",
                &["reason"],
            ),
            refused: declare.counters(
                "admission_refused_total",
                "Requests over a limit, by role and limit.",
                &["role", "reason"],
            ),
            budget: declare.gauges(
                "admission_budget_used_ratio",
                "Share of a day's tokens used by the subject of the role that has used the most of them.",
                &["role"],
            ),
            nearest: Mutex::default(),
            clock,
        }
    }

    /// A credential was not taken.
    pub fn failed(&self, reason: &str) {
        self.failures.with_label_values(&[reason]).inc();
    }

    /// A request was over a limit.
    pub fn refused(&self, role: &str, reason: &str) {
        let mut nearest = self.nearest.lock();
        let role = Self::bounded(&mut nearest, role);
        self.refused.with_label_values(&[role, reason]).inc();
    }

    /// So much of a subject's budget is used, for so long.
    pub fn spent(&self, role: &str, ratio: f64, reset: Duration) {
        let now = self.clock.now_ms();
        let until = now.saturating_add(u64::try_from(reset.as_millis()).unwrap_or(u64::MAX));
        let mut nearest = self.nearest.lock();
        let role = Self::bounded(&mut nearest, role);
        if let Some(known) = nearest.get_mut(role)
            && (known.until <= now || known.ratio <= ratio)
        {
            *known = Nearest { ratio, until };
        }
    }

    /// Roles come and go at run time; the first hundred have a label of their own.
    fn bounded<'a>(nearest: &mut HashMap<Box<str>, Nearest>, role: &'a str) -> &'a str {
        if nearest.contains_key(role) {
            return role;
        }
        let role = if nearest.len() < MOST_VALUES { role } else { OTHER };
        nearest.entry(role.into()).or_insert(Nearest { ratio: 0.0, until: 0 });
        role
    }

    /// Days that are over count nothing.
    pub(super) fn sample(&self) {
        let now = self.clock.now_ms();
        for (role, nearest) in &*self.nearest.lock() {
            let ratio = if nearest.until > now { nearest.ratio } else { 0.0 };
            self.budget.with_label_values(&[role]).set(ratio);
        }
    }
}
