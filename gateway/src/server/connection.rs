//! One connection: which protocol it speaks, its requests, its end.

use std::convert::Infallible;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use http_body_util::combinators::BoxBody;
use hyper::body::{Body as _, Incoming};
use hyper::rt::Executor;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use poem::http::uri::Scheme;
use poem::web::{LocalAddr, RemoteAddr};
use poem::{Body, Request, RequestParts, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout, timeout_at};

use super::activity::{Activity, AnswerBody};
use super::guarded::{Guarded, Prefix};
use super::listener::{Peer, Socket};
use super::paced::PacedBody;
use super::{ServerSettings, SharedEndpoint, canned};
use crate::shutdown::Lifecycle;

/// No HTTP/1 method begins so; HTTP/2's preface does.
const HTTP2_PREFACE: &[u8; 3] = b"PRI";
/// Streams that one HTTP/2 connection may have at once.
const HTTP2_STREAMS: u32 = 256;
/// What HTTP/2 buffers for one stream whose client does not read.
const HTTP2_SEND_BUFFER: usize = 32 << 10;
/// hyper's least buffer.
const LEAST_BUFFER: usize = 8192;
/// How long an answer may take to end by itself once its generation is cancelled at the drain's deadline.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What all connections share.
pub(super) struct Connections {
    endpoint: SharedEndpoint,
    settings: ServerSettings,
    lifecycle: Lifecycle,
    http1: http1::Builder,
    http2: http2::Builder<Tracked>,
}

/// Runs HTTP/2's tasks as tasks that shutdown waits for.
#[derive(Clone)]
struct Tracked(Lifecycle);

impl<F> Executor<F> for Tracked
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    fn execute(&self, future: F) {
        drop(self.0.spawn(future));
    }
}

impl Connections {
    pub(super) fn new(endpoint: SharedEndpoint, settings: ServerSettings, lifecycle: Lifecycle) -> Self {
        let mut http1 = http1::Builder::new();
        // The head's deadline is the guarded socket's: hyper's would also run between two requests.
        http1
            .timer(TokioTimer::new())
            .header_read_timeout(None)
            .max_headers(settings.max_headers)
            .max_buf_size(settings.max_header_bytes.max(LEAST_BUFFER));
        let mut http2 = http2::Builder::new(Tracked(lifecycle.clone()));
        http2
            .timer(TokioTimer::new())
            .max_concurrent_streams(HTTP2_STREAMS)
            .max_send_buf_size(HTTP2_SEND_BUFFER)
            .max_header_list_size(u32::try_from(settings.max_header_bytes).unwrap_or(u32::MAX))
            .keep_alive_interval(settings.write_timeout)
            .keep_alive_timeout(settings.write_timeout);
        Self { endpoint, settings, lifecycle, http1, http2 }
    }

    /// Serves a connection to its end, which also frees its place.
    pub(super) async fn run(self: Arc<Self>, mut socket: Socket, peer: Peer, place: OwnedSemaphorePermit) {
        let deadline = Instant::now() + self.settings.header_timeout;
        let draining = self.lifecycle.draining_token();
        let first = tokio::select! {
            first = timeout_at(deadline, first_bytes(&mut socket)) => first,
            () = draining.cancelled() => return,
        };
        // Silent to the deadline, closed, or broken: there is nothing to answer.
        let Ok(Some(prefix)) = first else { return };
        let is_http1 = prefix.bytes != *HTTP2_PREFACE;
        let activity = Arc::new(Activity::default());
        let socket =
            Guarded::new((socket, prefix), is_http1, deadline, &self.settings, Arc::clone(&activity));
        let io = TokioIo::new(socket);
        let service = service_fn(|request| {
            let (connections, peer, activity) = (Arc::clone(&self), peer.clone(), Arc::clone(&activity));
            async move { Ok::<_, Infallible>(connections.answer(request, peer, activity).await) }
        });
        if is_http1 {
            self.drive(self.http1.serve_connection(io, service)).await;
        } else {
            self.drive(self.http2.serve_connection(io, service)).await;
        }
        drop(place);
    }

    /// Runs the protocol; lets running answers finish while draining, and drops them when killed.
    async fn drive<C: GracefulConnection>(&self, connection: C) {
        let mut connection = pin!(connection);
        let (draining, killed) = (self.lifecycle.draining_token(), self.lifecycle.killed_token());
        // A connection's error is its client's affair (gone, late, malformed): the requests' own log lines tell.
        tokio::select! {
            _ = connection.as_mut() => return,
            () = draining.cancelled() => connection.as_mut().graceful_shutdown(),
        }
        tokio::select! {
            _ = connection.as_mut() => return,
            () = killed.cancelled() => {}
        }
        drop(timeout(LAST_WORDS, connection).await);
    }

    async fn answer(
        &self,
        request: http::Request<Incoming>,
        peer: Peer,
        activity: Arc<Activity>,
    ) -> http::Response<AnswerBody> {
        let in_flight = activity.begin();
        let request = self.request(request, peer, activity);
        let answer = AssertUnwindSafe(self.endpoint.call(request)).catch_unwind().await;
        let response = match answer {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => error.into_response(),
            Err(_) => panicked(),
        };
        let mut response = http::Response::<BoxBody<_, _>>::from(response);
        let carried = std::mem::take(response.extensions_mut());
        response.map(|body| AnswerBody::new(body, carried, in_flight))
    }

    fn request(&self, request: http::Request<Incoming>, peer: Peer, activity: Arc<Activity>) -> Request {
        let (parts, body) = request.into_parts();
        let body = if body.is_end_stream() {
            Body::empty()
        } else {
            BoxBody::new(PacedBody::new(body, self.settings.body_timeout, activity)).into()
        };
        let parts = RequestParts::from((parts, LocalAddr(peer.local), RemoteAddr(peer.remote), Scheme::HTTP));
        Request::from_parts(parts, body)
    }

    /// Tells a connection over the limit to come back, and closes it.
    pub(super) async fn refuse(&self, mut socket: Socket) {
        let farewell = async {
            socket.write_all(&canned::no_place()).await?;
            socket.shutdown().await?;
            // What it sent is read, so that the close is no reset that destroys the answer.
            tokio::io::copy(&mut socket, &mut tokio::io::sink()).await
        };
        drop(timeout(LAST_WORDS, farewell).await);
    }
}

/// The answer to a request whose handler panicked; the panic itself is logged by the panic hook.
fn panicked() -> Response {
    let error = serde_json::json!({ "error": {
        "message": "the gateway failed to answer; this is a defect of the gateway", "type": "server_error",
        "param": null, "code": null,
    } });
    Response::builder()
        .status(http::StatusCode::INTERNAL_SERVER_ERROR)
        .content_type("application/json")
        .header("x-request-id", format!("req_{:032x}", rand::random::<u128>()))
        .body(error.to_string())
}

/// Reads until HTTP/2's preface is told from a method. `None` when the client closed.
async fn first_bytes(socket: &mut Socket) -> Option<Prefix> {
    let mut prefix = Prefix::default();
    while prefix.len < HTTP2_PREFACE.len() {
        let free = prefix.bytes.get_mut(prefix.len..)?;
        let read = socket.read(free).await.ok()?;
        if read == 0 {
            return None;
        }
        prefix.len += read;
        if prefix.bytes.get(..prefix.len) != HTTP2_PREFACE.get(..prefix.len) {
            break;
        }
    }
    Some(prefix)
}
