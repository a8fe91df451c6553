//! An HTTP client that knows one gateway's address and key. One connection a request: dropping an answer closes it.

use std::net::SocketAddr;

use bytes::Bytes;
use futures_util::stream;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{Method, Response};
use http_body_util::StreamBody;
use hyper::body::{Frame, Incoming};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::answer::Answer;
use crate::fold::Folded;
use crate::patience::patiently;
use crate::sse::EventStream;

/// Why there is no answer.
pub type Broken = Box<dyn std::error::Error + Send + Sync>;

/// An HTTP client that knows one gateway's address and key.
#[derive(Debug, Clone)]
pub struct Http {
    address: SocketAddr,
    key: String,
}

/// A request to send.
#[derive(Debug)]
pub struct Call {
    address: SocketAddr,
    head: http::request::Builder,
    pieces: Vec<Vec<u8>>,
    /// Sent in one piece with its length, not in chunks.
    sized: bool,
}

/// An answer whose head has come. Dropping it closes the connection.
#[derive(Debug)]
pub struct Opened {
    /// Head and body.
    pub response: Response<Incoming>,
    /// Drives the connection while it is wanted.
    pub connection: JoinSet<()>,
}

impl Http {
    /// A client for the gateway at this address.
    pub fn new(address: SocketAddr, key: &str) -> Self {
        Self { address, key: key.to_owned() }
    }

    /// Where the gateway listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The one key.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// A request without a credential.
    pub fn anonymous(&self, method: Method, path: &str) -> Call {
        let head = http::Request::builder().method(method).uri(path).header(HOST, self.address.to_string());
        Call { address: self.address, head, pieces: Vec::new(), sized: true }
    }

    /// A request with the credential.
    pub fn request(&self, method: Method, path: &str) -> Call {
        self.anonymous(method, path).header(AUTHORIZATION.as_str(), format!("Bearer {}", self.key))
    }

    /// `GET`.
    pub async fn get(&self, path: &str) -> Answer {
        self.request(Method::GET, path).send().await
    }

    /// `GET`, or nothing where there is no connection.
    pub async fn try_get(&self, path: &str) -> Option<Answer> {
        let opened = self.request(Method::GET, path).open().await.ok()?;
        Answer::read(opened).await.ok()
    }

    /// `POST` of JSON.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.post_bytes(path, body.to_string()).await
    }

    /// `POST` of JSON to a gateway that may end in the middle; nothing where no whole answer came.
    pub async fn try_post(&self, path: &str, body: &Value) -> Option<Answer> {
        let call = self.json(path).body(body.to_string());
        let opened = patiently("an answer's head", call.open()).await.ok()?;
        patiently("an answer or its end", Answer::read(opened)).await.ok()
    }

    /// `POST` of any bytes that claim to be JSON.
    pub async fn post_bytes(&self, path: &str, body: impl Into<Vec<u8>>) -> Answer {
        self.json(path).body(body).send().await
    }

    /// A `POST` that claims to be JSON, without a body yet.
    pub fn json(&self, path: &str) -> Call {
        self.request(Method::POST, path).header(CONTENT_TYPE.as_str(), "application/json")
    }

    /// A chat completion that must succeed.
    pub async fn chat(&self, body: &Value) -> Value {
        self.post("/v1/chat/completions", body).await.ok()
    }

    /// A streamed request: `stream` is set here. Returns when the first byte may come.
    pub async fn stream(&self, path: &str, body: &Value) -> EventStream {
        match self.try_stream(path, body).await {
            Ok(stream) => stream,
            Err(answer) => panic!("{} instead of a stream: {}", answer.status, answer.text()),
        }
    }

    /// A streamed request, or the refusal.
    pub async fn try_stream(&self, path: &str, body: &Value) -> Result<EventStream, Box<Answer>> {
        let mut body = body.clone();
        body["stream"] = Value::Bool(true);
        let call = self.json(path).body(body.to_string());
        let opened = patiently("the stream's head", call.open()).await.expect("the gateway answers");
        if opened.response.status().as_u16() != 200 {
            let answer = patiently("an answer", Answer::read(opened)).await.expect("the answer is whole");
            return Err(Box::new(answer));
        }
        Ok(EventStream::new(opened))
    }

    /// Has a request's prompt computed, so that all that follow begin from the same cells: a prompt that was computed
    /// as one batch differs by rounding from one whose last token came after the rest.
    pub async fn warm(&self, body: &Value) {
        let mut body = body.clone();
        body["max_tokens"] = 1.into();
        self.chat(&body).await;
    }

    /// A streamed chat completion read to its end.
    pub async fn chat_stream(&self, body: &Value) -> Folded {
        let stream = self.stream("/v1/chat/completions", body).await;
        Folded::read(stream).await
    }
}

impl Call {
    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl AsRef<str>) -> Self {
        self.head = self.head.header(name, value.as_ref());
        self
    }

    /// The body, sent with its length.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.pieces = vec![body.into()];
        self
    }

    /// The body, sent in chunks without its length.
    #[must_use]
    pub fn chunks(mut self, pieces: Vec<Vec<u8>>) -> Self {
        self.pieces = pieces;
        self.sized = false;
        self
    }

    /// Sends it and returns once the answer's head has come.
    pub async fn open(self) -> Result<Opened, Broken> {
        let socket = TcpStream::connect(self.address).await?;
        socket.set_nodelay(true)?;
        let (mut sender, driver) = hyper::client::conn::http1::handshake(TokioIo::new(socket)).await?;
        let mut connection = JoinSet::new();
        connection.spawn(async move {
            // What breaks a connection is seen by the one who reads its answer.
            drop(driver.await);
        });
        let length: usize = self.pieces.iter().map(Vec::len).sum();
        let head =
            if self.sized { self.head.header("content-length", length.to_string()) } else { self.head };
        let pieces = self.pieces.into_iter().filter(|piece| !piece.is_empty());
        let frames = pieces.map(|piece| Ok::<_, std::convert::Infallible>(Frame::data(Bytes::from(piece))));
        let request = head.body(StreamBody::new(stream::iter(frames)))?;
        let response = sender.send_request(request).await?;
        Ok(Opened { response, connection })
    }

    /// Sends it and reads the whole answer.
    pub async fn send(self) -> Answer {
        let opened = patiently("an answer's head", self.open()).await.expect("the gateway answers");
        patiently("an answer's body", Answer::read(opened)).await.expect("the answer is whole")
    }
}
