//! A generation whose every end is settled: complete, failed, past the shutdown deadline, or dropped by the client.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::Stream;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::accounting::Settlement;
use crate::auth::live::LiveStream;
use crate::engine::{EngineError, Event, Generation};
use crate::error::{ApiError, ErrorKind};

/// Another replica, or this one restarted, may be there.
const RETRY_AFTER_SHUTDOWN: Duration = Duration::from_secs(1);

/// The events of a generation, with errors as clients see them. Ends after [`Event::Done`] or one error.
pub struct Watched {
    /// Gone once the stream has ended, so that the engine is free at once and not when the response is dropped.
    running: Option<Running>,
}

struct Running {
    generation: Generation,
    settlement: Settlement,
    killed: Pin<Box<WaitForCancellationFutureOwned>>,
    revoked: Pin<Box<dyn Future<Output = ()> + Send>>,
    _live: LiveStream,
}

impl Watched {
    /// Watches a generation until its end, until `killed` is cancelled, or until its caller is revoked.
    pub fn new(
        generation: Generation,
        settlement: Settlement,
        killed: CancellationToken,
        live: LiveStream,
    ) -> Self {
        let killed = Box::pin(killed.cancelled_owned());
        let revoked = Box::pin(live.revoked());
        Self { running: Some(Running { generation, settlement, killed, revoked, _live: live }) }
    }
}

impl Running {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<Event, ApiError>> {
        match self.generation.events.as_mut().poll_next(context) {
            Poll::Ready(Some(Ok(event))) => Poll::Ready(Ok(event)),
            Poll::Ready(Some(Err(error))) => Poll::Ready(Err(error.into())),
            Poll::Ready(None) => {
                Poll::Ready(Err(EngineError::Failed("the stream ended without its usage".to_owned()).into()))
            }
            // Asked only when there is nothing to do: every running stream comes here between two tokens.
            Poll::Pending => self.poll_ends(context).map(Err),
        }
    }

    fn poll_ends(&mut self, context: &mut Context<'_>) -> Poll<ApiError> {
        if self.revoked.as_mut().poll(context).is_ready() {
            let text = "the credential of this stream was revoked";
            return Poll::Ready(
                ApiError::new(ErrorKind::Authentication, text).with_code("credential_revoked"),
            );
        }
        self.killed.as_mut().poll(context).map(|()| {
            let text = "the server is shutting down; send the request again";
            ApiError::new(ErrorKind::Overloaded, text)
                .with_code("shutting_down")
                .with_retry_after(RETRY_AFTER_SHUTDOWN)
        })
    }
}

impl Stream for Watched {
    type Item = Result<Event, ApiError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(running) = &mut self.running else { return Poll::Ready(None) };
        let next = std::task::ready!(running.poll(context));
        match &next {
            Ok(event) => running.settlement.observe(event),
            Err(error) => running.settlement.fail(error),
        }
        if matches!(next, Ok(Event::Done(_)) | Err(_)) {
            self.running = None;
        }
        Poll::Ready(Some(next))
    }
}

impl std::fmt::Debug for Watched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watched").field("running", &self.running.is_some()).finish()
    }
}
