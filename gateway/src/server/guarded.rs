//! A socket that ends by itself when its client is too slow: to send a request, to come back, or to read an answer.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

use super::ServerSettings;
use super::activity::Activity;
use super::canned;
use super::lines::Lines;

/// How long a closed connection is read on, so that the client gets the answer instead of a reset.
const LINGER: Duration = Duration::from_secs(2);

/// What the client is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Awaiting {
    /// The rest of a request's head: its bytes do not extend the deadline.
    Head,
    /// Its next request.
    Request,
}

/// What was read to find out which protocol it is, to be read again.
#[derive(Debug, Default)]
pub(super) struct Prefix {
    /// The bytes.
    pub(super) bytes: [u8; 3],
    /// How many of them were read.
    pub(super) len: usize,
}

/// The socket with its deadlines.
pub(super) struct Guarded<S> {
    socket: S,
    prefix: Prefix,
    is_http1: bool,
    activity: Arc<Activity>,
    header_timeout: Duration,
    idle_timeout: Duration,
    write_timeout: Duration,
    requests_seen: u64,
    awaiting: Awaiting,
    /// The lines of the head that is awaited. Of pipelined requests only the first one's are looked at.
    lines: Lines,
    read_deadline: Option<Pin<Box<Sleep>>>,
    write_deadline: Option<Pin<Box<Sleep>>>,
    /// An answer of ours that replaces hyper's, and how much of it is written.
    replacement: (Vec<u8>, usize),
    is_shut: bool,
    lingers: Option<Pin<Box<Sleep>>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Guarded<S> {
    /// Guards a socket whose first bytes were read; their head must be whole at `head_deadline`.
    pub(super) fn new(
        (socket, prefix): (S, Prefix),
        is_http1: bool,
        head_deadline: Instant,
        settings: &ServerSettings,
        activity: Arc<Activity>,
    ) -> Self {
        Self {
            socket,
            prefix,
            is_http1,
            activity,
            header_timeout: settings.header_timeout,
            idle_timeout: settings.idle_timeout,
            write_timeout: settings.write_timeout,
            requests_seen: 0,
            awaiting: Awaiting::Head,
            lines: Lines::default(),
            read_deadline: Some(Box::pin(tokio::time::sleep_until(head_deadline))),
            write_deadline: None,
            replacement: (Vec::new(), 0),
            is_shut: false,
            lingers: None,
        }
    }

    /// Reads the socket.
    fn poll_bytes(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let outcome = ready!(Pin::new(&mut self.socket).poll_read(cx, buffer));
        if let Some(bytes) = buffer.filled_mut().get_mut(before..).filter(|bytes| !bytes.is_empty()) {
            self.note_bytes(bytes);
        }
        Poll::Ready(outcome)
    }

    /// After bytes came: a new request's head has begun, if none was running.
    fn note_bytes(&mut self, bytes: &mut [u8]) {
        if !self.is_http1 {
            return;
        }
        if self.awaiting == Awaiting::Request && !self.activity.is_busy() {
            self.awaiting = Awaiting::Head;
            self.lines = Lines::default();
            self.arm_read(self.header_timeout);
        }
        if self.awaiting == Awaiting::Head {
            self.lines.check(bytes);
        }
    }

    fn arm_read(&mut self, timeout: Duration) {
        match &mut self.read_deadline {
            Some(deadline) => deadline.as_mut().reset(Instant::now() + timeout),
            None => self.read_deadline = Some(Box::pin(sleep(timeout))),
        }
    }

    /// While no bytes come: an error once the client is too late, unless it is us it waits for.
    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        if self.activity.is_busy() {
            self.read_deadline = None;
            return Poll::Pending;
        }
        let idle_timeout = self.idle_timeout;
        let deadline = self.read_deadline.get_or_insert_with(|| Box::pin(sleep(idle_timeout)));
        ready!(deadline.as_mut().poll(cx));
        if self.is_http1 && self.awaiting == Awaiting::Head {
            self.replacement = (canned::head_too_slow(), 0);
            // Best effort: a client that is late with its request is owed one attempt.
            let _ = self.poll_replacement(cx);
        }
        Poll::Ready(io::Error::new(io::ErrorKind::TimedOut, "the client sent no request in time"))
    }

    /// Writes what is left of our own answer.
    fn poll_replacement(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self.replacement.0.get(self.replacement.1..).filter(|rest| !rest.is_empty()) {
            let written = ready!(Pin::new(&mut self.socket).poll_write(cx, rest))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.replacement.1 += written;
        }
        Poll::Ready(Ok(()))
    }

    /// Passes a write's outcome on, and fails it once it has made no progress for too long.
    fn unless_stalled<T>(
        &mut self,
        cx: &mut Context<'_>,
        outcome: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.write_deadline = None;
            return outcome;
        }
        let timeout = self.write_timeout;
        ready!(self.write_deadline.get_or_insert_with(|| Box::pin(sleep(timeout))).as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client reads too slowly")))
    }

    /// Reads and forgets until the client has closed too, or for [`LINGER`].
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let deadline = self.lingers.get_or_insert_with(|| Box::pin(sleep(LINGER)));
        if deadline.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        let mut scratch = [0_u8; 4096];
        loop {
            let mut buffer = ReadBuf::new(&mut scratch);
            let outcome = ready!(Pin::new(&mut self.socket).poll_read(cx, &mut buffer));
            if outcome.is_err() || buffer.filled().is_empty() {
                return Poll::Ready(());
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.prefix.len > 0 {
            let bytes = this.prefix.bytes.get_mut(..this.prefix.len).unwrap_or_default();
            if this.is_http1 {
                this.lines.check(bytes);
            }
            // hyper reads into at least a few kilobytes.
            buffer.put_slice(bytes);
            this.prefix.len = 0;
            // What follows comes in the same read: after one of a few bytes hyper doubles its buffer for the next.
            return match this.poll_bytes(cx, buffer) {
                Poll::Pending => Poll::Ready(Ok(())),
                ready @ Poll::Ready(_) => ready,
            };
        }
        let requests = this.activity.started();
        if requests != this.requests_seen {
            this.requests_seen = requests;
            this.awaiting = Awaiting::Request;
            this.read_deadline = None;
        }
        match this.poll_bytes(cx, buffer) {
            Poll::Pending => this.poll_late(cx).map(Err),
            ready @ Poll::Ready(_) => ready,
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let earlier = this.poll_replacement(cx);
        if this.unless_stalled(cx, earlier).is_pending() {
            return Poll::Pending;
        }
        if this.is_http1
            && let Some(replacement) = canned::instead_of(bytes)
        {
            this.replacement = (replacement, 0);
            this.activity.leave_unread();
            return Poll::Ready(Ok(bytes.len()));
        }
        let outcome = Pin::new(&mut this.socket).poll_write(cx, bytes);
        this.unless_stalled(cx, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        // hyper then flattens head and body into one write, in which its own answers can be recognised. A stream's
        // chunks are small, so the copy is too.
        false
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let outcome = this.poll_replacement(cx);
        ready!(this.unless_stalled(cx, outcome))?;
        Pin::new(&mut this.socket).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.is_shut {
            let outcome = this.poll_replacement(cx);
            ready!(this.unless_stalled(cx, outcome))?;
            ready!(Pin::new(&mut this.socket).poll_shutdown(cx))?;
            this.is_shut = true;
        }
        if this.activity.has_unread() {
            ready!(this.poll_linger(cx));
        }
        Poll::Ready(Ok(()))
    }
}
