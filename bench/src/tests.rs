//! Whole measurements against a server of a few lines, whose behaviour is known.

use std::time::Duration;

use clap::Parser;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::cell::{Cell, Settings};
use crate::measure::{measure, measure_transcripts};
use crate::server::{Server, Spec};
use crate::workload::Scenario;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    settings: Settings,
}

fn settings(arguments: &[&str]) -> Settings {
    Line::try_parse_from([&["x"], arguments].concat()).unwrap().settings
}

/// Answers every POST with a stream of `max_tokens` tokens, 1 ms apart; every GET as if it were ready.
/// Prompts that hold the word `refuse` are refused.
async fn answer(mut socket: TcpStream) {
    let mut seen = Vec::new();
    let mut buffer = [0; 4096];
    let body = loop {
        let count = socket.read(&mut buffer).await.unwrap();
        if count == 0 {
            return;
        }
        seen.extend_from_slice(&buffer[..count]);
        let text = String::from_utf8_lossy(&seen).to_lowercase();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
            break body.to_owned();
        }
    };
    let head = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n";
    if body.is_empty() {
        let list = format!("{head}{{\"data\":[{{\"id\":\"fake\"}}]}}");
        socket.write_all(list.as_bytes()).await.unwrap();
        return;
    }
    if body.contains("refuse") {
        socket.write_all(b"HTTP/1.1 503 Busy\r\nconnection: close\r\n\r\nbusy").await.unwrap();
        return;
    }
    let request: Value = serde_json::from_str(&body).unwrap();
    let tokens = request["max_tokens"].as_u64().unwrap();
    socket.write_all(head.as_bytes()).await.unwrap();
    for _ in 0..tokens {
        tokio::time::sleep(Duration::from_millis(1)).await;
        let chunk = "data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\n";
        // A client may leave in mid-stream.
        if socket.write_all(chunk.as_bytes()).await.is_err() {
            return;
        }
    }
    let end = format!(
        "data: {{\"choices\":[],\"usage\":{{\"prompt_tokens\":7,\"completion_tokens\":{tokens}}}}}\n\n\
         data: [DONE]\n\n"
    );
    let _ = socket.write_all(end.as_bytes()).await;
}

/// The server's description; it lives as long as the set of tasks.
async fn fake() -> (Spec, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("url=http://{}/v1", listener.local_addr().unwrap());
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            connections.spawn(answer(socket));
        }
    });
    let pid = format!("pid={}", std::process::id());
    (Spec::parse("fake", &[url, pid]).unwrap(), tasks)
}

#[tokio::test]
async fn a_load_makes_exactly_the_requests_asked_for() {
    let (spec, _tasks) = fake().await;
    let server = Server::open(&spec).await.unwrap();
    assert_eq!(server.target.model, "fake");
    let settings = settings(&["--requests", "3", "--max-tokens", "16"]);
    for (scenario, requests) in [(Scenario::Short, 12), (Scenario::Mixed, 12), (Scenario::Conversation, 16)] {
        let cell = Cell { scenario, concurrency: 4, round: 0 };
        let measurement = measure(&server, &settings, cell).await.unwrap();
        assert_eq!((measurement.answered, measurement.failed()), (requests, 0), "{scenario:?}");
        assert_eq!(measurement.completion_tokens, 16 * requests as u64);
        assert_eq!(measurement.output_events, 16 * requests);
        assert_eq!((measurement.cut_short, measurement.undone), (0, 0));
        assert!(measurement.inter_token_ms.unwrap().p50 >= 0.5);
        assert!(measurement.cpu.is_some());
    }
}

#[tokio::test]
async fn refusals_are_counted_and_do_not_end_the_run() {
    let (spec, _tasks) = fake().await;
    let mut server = Server::open(&spec).await.unwrap();
    "refuse".clone_into(&mut server.target.model);
    let settings = settings(&["--requests", "2", "--warm-up", "0"]);
    let cell = Cell { scenario: Scenario::Short, concurrency: 3, round: 0 };
    let measurement = measure(&server, &settings, cell).await.unwrap();
    assert_eq!((measurement.answered, measurement.errors["status 503"]), (0, 6));
    assert!(measurement.first_error.unwrap().contains("busy"));
}

#[tokio::test]
async fn a_time_limit_leaves_requests_undone() {
    let (spec, _tasks) = fake().await;
    let server = Server::open(&spec).await.unwrap();
    let settings = settings(&["--requests", "100", "--max-tokens", "400", "--time-limit", "1"]);
    let cell = Cell { scenario: Scenario::Short, concurrency: 2, round: 0 };
    let measurement = measure(&server, &settings, cell).await.unwrap();
    assert!(measurement.undone > 100, "{} undone", measurement.undone);
    assert!(measurement.wall_seconds < 5.0);
}

#[tokio::test]
async fn the_special_scenarios_report_what_they_look_at() {
    let (spec, _tasks) = fake().await;
    let server = Server::open(&spec).await.unwrap();
    let settings = settings(&["--requests", "2", "--max-tokens", "16"]);
    let cell = Cell { scenario: Scenario::PrefixReuse, concurrency: 3, round: 0 };
    let reuse = measure(&server, &settings, cell).await.unwrap().reuse.unwrap();
    assert_eq!(reuse.followers, 2);
    assert!(reuse.cold_ms > 0.5 && reuse.warm_ms > 0.5);
    let cell = Cell { scenario: Scenario::Short, concurrency: 5, round: 0 };
    let transcripts = measure_transcripts(&server, &settings, cell).await.unwrap();
    assert_eq!(transcripts.len(), 5);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_an_error() {
    let spec = Spec::parse("gone", &["url=http://127.0.0.1:1/v1".to_owned()]).unwrap();
    assert!(Server::open(&spec).await.is_err());
}
