//! Writes text as parts: joins neighbours, and drops the white space that only separates marks from text.

use crate::engine::DeltaPart;

/// What the text being written is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Voice {
    /// The answer.
    Content,
    /// Reasoning before it.
    Reasoning,
}

/// Writes content and reasoning; white space at their ends waits until it is known to be inside.
#[derive(Debug, Clone, Default)]
pub(super) struct Sink {
    /// White space that is dropped if a mark follows, and written if text does.
    space: String,
    /// Text after a mark begins with its first visible character.
    trim_start: bool,
    /// Content may be followed by a mark, so that its trailing space waits as well.
    trim_end: bool,
}

impl Sink {
    /// A sink; `trim_end` where a call may follow content.
    pub(super) fn new(trim_end: bool) -> Self {
        Self { trim_end, ..Self::default() }
    }

    /// A mark was read: space on both of its sides belongs to it.
    pub(super) fn mark(&mut self) {
        self.space.clear();
        self.trim_start = true;
    }

    /// Writes text.
    pub(super) fn write(&mut self, voice: Voice, text: &str, out: &mut Vec<DeltaPart>) {
        let text = if self.trim_start { text.trim_start() } else { text };
        if text.is_empty() {
            return;
        }
        self.trim_start = false;
        if voice == Voice::Content && !self.trim_end {
            append(voice, text, out);
            return;
        }
        let body = text.trim_end();
        if !body.is_empty() {
            append(voice, &self.space, out);
            append(voice, body, out);
            self.space.clear();
        }
        self.space.push_str(text.get(body.len()..).unwrap_or_default());
    }

    /// The text ends here without a mark, so that trailing space of content is part of it.
    pub(super) fn finish(&mut self, voice: Voice, out: &mut Vec<DeltaPart>) {
        if voice == Voice::Content {
            append(voice, &self.space, out);
        }
        self.space.clear();
    }
}

fn append(voice: Voice, text: &str, out: &mut Vec<DeltaPart>) {
    if text.is_empty() {
        return;
    }
    match (voice, out.last_mut()) {
        (Voice::Content, Some(DeltaPart::Content(last)))
        | (Voice::Reasoning, Some(DeltaPart::Reasoning(last))) => last.push_str(text),
        (Voice::Content, _) => out.push(DeltaPart::Content(text.to_owned())),
        (Voice::Reasoning, _) => out.push(DeltaPart::Reasoning(text.to_owned())),
    }
}
