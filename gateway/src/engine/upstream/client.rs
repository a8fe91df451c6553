//! Asks one server over connections that are kept: what is not a good answer is an error here.

use std::error::Error;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Extensions, HeaderMap, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Body, Frame, Incoming};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::{CaptureConnection, capture_connection};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::{Instant, timeout_at};

use super::body::Dialect;
use super::connector::{Connector, Place, Used, Way};
use super::http1::{Broken, Http1Body, NoAnswer, Outgoing, Pool};
use super::refusal::{self, LONGEST_REFUSAL};
use super::setup::{self, SetupError};
use crate::config::{Http2, ModelConfig, UpstreamAddress};
use crate::engine::{EngineError, UpstreamErrorKind};

/// How long an idle connection is kept. Servers close theirs after as little as five seconds, which is noticed.
const IDLE_CONNECTION: Duration = Duration::from_secs(30);
/// Kept connections that may prove closed one after the other.
const MOST_STALE: usize = 3;
/// How often a connection of HTTP/2 that carries streams is asked whether it lives.
const PING: Duration = Duration::from_secs(20);
/// What a request's line and its length take, about.
const HEAD: usize = 128;

/// One server.
pub(super) struct Client {
    connections: Connections,
    /// What paths of operations are put behind.
    base: String,
    /// Of every request.
    headers: HeaderMap,
    /// The same as they are written, where requests drive their connection.
    fields: Vec<u8>,
    key: Option<Arc<str>>,
    dialect: Dialect,
}

/// Connections that are kept.
enum Connections {
    /// HTTP/1.1, driven by its requests.
    Driven(Arc<Pool>),
    /// Whatever TLS agrees on, or HTTP/2, which many requests share.
    Shared(Box<legacy::Client<Connector, Full<Bytes>>>),
}

impl Connections {
    fn new(way: Way, http2: Http2) -> Self {
        let is_plain = matches!(way.place, Place::Unix(_) | Place::Tcp { tls: None, .. });
        let way = Arc::new(way);
        if http2 == Http2::Never || (is_plain && http2 == Http2::Auto) {
            return Self::Driven(Pool::new(way, IDLE_CONNECTION));
        }
        let pool = legacy::Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_CONNECTION)
            .http2_only(http2 == Http2::Always)
            .http2_adaptive_window(true)
            .http2_keep_alive_interval(PING)
            .build(Connector::new(way));
        Self::Shared(Box::new(pool))
    }
}

impl Client {
    /// Connects at the first request.
    pub(super) fn new(config: &ModelConfig) -> Result<Self, SetupError> {
        let address = UpstreamAddress::parse(config.url.as_deref().ok_or(SetupError::NoUrl)?)?;
        let key = setup::key(config.key_file.as_deref())?;
        let headers = setup::headers(config, key.as_deref())?;
        let (place, base, dialect) = match address {
            UpstreamAddress::Unix(path) => {
                (Place::Unix(path), "http://localhost/v1".to_owned(), Dialect::Common)
            }
            UpstreamAddress::Network(uri) => {
                let host = uri.host().unwrap_or_default();
                let dialect = if speaks_openai(host) { Dialect::OpenAi } else { Dialect::Common };
                (network(&uri, config)?, uri.to_string().trim_end_matches('/').to_owned(), dialect)
            }
        };
        let way = Way { place, timeout: config.connect_timeout };
        let connections = Connections::new(way, config.http2);
        let mut client = Self { connections, base, headers, fields: Vec::new(), key, dialect };
        if let Connections::Driven(_) = client.connections {
            client.address()?;
        }
        Ok(client)
    }

    /// Requests that drive their connection say their host and path themselves.
    fn address(&mut self) -> Result<(), SetupError> {
        let uri: Uri = self.base.parse().map_err(|_| SetupError::Header)?;
        let host = uri.authority().ok_or(SetupError::Header)?;
        if !self.headers.contains_key(header::HOST) {
            self.fields = format!("host: {host}\r\n").into_bytes();
        }
        write_fields(&mut self.fields, &self.headers);
        uri.path().trim_end_matches('/').clone_into(&mut self.base);
        Ok(())
    }

    /// How the server wants to be asked.
    pub(super) fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Sends a request with more header fields; returns once a good answer's head has come. Dropped before, it is
    /// cancelled.
    pub(super) async fn post(
        &self,
        path: &str,
        body: Bytes,
        more: HeaderMap,
        until: Instant,
    ) -> Result<Response<AnswerBody>, EngineError> {
        let answer = timeout_at(until, self.send(path, body, &more)).await;
        let response =
            answer.map_err(|_| timed_out("no answer has come"))?.map_err(|error| broken(&*error))?;
        if response.status() == StatusCode::OK {
            return Ok(response);
        }
        let (head, body) = response.into_parts();
        // A refusal that breaks off, or does not end, still has its status.
        let text = timeout_at(until, Limited::new(body, LONGEST_REFUSAL).collect()).await;
        let text =
            text.ok().and_then(Result::ok).map(http_body_util::Collected::to_bytes).unwrap_or_default();
        Err(self.redacted(refusal::of_answer(head.status, &head.headers, &text)))
    }

    async fn send(
        &self,
        path: &str,
        body: Bytes,
        more: &HeaderMap,
    ) -> Result<Response<AnswerBody>, Box<dyn Failure>> {
        match &self.connections {
            Connections::Driven(pool) => {
                let response = send_driven(pool, self.outgoing(path, body, more)).await?;
                Ok(response.map(AnswerBody::Driven))
            }
            Connections::Shared(pool) => {
                let response = send_shared(pool, self.request(path, body, more)?).await?;
                Ok(response.map(AnswerBody::Shared))
            }
        }
    }

    fn request(
        &self,
        path: &str,
        body: Bytes,
        more: &HeaderMap,
    ) -> Result<Request<Full<Bytes>>, http::Error> {
        let mut request = Request::post(format!("{}/{path}", self.base)).body(Full::new(body))?;
        request.headers_mut().clone_from(&self.headers);
        request.headers_mut().extend(more.clone());
        Ok(request)
    }

    fn outgoing(&self, path: &str, body: Bytes, more: &HeaderMap) -> Outgoing {
        let base = &self.base;
        let mut head = Vec::with_capacity(HEAD + self.fields.len());
        head.extend_from_slice(format!("POST {base}/{path} HTTP/1.1\r\n").as_bytes());
        head.extend_from_slice(&self.fields);
        write_fields(&mut head, more);
        head.extend_from_slice(format!("content-length: {}\r\n\r\n", body.len()).as_bytes());
        Outgoing { head: head.into(), body }
    }

    /// A server may repeat what it was sent; the key is for nobody, the log included.
    pub(super) fn redacted(&self, mut error: EngineError) -> EngineError {
        if let (EngineError::Upstream { message, .. }, Some(key)) = (&mut error, &self.key)
            && message.contains(&**key)
        {
            *message = message.replace(&**key, "***");
        }
        error
    }
}

/// Header fields as HTTP/1.1 writes them.
fn write_fields(head: &mut Vec<u8>, fields: &HeaderMap) {
    for (name, value) in fields {
        head.extend_from_slice(name.as_str().as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
}

/// Sends it, and again where a kept connection proves closed: servers close idle ones at any moment.
async fn send_driven(pool: &Arc<Pool>, request: Outgoing) -> Result<Response<Http1Body>, NoAnswer> {
    for _ in 0..MOST_STALE {
        match pool.send(request.clone()).await {
            (true, Err(NoAnswer::Broken(error))) if closed_unanswered(&error) => note_stale(),
            (_, answer) => return answer,
        }
    }
    pool.send_anew(request).await
}

/// As [`send_driven`] does.
async fn send_shared(
    pool: &legacy::Client<Connector, Full<Bytes>>,
    request: Request<Full<Bytes>>,
) -> Result<Response<Incoming>, legacy::Error> {
    for _ in 0..MOST_STALE {
        let mut attempt = request.clone();
        let connection = capture_connection(&mut attempt);
        match pool.request(attempt).await {
            Err(error) if closed_before(&error) && was_used(&connection) => note_stale(),
            answer => return answer.inspect(note_use),
        }
    }
    pool.request(request).await.inspect(note_use)
}

/// Why a request has no answer.
trait Failure: Error + Send + Sync {
    /// Nobody was connected to.
    fn is_connect(&self) -> bool {
        false
    }
}

impl Failure for legacy::Error {
    fn is_connect(&self) -> bool {
        self.is_connect()
    }
}

impl Failure for NoAnswer {
    fn is_connect(&self) -> bool {
        matches!(self, Self::Connect(_))
    }
}

impl Failure for http::Error {}

impl<F: Failure + 'static> From<F> for Box<dyn Failure> {
    fn from(failure: F) -> Self {
        Box::new(failure)
    }
}

/// An answer's body, by whichever connection it comes.
pub(super) enum AnswerBody {
    /// It reads its own connection.
    Driven(Http1Body),
    /// A task of the connection brings it.
    Shared(Incoming),
}

/// Why an answer's body cannot be read on.
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyError {
    #[error(transparent)]
    Driven(#[from] Broken),
    #[error(transparent)]
    Shared(#[from] hyper::Error),
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut *self {
            Self::Driven(body) => Pin::new(body).poll_frame(context).map_err(BodyError::from),
            Self::Shared(body) => Pin::new(body).poll_frame(context).map_err(BodyError::from),
        }
    }
}

fn note_stale() {
    tracing::debug!("a kept connection was closed by its server");
}

fn note_use(response: &Response<Incoming>) {
    if let Some(used) = response.extensions().get::<Used>() {
        used.set();
    }
}

fn was_used(connection: &CaptureConnection) -> bool {
    let mut extras = Extensions::new();
    if let Some(connected) = connection.connection_metadata().as_ref() {
        connected.get_extras(&mut extras);
    }
    extras.get::<Used>().is_some_and(Used::get)
}

/// Whether the connection had its end before a byte of the answer.
fn closed_before(error: &(dyn Error + 'static)) -> bool {
    let of_hyper = causes(error).filter_map(|cause| cause.downcast_ref::<hyper::Error>());
    of_hyper
        .into_iter()
        .any(|cause| cause.is_incomplete_message() || cause.is_canceled() || cause.is_closed())
        || causes_of_io(error).any(is_closed)
}

fn closed_unanswered(error: &Broken) -> bool {
    match error {
        Broken::Closed => true,
        Broken::Io(error) => is_closed(error),
        _ => false,
    }
}

fn is_closed(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe)
}

/// OpenAI itself, and its models at Azure.
fn speaks_openai(host: &str) -> bool {
    host == "api.openai.com" || host.ends_with(".openai.azure.com")
}

fn network(uri: &Uri, config: &ModelConfig) -> Result<Place, SetupError> {
    let secure = uri.scheme_str() == Some("https");
    let tls =
        secure.then(|| setup::tls(config.ca_file.as_deref().map(Path::new), config.http2)).transpose()?;
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
    Ok(Place::Tcp { host, port, tls })
}

/// An answer that was to be streamed and plainly is not.
pub(super) fn check_stream(response: &Response<AnswerBody>) -> Result<(), EngineError> {
    let kind = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    match kind {
        Some(kind) if kind.starts_with("application/json") || kind.starts_with("text/html") => {
            Err(failure(UpstreamErrorKind::Broken, "the answer is not a stream, as was asked for"))
        }
        _ => Ok(()),
    }
}

pub(super) fn failure(kind: UpstreamErrorKind, message: impl Into<String>) -> EngineError {
    EngineError::Upstream { kind, status: None, retry_after: None, message: message.into(), param: None }
}

pub(super) fn timed_out(what: &str) -> EngineError {
    failure(UpstreamErrorKind::TimedOut, format!("{what} in time"))
}

/// A request without an answer. The causes say what happened, the error itself only where.
fn broken(error: &(dyn Failure + 'static)) -> EngineError {
    let mut causes: Vec<_> = causes(error).map(ToString::to_string).collect();
    // A cause may say no more than its own.
    causes.dedup();
    let late = causes_of_io(error).any(|cause| cause.kind() == io::ErrorKind::TimedOut);
    let (kind, place) = if error.is_connect() {
        (UpstreamErrorKind::Unreachable, "cannot connect")
    } else {
        (UpstreamErrorKind::Broken, "the connection broke before an answer")
    };
    let why = if late { "it took too long".to_owned() } else { causes.join(": ") };
    failure(kind, format!("{place}: {why}"))
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(error.source(), |cause: &&'a (dyn Error + 'static)| (*cause).source())
}

fn causes_of_io<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a io::Error> {
    causes(error).filter_map(|cause| cause.downcast_ref())
}
