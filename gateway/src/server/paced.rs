//! A request body that must come at a minimal pace.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep, sleep};

use super::activity::Activity;

/// Bytes that count as progress. Fewer do not, so that a body dribbled byte by byte ends at the first time-out.
const PROGRESS: usize = 16 << 10;

/// A request body that fails with [`io::ErrorKind::TimedOut`] when 16 KiB (or its end) take longer than `timeout`.
pub(super) struct PacedBody {
    inner: Incoming,
    activity: Arc<Activity>,
    timeout: Duration,
    deadline: Option<Pin<Box<Sleep>>>,
    since_progress: usize,
    ended: bool,
}

impl PacedBody {
    pub(super) fn new(inner: Incoming, timeout: Duration, activity: Arc<Activity>) -> Self {
        Self { inner, activity, timeout, deadline: None, since_progress: 0, ended: false }
    }

    fn progress(&mut self, frame: &Frame<Bytes>) {
        self.since_progress += frame.data_ref().map_or(0, Bytes::len);
        if self.since_progress >= PROGRESS {
            self.since_progress = 0;
            if let Some(deadline) = &mut self.deadline {
                deadline.as_mut().reset(Instant::now() + self.timeout);
            }
        }
    }

    fn expired(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let timeout = self.timeout;
        self.deadline.get_or_insert_with(|| Box::pin(sleep(timeout))).as_mut().poll(cx)
    }
}

impl Body for PacedBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match Pin::new(&mut self.inner).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                self.progress(&frame);
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(io::Error::other(error)))),
            Poll::Ready(None) => {
                self.ended = true;
                Poll::Ready(None)
            }
            Poll::Pending => {
                ready!(self.expired(cx));
                let message = "the request's body came too slowly";
                Poll::Ready(Some(Err(io::Error::new(io::ErrorKind::TimedOut, message))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for PacedBody {
    fn drop(&mut self) {
        if !self.ended && !self.inner.is_end_stream() {
            self.activity.leave_unread();
        }
    }
}
