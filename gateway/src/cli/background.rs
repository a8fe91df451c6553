//! What still works when the last stream has ended: settling what it used, looking at what others changed.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::sync::WaitForCancellationFutureOwned as Stop;

/// How long the last work may take.
const LAST_WORK: Duration = Duration::from_secs(3);

/// Tasks that outlive every request. Dropped, it aborts them.
#[derive(Default)]
pub(super) struct Background {
    tasks: JoinSet<()>,
    stopped: CancellationToken,
    /// What tells of the others' last work, and so ends after them.
    last: JoinSet<()>,
    last_stopped: CancellationToken,
}

impl Background {
    /// Runs what has last work to do when it is told to stop.
    pub(super) fn run<F>(&mut self, task: impl FnOnce(Stop) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.tasks.spawn(task(self.stopped.clone().cancelled_owned()));
    }

    /// Runs what has last work to do when all others have done theirs.
    pub(super) fn run_last<F>(&mut self, task: impl FnOnce(Stop) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.last.spawn(task(self.last_stopped.clone().cancelled_owned()));
    }

    /// Runs what may end anywhere.
    pub(super) fn run_beside(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.run(|stop| async move {
            tokio::select! {
                () = task => {}
                () = stop => {}
            }
        });
    }

    /// Tells the tasks to end and waits for their last work.
    pub(super) async fn finish(self) {
        for (mut tasks, stopped) in [(self.tasks, self.stopped), (self.last, self.last_stopped)] {
            stopped.cancel();
            let all = async { while tasks.join_next().await.is_some() {} };
            if tokio::time::timeout(LAST_WORK, all).await.is_err() {
                tracing::warn!("not everything that was used could be settled");
            }
        }
    }
}
