//! One HTTP/1.1 connection over TCP or a Unix socket: opened when it is needed, and kept.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, header};
use http_body_util::{BodyExt, Collected, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinSet;

use super::Endpoint;

/// The most that is read of an answer.
const LONGEST_ANSWER: usize = 64 << 10;

/// What was asked brought no answer.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// Nobody listens there, or not for us.
    #[error("cannot connect: {0}")]
    Connect(#[from] std::io::Error),
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Broken(#[from] hyper::Error),
}

/// What was answered.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// When to try again, if it said.
    pub retry_after: Option<Duration>,
    /// Its body; empty where that was too long or broke off.
    pub body: Bytes,
}

impl Answer {
    /// The beginning of the body, to be logged.
    pub fn quote(&self, letters: usize) -> String {
        String::from_utf8_lossy(&self.body).trim().chars().take(letters).collect()
    }
}

/// A connection that comes back by itself.
pub struct Link {
    endpoint: Endpoint,
    open: Option<Open>,
}

struct Open {
    sender: SendRequest<Full<Bytes>>,
    /// Drives the connection; aborted on drop.
    _driver: JoinSet<()>,
}

impl Link {
    /// Opens nothing yet.
    pub fn new(endpoint: Endpoint) -> Self {
        Self { endpoint, open: None }
    }

    /// Sends a request that may be repeated: where a kept connection proves closed, it is sent once more over a new one.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn send(&mut self, mut request: Request<Full<Bytes>>) -> Result<Answer, LinkError> {
        request.headers_mut().insert(header::HOST, self.host());
        if let Some(mut open) = self.open.take().filter(|open| !open.sender.is_closed())
            && open.sender.ready().await.is_ok()
        {
            match self.exchange(open, request.clone()).await {
                Err(LinkError::Broken(error)) => tracing::debug!(%error, "a kept connection broke"),
                answered => return answered,
            }
        }
        let open = self.connect().await?;
        self.exchange(open, request).await
    }

    fn host(&self) -> HeaderValue {
        let localhost = HeaderValue::from_static("localhost");
        match &self.endpoint {
            // An address that connects is a header.
            Endpoint::Tcp(address) => HeaderValue::try_from(address).unwrap_or(localhost),
            Endpoint::Unix(_) => localhost,
        }
    }

    async fn connect(&self) -> Result<Open, LinkError> {
        match &self.endpoint {
            Endpoint::Tcp(address) => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                open(stream).await
            }
            Endpoint::Unix(path) => open(UnixStream::connect(path).await?).await,
        }
    }

    /// One request and its answer; afterwards the connection is kept for the next.
    async fn exchange(&mut self, mut open: Open, request: Request<Full<Bytes>>) -> Result<Answer, LinkError> {
        let (head, body) = open.sender.send_request(request).await?.into_parts();
        let body = Limited::new(body, LONGEST_ANSWER).collect().await.map(Collected::to_bytes);
        if body.is_ok() {
            self.open = Some(open);
        }
        let seconds =
            head.headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        Ok(Answer {
            status: head.status,
            retry_after: seconds.map(Duration::from_secs),
            body: body.unwrap_or_default(),
        })
    }
}

async fn open(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Result<Open, LinkError> {
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    let mut driver = JoinSet::new();
    driver.spawn(async move {
        // A broken connection shows itself to whoever waits for an answer.
        drop(connection.await);
    });
    Ok(Open { sender, _driver: driver })
}
