//! Text completions: as chunks, and folded.

use bytes::BytesMut;
use openapi::chat::FinishReason as WireFinish;
use openapi::completions::{Completion, CompletionChoice, CompletionLogprobs};
use serde::Serialize;
use tokio_stream::{Stream, StreamExt};

use super::frames::Chunks;
use super::logprobs::{Offset, push_legacy};
use super::{Head, StreamShape, Whole, Wire, wire_finish, wire_usage};
use crate::engine::{Delta, DeltaPart, Event, FinishReason, Usage};
use crate::error::ApiError;

const OBJECT: &str = "text_completion";

/// Writes the chunks of a text completion.
#[derive(Debug)]
pub struct CompletionWire {
    chunks: Chunks,
    choices: Vec<Choice>,
}

/// What is remembered of a choice between its chunks.
#[derive(Debug, Default)]
struct Choice {
    /// Text before the first token: the prompt, with `echo`.
    echo: String,
    offset: Offset,
    /// Of tokens whose text is held back: they go with the choice's next chunk.
    logprobs: Option<CompletionLogprobs>,
}

/// How a choice ended, once it has.
#[derive(Debug, Default)]
struct End {
    finish: Option<WireFinish>,
    stop: Option<String>,
}

impl End {
    fn new(reason: FinishReason, stop: Option<&str>) -> Self {
        Self { finish: Some(wire_finish(reason)), stop: stop.map(str::to_owned) }
    }

    fn of(self, text: String, index: u32, logprobs: Option<CompletionLogprobs>) -> CompletionChoice {
        CompletionChoice { text, index, logprobs, finish_reason: self.finish, stop_reason: self.stop }
    }
}

#[derive(Serialize)]
struct ChunkHead<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    system_fingerprint: &'a str,
}

impl CompletionWire {
    /// Chunks under one head; `echoes` are the texts that the choices begin with, one each or none at all.
    pub fn new(head: &Head, shape: StreamShape, echoes: Vec<String>) -> Self {
        let chunk_head = ChunkHead {
            id: &head.id,
            object: OBJECT,
            created: head.created,
            model: &head.model,
            system_fingerprint: &head.fingerprint,
        };
        Self { chunks: Chunks::new(&chunk_head, shape.include_usage), choices: choices(shape, echoes) }
    }

    /// What a choice gained; nothing is written while there is neither text nor an end.
    fn gain(&mut self, index: u32, gained: Delta, end: End, out: &mut BytesMut) {
        let Some(choice) = self.choices.get_mut(index as usize) else { return };
        let text = choice.add(gained);
        if text.is_empty() && end.finish.is_none() {
            return;
        }
        let logprobs = choice.logprobs.take();
        self.chunks.write(&end.of(text, index, logprobs), out);
    }
}

impl Wire for CompletionWire {
    fn event(&mut self, event: Event, out: &mut BytesMut) {
        match event {
            Event::Delta(delta) => self.gain(delta.choice, delta, End::default(), out),
            Event::Finished { choice, reason, stop } => {
                self.gain(choice, nothing(choice), End::new(reason, stop.as_deref()), out);
            }
            Event::Wire(_) | Event::Done(_) => {}
        }
    }

    fn end(&mut self, usage: Usage, out: &mut BytesMut) {
        self.chunks.write_end(usage, out);
    }
}

/// Waits for the whole answer. An error anywhere is the request's error.
pub async fn fold(
    head: Head,
    shape: StreamShape,
    echoes: Vec<String>,
    mut events: impl Stream<Item = Result<Event, ApiError>> + Unpin,
) -> Result<Whole<Completion>, ApiError> {
    let mut choices: Vec<_> =
        choices(shape, echoes).into_iter().map(|choice| (choice, String::new(), End::default())).collect();
    let (mut usage, mut passed) = (None, None);
    while let Some(event) = events.next().await {
        match event? {
            Event::Delta(delta) => {
                if let Some((choice, text, _)) = choices.get_mut(delta.choice as usize) {
                    text.push_str(&choice.add(delta));
                }
            }
            Event::Finished { choice: index, reason, stop } => {
                if let Some((choice, text, end)) = choices.get_mut(index as usize) {
                    text.push_str(&choice.add(nothing(index)));
                    *end = End::new(reason, stop.as_deref());
                }
            }
            Event::Wire(wired) => passed = Some(wired.bytes),
            Event::Done(used) => usage = Some(wire_usage(used)),
        }
    }
    if let Some(passed) = passed {
        return Ok(Whole::Passed(passed));
    }
    let close = |(index, (choice, text, end)): (u32, (Choice, String, End))| {
        let logprobs = shape.logprobs.then(|| choice.logprobs.unwrap_or_default());
        end.of(text, index, logprobs)
    };
    Ok(Whole::Folded(Completion {
        id: head.id,
        object: OBJECT.to_owned(),
        created: head.created,
        model: head.model,
        system_fingerprint: head.fingerprint,
        choices: (0..).zip(choices).map(close).collect(),
        usage,
    }))
}

impl Choice {
    /// Takes a delta in and gives the text that it adds, the echo before the first.
    fn add(&mut self, delta: Delta) -> String {
        for token in delta.logprobs {
            push_legacy(self.logprobs.get_or_insert_default(), token, &mut self.offset);
        }
        let text = match delta.part {
            // Raw text has no marks, so nothing of it is taken for reasoning or a call.
            Some(DeltaPart::Content(text) | DeltaPart::Reasoning(text)) => text,
            Some(DeltaPart::ToolCall { .. } | DeltaPart::ToolArguments { .. }) | None => String::new(),
        };
        if self.echo.is_empty() {
            return text;
        }
        let mut echoed = std::mem::take(&mut self.echo);
        echoed.push_str(&text);
        echoed
    }
}

fn choices(shape: StreamShape, echoes: Vec<String>) -> Vec<Choice> {
    let echoes = echoes.into_iter().chain(std::iter::repeat(String::new()));
    echoes.take(shape.choices as usize).map(|echo| Choice { echo, ..Choice::default() }).collect()
}

fn nothing(choice: u32) -> Delta {
    Delta { choice, tokens: 0, part: None, logprobs: Vec::new() }
}
