//! A running answer: bytes from the server to events, each phase with its time. Dropping it closes the connection.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::stream;
use http_body_util::BodyExt;
use hyper::body::Body as _;
use tokio::time::{Instant, timeout_at};

use super::client::{AnswerBody, BodyError, failure, timed_out};
use super::events::StreamError;
use super::load::InFlight;
use super::reader::Reader;
use super::refusal;
use super::{Remote, Times};
use crate::engine::{EngineError, Event, Generation, UpstreamErrorKind};

/// A complete answer's connection can be kept once its body has ended, which is waited for this long at most.
const LINGER: Duration = Duration::from_millis(10);
/// Chunks that came together are passed on as one up to so many bytes, and one more.
const MOST_TOGETHER: usize = 16 << 10;

/// An answer whose head has come.
pub(super) struct Running {
    pub(super) remote: Arc<Remote>,
    pub(super) body: AnswerBody,
    pub(super) reader: Reader,
    pub(super) times: Times,
    pub(super) _in_flight: InFlight,
}

impl Running {
    /// The generation that this is.
    pub(super) fn generation(self) -> Generation {
        let target = Some(Arc::clone(&self.remote.target));
        let player = Player {
            running: self,
            ready: VecDeque::new(),
            begun: false,
            end: None,
            ended: false,
            error: None,
        };
        let events = stream::unfold(player, |mut player| async { Some((player.next().await?, player)) });
        Generation { events: Box::pin(events), target }
    }
}

struct Player {
    running: Running,
    /// Events that were not taken yet.
    ready: VecDeque<Event>,
    /// The first byte has come.
    begun: bool,
    /// How the body ended, where it did.
    end: Option<Result<(), BodyError>>,
    /// Nothing is read any more.
    ended: bool,
    /// Why it broke off.
    error: Option<EngineError>,
}

impl Player {
    async fn next(&mut self) -> Option<Result<Event, EngineError>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                if self.ready.is_empty() && self.ended && self.error.is_none() {
                    self.linger().await;
                }
                return Some(Ok(event));
            }
            if self.ended {
                return self.error.take().map(|error| Err(self.told(error)));
            }
            if let Err(error) = self.read().await {
                // What came before it is told first.
                (self.ended, self.error) = (true, Some(error));
            }
        }
    }

    /// Reads on until something is ready or the answer has ended.
    async fn read(&mut self) -> Result<(), EngineError> {
        let Some(bytes) = self.bytes().await? else {
            self.ended = true;
            return self.running.reader.finish(&mut self.ready).map_err(wrong);
        };
        self.begun = true;
        self.running.reader.push(bytes, &mut self.ready).map_err(wrong)?;
        self.ended = self.running.reader.is_done();
        Ok(())
    }

    /// The next bytes; `None` at the end.
    async fn bytes(&mut self) -> Result<Option<Bytes>, EngineError> {
        let Times { idle, first_byte, total } = self.running.times;
        let patience = if self.begun { Instant::now() + idle } else { first_byte };
        let come = std::future::poll_fn(|context| self.poll_bytes(context));
        let come = timeout_at(patience.min(total), come).await;
        let bytes = come.map_err(|_| timed_out("the answer did not go on"))?;
        if !bytes.is_empty() {
            return Ok(Some(bytes));
        }
        let Some(Err(error)) = self.end.take() else { return Ok(None) };
        let message = format!("the connection broke in the answer: {error}");
        Err(failure(UpstreamErrorKind::Broken, message))
    }

    /// All that has come, as one: chunks that came together go on together. Empty at the end.
    fn poll_bytes(&mut self, context: &mut Context<'_>) -> Poll<Bytes> {
        let (mut first, mut all) = (Bytes::new(), BytesMut::new());
        while self.end.is_none() && all.len() < MOST_TOGETHER {
            match Pin::new(&mut self.running.body).poll_frame(context) {
                Poll::Pending if first.is_empty() => return Poll::Pending,
                Poll::Pending => break,
                Poll::Ready(None) => self.end = Some(Ok(())),
                Poll::Ready(Some(Err(error))) => self.end = Some(Err(error)),
                Poll::Ready(Some(Ok(frame))) => {
                    let bytes = frame.into_data().unwrap_or_default();
                    if first.is_empty() {
                        first = bytes;
                        continue;
                    }
                    if all.is_empty() {
                        all.extend_from_slice(&first);
                    }
                    all.extend_from_slice(&bytes);
                }
            }
        }
        Poll::Ready(if all.is_empty() { first } else { all.freeze() })
    }

    /// Reads the end of a complete answer's body, so that its connection is used again.
    async fn linger(&mut self) {
        let end = async { while let Some(Ok(_)) = self.running.body.frame().await {} };
        drop(timeout_at(Instant::now() + LINGER, end).await);
    }

    /// Logged here, for the answer's head has been sent and nobody else will.
    fn told(&self, error: EngineError) -> EngineError {
        let error = self.running.remote.client.redacted(error);
        let kind = match &error {
            EngineError::Upstream { kind, .. } => kind.as_str(),
            _ => "other",
        };
        tracing::warn!(upstream = %self.running.remote.target, kind, "an answer broke off: {error}");
        error
    }
}

/// The bytes are no answer, or the server said why there is none.
fn wrong(error: StreamError) -> EngineError {
    match error {
        StreamError::Told(error) => refusal::of_event(&error),
        error => failure(UpstreamErrorKind::Broken, error.to_string()),
    }
}
