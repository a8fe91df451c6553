//! Events of the Messages API, in the order that Anthropic publishes: the message begins, each block begins, gains and
//! ends before the next one, the message's end is told with its usage.

use bytes::{BufMut, BytesMut};
use openapi::messages::{AnswerBlock, BlockDelta, EndDelta, MessagesEvent};
use serde_json::Map;

use super::{MessagesHead, Signature, ending, wire_usage};
use crate::engine::{DeltaPart, Event, FinishReason, Usage};
use crate::error::ApiError;
use crate::stream::Wire;

/// Writes an answer's events.
#[derive(Debug)]
pub struct MessagesWire {
    head: MessagesHead,
    open: Option<Open>,
    /// Blocks that were begun.
    begun: u32,
    end: EndDelta,
}

/// The block that grows.
#[derive(Debug)]
enum Open {
    Text,
    Thinking(Signature),
    /// A call, with its position among the calls.
    Call(u32),
}

impl MessagesWire {
    /// The events of an answer.
    pub fn new(head: MessagesHead) -> Self {
        Self { head, open: None, begun: 0, end: ending(FinishReason::Stop, None) }
    }

    fn part(&mut self, part: DeltaPart, out: &mut BytesMut) {
        match part {
            DeltaPart::Content(text) => {
                if !matches!(self.open, Some(Open::Text)) {
                    self.begin_block(Open::Text, AnswerBlock::Text { text: String::new() }, out);
                }
                self.gain(BlockDelta::TextDelta { text }, out);
            }
            DeltaPart::Reasoning(_) if !self.head.shows_thinking => {}
            DeltaPart::Reasoning(thinking) => {
                if !matches!(self.open, Some(Open::Thinking(_))) {
                    let empty = AnswerBlock::Thinking { thinking: String::new(), signature: String::new() };
                    self.begin_block(Open::Thinking(Signature::default()), empty, out);
                }
                if let Some(Open::Thinking(signature)) = &mut self.open {
                    signature.add(&thinking);
                }
                self.gain(BlockDelta::ThinkingDelta { thinking }, out);
            }
            DeltaPart::ToolCall { index, id, name } => {
                let empty = AnswerBlock::ToolUse { id, name, input: Map::new() };
                self.begin_block(Open::Call(index), empty, out);
                // Clients join what follows, and take nothing for `{}`.
                self.gain(BlockDelta::InputJsonDelta { partial_json: String::new() }, out);
            }
            DeltaPart::ToolArguments { index, arguments } => {
                // A block that has ended cannot gain: no engine goes back to a call before the last.
                if matches!(self.open, Some(Open::Call(open)) if open == index) && !arguments.is_empty() {
                    self.gain(BlockDelta::InputJsonDelta { partial_json: arguments }, out);
                }
            }
        }
    }

    fn begin_block(&mut self, open: Open, content_block: AnswerBlock, out: &mut BytesMut) {
        self.end_block(out);
        write(&MessagesEvent::ContentBlockStart { index: self.begun, content_block }, out);
        if self.begun == 0 {
            write(&MessagesEvent::Ping {}, out);
        }
        self.begun = self.begun.saturating_add(1);
        self.open = Some(open);
    }

    fn gain(&self, delta: BlockDelta, out: &mut BytesMut) {
        write(&MessagesEvent::ContentBlockDelta { index: self.last(), delta }, out);
    }

    fn end_block(&mut self, out: &mut BytesMut) {
        let Some(open) = self.open.take() else { return };
        if let Open::Thinking(signature) = open {
            self.gain(BlockDelta::SignatureDelta { signature: signature.finish() }, out);
        }
        write(&MessagesEvent::ContentBlockStop { index: self.last() }, out);
    }

    /// The place of the block that was begun last.
    fn last(&self) -> u32 {
        self.begun.saturating_sub(1)
    }
}

impl Wire for MessagesWire {
    fn begin(&mut self, out: &mut BytesMut) {
        write(&MessagesEvent::MessageStart { message: self.head.empty() }, out);
    }

    fn event(&mut self, event: Event, out: &mut BytesMut) {
        match event {
            Event::Delta(delta) => {
                if let Some(part) = delta.part {
                    self.part(part, out);
                }
            }
            Event::Finished { reason, stop, .. } => {
                self.end_block(out);
                self.end = ending(reason, stop);
            }
            Event::Wire(_) | Event::Done(_) => {}
        }
    }

    fn end(&mut self, usage: Usage, out: &mut BytesMut) {
        write(&MessagesEvent::MessageDelta { delta: self.end.clone(), usage: wire_usage(usage) }, out);
        write(&MessagesEvent::MessageStop {}, out);
    }

    fn fail(&mut self, error: &ApiError, out: &mut BytesMut) {
        let request_id = self.head.request_id.to_string();
        write(&MessagesEvent::Error { error: error.messages_body(), request_id }, out);
    }
}

fn write(event: &MessagesEvent, out: &mut BytesMut) {
    out.extend_from_slice(b"event: ");
    out.extend_from_slice(event.name().as_bytes());
    out.extend_from_slice(b"\ndata: ");
    if let Err(error) = serde_json::to_writer(out.writer(), event) {
        // Wire types have string keys and finite numbers, and memory does not fail: there is no such error.
        tracing::error!(%error, "an event could not be serialised");
    }
    out.extend_from_slice(b"\n\n");
}
