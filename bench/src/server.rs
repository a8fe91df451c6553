//! Servers under measurement: described by `KEY=VALUE` pairs, started or only reached, stopped in the end.

use std::fs::File;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use clap::ValueEnum;
use tokio::process::{Child, Command};
use tokio::time::Instant;

use crate::error::BenchError;
use crate::http;
use crate::target::{Address, Target};
use crate::workload::Scenario;

/// How long a server may take to load its model.
const START_LIMIT: Duration = Duration::from_mins(2);
/// How long a server may take to end after SIGTERM.
const STOP_LIMIT: Duration = Duration::from_secs(15);
/// Pause between two looks at whether a server is ready: the resolution of cold starts.
const POLL: Duration = Duration::from_millis(2);
/// Paths that say "ready" with status 200; llama-server has the second.
const READY: &str = "/readyz,/health";

/// What `KEY=VALUE` pairs say about a server.
#[derive(Debug, Clone, Default)]
pub(crate) struct Spec {
    /// `name`: what tables call it.
    pub(crate) name: String,
    /// `url`: the base URL; `{port}` stands for the port chosen.
    pub(crate) url: Option<String>,
    /// `command`: how to start it; `{port}` stands for a free port.
    pub(crate) command: Option<String>,
    /// `key`: sent as a bearer key.
    pub(crate) key: Option<String>,
    /// `key-file`: the same, read once the server is ready.
    pub(crate) key_file: Option<PathBuf>,
    /// `model`: the model's name; asked of the server where absent.
    pub(crate) model: Option<String>,
    /// `pid`: the process to watch, of a server that was started elsewhere.
    pub(crate) pid: Option<u32>,
    /// `ready`: paths of which one must answer 200, separated by commas.
    pub(crate) ready: Option<String>,
    /// `log`: a file for the output of a server that is started here.
    pub(crate) log: Option<PathBuf>,
    /// `note`: kept in the results; say here which flags were used.
    pub(crate) note: Option<String>,
    /// `scenario`: in a comparison, run this one in place of the cell's.
    pub(crate) scenario: Option<Scenario>,
    /// `same-as=a`: in a comparison, the second side is the first one's server.
    pub(crate) same: bool,
}

impl Spec {
    /// Reads the pairs of one server.
    pub(crate) fn parse(name: &str, pairs: &[String]) -> Result<Self, BenchError> {
        let mut spec = Self { name: name.to_owned(), ..Self::default() };
        for pair in pairs {
            let (key, value) =
                pair.split_once('=').ok_or_else(|| BenchError::Spec(format!("`{pair}` is not KEY=VALUE")))?;
            spec.set(key, value)?;
        }
        if spec.same || spec.url.is_some() || spec.command.is_some() {
            return Ok(spec);
        }
        Err(BenchError::Spec(format!("{name} needs url=… or command=…")))
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), BenchError> {
        let bad = || BenchError::Spec(format!("`{value}` cannot be a {key}"));
        let text = Some(value.to_owned());
        match key {
            "name" => value.clone_into(&mut self.name),
            "url" => self.url = text,
            "command" => self.command = text,
            "key" => self.key = text,
            "key-file" => self.key_file = Some(value.into()),
            "model" => self.model = text,
            "pid" => self.pid = Some(value.parse().map_err(|_| bad())?),
            "ready" => self.ready = text,
            "log" => self.log = Some(value.into()),
            "note" => self.note = text,
            "scenario" => self.scenario = Some(Scenario::from_str(value, true).map_err(|_| bad())?),
            "same-as" if value == "a" => self.same = true,
            _ => return Err(BenchError::Spec(format!("unknown key or value in `{key}={value}`"))),
        }
        Ok(())
    }
}

/// A server that answers.
#[derive(Debug)]
pub(crate) struct Server {
    /// How requests reach it.
    pub(crate) target: Target,
    /// Its process, where known.
    pub(crate) pid: Option<u32>,
    /// From the start of its process until it was ready; zero where it was running before.
    pub(crate) start_time: Duration,
    // Killed on drop, so that no failure leaves a server behind.
    child: Option<Child>,
}

impl Server {
    /// Starts the server if it has a command, waits until it is ready, and learns its key and model.
    pub(crate) async fn open(spec: &Spec) -> Result<Self, BenchError> {
        let port = free_port()?;
        let url = spec.url.clone().unwrap_or_else(|| "http://127.0.0.1:{port}/v1".to_owned());
        let address = Address::parse(&url.replace("{port}", &port.to_string()))?;
        let target = Target { name: spec.name.clone(), address, key: None, model: String::new() };
        let started = Instant::now();
        let child = spec.command.as_deref().map(|command| spawn(spec, command, port)).transpose()?;
        let pid = child.as_ref().and_then(Child::id).or(spec.pid);
        let mut server = Self { target, pid, start_time: Duration::ZERO, child };
        server.wait_ready(spec, started).await?;
        if server.child.is_some() {
            server.start_time = started.elapsed();
        }
        server.identify(spec).await?;
        Ok(server)
    }

    async fn wait_ready(&mut self, spec: &Spec, started: Instant) -> Result<(), BenchError> {
        let paths = spec.ready.as_deref().unwrap_or(READY);
        let fail = |problem: String| BenchError::NotReady { name: spec.name.clone(), problem };
        loop {
            let mut last = String::new();
            for path in paths.split(',') {
                match http::get(&self.target, path, Duration::from_secs(2)).await {
                    Ok(_) => return Ok(()),
                    Err(error) => last = error.to_string(),
                }
            }
            if let Some(child) = &mut self.child
                && let Ok(Some(status)) = child.try_wait()
            {
                return Err(fail(format!("it ended with {status}")));
            }
            if self.child.is_none() || started.elapsed() > START_LIMIT {
                return Err(fail(last));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    async fn identify(&mut self, spec: &Spec) -> Result<(), BenchError> {
        self.target.key.clone_from(&spec.key);
        if let Some(path) = &spec.key_file {
            let text = std::fs::read_to_string(path)
                .map_err(|source| BenchError::File { path: path.clone(), source })?;
            self.target.key = Some(text.trim().to_owned());
        }
        if let Some(model) = &spec.model {
            self.target.model.clone_from(model);
            return Ok(());
        }
        let path = format!("{}/models", self.target.address.base);
        let body = http::get(&self.target, &path, Duration::from_secs(10))
            .await
            .map_err(|source| BenchError::Call { what: "list of models", source })?;
        let list: serde_json::Value = serde_json::from_slice(&body)?;
        let id = list.pointer("/data/0/id").and_then(serde_json::Value::as_str);
        id.ok_or_else(|| BenchError::NoResult("the list of models is empty".to_owned()))?
            .clone_into(&mut self.target.model);
        Ok(())
    }

    /// Ends a server that was started here: SIGTERM, then SIGKILL where that is not heard.
    pub(crate) async fn stop(mut self) {
        let Some(mut child) = self.child.take() else { return };
        if let Some(pid) = child.id() {
            // The child is not yet waited for, so the number is still its own.
            let _ = Command::new("kill").arg("-TERM").arg(pid.to_string()).status().await;
        }
        if tokio::time::timeout(STOP_LIMIT, child.wait()).await.is_err() {
            let _ = child.kill().await;
        }
    }
}

fn spawn(spec: &Spec, command: &str, port: u16) -> Result<Child, BenchError> {
    let line = format!("exec {}", command.replace("{port}", &port.to_string()));
    let mut process = Command::new("sh");
    process.arg("-c").arg(line).stdin(Stdio::null()).kill_on_drop(true);
    if let Some(path) = &spec.log {
        let file = |source| BenchError::File { path: path.clone(), source };
        let log = File::options().create(true).append(true).open(path).map_err(file)?;
        process.stderr(log.try_clone().map_err(file)?).stdout(log);
    } else {
        process.stdout(Stdio::null()).stderr(Stdio::null());
    }
    process.spawn().map_err(|source| BenchError::Process { what: spec.name.clone(), source })
}

/// A port that was free a moment ago.
fn free_port() -> Result<u16, BenchError> {
    let found = TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr());
    found
        .map(|address| address.port())
        .map_err(|source| BenchError::Process { what: "free port".to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(pairs: &[&str]) -> Result<Spec, BenchError> {
        let pairs: Vec<String> = pairs.iter().map(|pair| (*pair).to_owned()).collect();
        Spec::parse("a", &pairs)
    }

    #[test]
    fn a_server_is_described_by_pairs() {
        let spec = parse(&["name=ours", "command=x --port {port} --opt=1", "pid=7"]).unwrap();
        assert_eq!(spec.name, "ours");
        assert_eq!(spec.command.as_deref(), Some("x --port {port} --opt=1"));
        assert_eq!(spec.pid, Some(7));
        assert_eq!(
            parse(&["same-as=a", "scenario=json-schema"]).unwrap().scenario,
            Some(Scenario::JsonSchema)
        );
    }

    #[test]
    fn a_description_that_reaches_no_server_is_refused() {
        for pairs in [&["name=x"][..], &["url"], &["url=x", "pid=y"], &["url=x", "colour=red"]] {
            assert!(parse(pairs).is_err(), "{pairs:?} was accepted");
        }
    }

    #[tokio::test]
    async fn a_server_that_ends_at_once_is_reported_not_awaited() {
        let spec = parse(&["command=false"]).unwrap();
        let error = Server::open(&spec).await.unwrap_err();
        assert!(matches!(error, BenchError::NotReady { .. }), "{error}");
    }
}
