//! The one thread that writes: all who wait share a transaction, and so a wait for the disk.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use futures_util::FutureExt;
use redb::{Database, WriteTransaction};
use tokio::sync::oneshot;

use crate::conversation::store::{Answer, StoreError};

/// Jobs that may wait; who comes later waits to be let in.
const WAITING: usize = 1_024;
/// Jobs of one transaction at most, so that the first does not wait for the whole queue.
const TOGETHER: usize = 128;

/// Tells a job's caller, once it is known whether the transaction is on the disk.
type Tell = Box<dyn FnOnce(Result<(), StoreError>) + Send>;
/// A job. It looks before it writes: one that refuses has written nothing. An error spoils the transaction.
type Job = Box<dyn FnOnce(&WriteTransaction) -> (Result<(), StoreError>, Tell) + Send>;

/// The way to the thread, which ends when this is dropped.
pub(super) struct Writer(SyncSender<Job>);

impl Writer {
    /// Starts the thread.
    pub(super) fn start(database: Arc<Database>) -> Result<Self, StoreError> {
        let (jobs, inbox) = sync_channel(WAITING);
        std::thread::Builder::new()
            .name("conversations".to_owned())
            .spawn(move || write_all(&database, &inbox))
            .map_err(StoreError::of)?;
        Ok(Self(jobs))
    }

    /// Runs a job; answered when it is on the disk.
    pub(super) fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&WriteTransaction) -> Result<T, StoreError> + Send + 'static,
    ) -> Answer<'_, T> {
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |transaction| {
            let done = job(transaction);
            let state = done.as_ref().map(|_| ()).map_err(Clone::clone);
            let tell: Tell = Box::new(move |committed| {
                let _caller_gone = reply.send(committed.and(done));
            });
            (state, tell)
        });
        let jobs = self.0.clone();
        async move {
            if let Err(full) = jobs.try_send(job) {
                let job = match full {
                    std::sync::mpsc::TrySendError::Full(job)
                    | std::sync::mpsc::TrySendError::Disconnected(job) => job,
                };
                let sent = tokio::task::spawn_blocking(move || jobs.send(job).is_ok()).await;
                if !sent.unwrap_or(false) {
                    return Err(StoreError::of("the writer has ended"));
                }
            }
            answer.await.unwrap_or_else(|_| Err(StoreError::of("the writer has ended")))
        }
        .boxed()
    }
}

fn write_all(database: &Database, inbox: &Receiver<Job>) {
    while let Ok(first) = inbox.recv() {
        let jobs = std::iter::once(first).chain(inbox.try_iter().take(TOGETHER - 1));
        write_together(database, jobs);
    }
}

fn write_together(database: &Database, jobs: impl Iterator<Item = Job>) {
    let transaction = match database.begin_write() {
        Ok(transaction) => transaction,
        Err(error) => {
            // The jobs are dropped, and so their callers are told.
            tracing::error!(%error, "conversations cannot be written");
            return jobs.for_each(drop);
        }
    };
    let mut told = Vec::new();
    let mut state = Ok(());
    for job in jobs {
        let (done, tell) = job(&transaction);
        told.push(tell);
        if done.is_err() {
            state = done;
            break;
        }
    }
    let committed = state.and_then(|()| transaction.commit().map_err(StoreError::of));
    for tell in told {
        tell(committed.clone());
    }
}
