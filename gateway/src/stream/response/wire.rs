//! Events of the Responses API, in the order that OpenAI publishes: an item is added, its part is added, deltas, the
//! text is done, the part is done, the item is done.

use bytes::{BufMut, BytesMut};
use openapi::responses::{
    ContentPart, EventKind, EventPart, Item, OutputText, PartEvent, ReasoningText, ResponseEvent,
    ResponseStatus,
};

use super::{Answer, Change, Draft, Ending};
use crate::engine::{Delta, DeltaPart, Event, FinishReason, Usage};
use crate::error::ApiError;
use crate::stream::Wire;
use crate::stream::response::fold::status_of;

/// Writes a response's events.
#[derive(Debug)]
pub struct ResponseWire {
    draft: Draft,
    answer: Answer,
    finish: FinishReason,
    sequence: u64,
}

impl ResponseWire {
    /// The events of a response.
    pub fn new(draft: Draft) -> Self {
        let answer = Answer::new(&draft.response().id);
        Self { draft, answer, finish: FinishReason::Stop, sequence: 0 }
    }

    fn write(&mut self, kind: EventKind, out: &mut BytesMut) {
        out.extend_from_slice(b"event: ");
        out.extend_from_slice(kind.name().as_bytes());
        out.extend_from_slice(b"\ndata: ");
        let event = ResponseEvent { kind, sequence_number: self.sequence };
        self.sequence += 1;
        if let Err(error) = serde_json::to_writer(out.writer(), &event) {
            // Wire types have string keys and finite numbers, and memory does not fail: there is no such error.
            tracing::error!(%error, "an event could not be serialised");
        }
        out.extend_from_slice(b"\n\n");
    }

    fn delta(&mut self, delta: Delta, out: &mut BytesMut) {
        self.answer.note(delta.logprobs);
        let Some(part) = delta.part else { return };
        let Some(change) = self.answer.add(&part) else { return };
        if let Some(place) = change.closed {
            self.item_done(place, out);
        }
        if change.opened {
            self.item_added(change.place, out);
        }
        self.piece(part, change, out);
    }

    fn piece(&mut self, part: DeltaPart, change: Change, out: &mut BytesMut) {
        let Some(item) = self.answer.items().get(change.place) else { return };
        let (item_id, output_index) = (item.id().to_owned(), index(change.place));
        let kind = match part {
            DeltaPart::Content(delta) => {
                let logprobs = match item {
                    Item::Message(message) => match message.content.first() {
                        Some(ContentPart::OutputText(text)) => {
                            text.logprobs.get(change.logprobs..).unwrap_or_default().to_vec()
                        }
                        _ => Vec::new(),
                    },
                    _ => Vec::new(),
                };
                EventKind::OutputTextDelta { item_id, output_index, content_index: 0, delta, logprobs }
            }
            DeltaPart::Reasoning(delta) => {
                EventKind::ReasoningTextDelta { item_id, output_index, content_index: 0, delta }
            }
            DeltaPart::ToolArguments { arguments, .. } if !arguments.is_empty() => {
                EventKind::FunctionCallArgumentsDelta { item_id, output_index, delta: arguments }
            }
            DeltaPart::ToolCall { .. } | DeltaPart::ToolArguments { .. } => return,
        };
        self.write(kind, out);
    }

    fn item_added(&mut self, place: usize, out: &mut BytesMut) {
        let Some(mut item) = self.answer.items().get(place).cloned() else { return };
        let (item_id, output_index) = (item.id().to_owned(), index(place));
        // The first piece is in it already: it is told as a delta.
        let part = empty(&mut item);
        self.write(EventKind::OutputItemAdded { output_index, item }, out);
        if let Some(part) = part {
            let event = PartEvent { item_id, output_index, content_index: 0, part };
            self.write(EventKind::ContentPartAdded(event), out);
        }
    }

    fn item_done(&mut self, place: usize, out: &mut BytesMut) {
        let Some(item) = self.answer.items().get(place).cloned() else { return };
        let (item_id, output_index, content_index) = (item.id().to_owned(), index(place), 0);
        let part = match &item {
            Item::Message(message) => match message.content.first() {
                Some(ContentPart::OutputText(part)) => {
                    let (text, logprobs) = (part.text.clone(), part.logprobs.clone());
                    let item_id = item_id.clone();
                    let done =
                        EventKind::OutputTextDone { item_id, output_index, content_index, text, logprobs };
                    self.write(done, out);
                    Some(EventPart::output_text(part.clone()))
                }
                _ => None,
            },
            Item::Reasoning(reasoning) => reasoning.content.first().cloned().map(|part| {
                let ReasoningText::ReasoningText { text } = part.clone();
                let item_id = item_id.clone();
                self.write(EventKind::ReasoningTextDone { item_id, output_index, content_index, text }, out);
                EventPart::Reasoning(part)
            }),
            Item::FunctionCall(call) => {
                let (item_id, name, arguments) = (item_id.clone(), call.name.clone(), call.arguments.clone());
                self.write(
                    EventKind::FunctionCallArgumentsDone { item_id, output_index, name, arguments },
                    out,
                );
                None
            }
            Item::FunctionCallOutput(_) => None,
        };
        if let Some(part) = part {
            let event = PartEvent { item_id, output_index, content_index, part };
            self.write(EventKind::ContentPartDone(event), out);
        }
        self.write(EventKind::OutputItemDone { output_index, item }, out);
    }
}

impl Wire for ResponseWire {
    fn begin(&mut self, out: &mut BytesMut) {
        let mut response = self.draft.response().clone();
        self.write(EventKind::Created { response: response.clone() }, out);
        if response.status == ResponseStatus::Queued {
            self.write(EventKind::Queued { response: response.clone() }, out);
            response.status = ResponseStatus::InProgress;
        }
        self.write(EventKind::InProgress { response }, out);
    }

    fn event(&mut self, event: Event, out: &mut BytesMut) {
        match event {
            Event::Delta(delta) => self.delta(delta, out),
            Event::Finished { reason, .. } => {
                self.finish = reason;
                if self.answer.say_something() {
                    self.item_added(0, out);
                }
                if let Some(place) = self.answer.close(status_of(reason)) {
                    self.item_done(place, out);
                }
            }
            // Responses are made here, never passed on.
            Event::Wire(_) | Event::Done(_) => {}
        }
    }

    fn end(&mut self, usage: Usage, out: &mut BytesMut) {
        let ending = Ending::Finished(self.finish, usage);
        let response = self.draft.end(self.answer.items().to_vec(), &ending);
        let kind = match self.finish {
            FinishReason::Length => EventKind::Incomplete { response },
            FinishReason::Stop | FinishReason::ToolCalls => EventKind::Completed { response },
        };
        self.write(kind, out);
    }

    fn fail(&mut self, error: &ApiError, out: &mut BytesMut) {
        let output = std::mem::take(&mut self.answer).into_partial();
        let response = self.draft.end(output, &Ending::Failed(error.clone()));
        self.write(EventKind::Failed { response }, out);
    }
}

/// Takes the content out of a new item; gives the part that it begins with, where items of its kind have parts.
fn empty(item: &mut Item) -> Option<EventPart> {
    match item {
        Item::Message(message) => {
            message.content.clear();
            Some(EventPart::output_text(OutputText::default()))
        }
        Item::Reasoning(reasoning) => {
            reasoning.content.clear();
            Some(EventPart::Reasoning(ReasoningText::ReasoningText { text: String::new() }))
        }
        Item::FunctionCall(_) | Item::FunctionCallOutput(_) => None,
    }
}

fn index(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(u32::MAX)
}
