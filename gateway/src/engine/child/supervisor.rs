//! Keeps a worker running: starts it, sees when it is ready and when it ends, and starts it again.

use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::backoff::Backoff;
use super::folder::Folder;
use super::protocol::Busy;
use crate::engine::upstream::UpstreamEngine;
use crate::engine::{EngineError, EngineLoad};
use crate::telemetry::metrics::model::Model;

/// From one look at whether it is ready to the next.
const LOOK: Duration = Duration::from_millis(10);
/// From one look at how busy it is to the next.
const ASK: Duration = Duration::from_millis(500);
/// How long it may take to answer such a question before it counts as too busy to.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long it may take to end by itself.
const FAREWELL: Duration = Duration::from_secs(10);

/// What a worker is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    /// It loads its model.
    Starting,
    /// It answers.
    Up,
    /// It ended for this reason, and is started again then.
    Down(String, Instant),
    /// It is not started any more.
    Stopped,
}

/// One worker, over all its processes.
pub(super) struct Supervisor {
    pub(super) name: Arc<str>,
    pub(super) program: PathBuf,
    pub(super) folder: Folder,
    /// Speaks to whichever process listens on the socket.
    pub(super) upstream: Arc<UpstreamEngine>,
    pub(super) state: watch::Sender<State>,
    pub(super) load: Mutex<EngineLoad>,
    pub(super) stop: CancellationToken,
    pub(super) metrics: Arc<Model>,
}

impl Supervisor {
    /// Runs the worker until it is told to stop.
    pub(super) async fn run(self: Arc<Self>) {
        let mut backoff = Backoff::default();
        while !self.stop.is_cancelled() {
            self.state.send_replace(State::Starting);
            let began = Instant::now();
            let reason = match self.spawn() {
                Ok(child) => self.attend(child, began).await,
                Err(error) => Some(error.to_string()),
            };
            *self.load.lock() = EngineLoad::default();
            let Some(reason) = reason else { break };
            let pause = backoff.ended(began.elapsed());
            self.metrics.loads("worker_ended");
            tracing::error!(model = &*self.name, reason, pause = ?pause, "the model's worker ended; it is started again");
            self.state.send_replace(State::Down(reason, Instant::now() + pause));
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.stop.cancelled() => {}
            }
        }
        self.state.send_replace(State::Stopped);
    }

    fn spawn(&self) -> std::io::Result<Child> {
        // A socket that nobody listens on would be taken for an answer that takes its time.
        drop(std::fs::remove_file(self.folder.socket()));
        let mut command = Command::new(&self.program);
        command.arg("worker").arg(self.folder.path()).stdin(Stdio::piped()).kill_on_drop(true);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("GATEWAY_") {
                command.env_remove(name);
            }
        }
        command.spawn()
    }

    /// Stays with a process to its end: why it ended, or nothing where it was told to.
    async fn attend(&self, mut child: Child, began: Instant) -> Option<String> {
        let pid = child.id();
        // Waiting for the process would close it, which is how it is told to end.
        let input = child.stdin.take();
        tracing::debug!(model = &*self.name, pid, "the model's worker is started");
        tokio::select! {
            ended = child.wait() => return Some(reason(ended)),
            () = self.until_ready() => {}
            () = self.stop.cancelled() => return self.end(child, input).await,
        }
        self.state.send_replace(State::Up);
        let seconds = began.elapsed().as_secs_f32();
        tracing::info!(model = &*self.name, pid, seconds, "the model's worker is ready");
        tokio::select! {
            ended = child.wait() => Some(reason(ended)),
            () = self.keep_asking() => None,
            () = self.stop.cancelled() => self.end(child, input).await,
        }
    }

    async fn until_ready(&self) {
        while self.ask().await.is_err() {
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn keep_asking(&self) {
        loop {
            tokio::time::sleep(ASK).await;
            drop(self.ask().await);
        }
    }

    /// How busy it is.
    async fn ask(&self) -> Result<(), EngineError> {
        let busy: Busy = self.upstream.ask_worker("worker/load", "{}".into(), PATIENCE).await?;
        *self.load.lock() = busy.into();
        Ok(())
    }

    /// A worker ends when its standard input does.
    async fn end(&self, mut child: Child, input: Option<ChildStdin>) -> Option<String> {
        drop(input);
        if tokio::time::timeout(FAREWELL, child.wait()).await.is_err() {
            tracing::warn!(model = &*self.name, "the model's worker did not end by itself");
            drop(child.kill().await);
        }
        None
    }
}

fn reason(ended: std::io::Result<ExitStatus>) -> String {
    ended.map_or_else(|error| error.to_string(), |status| status.to_string())
}
