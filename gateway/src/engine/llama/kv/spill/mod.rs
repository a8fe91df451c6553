//! Sequences kept on disk: what was idle for long or had no room in memory, for this process and the next.
//!
//! It is only a cache. What cannot be written, read or believed is dropped and computed again; a file is believed when
//! its model, tenant, tokens and every byte are those that were written. All methods belong to the scheduler's thread
//! and none waits for the disk.

mod disk;
mod estimate;
mod folder;
mod format;
mod identity;
#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use self::disk::{Disk, Outcome, Read, Write};
use self::estimate::Estimate;
use self::folder::Folder;
pub(crate) use self::folder::forget_unused;
pub use self::identity::Identity;
pub(crate) use self::identity::parts;
use super::Key;
use super::prefix_tree::{Match, PrefixTree};
use crate::engine::llama::gauges::SpillCounts;
use crate::engine::llama::memory_file::MemoryFile;

/// How sequences are spilled.
#[derive(Debug, Clone)]
pub struct SpillSettings {
    /// The model and what shapes its states.
    pub identity: Identity,
    /// The folder of this model, as [`SpillSettings::folder`] names it.
    pub folder: PathBuf,
    /// Most bytes in the folder.
    pub limit: u64,
    /// How long a retained sequence is not used before it is copied to disk.
    pub after: Duration,
    /// Longest sequence that the context takes.
    pub window: u32,
}

impl SpillSettings {
    /// Where a model's sequences lie below the folder of all.
    pub fn folder(root: &Path, identity: &Identity) -> PathBuf {
        root.join(identity.folder())
    }
}

/// The sequences on disk.
pub struct Spill {
    settings: SpillSettings,
    folder: Folder,
    disk: Disk,
    index: PrefixTree<Entry>,
    estimate: Estimate,
    counts: Arc<SpillCounts>,
    /// Of all files, written or about to be.
    bytes: u64,
    /// Of states that wait to be written, in memory.
    pending: u64,
    writing: usize,
    reading: usize,
    uses: u64,
}

/// A sequence on disk.
struct Entry {
    path: PathBuf,
    bytes: u64,
    last_used: u64,
    state: State,
    /// A shorter sequence that this one begins with, of no more use once this is written.
    supersedes: Option<Arc<[u32]>>,
}

enum State {
    /// Not on disk yet: it can be had from memory.
    Writing(Arc<MemoryFile>),
    Written,
    /// Since when.
    Reading(Instant),
}

/// What asking for a sequence's state gave.
pub(super) enum Fetch {
    /// It was in memory still.
    Here(Arc<MemoryFile>),
    /// It is being read, or will be when the reader has room: ask again later.
    Coming,
    /// It is not there.
    Gone,
}

/// Most states that wait to be written.
const MOST_WRITING: usize = 8;

/// Most bytes of memory that wait to be written, beside the one sequence that is always taken.
const MOST_PENDING: u64 = 256 << 20;

impl Spill {
    /// Opens the folder and finds what earlier processes left in it. An error where this system or folder cannot keep
    /// anything, or where another process uses it.
    pub fn open(settings: SpillSettings, counts: Arc<SpillCounts>) -> io::Result<Self> {
        drop(MemoryFile::create()?);
        let folder = Folder::open(settings.folder.clone())?;
        let (found, dropped) = folder.scan(&settings.identity, settings.window)?;
        counts.dropped(dropped);
        let disk = Disk::start(settings.identity)?;
        let mut spill = Self {
            settings,
            folder,
            disk,
            index: PrefixTree::default(),
            estimate: Estimate::default(),
            counts,
            bytes: 0,
            pending: 0,
            writing: 0,
            reading: 0,
            uses: 0,
        };
        for one in found {
            let last_used = spill.tick();
            spill.forget(&one.key.salt, &one.key.tokens);
            spill.bytes += one.bytes;
            let (path, bytes, state) = (one.path, one.bytes, State::Written);
            let entry = Entry { path, bytes, last_used, state, supersedes: None };
            spill.index.insert(&one.key.salt, one.key.tokens, entry);
        }
        while spill.bytes > spill.settings.limit && spill.forget_oldest() {}
        let (sequences, mib) = (spill.index.len(), spill.bytes >> 20);
        tracing::info!(sequences, mib, dropped, "spilled KV of earlier processes");
        Ok(spill)
    }

    /// How long a retained sequence is not used before it is copied to disk.
    pub(super) fn after(&self) -> Duration {
        self.settings.after
    }

    /// A batch was computed in this time.
    pub(super) fn note_decode(&mut self, tokens: usize, time: Duration) {
        self.estimate.decoded(tokens, time);
    }

    /// A state went from memory into the context in this time.
    pub(super) fn note_restore(&mut self, bytes: u64, time: Duration) {
        self.estimate.restored(bytes, time);
    }

    /// Whether exactly this sequence is on disk or on its way there.
    pub(super) fn holds(&self, salt: &str, tokens: &[u32]) -> bool {
        self.index.get(salt, tokens).is_some()
    }

    /// Whether nothing waits to be written.
    pub(super) fn has_written(&self) -> bool {
        self.writing == 0
    }

    pub(super) fn is_reading(&self) -> bool {
        self.reading > 0
    }

    /// Whether a state of this size would be taken.
    pub(super) fn has_room(&self, bytes: u64) -> bool {
        self.writing == 0
            || (self.writing < MOST_WRITING && self.pending.saturating_add(bytes) <= MOST_PENDING)
    }

    /// Takes a state to be written. `false` if it is not kept: too large, or the disk is too slow for what comes.
    pub(super) fn put(&mut self, key: &Key, state: &Arc<MemoryFile>) -> bool {
        let bytes = format::file_length(key, state.bytes());
        if bytes > self.settings.limit || !self.has_room(state.bytes()) || self.holds(&key.salt, &key.tokens)
        {
            return false;
        }
        while self.bytes + bytes > self.settings.limit {
            if !self.forget_oldest() {
                return false;
            }
        }
        let path = self.folder.new_path();
        let job = Write::State { path: path.clone(), key: key.clone(), state: Arc::clone(state) };
        if !self.disk.write(job) {
            return false;
        }
        self.bytes += bytes;
        self.pending += state.bytes();
        self.writing += 1;
        let entry = Entry {
            path,
            bytes,
            last_used: self.tick(),
            state: State::Writing(Arc::clone(state)),
            supersedes: self.superseded_by(key),
        };
        self.index.insert(&key.salt, Arc::clone(&key.tokens), entry);
        true
    }

    /// The last turn of the same conversation: all of it is in the new one, and it is most of it.
    fn superseded_by(&self, key: &Key) -> Option<Arc<[u32]>> {
        let found = self.index.longest_match(&key.salt, &key.tokens)?;
        let whole = found.tokens.len() == found.length;
        (whole && found.length * 2 >= key.tokens.len()).then_some(found.tokens)
    }

    /// The spilled sequence with the longest prefix in common, if bringing it is cheaper than computing what it has
    /// beyond the `at_hand` tokens that can be had otherwise.
    pub(super) fn longest_match(&self, salt: &str, prompt: &[u32], at_hand: usize) -> Option<Match> {
        let found = self.index.longest_match(salt, prompt)?;
        let entry = self.index.get(salt, &found.tokens)?;
        let gained = found.length.saturating_sub(at_hand);
        let worth = match entry.state {
            State::Reading(since) => since.elapsed() < self.estimate.patience(gained),
            State::Writing(_) | State::Written => self.estimate.pays(entry.bytes, gained),
        };
        worth.then_some(found)
    }

    /// Begins to bring a sequence's state into memory; [`Spill::settle`] gives it out.
    pub(super) fn fetch(&mut self, salt: &Arc<str>, tokens: &Arc<[u32]>) -> Fetch {
        let now = self.tick();
        let Some(entry) = self.index.get_mut(salt, tokens) else { return Fetch::Gone };
        entry.last_used = now;
        match &entry.state {
            State::Writing(state) => {
                self.counts.restored();
                return Fetch::Here(Arc::clone(state));
            }
            State::Reading(_) => return Fetch::Coming,
            State::Written => {}
        }
        let key = Key { salt: Arc::clone(salt), tokens: Arc::clone(tokens) };
        if self.disk.read(Read { path: entry.path.clone(), key, limit: entry.bytes }) {
            entry.state = State::Reading(Instant::now());
            self.reading += 1;
        }
        Fetch::Coming
    }

    /// Takes note of what the threads did. Gives out what was read.
    pub(super) fn settle(&mut self) -> Vec<(Key, MemoryFile)> {
        let mut read = Vec::new();
        while let Some(outcome) = self.disk.outcome(None) {
            read.extend(self.account(outcome));
        }
        read
    }

    /// Waits until something was written, no longer than until `until`.
    pub(super) fn wait(&mut self, until: Instant) {
        if let Some(outcome) = self.disk.outcome(Some(until)) {
            self.account(outcome);
        }
    }

    /// Nothing is written after this time.
    pub(super) fn stop_at(&self, time: Instant) {
        self.disk.stop_at(time);
    }

    fn account(&mut self, outcome: Outcome) -> Option<(Key, MemoryFile)> {
        match outcome {
            Outcome::Written { path, key, done } => {
                self.written(&path, &key, done);
                None
            }
            Outcome::Read { path, key, state } => {
                self.reading = self.reading.saturating_sub(1);
                let entry = self.index.get_mut(&key.salt, &key.tokens).filter(|entry| entry.path == path)?;
                let Some((state, time)) = state else {
                    self.forget(&key.salt, &key.tokens);
                    self.counts.dropped(1);
                    return None;
                };
                entry.state = State::Written;
                self.estimate.read(state.bytes(), time);
                self.counts.restored();
                Some((key, state))
            }
        }
    }

    fn written(&mut self, path: &Path, key: &Key, done: bool) {
        let Some(entry) = self.index.get_mut(&key.salt, &key.tokens).filter(|entry| entry.path == path)
        else {
            return;
        };
        if let State::Writing(state) = &entry.state {
            self.pending = self.pending.saturating_sub(state.bytes());
            self.writing = self.writing.saturating_sub(1);
        }
        entry.state = State::Written;
        let superseded = entry.supersedes.take();
        if !done {
            self.forget(&key.salt, &key.tokens);
            self.counts.dropped(1);
            return;
        }
        self.counts.spilled();
        if let Some(shorter) = superseded {
            self.forget_written(&key.salt, &shorter);
        }
    }

    fn forget_oldest(&mut self) -> bool {
        let oldest = self
            .index
            .iter()
            .filter(|(_, _, entry)| matches!(entry.state, State::Written))
            .min_by_key(|(_, _, entry)| entry.last_used)
            .map(|(salt, tokens, _)| (Arc::clone(salt), Arc::clone(tokens)));
        oldest.is_some_and(|(salt, tokens)| {
            self.forget(&salt, &tokens);
            true
        })
    }

    /// The context refused a state that the checks let pass: it is not to be tried again.
    pub(super) fn refuse(&mut self, salt: &str, tokens: &[u32]) {
        if self.forget_written(salt, tokens) {
            self.counts.dropped(1);
        }
    }

    fn forget_written(&mut self, salt: &str, tokens: &[u32]) -> bool {
        let entry = self.index.get(salt, tokens);
        let written = entry.is_some_and(|entry| matches!(entry.state, State::Written));
        if written {
            self.forget(salt, tokens);
        }
        written
    }

    /// Drops a sequence that is neither being written nor read, and its file.
    fn forget(&mut self, salt: &str, tokens: &[u32]) {
        let Some(entry) = self.index.remove(salt, tokens) else { return };
        self.bytes -= entry.bytes;
        // The writer removes in the order it was told, so that the folder never holds more than its bound.
        if !self.disk.write(Write::Remove(entry.path.clone())) {
            folder::remove(&entry.path);
        }
    }

    fn tick(&mut self) -> u64 {
        self.uses += 1;
        self.uses
    }
}
