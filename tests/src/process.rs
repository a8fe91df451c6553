//! A running gateway process, ended when it goes out of scope.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::sync::Arc;
use std::time::Instant;

use serde_json::Value;
use tempfile::{NamedTempFile, TempDir};

use crate::builder::Builder;
use crate::eventually;
use crate::http::Http;
use crate::patience::{deadline, pause};
use crate::requests;

/// What in a log means that the gateway broke, whatever its answers were.
const SIGNS_OF_BREAKAGE: [&str; 4] = ["panicked at", "GGML_ASSERT", "terminate called", "stack overflow"];

/// A gateway that did not get ready.
#[derive(Debug)]
pub struct Failure {
    /// Its exit code; absent if a signal ended it.
    pub code: Option<i32>,
    /// Everything it wrote.
    pub log: String,
}

/// A gateway process with a data folder of its own.
#[derive(Debug)]
pub struct Gateway {
    child: Child,
    data: Arc<TempDir>,
    log: NamedTempFile,
    http: Option<Http>,
    model: String,
    ended: bool,
}

impl Gateway {
    /// Says which gateway is wanted.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// A gateway with every default but a window of 2,048 tokens and four sequences, which start faster.
    pub async fn start() -> Self {
        Self::builder().parallel(4).context(2048).start().await
    }

    pub(crate) fn new(child: Child, data: Arc<TempDir>, log: NamedTempFile) -> Self {
        Self { child, data, log, http: None, model: String::new(), ended: false }
    }

    /// Looks for the address and key files and asks for readiness.
    pub(crate) async fn found_ready(&mut self) -> bool {
        let Ok(address) = std::fs::read_to_string(self.data.path().join("gateway.addr")) else {
            return false;
        };
        let Ok(address) = address.trim().parse() else { return false };
        let Ok(key) = std::fs::read_to_string(self.data.path().join("admin.key")) else { return false };
        let http = Http::new(address, key.trim());
        let ready = http.try_get("/readyz").await.is_some_and(|answer| answer.status == 200);
        if ready {
            let models = http.get("/v1/models").await.ok();
            models["data"][0]["id"].as_str().expect("the model has a name").clone_into(&mut self.model);
            self.http = Some(http);
        }
        ready
    }

    /// The HTTP client that holds this gateway's address and key.
    pub fn http(&self) -> &Http {
        self.http.as_ref().expect("the gateway is ready")
    }

    /// The served model's name.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// The least a chat request needs, made short and greedy.
    pub fn ask(&self, text: &str) -> Value {
        requests::ask(&self.model, text)
    }

    /// A request whose answer does not end before `max_tokens`.
    pub fn endless(&self, text: &str, max_tokens: u32) -> Value {
        requests::endless(&self.model, text, max_tokens)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.http().address()
    }

    /// Its data folder.
    pub fn data(&self) -> &Path {
        self.data.path()
    }

    pub(crate) fn shared_data(&self) -> Arc<TempDir> {
        Arc::clone(&self.data)
    }

    /// Everything it wrote so far.
    pub fn log(&self) -> String {
        std::fs::read(self.log.path())
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// How the process ended, if it has.
    pub(crate) fn ending(&mut self) -> Option<ExitStatus> {
        let status = self.child.try_wait().expect("the process can be asked")?;
        self.ended = true;
        Some(status)
    }

    /// Sends `TERM`, as an operator or a container runtime does.
    pub fn terminate(&self) {
        let sent = Command::new("sh").args(["-c", &format!("kill -TERM {}", self.child.id())]).status();
        assert!(sent.is_ok_and(|status| status.success()), "TERM can be sent");
    }

    /// Ends the process with `KILL`: nothing of its own runs any more.
    pub async fn kill(&mut self) {
        self.child.kill().expect("KILL can be sent");
        self.exited().await;
    }

    /// Waits for the process to end by itself and returns its exit code; nothing where a signal ended it.
    pub async fn exited(&mut self) -> Option<i32> {
        let until = deadline();
        loop {
            if let Some(status) = self.ending() {
                return status.code();
            }
            assert!(Instant::now() < until, "the gateway does not end; its log:\n{}", self.log());
            pause().await;
        }
    }

    /// What `/readyz` says about the served model: running, waiting, share of KV in use.
    pub async fn load(&self) -> Load {
        let answer = self.http().get("/readyz").await.json();
        let model = &answer["models"][0];
        Load {
            running: number(&model["running"]),
            waiting: number(&model["waiting"]),
            kv_used_ratio: model["kv_used_ratio"]
                .as_f64()
                .unwrap_or_else(|| panic!("no kv_used_ratio in {answer}")),
        }
    }

    /// Waits until nothing runs and nothing waits.
    pub async fn idle(&self) {
        eventually!(
            {
                let load = self.load().await;
                load.running == 0 && load.waiting == 0
            },
            "nothing runs or waits"
        );
    }
}

/// How busy the served model is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Load {
    /// Sequences being computed.
    pub running: u64,
    /// Requests in the queue.
    pub waiting: u64,
    /// Share of KV cells in use.
    pub kv_used_ratio: f64,
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("/readyz does not tell the model's load: {value}"))
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let died = !self.ended && self.ending().is_some();
        // Both fail only where the process is gone, which is the aim.
        drop(self.child.kill());
        drop(self.child.wait());
        let log = self.log();
        if std::thread::panicking() {
            let mut tail: Vec<&str> = log.lines().rev().take(40).collect();
            tail.reverse();
            write_to_test_output(&format!("last lines of the gateway's log:\n{}", tail.join("\n")));
            return;
        }
        assert!(!died, "the gateway died during the test:\n{log}");
        for sign in SIGNS_OF_BREAKAGE {
            assert!(!log.contains(sign), "the gateway's log says {sign:?}:\n{log}");
        }
    }
}

#[expect(clippy::print_stderr, reason = "the runner shows the output of a failed test")]
fn write_to_test_output(text: &str) {
    eprintln!("{text}");
}
