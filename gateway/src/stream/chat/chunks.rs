//! Events as `chat.completion.chunk`s.

use bytes::BytesMut;
use openapi::chat::{ChatChunkChoice, ChatDelta, FunctionDelta, ToolCallDelta};
use serde::Serialize;

use crate::engine::{Delta, DeltaPart, Event, FinishReason, TokenLogprob, Usage};
use crate::stream::frames::Chunks;
use crate::stream::{Head, StreamShape, Wire, logprobs, wire_finish};

/// Writes chat chunks.
#[derive(Debug)]
pub struct ChatWire {
    chunks: Chunks,
    choices: Vec<Choice>,
}

/// What is remembered of a choice between its chunks.
#[derive(Debug, Default, Clone)]
struct Choice {
    /// Its first chunk was written.
    begun: bool,
    /// Of tokens whose text is held back: they go with the choice's next chunk.
    logprobs: Vec<TokenLogprob>,
}

#[derive(Serialize)]
struct ChunkHead<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_tier: Option<&'a str>,
    system_fingerprint: &'a str,
}

/// The first chunk of a choice, in which it is said who speaks. OpenAI's content is `null` where a call comes first.
#[derive(Serialize)]
struct Opening {
    index: u32,
    delta: Speaker,
    logprobs: (),
    finish_reason: (),
}

#[derive(Serialize)]
struct Speaker {
    role: &'static str,
    content: Option<&'static str>,
}

impl ChatWire {
    /// Chunks under one head.
    pub fn new(head: &Head, shape: StreamShape) -> Self {
        let chunk_head = ChunkHead {
            id: &head.id,
            object: "chat.completion.chunk",
            created: head.created,
            model: &head.model,
            service_tier: head.service_tier.as_deref(),
            system_fingerprint: &head.fingerprint,
        };
        Self {
            chunks: Chunks::new(&chunk_head, shape.include_usage),
            choices: vec![Choice::default(); shape.choices as usize],
        }
    }

    fn delta(&mut self, delta: Delta, out: &mut BytesMut) {
        let Delta { choice: index, part, logprobs, .. } = delta;
        let Some(choice) = self.choices.get_mut(index as usize) else { return };
        choice.logprobs.extend(logprobs);
        let Some(part) = part else { return };
        let logprobs = logprobs::chat(std::mem::take(&mut choice.logprobs));
        self.open(index, matches!(part, DeltaPart::ToolCall { .. }), out);
        let delta = wire_delta(part);
        let gained = ChatChunkChoice { index, delta, logprobs, finish_reason: None, stop_reason: None };
        self.chunks.write(&gained, out);
    }

    fn finish(&mut self, index: u32, reason: FinishReason, stop: Option<&str>, out: &mut BytesMut) {
        self.open(index, false, out);
        let Some(choice) = self.choices.get_mut(index as usize) else { return };
        let logprobs = logprobs::chat(std::mem::take(&mut choice.logprobs));
        let end = ChatChunkChoice {
            index,
            delta: ChatDelta::default(),
            logprobs,
            finish_reason: Some(wire_finish(reason)),
            stop_reason: stop.map(str::to_owned),
        };
        self.chunks.write(&end, out);
    }

    fn open(&mut self, index: u32, with_call: bool, out: &mut BytesMut) {
        let Some(choice) = self.choices.get_mut(index as usize) else { return };
        if choice.begun {
            return;
        }
        choice.begun = true;
        let content = if with_call { None } else { Some("") };
        let delta = Speaker { role: "assistant", content };
        self.chunks.write(&Opening { index, delta, logprobs: (), finish_reason: () }, out);
    }
}

impl Wire for ChatWire {
    fn event(&mut self, event: Event, out: &mut BytesMut) {
        match event {
            Event::Delta(delta) => self.delta(delta, out),
            Event::Finished { choice, reason, stop } => self.finish(choice, reason, stop.as_deref(), out),
            Event::Wire(_) | Event::Done(_) => {}
        }
    }

    fn end(&mut self, usage: Usage, out: &mut BytesMut) {
        self.chunks.write_end(usage, out);
    }
}

fn wire_delta(part: DeltaPart) -> ChatDelta {
    match part {
        DeltaPart::Content(text) => ChatDelta { content: Some(text), ..ChatDelta::default() },
        DeltaPart::Reasoning(text) => ChatDelta { reasoning_content: Some(text), ..ChatDelta::default() },
        DeltaPart::ToolCall { index, id, name } => call_delta(ToolCallDelta {
            index,
            id: Some(id),
            kind: Some("function".to_owned()),
            function: FunctionDelta { name: Some(name), arguments: Some(String::new()) },
        }),
        DeltaPart::ToolArguments { index, arguments } => call_delta(ToolCallDelta {
            index,
            id: None,
            kind: None,
            function: FunctionDelta { name: None, arguments: Some(arguments) },
        }),
    }
}

fn call_delta(call: ToolCallDelta) -> ChatDelta {
    ChatDelta { tool_calls: Some(vec![call]), ..ChatDelta::default() }
}
