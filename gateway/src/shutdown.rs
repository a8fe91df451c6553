//! The process's way to its end: running → draining (on a signal) → killed (past the deadline, or a second signal).

use std::future::Future;
use std::io;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// What every part knows of the process's end, and the tasks that must end before it. Clones share one state.
#[derive(Debug, Clone, Default)]
pub struct Lifecycle {
    tasks: TaskTracker,
    draining: CancellationToken,
    killed: CancellationToken,
}

impl Lifecycle {
    /// A process that runs.
    pub fn new() -> Self {
        Self::default()
    }

    /// No new work is taken: readiness is false, the listener closed.
    pub fn is_draining(&self) -> bool {
        self.draining.is_cancelled()
    }

    /// Cancelled when draining begins.
    pub fn draining_token(&self) -> CancellationToken {
        self.draining.clone()
    }

    /// Cancelled when running streams must end.
    pub fn killed_token(&self) -> CancellationToken {
        self.killed.clone()
    }

    /// Runs a task that shutdown waits for.
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.tasks.spawn(future)
    }

    /// Runs short blocking work on the blocking threads; shutdown waits for it.
    pub fn spawn_blocking<F, T>(&self, work: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.tasks.spawn_blocking(work)
    }

    /// Begins to drain.
    pub fn drain(&self) {
        self.draining.cancel();
        self.tasks.close();
    }

    /// Ends running streams now.
    pub fn kill(&self) {
        self.drain();
        self.killed.cancel();
    }

    /// Waits from the beginning of draining until every task has ended; kills what still runs at the deadline.
    pub async fn finished(&self, drain_timeout: Duration) {
        self.draining.cancelled().await;
        tokio::select! {
            () = self.tasks.wait() => return,
            () = self.killed.cancelled() => {}
            () = tokio::time::sleep(drain_timeout) => {
                tracing::warn!(streams = self.tasks.len(), "the drain deadline passed; ending what still runs");
                self.kill();
            }
        }
        // Cancelled tasks end within a poll or two; a task that does not is not worth a hanging process.
        let settled = tokio::time::timeout(KILL_GRACE, self.tasks.wait()).await;
        if settled.is_err() {
            tracing::error!(tasks = self.tasks.len(), "tasks did not end after their cancellation");
        }
    }
}

/// How long cancelled tasks may take to settle.
const KILL_GRACE: Duration = Duration::from_secs(5);

/// SIGTERM and SIGINT. As process 1 of a container there is no default action, so they are always handled.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Takes the signals over; from here on they no longer end the process by themselves.
    ///
    /// # Errors
    /// The system refuses handlers.
    pub fn install() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// The name of the next signal.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }

    /// The first signal drains, the second kills. Never returns: run it beside the work.
    pub async fn drive(mut self, lifecycle: Lifecycle) {
        let name = self.next().await;
        tracing::info!(signal = name, "draining: running streams may finish, new work is refused");
        lifecycle.drain();
        loop {
            let name = self.next().await;
            tracing::warn!(signal = name, "second signal: ending at once");
            lifecycle.kill();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn draining_waits_for_running_tasks() {
        let lifecycle = Lifecycle::new();
        let (end, ended) = tokio::sync::oneshot::channel::<()>();
        let task = lifecycle.spawn(async move { ended.await.is_ok() });
        lifecycle.drain();
        assert!(lifecycle.is_draining());
        let mut finished = Box::pin(lifecycle.finished(Duration::from_secs(30)));
        assert!(futures_util::poll!(&mut finished).is_pending());
        end.send(()).unwrap();
        finished.await;
        assert!(task.await.unwrap());
        assert!(!lifecycle.killed_token().is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn the_deadline_kills_what_still_runs() {
        let lifecycle = Lifecycle::new();
        let killed = lifecycle.killed_token();
        let task = lifecycle.spawn(async move { killed.cancelled().await });
        lifecycle.drain();
        lifecycle.finished(Duration::from_secs(30)).await;
        task.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_ignores_its_cancellation_does_not_hold_the_process() {
        let lifecycle = Lifecycle::new();
        drop(lifecycle.spawn(std::future::pending::<()>()));
        lifecycle.kill();
        lifecycle.finished(Duration::from_secs(30)).await;
    }
}
