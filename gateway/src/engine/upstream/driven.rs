//! HTTP/1.1 connections that the request drives which uses them: they have no task of their own.
//!
//! With a task between the socket and the reader, each chunk of a stream is handed over once, mostly to another thread,
//! and chunks that came together are passed on one by one. Here the reader's own poll reads the socket, and takes all
//! that one read brought.

use std::collections::VecDeque;
use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::{Body, Frame, Incoming};
use hyper::client::conn::http1::{Connection, SendRequest, handshake};
use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::connector::{Stream, Way};

/// Idle connections that are kept for one server.
const MOST_IDLE: usize = 1024;
/// A connection that goes on by itself is polled so often before others have their turn.
const MOST_TURNS: u32 = 32;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoAnswer {
    /// The server cannot be reached.
    #[error("{0}")]
    Connect(#[source] io::Error),
    /// The connection broke before an answer, or what came is none.
    #[error("{0}")]
    Broken(#[source] hyper::Error),
}

/// The connections to one server.
pub(super) struct Pool {
    way: Arc<Way>,
    /// The last one that was used at the back. An idle one is not watched: it shows when it is taken whether it lives.
    idle: Mutex<Idlers>,
    keep: Duration,
}

#[derive(Default)]
struct Idlers {
    lines: VecDeque<(Box<Line>, Instant)>,
    /// There is a task that closes those that are idle for too long.
    swept: bool,
    /// That task; it ends with the pool.
    sweeper: JoinSet<()>,
}

/// One connection.
struct Line {
    sender: SendRequest<Full<Bytes>>,
    connection: Connection<Stream, Full<Bytes>>,
    closed: bool,
    signal: Arc<Signal>,
    waker: Waker,
}

impl Pool {
    /// No connection yet; idle ones are kept for so long.
    pub(super) fn new(way: Arc<Way>, keep: Duration) -> Arc<Self> {
        Arc::new(Self { way, idle: Mutex::default(), keep })
    }

    /// Sends a request, on a kept connection if there is one. Says whether it was kept: its server may have closed it.
    pub(super) async fn send(
        self: &Arc<Self>,
        request: Request<Full<Bytes>>,
    ) -> (bool, Result<Response<DrivenBody>, NoAnswer>) {
        match self.take() {
            Some(line) => (true, self.send_on(line, request).await),
            None => (false, self.send_anew(request).await),
        }
    }

    /// Sends a request on a new connection.
    pub(super) async fn send_anew(
        self: &Arc<Self>,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<DrivenBody>, NoAnswer> {
        let stream = self.way.connect().await.map_err(NoAnswer::Connect)?;
        let (sender, connection) = handshake(stream).await.map_err(NoAnswer::Broken)?;
        let signal = Arc::new(Signal::default());
        let waker = Waker::from(Arc::clone(&signal));
        self.send_on(Box::new(Line { sender, connection, closed: false, signal, waker }), request).await
    }

    async fn send_on(
        self: &Arc<Self>,
        mut line: Box<Line>,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<DrivenBody>, NoAnswer> {
        let mut answer = pin!(line.sender.send_request(request));
        let drive = |context: &mut Context<'_>| line.drive(context, |inner| answer.as_mut().poll(inner));
        let response = std::future::poll_fn(drive).await.map_err(NoAnswer::Broken)?;
        Ok(response.map(|body| DrivenBody { body, line: Some(line), pool: Arc::clone(self) }))
    }

    /// A kept connection that is not known to be closed.
    fn take(&self) -> Option<Box<Line>> {
        loop {
            let (mut line, since) = self.idle.lock().lines.pop_back()?;
            if since.elapsed() < self.keep && line.lives() {
                return Some(line);
            }
        }
    }

    fn keep(self: &Arc<Self>, line: Box<Line>) {
        let mut idle = self.idle.lock();
        idle.lines.push_back((line, Instant::now()));
        if idle.lines.len() > MOST_IDLE {
            drop(idle.lines.pop_front());
        }
        if !std::mem::replace(&mut idle.swept, true) {
            while idle.sweeper.try_join_next().is_some() {}
            idle.sweeper.spawn(sweep(Arc::downgrade(self), self.keep));
        }
    }

    /// Closes what has been idle for too long. Whether something is left.
    fn close_old(&self) -> bool {
        let mut idle = self.idle.lock();
        while idle.lines.front().is_some_and(|(_, since)| since.elapsed() >= self.keep) {
            drop(idle.lines.pop_front());
        }
        idle.swept = !idle.lines.is_empty();
        idle.swept
    }
}

/// Closes idle connections as they get too old, until there is none. Does not keep the pool.
async fn sweep(pool: Weak<Pool>, every: Duration) {
    loop {
        tokio::time::sleep(every).await;
        if !pool.upgrade().is_some_and(|pool| pool.close_old()) {
            return;
        }
    }
}

impl Line {
    /// Polls what is waited for, and the connection that brings it, until neither goes on.
    fn drive<T>(
        &mut self,
        context: &mut Context<'_>,
        mut waited_for: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        self.signal.task.register(context.waker());
        let mut inner = Context::from_waker(&self.waker);
        for _ in 0..MOST_TURNS {
            self.signal.begin();
            let mut ready = waited_for(&mut inner);
            if ready.is_pending() && !self.closed {
                // What broke is told to whoever waits.
                self.closed = Pin::new(&mut self.connection).poll(&mut inner).is_ready();
                ready = waited_for(&mut inner);
            }
            let goes_on = self.signal.end();
            if ready.is_ready() || !goes_on {
                return ready;
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// Whether an idle connection has not been closed by its server, as far as is known here.
    fn lives(&mut self) -> bool {
        let mut nobody = Context::from_waker(Waker::noop());
        let ended = self.closed || Pin::new(&mut self.connection).poll(&mut nobody).is_ready();
        !ended && self.sender.is_ready()
    }
}

/// The body of an answer, which reads its connection. Dropped before its end it closes that, else it gives it back.
pub(super) struct DrivenBody {
    body: Incoming,
    line: Option<Box<Line>>,
    pool: Arc<Pool>,
}

impl Body for DrivenBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = &mut *self;
        let Some(line) = &mut this.line else { return Poll::Ready(None) };
        let body = &mut this.body;
        let frame = std::task::ready!(line.drive(context, |inner| Pin::new(&mut *body).poll_frame(inner)));
        if frame.is_none() {
            this.give_back(context);
        }
        Poll::Ready(frame)
    }
}

impl DrivenBody {
    fn give_back(&mut self, context: &mut Context<'_>) {
        let Some(mut line) = self.line.take() else { return };
        let Line { sender, connection, closed, .. } = &mut *line;
        if !*closed {
            *closed = Pin::new(connection).poll(context).is_ready();
        }
        if !*closed && sender.is_ready() {
            self.pool.keep(line);
        }
    }
}

/// Wakes the task of a request, but not while that is polling: then it only has to go on.
#[derive(Default)]
struct Signal {
    state: AtomicU8,
    task: AtomicWaker,
}

const RESTING: u8 = 0;
const POLLING: u8 = 1;
const WOKEN: u8 = 2;

impl Signal {
    fn begin(&self) {
        self.state.store(POLLING, Ordering::Release);
    }

    /// Whether it was woken since it began.
    fn end(&self) -> bool {
        self.state.swap(RESTING, Ordering::AcqRel) == WOKEN
    }
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let polling = self.state.compare_exchange(POLLING, WOKEN, Ordering::AcqRel, Ordering::Acquire);
        if polling == Err(RESTING) {
            self.task.wake();
        }
    }
}
