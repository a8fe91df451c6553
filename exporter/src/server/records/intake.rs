//! Takes batches in: tells those that came before, and hands the others to every sink.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::delivery::Feed;
use crate::records::wire::RecordBatch;

/// So many batches of one life may overtake another. What is further behind counts as repeated.
const WINDOW: u64 = 1024;
const WORDS: usize = 16;

/// What became of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// Every sink will have it.
    Accepted,
    /// It was here already.
    Repeated,
}

/// Takes batches in.
pub struct Intake {
    feeds: Vec<Feed>,
    most: usize,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    instances: BTreeMap<String, Instance>,
    /// Counts batches, so that the instance heard of longest ago can be told.
    turn: u64,
}

/// Two lives of a process: the last batch of one may come after the first of the next. Which is the newer is not asked:
/// a clock may have been set back between them.
#[derive(Default)]
struct Instance {
    heard: u64,
    lives: [Option<Life>; 2],
}

/// Which batches of one life were here: the newest, and a bit for each of those before it.
#[derive(Default)]
struct Life {
    epoch: u64,
    heard: u64,
    newest: u64,
    seen: [u64; WORDS],
}

impl Intake {
    /// Hands batches to `feeds`; tells repeated ones of `instances` processes, those heard of last.
    pub fn new(feeds: Vec<Feed>, instances: usize) -> Self {
        Self { feeds, most: instances.max(1), known: Mutex::default() }
    }

    /// Takes a batch in. Where a queue is full it is written to a file: call it on a thread that may block.
    pub fn take(&self, batch: RecordBatch) -> Taken {
        if !self.known.lock().is_new(&batch, self.most) {
            return Taken::Repeated;
        }
        if batch.records.is_empty() {
            return Taken::Accepted;
        }
        let batch = Arc::new(batch);
        for feed in &self.feeds {
            feed.give(&batch);
        }
        Taken::Accepted
    }
}

impl Known {
    fn is_new(&mut self, batch: &RecordBatch, most: usize) -> bool {
        self.turn += 1;
        if !self.instances.contains_key(&batch.instance) {
            if self.instances.len() >= most {
                self.forget();
            }
            self.instances.insert(batch.instance.clone(), Instance::default());
        }
        let Some(instance) = self.instances.get_mut(&batch.instance) else { return true };
        instance.heard = self.turn;
        // There are two places, so there is always one.
        instance.life(batch.epoch, self.turn).is_none_or(|life| life.is_new(batch.sequence))
    }

    fn forget(&mut self) {
        let oldest = self.instances.iter().min_by_key(|(_, instance)| instance.heard);
        if let Some(name) = oldest.map(|(name, _)| name.clone()) {
            self.instances.remove(&name);
        }
    }
}

impl Instance {
    /// The life of this epoch; a new one takes the place of the one heard of longest ago.
    fn life(&mut self, epoch: u64, turn: u64) -> Option<&mut Life> {
        let place =
            match self.lives.iter().position(|life| life.as_ref().is_some_and(|life| life.epoch == epoch)) {
                Some(place) => self.lives.get_mut(place)?,
                None => self.lives.iter_mut().min_by_key(|life| life.as_ref().map(|life| life.heard))?,
            };
        let life = place.get_or_insert_default();
        if life.epoch != epoch {
            *life = Life { epoch, ..Life::default() };
        }
        life.heard = turn;
        Some(life)
    }
}

impl Life {
    fn is_new(&mut self, sequence: u64) -> bool {
        if sequence > self.newest {
            self.move_to(sequence);
        } else if self.newest - sequence >= WINDOW {
            return false;
        }
        let bit = 1 << (sequence % 64);
        let Some(word) = self.seen.get_mut(word_of(sequence)) else { return false };
        let is_new = *word & bit == 0;
        *word |= bit;
        is_new
    }

    /// The window's places are used in turn: those that come into it are cleared.
    fn move_to(&mut self, newest: u64) {
        for sequence in (self.newest + 1..=newest).take(WORDS * 64) {
            if let Some(word) = self.seen.get_mut(word_of(sequence)) {
                *word &= !(1 << (sequence % 64));
            }
        }
        self.newest = newest;
    }
}

fn word_of(sequence: u64) -> usize {
    usize::try_from(sequence / 64 % WORDS as u64).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn batch(instance: &str, epoch: u64, sequence: u64) -> RecordBatch {
        RecordBatch { instance: instance.to_owned(), epoch, sequence, ..RecordBatch::default() }
    }

    fn is_new(intake: &Intake, instance: &str, epoch: u64, sequence: u64) -> bool {
        intake.take(batch(instance, epoch, sequence)) == Taken::Accepted
    }

    #[test]
    fn a_batch_is_taken_once_whatever_the_order() {
        let intake = Intake::new(Vec::new(), 10);
        for sequence in [0, 5, 3, u64::MAX - 2, u64::MAX] {
            assert!(is_new(&intake, "a", 1, sequence), "{sequence}");
            assert!(!is_new(&intake, "a", 1, sequence), "{sequence}");
        }
        assert!(!is_new(&intake, "a", 1, 4), "too far behind to tell");
        assert!(is_new(&intake, "b", 1, 4), "another process");
    }

    #[test]
    fn the_life_before_the_newest_still_counts() {
        let intake = Intake::new(Vec::new(), 10);
        assert!(is_new(&intake, "a", 10, 1));
        assert!(is_new(&intake, "a", 20, 1));
        assert!(is_new(&intake, "a", 10, 2));
        assert!(!is_new(&intake, "a", 10, 2));
        assert!(!is_new(&intake, "a", 20, 1));
        assert!(is_new(&intake, "a", 30, 1));
        assert!(!is_new(&intake, "a", 20, 1));
        assert!(!is_new(&intake, "a", 30, 1));
    }

    #[test]
    fn a_process_whose_clock_was_set_back_is_not_taken_for_an_old_one() {
        let intake = Intake::new(Vec::new(), 10);
        for epoch in [20, 30, 10, 0] {
            assert!(is_new(&intake, "a", epoch, 1), "{epoch}");
            assert!(!is_new(&intake, "a", epoch, 1), "{epoch}");
            assert!(is_new(&intake, "a", epoch, 2), "{epoch}");
        }
    }

    #[test]
    fn the_process_heard_of_longest_ago_is_forgotten_first() {
        let intake = Intake::new(Vec::new(), 2);
        assert!(is_new(&intake, "a", 1, 1));
        assert!(is_new(&intake, "b", 1, 1));
        assert!(!is_new(&intake, "a", 1, 1));
        assert!(is_new(&intake, "c", 1, 1));
        assert!(!is_new(&intake, "a", 1, 1));
        assert!(is_new(&intake, "b", 1, 1), "forgotten");
        assert_eq!(intake.known.lock().instances.len(), 2);
    }

    proptest! {
        #[test]
        fn the_window_tells_what_a_set_would(steps in prop::collection::vec((0_u64..3000, any::<bool>()), 1..400)) {
            let (mut life, mut set, mut newest) = (Life::default(), BTreeSet::new(), 0_u64);
            for (step, ahead) in steps {
                let sequence = if ahead { newest + step } else { newest.saturating_sub(step) };
                let is_in_window = sequence > newest || newest - sequence < WINDOW;
                newest = newest.max(sequence);
                prop_assert_eq!(life.is_new(sequence), is_in_window && set.insert(sequence));
            }
        }
    }
}
