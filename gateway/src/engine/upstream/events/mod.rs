//! From the bytes of a streamed answer to the house's events. Whatever the bytes are, it returns.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::engine::upstream::chunk::{CallDelta, Chunk, ChunkChoice, Delta, Logprobs, TokenEntry, WireUsage};
use crate::engine::upstream::sse::{EventTooLong, SseDecoder};
use crate::engine::{Candidate, DeltaPart, Event, FinishReason, TokenLogprob, Usage};

/// What OpenAI's API takes at most of tools; one answer calls no more.
const MOST_CALLS: usize = 128;

/// Why a stream is no answer.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// An event has no end.
    #[error(transparent)]
    TooLong(#[from] EventTooLong),
    /// An event is not what the protocol has.
    #[error("an event is no chunk: {0}")]
    NoChunk(&'static str),
    /// A choice that nobody asked for, or a call out of order.
    #[error("{0}")]
    Disorder(&'static str),
    /// It ended before its end.
    #[error("the stream ended in the middle of the answer")]
    Unfinished,
    /// The server said that it failed.
    #[error("the server ended the stream by an error")]
    Told(Box<serde_json::Value>),
}

/// What was asked for, which bounds what may come.
#[derive(Debug, Clone, Copy)]
pub struct Expected {
    /// How many choices.
    pub choices: u32,
    /// Log-probabilities are wanted.
    pub logprobs: bool,
    /// The prompt's estimated length, for servers that do not tell what they used.
    pub prompt_tokens: u32,
}

/// Reads one streamed answer.
#[derive(Debug)]
pub struct ChunkReader {
    decoder: SseDecoder,
    answer: Answer,
}

#[derive(Debug)]
struct Answer {
    choices: Vec<Choice>,
    expected: Expected,
    /// What the server said it used.
    usage: Option<WireUsage>,
    /// What was seen of it.
    seen: Usage,
    done: bool,
}

#[derive(Debug, Default, Clone)]
struct Choice {
    ended: bool,
    /// The server's numbers of the calls, in the order in which they began.
    calls: Vec<u32>,
}

impl ChunkReader {
    /// Reads an answer to what was asked.
    pub fn new(expected: Expected) -> Self {
        let seen = Usage { prompt_tokens: expected.prompt_tokens, ..Usage::default() };
        let choices = vec![Choice::default(); expected.choices as usize];
        let answer = Answer { choices, expected, usage: None, seen, done: false };
        Self { decoder: SseDecoder::default(), answer }
    }

    /// Whether the answer is complete: what follows says nothing.
    pub fn is_done(&self) -> bool {
        self.answer.done
    }

    /// Takes the next bytes; what they tell is put behind `events`.
    ///
    /// # Errors
    /// They belong to no answer.
    pub fn push(&mut self, bytes: &[u8], events: &mut VecDeque<Event>) -> Result<(), StreamError> {
        let Self { decoder, answer } = self;
        decoder.push(bytes, |data| answer.take(data, events))
    }

    /// The bytes have ended.
    ///
    /// # Errors
    /// The answer is not complete.
    pub fn finish(&mut self, events: &mut VecDeque<Event>) -> Result<(), StreamError> {
        let Self { decoder, answer } = self;
        decoder.finish(|data| answer.take(data, events))?;
        if answer.done {
            return Ok(());
        }
        // Not every server says `[DONE]`.
        if answer.choices.iter().all(|choice| choice.ended) {
            answer.end(events);
            return Ok(());
        }
        Err(StreamError::Unfinished)
    }
}

impl Answer {
    fn take(&mut self, data: &[u8], events: &mut VecDeque<Event>) -> Result<(), StreamError> {
        if self.done {
            return Ok(());
        }
        let data = data.trim_ascii();
        if data == b"[DONE]" {
            self.end(events);
            return Ok(());
        }
        let chunk: Chunk = serde_json::from_slice(data).map_err(|error| no_chunk(&error))?;
        if let Some(error) = chunk.error {
            return Err(StreamError::Told(Box::new(error)));
        }
        self.usage = chunk.usage.or(self.usage);
        chunk.choices.into_iter().try_for_each(|choice| self.gain(choice, events))
    }

    fn gain(&mut self, gained: ChunkChoice, events: &mut VecDeque<Event>) -> Result<(), StreamError> {
        let Some(choice) = self.choices.get_mut(gained.index as usize) else {
            return Err(StreamError::Disorder("a chunk of a choice that was not asked for"));
        };
        if choice.ended {
            return Ok(());
        }
        let (index, mut parts) = (gained.index, Vec::new());
        choice.parts(gained.delta, gained.text, &mut parts)?;
        let logprobs = if self.expected.logprobs { logprobs(gained.logprobs) } else { Vec::new() };
        if !parts.is_empty() || !logprobs.is_empty() {
            self.tell(index, parts, logprobs, events);
        }
        if let Some(reason) = gained.finish_reason {
            if let Some(choice) = self.choices.get_mut(index as usize) {
                choice.ended = true;
            }
            let stop = gained.stop_reason.as_ref().and_then(serde_json::Value::as_str).map(Arc::from);
            events.push_back(Event::Finished { choice: index, reason: finish_reason(&reason), stop });
        }
        Ok(())
    }

    /// One event a part; tokens and log-probabilities go with the first.
    fn tell(
        &mut self,
        choice: u32,
        parts: Vec<DeltaPart>,
        logprobs: Vec<TokenLogprob>,
        events: &mut VecDeque<Event>,
    ) {
        let tokens = u32::try_from(logprobs.len()).unwrap_or(u32::MAX).max(1);
        self.seen.completion_tokens = self.seen.completion_tokens.saturating_add(tokens);
        if matches!(parts.first(), Some(DeltaPart::Reasoning(_))) {
            self.seen.reasoning_tokens = self.seen.reasoning_tokens.saturating_add(tokens);
        }
        let mut parts = parts.into_iter();
        let first = crate::engine::Delta { choice, tokens, part: parts.next(), logprobs };
        events.push_back(Event::Delta(first));
        events.extend(parts.map(|part| {
            let part = Some(part);
            Event::Delta(crate::engine::Delta { choice, tokens: 0, part, logprobs: Vec::new() })
        }));
    }

    fn end(&mut self, events: &mut VecDeque<Event>) {
        self.done = true;
        for (choice, index) in self.choices.iter_mut().zip(0..) {
            if !std::mem::replace(&mut choice.ended, true) {
                events.push_back(Event::Finished { choice: index, reason: FinishReason::Stop, stop: None });
            }
        }
        events.push_back(Event::Done(self.usage.map_or(self.seen, Usage::from)));
    }
}

impl Choice {
    fn parts(
        &mut self,
        delta: Delta,
        text: Option<String>,
        parts: &mut Vec<DeltaPart>,
    ) -> Result<(), StreamError> {
        let said = |text: Option<String>| text.filter(|text| !text.is_empty());
        let reasoning = said(delta.reasoning_content).or(said(delta.reasoning));
        parts.extend(reasoning.map(DeltaPart::Reasoning));
        let content = [delta.content, delta.refusal, text].into_iter().filter_map(said);
        parts.extend(content.map(DeltaPart::Content));
        for (call, place) in delta.tool_calls.into_iter().zip(0..) {
            self.call(call, place, parts)?;
        }
        Ok(())
    }

    /// A piece of a call. Servers number calls as they like; here they are numbered as they begin.
    fn call(&mut self, call: CallDelta, place: u32, parts: &mut Vec<DeltaPart>) -> Result<(), StreamError> {
        let number = call.index.unwrap_or(place);
        let known = self.calls.iter().position(|other| *other == number);
        let position = known.unwrap_or(self.calls.len());
        let index = u32::try_from(position).unwrap_or(u32::MAX);
        if known.is_none() {
            if position >= MOST_CALLS {
                return Err(StreamError::Disorder("more tool calls than there may be tools"));
            }
            let Some(name) = call.function.name.filter(|name| !name.is_empty()) else {
                return Err(StreamError::Disorder("a tool call that does not begin with its name"));
            };
            let id = call.id.filter(|id| !id.is_empty());
            let id = id.unwrap_or_else(|| format!("call_{:032x}", rand::random::<u128>()));
            self.calls.push(number);
            parts.push(DeltaPart::ToolCall { index, id, name });
        }
        let arguments = call.function.arguments.filter(|arguments| !arguments.is_empty());
        parts.extend(arguments.map(|arguments| DeltaPart::ToolArguments { index, arguments }));
        Ok(())
    }
}

/// The library's own text would quote the answer, which is in no log.
fn no_chunk(error: &serde_json::Error) -> StreamError {
    StreamError::NoChunk(if error.is_data() { "its fields are others" } else { "it is not JSON" })
}

/// What is none of ours ended the answer all the same.
pub(super) fn finish_reason(reason: &str) -> FinishReason {
    match reason {
        "length" => FinishReason::Length,
        "tool_calls" | "function_call" => FinishReason::ToolCalls,
        _ => FinishReason::Stop,
    }
}

fn logprobs(told: Logprobs) -> Vec<TokenLogprob> {
    if told.tokens.is_empty() {
        let with_top = |mut entry: TokenEntry| {
            let top = std::mem::take(&mut entry.top_logprobs).into_iter().map(candidate).collect();
            TokenLogprob { token: candidate(entry), top }
        };
        return told.content.into_iter().map(with_top).collect();
    }
    let mut values = told.values.into_iter();
    let mut tops = told.tops.into_iter();
    let token = |text: String| {
        // The first token of an echoed prompt has none.
        let logprob = values.next().flatten().unwrap_or_default();
        let top = tops.next().flatten().unwrap_or_default().into_iter().map(named).collect();
        TokenLogprob { token: Candidate { id: 0, bytes: text.into_bytes(), logprob }, top }
    };
    told.tokens.into_iter().map(token).collect()
}

fn candidate(entry: TokenEntry) -> Candidate {
    let bytes = entry.bytes.unwrap_or_else(|| entry.token.into_bytes());
    Candidate { id: 0, bytes, logprob: entry.logprob }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a log-probability has no more digits that mean anything"
)]
fn named((text, logprob): (String, serde_json::Value)) -> Candidate {
    Candidate { id: 0, bytes: text.into_bytes(), logprob: logprob.as_f64().unwrap_or_default() as f32 }
}

#[cfg(test)]
mod tests;
