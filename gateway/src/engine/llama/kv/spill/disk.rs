//! The two threads that touch the disk, so that the scheduler's never waits for one: one writes and removes, in the
//! order it was told, one reads. Their queues are bounded; what does not fit is not spilled.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, UNIX_EPOCH};

use super::super::Key;
use super::folder::{UNFINISHED, remove};
use super::{Identity, format};
use crate::clock::Clock;
use crate::engine::llama::memory_file::MemoryFile;

/// Writes and removals that may wait; the writes among them are bounded further where they are asked for.
const WRITES: usize = 32;
/// Reads that may wait.
const READS: usize = 4;

/// How long the end waits for the piece that is being written or read; a disk may hang for ever.
const LAST_PIECE: Duration = Duration::from_millis(500);

/// What the writer does.
pub(super) enum Write {
    /// Writes a sequence's state under this path.
    State { path: PathBuf, key: Key, state: Arc<MemoryFile> },
    /// Removes a file.
    Remove(PathBuf),
}

/// What the reader does: this sequence is looked for in this file, which has no more than `limit` bytes.
pub(super) struct Read {
    pub(super) path: PathBuf,
    pub(super) key: Key,
    pub(super) limit: u64,
}

/// What became of a job.
pub(super) enum Outcome {
    Written { path: PathBuf, key: Key, done: bool },
    Read { path: PathBuf, key: Key, state: Option<(MemoryFile, Duration)> },
}

/// The threads. Dropping it ends them: what is still to be written is written until the time that was set.
pub(super) struct Disk {
    to_write: Option<SyncSender<Write>>,
    to_read: Option<SyncSender<Read>>,
    outcomes: Option<Receiver<Outcome>>,
    stop: Arc<OnceLock<Instant>>,
    threads: Vec<JoinHandle<()>>,
}

impl Disk {
    pub(super) fn start(identity: Identity) -> io::Result<Self> {
        let (to_write, writes) = sync_channel(WRITES);
        let (to_read, reads) = sync_channel(READS);
        let (told, outcomes) = sync_channel(WRITES + READS);
        let stop = Arc::new(OnceLock::new());
        let until = Arc::clone(&stop);
        let tell = told.clone();
        let thread = |name: &str| std::thread::Builder::new().name(name.to_owned());
        let threads = vec![
            thread("kv-write").spawn(move || write_all(identity, &until, &writes, &tell))?,
            thread("kv-read").spawn(move || read_all(identity, &reads, &told))?,
        ];
        Ok(Self { to_write: Some(to_write), to_read: Some(to_read), outcomes: Some(outcomes), stop, threads })
    }

    /// Gives the job to the writer; `false` if its queue is full.
    pub(super) fn write(&self, job: Write) -> bool {
        self.to_write.as_ref().is_some_and(|queue| queue.try_send(job).is_ok())
    }

    /// Gives the job to the reader; `false` if its queue is full.
    pub(super) fn read(&self, job: Read) -> bool {
        self.to_read.as_ref().is_some_and(|queue| queue.try_send(job).is_ok())
    }

    /// The next outcome; waits for it no longer than until `wait`.
    pub(super) fn outcome(&self, wait: Option<Instant>) -> Option<Outcome> {
        let outcomes = self.outcomes.as_ref()?;
        let Some(until) = wait else { return outcomes.try_recv().ok() };
        outcomes.recv_timeout(until.saturating_duration_since(Instant::now())).ok()
    }

    /// Nothing is written after this time. The first call counts.
    pub(super) fn stop_at(&self, time: Instant) {
        let _set_before = self.stop.set(time);
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.stop_at(Instant::now());
        drop((self.to_write.take(), self.to_read.take(), self.outcomes.take()));
        let until = self.stop.get().copied().unwrap_or_else(Instant::now) + LAST_PIECE;
        for thread in self.threads.drain(..) {
            while !thread.is_finished() && Instant::now() < until {
                std::thread::sleep(Duration::from_millis(1));
            }
            if !thread.is_finished() {
                tracing::warn!("the disk of the spilled KV does not answer");
            } else if thread.join().is_err() {
                tracing::error!("a thread of the spilled KV had panicked");
            }
        }
    }
}

fn write_all(
    identity: Identity,
    stop: &OnceLock<Instant>,
    jobs: &Receiver<Write>,
    outcomes: &SyncSender<Outcome>,
) {
    let go_on = || stop.get().is_none_or(|time| Instant::now() < *time);
    let mut failing = false;
    while let Ok(job) = jobs.recv() {
        let (path, key, state) = match job {
            Write::State { path, key, state } => (path, key, state),
            Write::Remove(path) => {
                remove(&path);
                continue;
            }
        };
        let written = write(&path, identity, &key, &state, go_on);
        match &written {
            Err(error) if !failing && go_on() => {
                // A full disk would say so with every sequence.
                tracing::warn!(%error, "a sequence's KV could not be spilled");
            }
            _ => {}
        }
        failing = written.is_err();
        let _scheduler_gone = outcomes.send(Outcome::Written { path, key, done: written.is_ok() });
    }
}

/// Writes under another name first: a file with its own name is whole, or was damaged later.
fn write(
    path: &Path,
    identity: Identity,
    key: &Key,
    state: &MemoryFile,
    go_on: impl Fn() -> bool,
) -> io::Result<()> {
    let new = path.with_extension(UNFINISHED);
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&new)
        .and_then(|mut file| format::write(&mut file, &identity, key, state, go_on))
        .and_then(|()| fs::rename(&new, path));
    if written.is_err() {
        remove(&new);
    }
    written
}

fn read_all(identity: Identity, jobs: &Receiver<Read>, outcomes: &SyncSender<Outcome>) {
    while let Ok(Read { path, key, limit }) = jobs.recv() {
        let start = Instant::now();
        let state = match format::read(&path, &identity, &key, limit) {
            Ok(state) => {
                touch(&path);
                Some((state, start.elapsed()))
            }
            Err(error) => {
                tracing::warn!(%error, file = %path.display(), "a spilled sequence is dropped");
                None
            }
        };
        let _scheduler_gone = outcomes.send(Outcome::Read { path, key, state });
    }
}

/// The time of a file is that of its last use, for the process after this one.
fn touch(path: &Path) {
    let now = UNIX_EPOCH + Duration::from_millis(Clock::System.now_ms());
    let touched = File::open(path).and_then(|file| file.set_modified(now));
    if let Err(error) = touched {
        tracing::debug!(%error, "the use of a spilled sequence could not be noted");
    }
}
