//! Frames events as a body of server-sent events: ready ones in one write, a comment in long silence, one end.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::Stream;
use serde::Serialize;
use tokio::time::{Instant, Sleep};

use super::Watched;
use crate::engine::{Event, Usage};
use crate::error::ApiError;

/// The last event of a stream that did not fail.
pub const DONE: &[u8] = b"data: [DONE]\n\n";

/// The comment that keeps proxies from closing a silent stream.
pub const KEEP_ALIVE: &[u8] = b": keep-alive\n\n";

/// Ready events share one write up to about this size.
const FRAME_BYTES: usize = 16 * 1024;

/// How an API writes a generation's events.
pub trait Wire: Send + Unpin {
    /// Writes what comes before the first event.
    fn begin(&mut self, _out: &mut BytesMut) {}

    /// Writes the chunks of an event, if it makes any.
    fn event(&mut self, event: Event, out: &mut BytesMut);

    /// Writes the end of an answer.
    fn end(&mut self, usage: Usage, out: &mut BytesMut);

    /// Writes the end of an answer that failed.
    fn fail(&mut self, error: &ApiError, out: &mut BytesMut) {
        write_error(error, out);
    }
}

/// The body of a streamed answer. Dropping it cancels the generation.
pub struct Frames<W, S = Watched> {
    events: S,
    wire: W,
    /// What is written and not yet sent; its memory comes back when a sent frame was written to the socket.
    buffer: BytesMut,
    silence: Pin<Box<Sleep>>,
    keep_alive: Duration,
    /// The answer is passed on as its server writes it, its end too.
    passed: bool,
    ended: bool,
}

/// What frames are made of.
type Answered = Result<Event, ApiError>;

impl<W: Wire, S: Stream<Item = Answered> + Unpin> Frames<W, S> {
    /// A body that says something at least every `keep_alive`.
    pub fn new(events: S, mut wire: W, keep_alive: Duration) -> Self {
        let silence = Box::pin(tokio::time::sleep(keep_alive));
        let mut buffer = BytesMut::new();
        wire.begin(&mut buffer);
        Self { events, wire, buffer, silence, keep_alive, passed: false, ended: false }
    }

    /// Writes everything that is ready now.
    fn collect(&mut self, context: &mut Context<'_>) {
        while !self.ended && self.buffer.len() < FRAME_BYTES {
            match Pin::new(&mut self.events).poll_next(context) {
                Poll::Pending => return,
                Poll::Ready(Some(Ok(Event::Wire(wired)))) => {
                    self.buffer.extend_from_slice(&wired.bytes);
                    self.passed = true;
                }
                Poll::Ready(Some(Ok(Event::Done(usage)))) => {
                    if !self.passed {
                        self.wire.end(usage, &mut self.buffer);
                    }
                    self.ended = true;
                }
                Poll::Ready(Some(Ok(event))) => self.wire.event(event, &mut self.buffer),
                Poll::Ready(Some(Err(error))) => {
                    self.wire.fail(&error, &mut self.buffer);
                    self.ended = true;
                }
                Poll::Ready(None) => self.ended = true,
            }
        }
    }

    /// The time to the next comment counts from the last write, so that a pause of any length gives no burst.
    fn restart_silence(&mut self) {
        let next = Instant::now() + self.keep_alive;
        self.silence.as_mut().reset(next);
    }
}

impl<W: Wire, S: Stream<Item = Answered> + Unpin> Stream for Frames<W, S> {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.collect(context);
        if !self.buffer.is_empty() {
            self.restart_silence();
            return Poll::Ready(Some(Ok(self.buffer.split().freeze())));
        }
        if self.ended {
            return Poll::Ready(None);
        }
        std::task::ready!(self.silence.as_mut().poll(context));
        self.restart_silence();
        Poll::Ready(Some(Ok(Bytes::from_static(KEEP_ALIVE))))
    }
}

impl<W, S> std::fmt::Debug for Frames<W, S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Frames").field("ended", &self.ended).finish_non_exhaustive()
    }
}

/// The chunk's constant parts around what one event adds: serialised once a stream.
#[derive(Debug)]
pub(super) struct Chunks {
    /// `data: {…,"choices":[`
    before: Vec<u8>,
    /// `],"usage":null}` and the like.
    after: &'static [u8],
    include_usage: bool,
}

impl Chunks {
    /// `head` is the chunk's object without `choices` and `usage`.
    pub(super) fn new(head: &impl Serialize, include_usage: bool) -> Self {
        let mut before = b"data: ".to_vec();
        // A head is plain strings and numbers, which always serialise.
        if serde_json::to_writer(&mut before, head).is_ok() {
            before.pop();
        }
        before.extend_from_slice(b",\"choices\":[");
        let after: &[u8] = if include_usage { b"],\"usage\":null}\n\n" } else { b"]}\n\n" };
        Self { before, after, include_usage }
    }

    /// One chunk of one choice.
    pub(super) fn write(&self, choice: &impl Serialize, out: &mut BytesMut) {
        out.extend_from_slice(&self.before);
        write_json(choice, out);
        out.extend_from_slice(self.after);
    }

    /// The chunk without choices that carries the usage, where asked for, and the end.
    pub(super) fn write_end(&self, usage: Usage, out: &mut BytesMut) {
        if self.include_usage {
            out.extend_from_slice(&self.before);
            out.extend_from_slice(b"],\"usage\":");
            write_json(&super::wire_usage(usage), out);
            out.extend_from_slice(b"}\n\n");
        }
        out.extend_from_slice(DONE);
    }
}

fn write_error(error: &ApiError, out: &mut BytesMut) {
    out.extend_from_slice(b"data: ");
    write_json(&error.envelope(), out);
    out.extend_from_slice(b"\n\n");
}

fn write_json(value: &impl Serialize, out: &mut BytesMut) {
    if let Err(error) = serde_json::to_writer(out.writer(), value) {
        // Wire types have string keys and finite numbers, and memory does not fail: there is no such error.
        tracing::error!(%error, "a chunk could not be serialised");
    }
}
