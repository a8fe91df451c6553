//! Responses that nobody need wait for: made by a task of their own, told from the log to whoever asks.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::{FutureExt, Stream, StreamExt, stream};
use openapi::responses::{Response, ResponseError, ResponseStatus};
use tokio::time::{Instant, interval_at, timeout};

use crate::app::App;
use crate::conversation::Conversations;
use crate::conversation::NewTurn;
use crate::conversation::events::{BEAT, Numbered};
use crate::engine::Event;
use crate::error::{ApiError, ErrorKind};
use crate::stream::response::{Draft, ResponseWire};
use crate::stream::{KEEP_ALIVE, Recorded, Wire};

/// How often a reader looks for more events.
const LOOK: Duration = Duration::from_millis(50);
/// Events read at once.
const PAGE: usize = 256;
/// How long a cancellation is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// Keeps a response as one that is being made, and leaves it to a task.
pub(super) async fn begin(
    app: &App,
    owner: &Arc<str>,
    turn: NewTurn,
    draft: Draft,
    events: Recorded,
) -> Result<(), ApiError> {
    let id = turn.id.clone();
    let unmade = NewTurn { response: Some(draft.response().clone()), ..turn };
    app.conversations.keep(owner, unmade).await?;
    app.conversations.log(owner, &id, &[]).await?;
    let (conversations, owner) = (Arc::clone(&app.conversations), Arc::clone(owner));
    drop(app.lifecycle.spawn(drive(conversations, owner, id, events, ResponseWire::new(draft))));
    Ok(())
}

/// Makes a response to its end, whoever reads.
pub(super) async fn drive(
    conversations: Arc<Conversations>,
    owner: Arc<str>,
    id: String,
    mut events: Recorded,
    mut wire: ResponseWire,
) {
    let mut buffer = BytesMut::new();
    let mut next = 0;
    wire.begin(&mut buffer);
    let mut beat = interval_at(Instant::now() + BEAT, BEAT);
    loop {
        let numbered = number(&mut buffer, &mut next);
        match conversations.log(&owner, &id, &numbered).await {
            Ok(standing) if standing.cancelled => {
                if let Err(error) = events.cancel().await {
                    tracing::warn!(%error, "a cancelled response could not be kept");
                }
                return;
            }
            Ok(_) => {}
            // The events are lost to readers; the response itself is kept at its end, or is not.
            Err(error) => tracing::warn!(%error, "events of a background response could not be kept"),
        }
        let event = tokio::select! {
            event = events.next() => event,
            _ = beat.tick() => continue,
        };
        let mut ready = event;
        // What is ready at once is written at once.
        loop {
            match ready {
                Some(Ok(Event::Done(usage))) => wire.end(usage, &mut buffer),
                Some(Ok(event)) => wire.event(event, &mut buffer),
                Some(Err(error)) => wire.fail(&error, &mut buffer),
                None => {
                    let last = number(&mut buffer, &mut next);
                    drop(conversations.log(&owner, &id, &last).await);
                    return;
                }
            }
            match events.next().now_or_never() {
                Some(more) => ready = more,
                None => break,
            }
        }
    }
}

/// Cuts what was written into events.
fn number(buffer: &mut BytesMut, next: &mut u64) -> Vec<Numbered> {
    let mut all = buffer.split().freeze();
    let mut numbered = Vec::new();
    // JSON has no line ends of its own, so an empty line is the end of an event.
    while let Some(end) = memchr::memmem::find(&all, b"\n\n") {
        numbered.push((*next, all.split_to(end + 2)));
        *next += 1;
    }
    numbered
}

/// A response as it is now: one whose maker is gone has failed, whatever is stored of it.
pub(super) async fn current(app: &App, owner: &str, id: &str) -> Result<Response, ApiError> {
    let mut response = app.conversations.response(owner, id).await?;
    if !response.status.is_final() && !alive(app, owner, id).await? {
        // It may have ended between the two looks.
        response = app.conversations.response(owner, id).await?;
        if !response.status.is_final() {
            response.status = ResponseStatus::Failed;
            response.error = Some(ResponseError {
                code: "server_error".to_owned(),
                message: "the server that made this response has ended; ask again".to_owned(),
            });
        }
    }
    Ok(response)
}

async fn alive(app: &App, owner: &str, id: &str) -> Result<bool, ApiError> {
    Ok(app.conversations.standing(owner, id).await?.alive)
}

/// Gives a response up, and waits until it has ended.
pub(super) async fn cancel(app: &App, owner: &str, id: &str) -> Result<Response, ApiError> {
    let response = current(app, owner, id).await?;
    if !response.background {
        return Err(ApiError::invalid("only responses that were made in the background can be cancelled")
            .with_code("not_in_background"));
    }
    if response.status.is_final() {
        return Ok(response);
    }
    app.conversations.cancel(owner, id).await?;
    let ended = async {
        loop {
            let response = current(app, owner, id).await?;
            if response.status.is_final() {
                return Ok(response);
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    timeout(PATIENCE, ended).await.unwrap_or_else(|_| {
        let text = "the response is being cancelled, and has not ended yet; ask for it again";
        Err(ApiError::new(ErrorKind::Overloaded, text).with_retry_after(Duration::from_secs(1)))
    })
}

/// The events of a response behind a place, until its end. A reader that leaves leaves the response alone.
pub(super) async fn follow(
    app: &Arc<App>,
    owner: &Arc<str>,
    id: &str,
    after: Option<u64>,
) -> Result<impl Stream<Item = io::Result<Bytes>> + Send + 'static, ApiError> {
    let response = current(app, owner, id).await?;
    let page = app.conversations.replay(owner, id, after, PAGE).await?;
    if page.is_empty() && response.status.is_final() && after.is_none() {
        let text =
            "the events of this response are not kept any more, or never were; ask for it without 'stream'";
        return Err(ApiError::new(ErrorKind::NotFound, text).with_code("events_not_found"));
    }
    // Who has read the last event already waits for nothing.
    let read = match after {
        Some(after) if page.is_empty() => {
            app.conversations.replay(owner, id, after.checked_sub(1), 1).await?
        }
        _ => Vec::new(),
    };
    let over = page.iter().chain(&read).any(|(_, event)| is_last(event));
    let reader = Reader {
        app: Arc::clone(app),
        owner: Arc::clone(owner),
        id: id.to_owned(),
        after,
        page: page.into(),
        said: Instant::now(),
        over,
    };
    Ok(stream::unfold(reader, |mut reader| async move {
        let next = reader.next().await?;
        Some((next, reader))
    }))
}

struct Reader {
    app: Arc<App>,
    owner: Arc<str>,
    id: String,
    after: Option<u64>,
    page: std::collections::VecDeque<Numbered>,
    said: Instant,
    over: bool,
}

impl Reader {
    /// Whether no last event will come: a response that was given up has none, nor has one whose maker is gone. One
    /// that is whole has, though the store may know of its end a moment sooner.
    async fn is_given_up(&self) -> bool {
        let Ok(now) = current(&self.app, &self.owner, &self.id).await else { return false };
        let told = alive(&self.app, &self.owner, &self.id).await;
        now.status == ResponseStatus::Cancelled || (now.status.is_final() && told.is_ok_and(|alive| !alive))
    }

    async fn next(&mut self) -> Option<io::Result<Bytes>> {
        loop {
            if !self.page.is_empty() {
                let mut frame = BytesMut::new();
                for (number, event) in self.page.drain(..) {
                    self.after = Some(number);
                    frame.extend_from_slice(&event);
                }
                self.said = Instant::now();
                return Some(Ok(frame.freeze()));
            }
            if self.over {
                return None;
            }
            let killed = self.app.lifecycle.killed_token();
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                // The response goes on elsewhere, or fails: its reader comes back for the rest.
                () = killed.cancelled() => return None,
            }
            let more = self.app.conversations.replay(&self.owner, &self.id, self.after, PAGE).await;
            match more {
                Ok(page) if !page.is_empty() => {
                    self.over = page.last().is_some_and(|(_, event)| is_last(event));
                    self.page = page.into();
                }
                Ok(_) => self.over = self.is_given_up().await,
                Err(error) => tracing::debug!(%error, "events could not be read; trying again"),
            }
            if self.page.is_empty() && !self.over && self.said.elapsed() >= self.app.limits.keep_alive {
                self.said = Instant::now();
                return Some(Ok(Bytes::from_static(KEEP_ALIVE)));
            }
        }
    }
}

/// Whether an event is the last of its response.
fn is_last(event: &[u8]) -> bool {
    ["completed", "incomplete", "failed"].iter().any(|end| {
        let name = event.strip_prefix(b"event: response.").and_then(|rest| rest.strip_prefix(end.as_bytes()));
        name.is_some_and(|rest| rest.starts_with(b"\n"))
    })
}
