//! The events of a response, folded to one object.

use openapi::responses::{ItemStatus, Response};
use tokio_stream::{Stream, StreamExt};

use super::{Answer, Draft, Ending};
use crate::engine::{Event, FinishReason};
use crate::error::ApiError;

/// Waits for the whole response. An error anywhere is the request's error.
pub async fn fold(
    draft: &Draft,
    mut events: impl Stream<Item = Result<Event, ApiError>> + Unpin,
) -> Result<Response, ApiError> {
    let mut answer = Answer::new(&draft.response().id);
    let mut finish = FinishReason::Stop;
    let mut usage = crate::engine::Usage::default();
    while let Some(event) = events.next().await {
        match event? {
            Event::Delta(delta) => {
                answer.note(delta.logprobs);
                if let Some(part) = &delta.part {
                    answer.add(part);
                }
            }
            Event::Finished { reason, .. } => finish = reason,
            // Responses are made here, never passed on.
            Event::Wire(_) => {}
            Event::Done(used) => usage = used,
        }
    }
    answer.say_something();
    answer.close(status_of(finish));
    Ok(draft.end(answer.items().to_vec(), &Ending::Finished(finish, usage)))
}

/// What the last item is when the model has ended.
pub(in crate::stream) fn status_of(finish: FinishReason) -> ItemStatus {
    match finish {
        FinishReason::Length => ItemStatus::Incomplete,
        FinishReason::Stop | FinishReason::ToolCalls => ItemStatus::Completed,
    }
}
