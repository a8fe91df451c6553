//! From the bytes of tokens to what they mean: whole characters, stop strings, reasoning and tool calls.

pub(super) mod automaton;
mod call;
mod marks;
mod sink;
mod stop;
mod style;
mod utf8;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

pub use stop::StopMatcher;
pub use style::{OutputStyle, ReasoningMarks, ToolFormat, ToolStyle};
pub use utf8::Utf8Splitter;

use crate::engine::DeltaPart;
use marks::MarkParser;

/// Whether the answer goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// It does.
    Continue,
    /// A stop string came, or the only call that was allowed is complete: generate no more, then
    /// [`OutputParser::finish`].
    Stopped,
}

/// Reads one answer while it is generated. However its bytes are split, the parts add up to the same.
#[derive(Debug, Clone)]
pub struct OutputParser {
    utf8: Utf8Splitter,
    stop: StopMatcher,
    marks: MarkParser,
    stopped: bool,
    /// Reused from push to push.
    text: String,
    released: String,
}

impl OutputParser {
    /// A parser for an answer in this style, ended by any of the stop strings.
    pub fn new(style: &OutputStyle, stop: &[String]) -> Self {
        Self {
            utf8: Utf8Splitter::default(),
            stop: StopMatcher::new(stop),
            marks: MarkParser::new(style),
            stopped: false,
            text: String::new(),
            released: String::new(),
        }
    }

    /// Reads one token's bytes and appends the parts they complete. Nothing is read after [`Flow::Stopped`].
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<DeltaPart>) -> Flow {
        if self.stopped {
            return Flow::Stopped;
        }
        self.text.clear();
        self.released.clear();
        self.utf8.push(bytes, &mut self.text);
        self.stopped = self.stop.push(&self.text, &mut self.released);
        self.stopped |= self.marks.push(&self.released, out) == Flow::Stopped;
        if self.stopped { Flow::Stopped } else { Flow::Continue }
    }

    /// Ends the answer: what was held back is released, except after a stop string. Calling it again adds nothing.
    pub fn finish(&mut self, out: &mut Vec<DeltaPart>) {
        if !self.stopped {
            self.text.clear();
            self.released.clear();
            self.utf8.finish(&mut self.text);
            if !self.stop.push(&self.text, &mut self.released) {
                self.stop.finish(&mut self.released);
            }
            self.marks.push(&self.released, out);
            self.stopped = true;
        }
        self.marks.finish(out);
    }

    /// Whether the answer holds a tool call.
    pub fn called_tools(&self) -> bool {
        self.marks.calls() > 0
    }

    /// The stop string that ended the answer, if one did.
    pub fn stopped_by(&self) -> Option<&str> {
        self.stop.found()
    }

    /// Whether the next token is reasoning, as far as is known.
    pub fn in_reasoning(&self) -> bool {
        self.marks.in_reasoning()
    }
}
