//! A server behind the gateway that plays scripts: right answers, wrong ones, half ones and none.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;
use tokio::task::JoinSet;

/// A server that plays scripts. It ends when it is dropped.
#[derive(Debug)]
pub struct Upstream {
    address: SocketAddr,
    stage: Arc<Stage>,
    _accepting: JoinSet<()>,
}

#[derive(Default)]
struct Stage {
    scripts: Mutex<VecDeque<Vec<Act>>>,
    /// What is played where no script is left.
    behaviour: Option<Behaviour>,
    requests: Mutex<Vec<Request>>,
    connections: AtomicUsize,
    left: AtomicUsize,
}

/// From the number of a request, counted from 0, and the request to what is played.
type Behaviour = Box<dyn Fn(usize, &Request) -> Vec<Act> + Send + Sync>;

impl std::fmt::Debug for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stage").field("connections", &self.connections).finish_non_exhaustive()
    }
}

/// What was asked.
#[derive(Debug, Clone)]
pub struct Request {
    /// The request's line and headers.
    pub head: String,
    /// Its body.
    pub body: Vec<u8>,
}

impl Request {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("requests are JSON")
    }
}

/// A step of an answer.
#[derive(Debug, Clone)]
pub enum Act {
    /// Bytes on the socket.
    Send(Vec<u8>),
    /// Nothing, until the gateway closes.
    Stall,
    /// The server closes.
    Close,
}

/// The head of a streamed answer.
const STREAM: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";

/// An answer that is not streamed.
pub fn json(status: &str, headers: &str, body: &str) -> Vec<Act> {
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n{headers}\r\n",
        body.len()
    );
    vec![Act::Send((head + body).into())]
}

/// A streamed answer up to here: one chunk of the transfer an event.
pub fn begun(events: &[&str]) -> Vec<Act> {
    let chunks = events.iter().map(|event| {
        let event = format!("{event}\n\n");
        Act::Send(format!("{:x}\r\n{event}\r\n", event.len()).into())
    });
    std::iter::once(Act::Send(STREAM.into())).chain(chunks).collect()
}

/// A whole streamed answer.
pub fn stream(events: &[&str]) -> Vec<Act> {
    let mut acts = begun(events);
    acts.push(Act::Send("0\r\n\r\n".into()));
    acts
}

impl Upstream {
    /// Listens on a port of its own, and plays what it is told to.
    pub async fn start() -> Self {
        Self::serve(Stage::default()).await
    }

    /// The same, but it knows itself what to play: by the number of a request, counted from 0, and the request.
    pub async fn answering(behaviour: impl Fn(usize, &Request) -> Vec<Act> + Send + Sync + 'static) -> Self {
        Self::serve(Stage { behaviour: Some(Box::new(behaviour)), ..Stage::default() }).await
    }

    async fn serve(stage: Stage) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("a listener has an address");
        let stage = Arc::new(stage);
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, Arc::clone(&stage)));
        Self { address, stage, _accepting: accepting }
    }

    /// What a gateway is told.
    pub fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Plays this for the next request that has no script.
    pub async fn play(&self, script: Vec<Act>) {
        self.stage.scripts.lock().await.push_back(script);
    }

    /// What was asked so far.
    pub async fn requests(&self) -> Vec<Request> {
        self.stage.requests.lock().await.clone()
    }

    /// How often was connected.
    pub fn connections(&self) -> usize {
        self.stage.connections.load(Ordering::Relaxed)
    }

    /// How many connections the gateway closed in the middle of an answer.
    pub fn left(&self) -> usize {
        self.stage.left.load(Ordering::Relaxed)
    }
}

impl Stage {
    async fn next(&self, request: Request) -> Vec<Act> {
        let number = {
            let mut requests = self.requests.lock().await;
            requests.push(request.clone());
            requests.len() - 1
        };
        let script = self.scripts.lock().await.pop_front();
        let behave = || self.behaviour.as_ref().map(|behave| behave(number, &request));
        script.or_else(behave).unwrap_or_default()
    }
}

async fn accept(listener: TcpListener, stage: Arc<Stage>) {
    let mut connections = JoinSet::new();
    while let Ok((socket, _)) = listener.accept().await {
        stage.connections.fetch_add(1, Ordering::Relaxed);
        socket.set_nodelay(true).expect("a socket takes its options");
        connections.spawn(serve(socket, Arc::clone(&stage)));
    }
}

/// Answers the requests of a connection, one after the other.
async fn serve(mut socket: TcpStream, stage: Arc<Stage>) {
    while let Some(request) = read(&mut socket).await {
        for act in stage.next(request).await {
            match act {
                Act::Send(bytes) => {
                    if socket.write_all(&bytes).await.is_err() {
                        stage.left.fetch_add(1, Ordering::Relaxed);
                        return;
                    }
                }
                Act::Stall => {
                    // A gateway that waits sends nothing: what comes is its end.
                    drop(socket.read(&mut [0]).await);
                    stage.left.fetch_add(1, Ordering::Relaxed);
                    return;
                }
                Act::Close => return,
            }
        }
    }
}

/// The next request, or nothing where the gateway has closed.
async fn read(socket: &mut TcpStream) -> Option<Request> {
    let mut seen = Vec::new();
    let mut chunk = vec![0; 16 << 10];
    loop {
        if let Some(end) = seen.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&seen[..end]).into_owned();
            let length = length_of(&head);
            if seen.len() >= end + 4 + length {
                return Some(Request { head, body: seen[end + 4..end + 4 + length].to_vec() });
            }
        }
        match socket.read(&mut chunk).await {
            Ok(length) if length > 0 => seen.extend(&chunk[..length]),
            _ => return None,
        }
    }
}

fn length_of(head: &str) -> usize {
    let field = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    });
    field.unwrap_or_default()
}
