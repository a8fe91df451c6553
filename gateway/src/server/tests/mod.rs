//! The accept loop against raw sockets: what clients do wrong, and what the gateway makes of it.

mod drain;
mod limits;
mod slow;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use poem::endpoint::{ToDynEndpoint, make};
use poem::{Body, Request, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc};

use super::*;
use crate::config::ListenAddress;

/// How long a test waits for what must come; generous, for busy machines.
const PATIENCE: Duration = Duration::from_secs(30);
/// Longer than any test: for time-outs that a test is not about.
const NEVER: Duration = Duration::from_mins(10);

/// A server with an endpoint that tells when its work is dropped.
struct Running {
    address: String,
    lifecycle: Lifecycle,
    dropped: mpsc::Receiver<&'static str>,
    finish: Arc<Notify>,
}

/// Tells of its drop.
struct Tell(mpsc::Sender<&'static str>, &'static str);

impl Drop for Tell {
    fn drop(&mut self) {
        self.0.try_send(self.1).unwrap();
    }
}

/// No time-out that ends anything within a test.
fn patient() -> ServerSettings {
    ServerSettings {
        header_timeout: NEVER,
        body_timeout: NEVER,
        idle_timeout: NEVER,
        write_timeout: NEVER,
        ..ServerSettings::default()
    }
}

impl Running {
    async fn start(settings: ServerSettings) -> Self {
        Self::at(&ListenAddress::Tcp("127.0.0.1:0".to_owned()), settings).await
    }

    async fn at(address: &ListenAddress, settings: ServerSettings) -> Self {
        let listener = Listener::bind(address, settings.write_timeout).await.unwrap();
        let address = listener.address().to_string();
        let (tell, dropped) = mpsc::channel(16);
        let finish = Arc::new(Notify::new());
        let lifecycle = Lifecycle::new();
        let endpoint = endpoint(tell, Arc::clone(&finish));
        drop(lifecycle.spawn(serve(listener, endpoint, settings, lifecycle.clone())));
        Self { address, lifecycle, dropped, finish }
    }

    async fn connect(&self) -> Client {
        Client(TcpStream::connect(&self.address).await.unwrap())
    }

    async fn next_drop(&mut self) -> &'static str {
        within(self.dropped.recv()).await.unwrap()
    }
}

/// A client that speaks bytes.
struct Client(TcpStream);

impl Client {
    async fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.unwrap();
    }

    async fn get(&mut self, path: &str) {
        self.send(&format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n")).await;
    }

    /// Reads until the bytes contain a text.
    async fn read_until(&mut self, text: &str) -> String {
        let mut seen = Vec::new();
        let mut buffer = [0_u8; 4096];
        loop {
            let read = within(self.0.read(&mut buffer)).await.unwrap();
            seen.extend_from_slice(&buffer[..read]);
            let so_far = String::from_utf8_lossy(&seen);
            if so_far.contains(text) {
                return so_far.into_owned();
            }
            assert!(read > 0, "closed before {text:?}: {so_far}");
        }
    }

    /// Reads to the end; a reset counts as an end.
    async fn read_to_end(&mut self) -> String {
        let mut seen = Vec::new();
        drop(within(self.0.read_to_end(&mut seen)).await);
        String::from_utf8_lossy(&seen).into_owned()
    }
}

async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.expect("it comes in time")
}

fn endpoint(tell: mpsc::Sender<&'static str>, finish: Arc<Notify>) -> SharedEndpoint {
    Arc::new(ToDynEndpoint(make(move |request: Request| {
        let (tell, finish) = (tell.clone(), Arc::clone(&finish));
        async move { Ok::<_, poem::Error>(answer(request, tell, finish).await) }
    })))
}

async fn answer(mut request: Request, tell: mpsc::Sender<&'static str>, finish: Arc<Notify>) -> Response {
    match request.uri().path() {
        // One line, then nothing until the test says so.
        "/stream" => {
            let told = Tell(tell, "stream");
            let end = stream::once(async move {
                finish.notified().await;
                drop(told);
                Bytes::from_static(b"last\n")
            });
            let first = stream::iter([Bytes::from_static(b"first\n")]);
            Response::from(Body::from_bytes_stream(first.chain(end).map(Ok::<_, std::io::Error>)))
        }
        "/flood" => {
            let told = Tell(tell, "flood");
            let chunk = Bytes::from_static(&[b'x'; 16 << 10]);
            let chunks = stream::repeat_with(move || {
                let _ = &told;
                Ok::<_, std::io::Error>(chunk.clone())
            });
            Response::from(Body::from_bytes_stream(chunks))
        }
        "/pending" => {
            let _told = Tell(tell.clone(), "pending");
            tell.try_send("reached").unwrap();
            std::future::pending().await
        }
        "/echo" => match request.take_body().into_bytes().await {
            Ok(bytes) => Response::from(format!("{} bytes", bytes.len())),
            Err(error) => Response::from(format!("failed: {error}")),
        },
        "/panic" => panic!("on purpose"),
        _ => Response::from("hello"),
    }
}

#[tokio::test]
async fn requests_are_answered_on_one_connection_after_another() {
    let server = Running::start(patient()).await;
    let mut client = server.connect().await;
    for _ in 0..3 {
        client.get("/").await;
        let answer = client.read_until("hello").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    }
    client.send("POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\n12345").await;
    client.read_until("5 bytes").await;
}

#[tokio::test]
async fn a_client_that_leaves_mid_stream_has_its_body_dropped() {
    let mut server = Running::start(patient()).await;
    let mut client = server.connect().await;
    client.get("/stream").await;
    client.read_until("first").await;
    drop(client);
    assert_eq!(server.next_drop().await, "stream");
}

#[tokio::test]
async fn a_client_that_leaves_before_its_answer_has_its_handler_dropped() {
    let mut server = Running::start(patient()).await;
    let mut client = server.connect().await;
    client.get("/pending").await;
    assert_eq!(server.next_drop().await, "reached");
    drop(client);
    assert_eq!(server.next_drop().await, "pending");
}

#[tokio::test]
async fn http2_without_negotiation_is_understood() {
    let server = Running::start(patient()).await;
    let mut client = server.connect().await;
    client.0.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    let mut frame = [0_u8; 9];
    within(client.0.read_exact(&mut frame)).await.unwrap();
    assert_eq!(frame[3], 4, "the first frame is SETTINGS: {frame:?}");
}

#[tokio::test]
async fn a_panic_is_a_500_and_only_that_requests() {
    let server = Running::start(patient()).await;
    let mut client = server.connect().await;
    client.get("/panic").await;
    let answer = client.read_until("\"code\":null}}").await;
    assert!(answer.starts_with("HTTP/1.1 500 "), "{answer}");
    assert!(
        answer.contains("\"type\":\"server_error\"") && answer.contains("x-request-id: req_"),
        "{answer}"
    );
    client.get("/").await;
    client.read_until("hello").await;
}

#[tokio::test]
async fn unix_sockets_work_and_a_file_left_behind_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gateway.sock");
    // What a killed process leaves: a bound socket nobody accepts on.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let address = ListenAddress::Unix(path.clone());
    let server = Running::at(&address, patient()).await;
    let mut client = tokio::net::UnixStream::connect(&path).await.unwrap();
    client.write_all(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    within(client.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.ends_with("hello"), "{answer}");

    let second = Listener::bind(&address, NEVER).await.unwrap_err();
    assert_eq!(second.kind(), std::io::ErrorKind::AddrInUse);
    server.lifecycle.drain();
    within(server.lifecycle.finished(NEVER)).await;
    assert!(!path.exists(), "the socket file goes with the listener");

    std::fs::write(&path, "precious").unwrap();
    Listener::bind(&address, NEVER).await.unwrap_err();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
}
