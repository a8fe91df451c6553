//! Answers that go to the client byte by byte: only whole events, scanned for what they used and why they ended.
//!
//! Nothing is parsed but the chunk with the usage and what is no chunk. The names that are scanned for cannot be within a
//! text, where quotes are escaped.

mod scan;

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use serde::Deserialize;

use self::scan::Kind;
use super::chunk::{ChunkChoice, WireUsage};
use super::events::{Expected, StreamError, finish_reason};
use super::sse::{EventTooLong, LONGEST_EVENT};
use crate::engine::{Event, FinishReason, Usage, Wired};

/// The last event of a stream that did not fail.
const DONE: &[u8] = b"data: [DONE]\n\n";
/// The longest answer that is not streamed.
const LONGEST_ANSWER: usize = 64 << 20;

/// Passes a streamed answer on.
#[derive(Debug)]
pub struct FrameReader {
    /// The beginning of an event whose end has not come.
    carry: BytesMut,
    /// The client asked for the usage at the end.
    include_usage: bool,
    expected: Expected,
    /// Choices that have ended.
    ended: u32,
    usage: Option<WireUsage>,
    seen: Usage,
    done: bool,
}

/// What events side by side come down to.
#[derive(Default)]
struct Run {
    start: usize,
    tokens: u32,
    finish: Option<FinishReason>,
}

impl FrameReader {
    /// Passes an answer on to a client that asked for the usage, or did not.
    pub fn new(expected: Expected, include_usage: bool) -> Self {
        let seen = Usage { prompt_tokens: expected.prompt_tokens, ..Usage::default() };
        let (carry, usage) = (BytesMut::new(), None);
        Self { carry, include_usage, expected, ended: 0, usage, seen, done: false }
    }

    /// Whether the answer is complete: what follows says nothing.
    pub fn is_done(&self) -> bool {
        self.done
    }

    /// Takes the next bytes; whole events of them are put behind `events`.
    ///
    /// # Errors
    /// They belong to no answer.
    pub fn push(&mut self, bytes: Bytes, events: &mut VecDeque<Event>) -> Result<(), StreamError> {
        if self.done {
            return Ok(());
        }
        let bytes = if self.carry.is_empty() {
            bytes
        } else {
            self.carry.extend_from_slice(&bytes);
            self.carry.split().freeze()
        };
        let mut run = Run::default();
        let mut from = 0;
        while let Some(length) = scan::event_length(bytes.get(from..).unwrap_or_default())
            && !self.done
        {
            let event = bytes.get(from..from + length).unwrap_or_default();
            let passes = match self.inspect(event, &mut run) {
                Ok(passes) => passes,
                Err(error) => {
                    self.pass(&bytes, &mut run, from, events);
                    return Err(error);
                }
            };
            if !passes {
                self.pass(&bytes, &mut run, from, events);
                run.start = from + length;
            }
            from += length;
        }
        self.pass(&bytes, &mut run, from, events);
        if self.done {
            events.push_back(self.end());
            return Ok(());
        }
        let rest = bytes.get(from..).unwrap_or_default();
        if rest.len() > LONGEST_EVENT {
            return Err(EventTooLong.into());
        }
        self.carry.extend_from_slice(rest);
        Ok(())
    }

    /// The bytes have ended.
    ///
    /// # Errors
    /// The answer is not complete.
    pub fn finish(&mut self, events: &mut VecDeque<Event>) -> Result<(), StreamError> {
        if self.done {
            return Ok(());
        }
        if !self.carry.trim_ascii().is_empty() {
            // The last event lacks its empty line.
            self.push(Bytes::from_static(b"\n\n"), events)?;
        }
        if self.done {
            return Ok(());
        }
        if self.ended < self.expected.choices {
            return Err(StreamError::Unfinished);
        }
        self.done = true;
        // Clients wait for it, though not every server says it.
        events.push_back(Event::Wire(Wired { bytes: Bytes::from_static(DONE), tokens: 0, finish: None }));
        events.push_back(self.end());
        Ok(())
    }

    /// Notes what an event tells. Whether it is passed on.
    fn inspect(&mut self, event: &[u8], run: &mut Run) -> Result<bool, StreamError> {
        match scan::kind(event) {
            Kind::Comment => return Ok(true),
            Kind::Done => {
                self.done = true;
                return Ok(true);
            }
            Kind::Other => return other(event),
            Kind::Chunk => {}
        }
        if scan::has_usage(event) {
            let end: UsageChunk = scan::json(event).map_err(|_| StreamError::NoChunk("its usage is none"))?;
            self.usage = end.usage.or(self.usage);
            // LiteLLM's has choices that gain nothing.
            if end.choices.iter().all(ChunkChoice::says_nothing) {
                return Ok(self.include_usage);
            }
        }
        if scan::has_output(event) {
            run.tokens += 1;
        }
        if let Some(reason) = scan::finish(event) {
            self.ended = self.ended.saturating_add(1);
            run.finish = Some(finish_reason(reason));
        }
        Ok(true)
    }

    /// Passes on what lies between the start of a run and here.
    fn pass(&mut self, bytes: &Bytes, run: &mut Run, until: usize, events: &mut VecDeque<Event>) {
        let Run { start, tokens, finish } = std::mem::take(run);
        if start < until {
            self.seen.completion_tokens = self.seen.completion_tokens.saturating_add(tokens);
            events.push_back(Event::Wire(Wired { bytes: bytes.slice(start..until), tokens, finish }));
        }
    }

    fn end(&self) -> Event {
        Event::Done(self.usage.map_or(self.seen, Usage::from))
    }
}

/// An event that is no chunk: an error ends the answer, what is not even JSON is garbage, the rest is the server's own.
fn other(event: &[u8]) -> Result<bool, StreamError> {
    #[derive(Deserialize)]
    struct Failed {
        #[serde(default)]
        error: Option<serde_json::Value>,
    }
    let failed: Failed = scan::json(event).map_err(|_| StreamError::NoChunk("it is not JSON"))?;
    match failed.error {
        Some(error) => Err(StreamError::Told(Box::new(error))),
        None => Ok(true),
    }
}

#[derive(Deserialize)]
struct UsageChunk {
    #[serde(default)]
    choices: Vec<ChunkChoice>,
    #[serde(default)]
    usage: Option<WireUsage>,
}

/// Passes on an answer that is not streamed.
#[derive(Debug)]
pub struct WholeReader {
    answer: BytesMut,
    prompt_tokens: u32,
}

#[derive(Deserialize)]
struct WholeAnswer {
    choices: Vec<WholeChoice>,
    #[serde(default)]
    usage: Option<WireUsage>,
}

#[derive(Deserialize)]
struct WholeChoice {
    #[serde(default)]
    finish_reason: Option<String>,
}

impl WholeReader {
    /// An answer to a prompt of this estimated length.
    pub fn new(prompt_tokens: u32) -> Self {
        Self { answer: BytesMut::new(), prompt_tokens }
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// The answer is too long.
    pub fn push(&mut self, bytes: &Bytes) -> Result<(), StreamError> {
        if self.answer.len() + bytes.len() > LONGEST_ANSWER {
            return Err(StreamError::Disorder("the answer is too long"));
        }
        self.answer.extend_from_slice(bytes);
        Ok(())
    }

    /// The bytes have ended.
    ///
    /// # Errors
    /// They are no answer.
    pub fn finish(&mut self, events: &mut VecDeque<Event>) -> Result<(), StreamError> {
        let bytes = self.answer.split().freeze();
        let whole: WholeAnswer =
            serde_json::from_slice(&bytes).map_err(|_| StreamError::NoChunk("it is no whole answer"))?;
        let seen = Usage { prompt_tokens: self.prompt_tokens, ..Usage::default() };
        let usage = whole.usage.map_or(seen, Usage::from);
        let finish =
            whole.choices.last().and_then(|choice| choice.finish_reason.as_deref()).map(finish_reason);
        events.push_back(Event::Wire(Wired { bytes, tokens: usage.completion_tokens, finish }));
        events.push_back(Event::Done(usage));
        Ok(())
    }
}

#[cfg(test)]
mod tests;
