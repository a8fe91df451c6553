//! One HTTP exchange, recorded: the bytes and when each read of them arrived. Nothing is parsed while it runs.

use std::time::Duration;

use bytes::Bytes;
pub(crate) use http::Method;
use http::header;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::error::CallError;
use crate::target::Target;

/// No answer that is measured comes near this; more means that something is wrong.
const MAX_BODY: usize = 16 << 20;

/// What came back, with times.
#[derive(Debug)]
pub(crate) struct Recording {
    /// Just before the connection was opened.
    pub(crate) started: Instant,
    /// The HTTP status.
    pub(crate) status: u16,
    /// The whole body.
    pub(crate) body: Vec<u8>,
    /// For each read: where in the body it ended, and when it came.
    pub(crate) marks: Vec<(usize, Instant)>,
}

/// An exchange whose head has arrived. Dropping it closes the connection.
#[derive(Debug)]
pub(crate) struct Exchange {
    recording: Recording,
    incoming: Incoming,
    // Drives the connection; aborted on drop.
    _driver: JoinSet<()>,
}

impl Exchange {
    /// Sends a request on a connection of its own and waits for the answer's head.
    pub(crate) async fn open(
        target: &Target,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<Self, CallError> {
        let started = Instant::now();
        let stream = TcpStream::connect(target.address.socket).await.map_err(CallError::Connect)?;
        stream.set_nodelay(true).map_err(CallError::Connect)?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let mut driver = JoinSet::new();
        driver.spawn(async move {
            // A broken connection shows itself in the body or the head.
            let _ = connection.await;
        });
        let mut request = http::Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, target.address.socket.to_string())
            .header(header::CONTENT_TYPE, "application/json");
        if let Some(key) = &target.key {
            request = request.header(header::AUTHORIZATION, format!("Bearer {key}"));
        }
        let response = sender.send_request(request.body(Full::new(body))?).await?;
        let recording =
            Recording { started, status: response.status().as_u16(), body: Vec::new(), marks: Vec::new() };
        Ok(Self { recording, incoming: response.into_body(), _driver: driver })
    }

    /// The HTTP status.
    pub(crate) fn status(&self) -> u16 {
        self.recording.status
    }

    /// Waits for more of the body; false at its end.
    pub(crate) async fn read(&mut self) -> Result<bool, CallError> {
        let Some(frame) = self.incoming.frame().await else { return Ok(false) };
        let Ok(data) = frame?.into_data() else { return Ok(true) };
        self.recording.body.extend_from_slice(&data);
        if self.recording.body.len() > MAX_BODY {
            return Err(CallError::TooLarge(MAX_BODY));
        }
        self.recording.marks.push((self.recording.body.len(), Instant::now()));
        Ok(true)
    }

    /// What has arrived so far; closes the connection.
    pub(crate) fn into_recording(self) -> Recording {
        self.recording
    }
}

/// Runs one exchange to its end, or fails at the time limit.
pub(crate) async fn exchange(
    target: &Target,
    method: Method,
    path: &str,
    body: Bytes,
    limit: Duration,
) -> Result<Recording, CallError> {
    let whole = async {
        let mut exchange = Exchange::open(target, method, path, body).await?;
        while exchange.read().await? {}
        Ok(exchange.into_recording())
    };
    tokio::time::timeout(limit, whole).await.unwrap_or(Err(CallError::TimedOut))
}

/// Fetches a path outside the base path; anything but 200 is an error.
pub(crate) async fn get(target: &Target, path: &str, limit: Duration) -> Result<Vec<u8>, CallError> {
    let recording = exchange(target, Method::GET, path, Bytes::new(), limit).await?;
    if recording.status == 200 { Ok(recording.body) } else { Err(refusal(&recording)) }
}

/// The error of an answer whose status is not 200.
pub(crate) fn refusal(recording: &Recording) -> CallError {
    let text = String::from_utf8_lossy(&recording.body).chars().take(200).collect();
    CallError::Status { status: recording.status, text }
}
