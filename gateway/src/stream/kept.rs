//! A generation whose turn is kept before its end is told, and in part where nobody waits for the end.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, Stream};
use openapi::responses::Item;

use super::Watched;
use super::response::{Answer, Draft, Ending, status_of};
use crate::conversation::{Conversations, Link, NewTurn};
use crate::engine::{Event, FinishReason};
use crate::error::ApiError;
use crate::shutdown::Lifecycle;

/// What becomes of a turn at its end.
pub struct Keeper {
    /// Where it is kept.
    pub conversations: Arc<Conversations>,
    /// What the process waits for before it ends.
    pub lifecycle: Lifecycle,
    /// Whose it is.
    pub owner: Arc<str>,
    /// The turn, but for its output.
    pub turn: NewTurn,
    /// The response, where it is kept as one.
    pub draft: Option<Draft>,
}

impl Keeper {
    fn keep(self, output: Vec<Item>, ending: &Ending) -> BoxFuture<'static, Result<(), ApiError>> {
        let Self { conversations, owner, mut turn, draft, .. } = self;
        turn.response = draft.map(|draft| draft.end(output.clone(), ending));
        turn.output = output;
        // A conversation gains whole turns, and partial ones where that is wanted; never a question alone.
        let gains = match ending {
            Ending::Finished(..) => true,
            Ending::Failed(_) | Ending::Left => conversations.keeps_partial() && !turn.output.is_empty(),
            Ending::Cancelled => false,
        };
        if !gains && matches!(turn.link, Link::Conversation(_)) {
            turn.link = Link::None;
        }
        async move { Ok(conversations.keep(&owner, turn).await?) }.boxed()
    }
}

/// The events of a generation. [`Event::Done`] comes when the turn is kept; where it could not be, an error does.
pub struct Recorded {
    events: Watched,
    record: Option<Record>,
    storing: Option<Storing>,
}

/// A turn on its way to the store.
struct Storing {
    kept: BoxFuture<'static, Result<(), ApiError>>,
    /// What is told once it is there.
    told: Result<Event, ApiError>,
    lifecycle: Lifecycle,
}

/// What is kept of what passes.
struct Record {
    keeper: Keeper,
    answer: Answer,
    finish: FinishReason,
}

impl Recorded {
    /// Watches a generation; without a keeper nothing is kept.
    pub fn new(events: Watched, keeper: Option<Keeper>) -> Self {
        let record = keeper.map(|keeper| {
            let answer = Answer::new(&keeper.turn.id);
            Record { keeper, answer, finish: FinishReason::Stop }
        });
        Self { events, record, storing: None }
    }

    /// Ends the generation; what was made is kept as a cancelled response.
    pub fn cancel(mut self) -> BoxFuture<'static, Result<(), ApiError>> {
        match self.record.take() {
            Some(Record { keeper, answer, .. }) => keeper.keep(answer.into_partial(), &Ending::Cancelled),
            None => futures_util::future::ready(Ok(())).boxed(),
        }
    }

    /// Passes an event on, or begins to keep the turn.
    fn record(&mut self, event: Result<Event, ApiError>) -> Option<Result<Event, ApiError>> {
        match (&event, &mut self.record) {
            // What is passed on as it is, is not kept.
            (_, None) | (Ok(Event::Wire(_)), Some(_)) => return Some(event),
            (Ok(Event::Delta(delta)), Some(record)) => {
                record.answer.note(delta.logprobs.clone());
                if let Some(part) = &delta.part {
                    record.answer.add(part);
                }
                return Some(event);
            }
            (Ok(Event::Finished { reason, .. }), Some(record)) => {
                record.finish = *reason;
                return Some(event);
            }
            (Ok(Event::Done(_)) | Err(_), Some(_)) => {}
        }
        let Record { keeper, mut answer, finish } = self.record.take()?;
        let (output, ending) = match &event {
            Ok(Event::Done(usage)) => {
                answer.say_something();
                answer.close(status_of(finish));
                (answer.items().to_vec(), Ending::Finished(finish, *usage))
            }
            Err(error) => (answer.into_partial(), Ending::Failed(error.clone())),
            Ok(_) => return Some(event),
        };
        // A failure without a word of answer is worth keeping as a response only, which can be asked for.
        if output.is_empty() && keeper.draft.is_none() {
            return Some(event);
        }
        let lifecycle = keeper.lifecycle.clone();
        self.storing = Some(Storing { kept: keeper.keep(output, &ending), told: event, lifecycle });
        None
    }
}

impl Stream for Recorded {
    type Item = Result<Event, ApiError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(storing) = &mut self.storing {
                let kept = ready!(storing.kept.as_mut().poll(context));
                let told = self.storing.take().map(|storing| storing.told);
                return Poll::Ready(match (kept, told) {
                    (Err(error), Some(Ok(_))) => Some(Err(error)),
                    // The generation's own error says more than that it could not be kept.
                    (_, told) => told,
                });
            }
            let Some(event) = ready!(Pin::new(&mut self.events).poll_next(context)) else {
                return Poll::Ready(None);
            };
            if let Some(event) = self.record(event) {
                return Poll::Ready(Some(event));
            }
        }
    }
}

impl Drop for Recorded {
    fn drop(&mut self) {
        // What is being written goes on being written; what was not done is kept as far as it came.
        let rest = match (self.storing.take(), self.record.take()) {
            (Some(Storing { kept, lifecycle, .. }), _) => Some((lifecycle, kept)),
            (None, Some(record)) => record.leave(),
            (None, None) => None,
        };
        // Without a runtime around it the process is at its end.
        if let Some((lifecycle, kept)) = rest.filter(|_| tokio::runtime::Handle::try_current().is_ok()) {
            drop(lifecycle.spawn(logged(kept)));
        }
    }
}

impl Record {
    /// Keeps what was made before nobody read on, if that is wanted and is anything.
    fn leave(self) -> Option<(Lifecycle, BoxFuture<'static, Result<(), ApiError>>)> {
        let Self { keeper, answer, .. } = self;
        let output = answer.into_partial();
        if output.is_empty() || !keeper.conversations.keeps_partial() {
            return None;
        }
        Some((keeper.lifecycle.clone(), keeper.keep(output, &Ending::Left)))
    }
}

async fn logged(kept: BoxFuture<'static, Result<(), ApiError>>) {
    if let Err(error) = kept.await {
        tracing::warn!(%error, "a turn whose client has left could not be kept");
    }
}

impl std::fmt::Debug for Recorded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recorded").field("keeps", &self.record.is_some()).finish_non_exhaustive()
    }
}
