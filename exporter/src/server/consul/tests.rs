//! The registration at a scripted agent: what it is asked, in order, whatever it answers.

use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::*;

/// Answers one request a connection with the script's next status, and with the last one for ever.
struct Agent {
    endpoint: Endpoint,
    asked: Arc<Mutex<Vec<String>>>,
    _serving: JoinSet<()>,
}

impl Agent {
    async fn start(script: &[u16]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = Endpoint::Tcp(listener.local_addr().unwrap().to_string());
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let (seen, script) = (Arc::clone(&asked), script.to_vec());
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            for turn in 0.. {
                let (mut socket, _) = listener.accept().await.unwrap();
                let request = read(&mut socket).await;
                seen.lock().push(request);
                let status = script.get(turn).or(script.last()).unwrap();
                let answer =
                    format!("HTTP/1.1 {status} X\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno");
                socket.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        Self { endpoint, asked, _serving: serving }
    }

    /// First lines of the requests so far.
    fn asked(&self) -> Vec<String> {
        let first = |request: &String| request.lines().next().unwrap().to_owned();
        self.asked.lock().iter().map(first).collect()
    }

    async fn was_asked(&self, times: usize) {
        while self.asked.lock().len() < times {
            tokio::task::yield_now().await;
        }
    }
}

async fn read(socket: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0_usize) {
                return text;
            }
        }
        assert!(socket.read_buf(&mut bytes).await.unwrap() > 0, "broke off: {text}");
    }
}

fn registration(agent: &Endpoint) -> Registration {
    Registration::new(&ConsulSettings {
        agent: agent.clone(),
        service: "sluice-exporter".to_owned(),
        token: Some(HeaderValue::from_static("a token")),
        host: "10.0.0.7".to_owned(),
        port: 9464,
    })
}

async fn step(registration: &mut Registration) -> Duration {
    let stepped = registration.step().await;
    registration.judge(stepped)
}

const REGISTER: &str = "PUT /v1/agent/service/register?replace-existing-checks=true HTTP/1.1";
const PASS: &str = "PUT /v1/agent/check/pass/service:sluice-exporter-10-0-0-7-9464 HTTP/1.1";
const DEREGISTER: &str = "PUT /v1/agent/service/deregister/sluice-exporter-10-0-0-7-9464 HTTP/1.1";

#[tokio::test]
async fn a_service_with_a_ttl_is_registered_and_passes_at_once() {
    let agent = Agent::start(&[200]).await;
    let mut registration = registration(&agent.endpoint);
    assert_eq!(step(&mut registration).await, TTL / 3);
    assert_eq!(agent.asked(), [REGISTER, PASS]);
    let request = agent.asked.lock()[0].clone();
    assert!(request.contains("\r\nx-consul-token: a token\r\n"), "{request}");
    let body: Value = serde_json::from_str(request.split_once("\r\n\r\n").unwrap().1).unwrap();
    assert_eq!(
        (&body["Name"], &body["Address"], &body["Port"]),
        (&json!("sluice-exporter"), &json!("10.0.0.7"), &json!(9464))
    );
    assert_eq!(body["Check"], json!({ "TTL": "30s", "DeregisterCriticalServiceAfter": "600s" }));
    step(&mut registration).await;
    assert_eq!(agent.asked(), [REGISTER, PASS, PASS], "from here on only signs of life");
}

#[tokio::test]
async fn an_agent_that_forgot_the_service_is_told_again() {
    let agent = Agent::start(&[200, 200, 404, 200]).await;
    let mut registration = registration(&agent.endpoint);
    for _ in 0..3 {
        step(&mut registration).await;
    }
    assert_eq!(agent.asked(), [REGISTER, PASS, PASS, REGISTER, PASS]);
}

#[tokio::test]
async fn failures_are_tried_again_later_and_later() {
    let agent = Agent::start(&[500]).await;
    let mut registration = registration(&agent.endpoint);
    for most in [1, 2, 4, 8, 16, 30, 30] {
        let (pause, most) = (step(&mut registration).await, Duration::from_secs(most));
        assert!(pause <= most && pause >= most / 2, "{pause:?} for {most:?}");
    }
    assert!(agent.asked().iter().all(|line| line == REGISTER));
}

#[tokio::test]
async fn at_the_end_it_is_taken_back() {
    let agent = Agent::start(&[200]).await;
    let stop = CancellationToken::new();
    let watch = async {
        agent.was_asked(2).await;
        stop.cancel();
    };
    tokio::join!(registration(&agent.endpoint).run(stop.clone()), watch);
    assert_eq!(agent.asked(), [REGISTER, PASS, DEREGISTER]);
}

#[tokio::test]
async fn an_agent_that_is_gone_holds_nobody_up() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let stop = CancellationToken::new();
    stop.cancel();
    registration(&Endpoint::Tcp(nobody.to_string())).run(stop).await;
}
