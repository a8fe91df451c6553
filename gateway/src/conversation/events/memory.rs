//! Logs in this process: for a gateway that stands alone.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::ready;
use parking_lot::Mutex;

use super::{EventLog, KEPT, MOST, Numbered, SILENCE, Standing};
use crate::clock::Clock;
use crate::conversation::store::Answer;

/// Bytes of all logs; the one that was silent for longest goes first.
const MOST_BYTES: usize = 64 << 20;
/// What a log takes besides its events.
const LOG_BYTES: usize = 1_024;

/// Logs in memory.
pub struct MemoryLog {
    clock: Clock,
    logs: Mutex<HashMap<(String, String), Log>>,
}

#[derive(Default)]
struct Log {
    events: VecDeque<Numbered>,
    cancelled: bool,
    /// When the writer was heard of last, in milliseconds; `None` before the first time.
    heard: Option<u64>,
    touched: u64,
    bytes: usize,
}

impl MemoryLog {
    /// No logs.
    pub fn new(clock: Clock) -> Self {
        Self { clock, logs: Mutex::default() }
    }

    fn with<T>(&self, owner: &str, id: &str, change: impl FnOnce(&mut Log, u64) -> T) -> T {
        let now = self.clock.now_ms();
        let mut logs = self.logs.lock();
        logs.retain(|_, log| now.saturating_sub(log.touched) < millis(KEPT));
        let name = (owner.to_owned(), id.to_owned());
        let log = logs.entry(name).or_default();
        log.touched = now;
        let changed = change(log, now);
        make_room(&mut logs);
        changed
    }

    fn look<T: Default>(&self, owner: &str, id: &str, look: impl FnOnce(&Log, u64) -> T) -> T {
        let now = self.clock.now_ms();
        let logs = self.logs.lock();
        logs.get(&(owner.to_owned(), id.to_owned())).map(|log| look(log, now)).unwrap_or_default()
    }
}

/// Forgets the logs that were silent for longest, until the rest has room; the last one stays.
fn make_room(logs: &mut HashMap<(String, String), Log>) {
    let mut bytes: usize = logs.values().map(|log| log.bytes + LOG_BYTES).sum();
    while bytes > MOST_BYTES && logs.len() > 1 {
        let oldest = logs.iter().min_by_key(|(_, log)| log.touched).map(|(name, _)| name.clone());
        let Some(gone) = oldest.and_then(|oldest| logs.remove(&oldest)) else { return };
        bytes -= gone.bytes + LOG_BYTES;
    }
}

impl Log {
    fn standing(&self, now: u64) -> Standing {
        let alive = self.heard.is_some_and(|heard| now.saturating_sub(heard) < millis(SILENCE));
        Standing { alive, cancelled: self.cancelled }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl EventLog for MemoryLog {
    fn append<'a>(&'a self, owner: &'a str, id: &'a str, events: &'a [Numbered]) -> Answer<'a, Standing> {
        let standing = self.with(owner, id, |log, now| {
            let last = log.events.back().map(|(number, _)| *number);
            for (number, event) in events.iter().filter(|(number, _)| last.is_none_or(|last| *number > last))
            {
                log.bytes += event.len();
                log.events.push_back((*number, event.clone()));
            }
            while log.events.len() > MOST {
                log.bytes -= log.events.pop_front().map_or(0, |(_, event)| event.len());
            }
            log.heard = Some(now);
            log.standing(now)
        });
        ready(Ok(standing)).boxed()
    }

    fn read<'a>(
        &'a self,
        owner: &'a str,
        id: &'a str,
        after: Option<u64>,
        most: usize,
    ) -> Answer<'a, Vec<Numbered>> {
        let found = self.look(owner, id, |log, _| {
            let from = log.events.partition_point(|(number, _)| after.is_some_and(|after| *number <= after));
            log.events.range(from..).take(most).cloned().collect()
        });
        ready(Ok(found)).boxed()
    }

    fn standing<'a>(&'a self, owner: &'a str, id: &'a str) -> Answer<'a, Standing> {
        ready(Ok(self.look(owner, id, Log::standing))).boxed()
    }

    fn cancel<'a>(&'a self, owner: &'a str, id: &'a str) -> Answer<'a, ()> {
        self.with(owner, id, |log, _| log.cancelled = true);
        ready(Ok(())).boxed()
    }

    fn remove<'a>(&'a self, owner: &'a str, id: &'a str) -> Answer<'a, ()> {
        self.logs.lock().remove(&(owner.to_owned(), id.to_owned()));
        ready(Ok(())).boxed()
    }
}

impl std::fmt::Debug for MemoryLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemoryLog").finish_non_exhaustive()
    }
}
