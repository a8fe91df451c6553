//! The built binary: its address, signals, exit codes and help.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use exporter::client::Endpoint;
use http::Request;
use http_body_util::Full;

use crate::support::{eventually, pack, request, send, snapshot, text, value};

/// An exporter in its own process; killed when dropped.
struct Process {
    child: Child,
    endpoint: Endpoint,
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_exporter"));
    command.args(arguments).env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn run(arguments: &[&str]) -> Output {
    command(arguments).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

impl Process {
    async fn start(folder: &Path, listen: &str) -> Self {
        let file = folder.join("address");
        drop(std::fs::remove_file(&file));
        let mut serve = command(&["serve", "--listen", listen]);
        let child =
            serve.env("EXPORTER_DATA_DIR", folder).env("EXPORTER_ADDRESS_FILE", &file).spawn().unwrap();
        let read = || std::fs::read_to_string(&file).ok().filter(|text| text.ends_with('\n'));
        eventually!(read().is_some(), "the address");
        Self { child, endpoint: Endpoint::Tcp(read().unwrap().trim().to_owned()) }
    }

    fn address(&self) -> &str {
        match &self.endpoint {
            Endpoint::Tcp(address) => address,
            Endpoint::Unix(_) => "",
        }
    }

    async fn push(&self, sequence: u64, work: f64) -> u16 {
        let body = pack(&snapshot("a", (1, sequence), work));
        send(&self.endpoint, request(body)).await.status().as_u16()
    }

    async fn metrics(&self) -> String {
        text(&send(&self.endpoint, Request::get("/metrics").body(Full::default()).unwrap()).await)
    }

    /// Sends a signal, and waits for the end.
    async fn signal(mut self, name: &str) -> Output {
        let sent = Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
        eventually!(self.child.try_wait().unwrap().is_some(), "the end of the process");
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let status = self.child.wait().unwrap();
        std::io::Read::read_to_end(&mut self.child.stdout.take().unwrap(), &mut stdout).unwrap();
        std::io::Read::read_to_end(&mut self.child.stderr.take().unwrap(), &mut stderr).unwrap();
        Output { status, stdout, stderr }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Gone already is as good.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[tokio::test]
async fn it_serves_on_a_port_of_the_systems_choice_and_ends_well_on_a_signal() {
    let folder = tempfile::tempdir().unwrap();
    for signal in ["-TERM", "-INT"] {
        let process = Process::start(folder.path(), "127.0.0.1:0").await;
        let address = process.address().to_owned();
        assert_eq!(process.push(1, 5.0).await, 204);
        let metrics = process.metrics().await;
        assert_eq!(value(&metrics, "work_total{instance=\"a\"}"), Some(5.0));
        let version = concat!("exporter_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1\n");
        for own in [version, "process_resident_memory_bytes ", "exporter_ingest_seconds_count 1\n"] {
            assert!(metrics.contains(own), "{own} is not in\n{metrics}");
        }
        let output = process.signal(signal).await;
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        let log = said(&output);
        let lines: Vec<serde_json::Value> =
            log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert!(lines.iter().any(|line| line["listening"] == address.as_str()), "{log}");
    }
}

#[tokio::test]
async fn killed_and_started_again_it_shows_everything_after_one_push() {
    let folder = tempfile::tempdir().unwrap();
    let process = Process::start(folder.path(), "127.0.0.1:0").await;
    let address = process.address().to_owned();
    assert_eq!(process.push(1, 100.0).await, 204);
    assert_eq!(process.signal("-KILL").await.status.code(), None);
    let process = Process::start(folder.path(), &address).await;
    assert_eq!(process.push(2, 101.0).await, 204);
    assert_eq!(value(&process.metrics().await, "work_total{instance=\"a\"}"), Some(101.0));
}

#[test]
fn what_cannot_be_served_is_told_and_ends_with_a_failure() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let file = tempfile::NamedTempFile::new().unwrap();
    let no_socket = format!("unix:{}", file.path().display());
    for (arguments, told) in [
        (["--listen", &*taken], "(--listen)"),
        (["--listen", &no_socket], "no socket"),
        (["--listen", "0.0.0.0:0"], "--secret-file"),
        (["--secret-file", "/nonexistent/secret"], "/nonexistent/secret"),
        (["--config", "/nonexistent/config"], "/nonexistent/config"),
        (["--silence", "0"], "silence must be"),
    ] {
        let output = run(&[&["serve"], &arguments[..]].concat());
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {}", said(&output));
        assert!(said(&output).contains(told), "{arguments:?}: {}", said(&output));
    }
    for arguments in [["serve", "--no-such-flag"], ["--silence", "never"]] {
        assert_eq!(run(&arguments).status.code(), Some(2));
    }
    assert!(file.path().exists(), "a file that is no socket stays");
}

#[test]
fn help_shows_defaults_and_variables() {
    let help = String::from_utf8(run(&["serve", "--help"]).stdout).unwrap();
    let words = help.split_whitespace().collect::<Vec<_>>().join(" ");
    for expected in
        ["[default: 127.0.0.1:9464]", "[env: EXPORTER_LISTEN=]", "[default: 15]", "[default: 3600]"]
    {
        assert!(words.contains(expected), "{expected} is not in\n{help}");
    }
}
