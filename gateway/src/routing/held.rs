//! A generation that holds its place at the target to its end, and tells how it goes.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::Stream;

use super::shadow::Side;
use super::target::Place;
use crate::engine::{EngineError, Event};

/// The events of an engine.
pub(super) type Events = Pin<Box<dyn Stream<Item = Result<Event, EngineError>> + Send>>;

/// Events that hold a place until the last of them.
pub(super) struct Held {
    /// An event that was waited for already.
    first: Option<Event>,
    events: Events,
    /// Gone with the last event, which may be long before the stream is dropped.
    place: Option<Place>,
    /// Where a shadow answers too: when this answer came.
    side: Option<Side>,
}

impl Held {
    /// Holds a place.
    pub(super) fn new(first: Option<Event>, events: Events, place: Place, side: Option<Side>) -> Self {
        Self { first, events, place: Some(place), side }
    }

    fn note(&mut self, next: Option<&Result<Event, EngineError>>) {
        match next {
            Some(Ok(event)) => {
                if let Some(place) = &mut self.place {
                    place.answered();
                }
                if let Some(side) = &mut self.side {
                    side.came(event);
                }
            }
            Some(Err(error)) => {
                if let Some(place) = &mut self.place {
                    place.failed(error);
                }
            }
            None => {}
        }
        if matches!(next, Some(Ok(Event::Done(_)) | Err(_)) | None) {
            self.place = None;
        }
    }
}

impl Stream for Held {
    type Item = Result<Event, EngineError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = match self.first.take() {
            Some(first) => Some(Ok(first)),
            None => std::task::ready!(self.events.as_mut().poll_next(context)),
        };
        self.note(next.as_ref());
        Poll::Ready(next)
    }
}
