//! What was spent lately: amounts in slots of time, which run out one by one.
//!
//! A token bucket that starts full grants twice its limit within its interval. Here an amount counts until `KEPT`
//! slots after its own has begun, so for the 61 seconds of [`PerMinute`] at least 60 s: in any 60 seconds no more
//! than the limit is granted. With one slot a day the same counter is [`PerDay`], which runs out at midnight UTC.
//!
//! `store/redis/take.lua` is this file once more; the conformance suite holds both to the same.

#[cfg(test)]
mod tests;

use std::time::Duration;

use crate::limits::reading::{Reading, Verdict};

/// Amounts of the last 60 seconds, by the second.
pub(crate) type PerMinute = Counter<1_000, 61>;

/// Amounts of the day of UTC.
pub(crate) type PerDay = Counter<86_400_000, 1>;

/// Amounts by slots of time; see the [module](self).
#[derive(Debug, Default)]
pub(crate) struct Counter<const SLOT_MS: u64, const KEPT: u64> {
    /// Slot and amount, the oldest first. No amount is zero.
    slots: Vec<(u64, u64)>,
    /// Sum of the amounts.
    total: u64,
}

impl<const SLOT_MS: u64, const KEPT: u64> Counter<SLOT_MS, KEPT> {
    /// Where the counter stands now, and when `want` more would pass.
    pub(crate) fn read(&mut self, limit: u64, want: u64, now_ms: u64) -> Reading {
        self.advance(now_ms);
        let reset = self.slots.last().map_or(Duration::ZERO, |&(slot, _)| Self::until_end(slot, now_ms));
        Reading { limit, used: self.total, reset, verdict: self.verdict(limit, want, now_ms) }
    }

    /// Counts an amount; the caller has read that it passes.
    pub(crate) fn add(&mut self, amount: u64, now_ms: u64) {
        if amount > 0 {
            self.advance(now_ms);
            self.put(now_ms / SLOT_MS, amount);
            self.total += amount;
        }
    }

    /// Takes an amount back that was counted at a time, as far as it still counts.
    pub(crate) fn give_back(&mut self, amount: u64, counted_at_ms: u64) {
        let Ok(found) = self.slots.binary_search_by_key(&(counted_at_ms / SLOT_MS), |&(slot, _)| slot) else {
            return;
        };
        let Some((_, held)) = self.slots.get_mut(found) else { return };
        let back = amount.min(*held);
        *held -= back;
        self.total -= back;
        if *held == 0 {
            self.slots.remove(found);
        }
    }

    /// Whether nothing counts any more.
    pub(crate) fn is_idle(&mut self, now_ms: u64) -> bool {
        self.advance(now_ms);
        self.slots.is_empty()
    }

    /// Lets go what has run out. Where the clock stepped back, amounts of the future become amounts of now: they
    /// count in full, and no longer than others.
    fn advance(&mut self, now_ms: u64) {
        let now = now_ms / SLOT_MS;
        let gone = self.slots.partition_point(|&(slot, _)| slot + KEPT <= now);
        for (_, amount) in self.slots.drain(..gone) {
            self.total -= amount;
        }
        let present = self.slots.partition_point(|&(slot, _)| slot <= now);
        if present < self.slots.len() {
            let ahead = self.slots.drain(present..).map(|(_, amount)| amount).sum();
            self.put(now, ahead);
        }
    }

    fn put(&mut self, now: u64, amount: u64) {
        match self.slots.last_mut() {
            Some((slot, held)) if *slot == now => *held += amount,
            _ => self.slots.push((now, amount)),
        }
    }

    fn verdict(&self, limit: u64, want: u64, now_ms: u64) -> Verdict {
        if want == 0 {
            return Verdict::Passes;
        }
        let Some(room) = limit.checked_sub(want) else { return Verdict::Never };
        // What has to run out first, the oldest before the others.
        let mut short = self.total.saturating_sub(room);
        if short == 0 {
            return Verdict::Passes;
        }
        for &(slot, amount) in &self.slots {
            short = short.saturating_sub(amount);
            if short == 0 {
                return Verdict::After(Self::until_end(slot, now_ms));
            }
        }
        Verdict::Never
    }

    /// Until the amount of a slot counts no more.
    fn until_end(slot: u64, now_ms: u64) -> Duration {
        Duration::from_millis(((slot + KEPT) * SLOT_MS).saturating_sub(now_ms))
    }
}
