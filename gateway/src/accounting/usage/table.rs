//! Counts by day, subject and model, in memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Day;
use crate::accounting::{Outcome, Record};

/// Rows that wait at most, about 200 bytes each: only where the store is away for long are there so many.
const MOST_ROWS: usize = 200_000;

/// Who used what, and when.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Spent {
    /// The day in UTC on which the request ended.
    pub day: Day,
    /// Who.
    pub subject: Arc<str>,
    /// Of which model.
    pub model: Arc<str>,
}

/// How much was used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests that an engine began.
    pub requests: u64,
    /// Those of them that failed; a client that left is no failure.
    pub failed: u64,
    /// Tokens of prompts.
    pub prompt_tokens: u64,
    /// Those of them that were not computed again.
    pub cached_tokens: u64,
    /// Tokens that were made.
    pub completion_tokens: u64,
}

impl Counts {
    /// What one request used.
    pub fn of(record: &Record) -> Self {
        Self {
            requests: 1,
            failed: u64::from(record.outcome == Outcome::Failed),
            prompt_tokens: record.usage.prompt_tokens.into(),
            cached_tokens: record.usage.cached_tokens.into(),
            completion_tokens: record.usage.completion_tokens.into(),
        }
    }

    /// In the order of the fields.
    pub fn to_array(self) -> [u64; 5] {
        [self.requests, self.failed, self.prompt_tokens, self.cached_tokens, self.completion_tokens]
    }

    /// [`Counts::to_array`] back.
    pub fn from_array([requests, failed, prompt_tokens, cached_tokens, completion_tokens]: [u64; 5]) -> Self {
        Self { requests, failed, prompt_tokens, cached_tokens, completion_tokens }
    }

    /// Adds to each of them.
    pub(super) fn add(&mut self, other: &Self) {
        let mut sum = self.to_array();
        for (sum, more) in sum.iter_mut().zip(other.to_array()) {
            *sum = sum.saturating_add(more);
        }
        *self = Self::from_array(sum);
    }
}

/// Rows in the order of day, subject and model.
#[derive(Debug, Clone, Default)]
pub struct Table(BTreeMap<Spent, Counts>);

impl Table {
    /// Adds to a row. Where there are too many rows, a new one is lost, and the log says so.
    pub fn add(&mut self, row: Spent, counts: &Counts) {
        if self.0.len() >= MOST_ROWS && !self.0.contains_key(&row) {
            tracing::warn!("usage is lost: too many subjects wait for a store that is away");
            return;
        }
        self.0.entry(row).or_default().add(counts);
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Its rows, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&Spent, &Counts)> {
        self.0.iter()
    }

    /// Its rows, in order.
    pub fn into_rows(self) -> Vec<(Spent, Counts)> {
        self.0.into_iter().collect()
    }
}
