//! Reads the marks in a model's text: reasoning, and tool calls in the format that its template teaches.

use std::sync::Arc;

use rand::distr::{Alphanumeric, SampleString};

use super::automaton::{Automaton, Place};
use super::call::{CallScanner, Step};
use super::sink::{Sink, Voice};
use super::{Flow, OutputStyle, ReasoningMarks, ToolFormat};
use crate::engine::DeltaPart;

/// The longest that a name may be where only a bracket ends it.
const LONGEST_HEAD: usize = 256;

/// Splits text into content, reasoning and tool calls. Text that only resembles a mark comes out unchanged.
#[derive(Debug, Clone)]
pub(super) struct MarkParser {
    format: Option<ToolFormat>,
    names: Arc<[String]>,
    parallel: bool,
    reasoning: Option<ReasoningMarks>,
    opens: Automaton,
    closes: Automaton,
    state: State,
    place: Place,
    /// Text that is not yet known to be a mark or not.
    held: String,
    /// How much of its beginning is only white space and separators.
    pad: usize,
    /// The calls stand in brackets, with commas between them.
    list: bool,
    sink: Sink,
    call: CallScanner,
    announced: bool,
    calls: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Only white space so far.
    Start(Start),
    Reasoning,
    Content,
    /// Between the mark of a call and its JSON.
    Lead,
    /// In a name that stands before its JSON.
    Name,
    Call,
    /// After a call, where another may follow.
    Between,
    /// The only call allowed is complete.
    Ended,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Start {
    /// Reasoning or content may follow.
    Answer,
    /// The prompt opened the reasoning; some models open it again.
    Inside,
    /// After reasoning: content follows.
    AfterReasoning,
}

impl MarkParser {
    pub(super) fn new(style: &OutputStyle) -> Self {
        let format = style.tools.as_ref().map(|tools| tools.format);
        let reasoning = style.reasoning.clone();
        let start = match &reasoning {
            Some(_) if style.begins_in_reasoning => State::Start(Start::Inside),
            Some(_) => State::Start(Start::Answer),
            None if format == Some(ToolFormat::Llama) => State::Start(Start::Answer),
            None => State::Content,
        };
        let mut sink = Sink::new(format.is_some());
        if start == State::Start(Start::Inside) {
            sink.mark();
        }
        Self {
            format,
            names: style.tools.as_ref().map(|tools| Arc::clone(&tools.names)).unwrap_or_default(),
            parallel: style.tools.as_ref().is_none_or(|tools| tools.parallel),
            opens: Automaton::new(format.map(ToolFormat::open)),
            closes: Automaton::new(reasoning.as_ref().map(|marks| &marks.close)),
            reasoning,
            state: start,
            place: Place::default(),
            held: String::new(),
            pad: 0,
            list: false,
            sink,
            call: CallScanner::call(),
            announced: false,
            calls: 0,
        }
    }

    /// How many calls were read.
    pub(super) fn calls(&self) -> u32 {
        self.calls
    }

    pub(super) fn in_reasoning(&self) -> bool {
        matches!(self.state, State::Reasoning | State::Start(Start::Inside))
    }

    pub(super) fn push(&mut self, text: &str, out: &mut Vec<DeltaPart>) -> Flow {
        if self.state == State::Content && self.opens.is_empty() {
            self.sink.write(Voice::Content, text, out);
            return Flow::Continue;
        }
        for c in text.chars() {
            self.read(c, out);
        }
        if self.announced {
            self.emit_arguments(out);
        }
        if self.state == State::Ended { Flow::Stopped } else { Flow::Continue }
    }

    pub(super) fn finish(&mut self, out: &mut Vec<DeltaPart>) {
        match self.state {
            State::Reasoning | State::Start(Start::Inside) => self.release(Voice::Reasoning, out),
            State::Call if self.announced => {
                self.call.cut();
                self.emit_arguments(out);
            }
            // Separators and the beginning of a closing mark; before the first call of a list they are text.
            State::Between | State::Ended if self.calls > 0 => self.held.clear(),
            State::Start(_)
            | State::Content
            | State::Lead
            | State::Name
            | State::Call
            | State::Between
            | State::Ended => {
                self.release(Voice::Content, out);
            }
        }
        let voice = if self.in_reasoning() { Voice::Reasoning } else { Voice::Content };
        self.sink.finish(voice, out);
        self.announced = false;
    }

    fn read(&mut self, c: char, out: &mut Vec<DeltaPart>) {
        match self.state {
            State::Start(start) => self.start(start, c, out),
            State::Reasoning => self.reasoning(c, out),
            State::Content => self.content(c, out),
            State::Lead => self.lead(c, out),
            State::Name => self.name(c, out),
            State::Call => self.call(c, out),
            State::Between => self.between(c, out),
            State::Ended => {}
        }
    }

    fn start(&mut self, start: Start, c: char, out: &mut Vec<DeltaPart>) {
        if c.is_whitespace() && self.said().is_empty() {
            return self.hold_pad(c);
        }
        self.held.push(c);
        let said = self.said();
        let open = self.reasoning.as_ref().map(|marks| marks.open.as_str());
        if let Some(open) = open.filter(|open| start != Start::AfterReasoning && open.starts_with(said)) {
            if open.len() == said.len() {
                self.sink.mark();
                self.enter(State::Reasoning);
            }
            return;
        }
        if start == Start::Inside {
            self.reread(State::Reasoning, out);
        } else if self.format == Some(ToolFormat::Llama) && said == "{" {
            self.begin_call(c, out);
        } else {
            self.reread(State::Content, out);
        }
    }

    fn reasoning(&mut self, c: char, out: &mut Vec<DeltaPart>) {
        if self.release_up_to_mark(Voice::Reasoning, c, out) {
            self.sink.mark();
            self.enter(State::Start(Start::AfterReasoning));
        }
    }

    fn content(&mut self, c: char, out: &mut Vec<DeltaPart>) {
        if self.release_up_to_mark(Voice::Content, c, out) {
            // The mark itself stays held: if no call follows, it is text.
            self.state = State::Lead;
        }
    }

    /// Holds one more character and releases what can be no part of a mark. At a mark only the mark is held.
    fn release_up_to_mark(&mut self, voice: Voice, c: char, out: &mut Vec<DeltaPart>) -> bool {
        let marks = if voice == Voice::Content { &self.opens } else { &self.closes };
        self.held.push(c);
        for byte in c.encode_utf8(&mut [0; 4]).bytes() {
            self.place = marks.step(self.place, byte);
        }
        let matched = marks.matched(self.place);
        let border = self.held.len() - matched.unwrap_or_else(|| marks.depth(self.place));
        self.sink.write(voice, self.held.get(..border).unwrap_or_default(), out);
        self.held.drain(..border);
        matched.is_some()
    }

    fn lead(&mut self, c: char, out: &mut Vec<DeltaPart>) {
        match (self.format, c) {
            (_, '{') => return self.begin_call(c, out),
            (_, ' ' | '\n' | '\r' | '\t') => {}
            (Some(ToolFormat::MistralList | ToolFormat::MistralNamed), '[') => {
                self.list = true;
                self.state = State::Between;
            }
            (Some(ToolFormat::MistralList | ToolFormat::MistralNamed), c) if is_name(c) => {
                self.state = State::Name;
            }
            _ => return self.no_call(c, out),
        }
        self.held.push(c);
    }

    /// `[TOOL_CALLS]name[CALL_ID]…[ARGS]{`, where only the name is certain to be there.
    fn name(&mut self, c: char, out: &mut Vec<DeltaPart>) {
        if c != '{' {
            if self.held.len() > LONGEST_HEAD || !(is_name(c) || matches!(c, '[' | ']' | ' ')) {
                return self.no_call(c, out);
            }
            self.held.push(c);
            return;
        }
        let mark = self.format.map_or("", ToolFormat::open);
        let head = self.held.strip_prefix(mark).unwrap_or_default();
        let name = head.split('[').next().unwrap_or_default().trim();
        if name.is_empty() || !name.chars().all(is_name) {
            return self.no_call(c, out);
        }
        let name = name.to_owned();
        self.call = CallScanner::arguments();
        self.state = State::Call;
        self.announce(name, out);
        self.call(c, out);
    }

    fn begin_call(&mut self, c: char, out: &mut Vec<DeltaPart>) {
        // `start` has held the brace already, `call` holds it again.
        if matches!(self.state, State::Start(_)) {
            self.held.pop();
        }
        self.call = CallScanner::call();
        self.announced = false;
        self.state = State::Call;
        self.call(c, out);
    }

    fn call(&mut self, c: char, out: &mut Vec<DeltaPart>) {
        let step = self.call.push(c);
        if step == Step::Broken {
            return self.no_call(c, out);
        }
        if !self.announced {
            self.held.push(c);
            if let Some(name) = self.call.name() {
                // Without a mark of its own, only a function of the request makes JSON a call.
                let known = self.names.iter().any(|known| known == name);
                if self.format == Some(ToolFormat::Llama) && !known {
                    self.held.pop();
                    return self.no_call(c, out);
                }
                let name = name.to_owned();
                self.announce(name, out);
            }
        }
        if step == Step::Done {
            self.emit_arguments(out);
            self.announced = false;
            let named = self.separator() == Some(',') && !self.list;
            self.enter(match (self.parallel, named) {
                (false, _) => State::Ended,
                // Each call has its own mark.
                (true, true) => State::Content,
                (true, false) => State::Between,
            });
        }
    }

    fn announce(&mut self, name: String, out: &mut Vec<DeltaPart>) {
        self.sink.mark();
        self.held.clear();
        self.pad = 0;
        self.announced = true;
        let id = format!("call_{}", Alphanumeric.sample_string(&mut rand::rng(), 24));
        out.push(DeltaPart::ToolCall { index: self.calls, id, name });
        self.calls += 1;
    }

    fn emit_arguments(&mut self, out: &mut Vec<DeltaPart>) {
        let Some(arguments) = self.call.take_fragment() else { return };
        let index = self.calls.saturating_sub(1);
        out.push(DeltaPart::ToolArguments { index, arguments });
    }

    /// What follows is no call: the held text, mark included, is content, and so is what follows. A call that was
    /// announced already cannot be taken back; it ends here.
    fn no_call(&mut self, c: char, out: &mut Vec<DeltaPart>) {
        if self.announced {
            self.call.cut();
            self.call.complete_arguments();
            self.emit_arguments(out);
            self.announced = false;
        }
        self.release(Voice::Content, out);
        self.enter(State::Content);
        self.content(c, out);
    }

    fn between(&mut self, c: char, out: &mut Vec<DeltaPart>) {
        let fresh = self.list || self.said().is_empty();
        if fresh && (matches!(c, ' ' | '\n' | '\r' | '\t') || self.separator() == Some(c)) {
            return self.hold_pad(c);
        }
        if fresh && c == '{' {
            return self.begin_call(c, out);
        }
        if self.list {
            if c == ']' && self.calls > 0 {
                return self.enter(State::Content);
            }
            return self.no_call(c, out);
        }
        self.held.push(c);
        let close = self.format.and_then(ToolFormat::close);
        if close == Some(self.said()) {
            self.enter(State::Content);
        } else if !close.is_some_and(|close| close.starts_with(self.said())) {
            self.reread(State::Content, out);
        }
    }

    /// What may stand between two calls, beside white space.
    fn separator(&self) -> Option<char> {
        match self.format {
            Some(ToolFormat::Llama) => Some(';'),
            Some(ToolFormat::MistralList | ToolFormat::MistralNamed) => Some(','),
            Some(ToolFormat::Hermes) | None => None,
        }
    }

    fn said(&self) -> &str {
        self.held.get(self.pad..).unwrap_or_default()
    }

    fn hold_pad(&mut self, c: char) {
        self.held.push(c);
        self.pad = self.held.len();
    }

    /// Reads the held text again in another state.
    fn reread(&mut self, state: State, out: &mut Vec<DeltaPart>) {
        let held = std::mem::take(&mut self.held);
        self.enter(state);
        for c in held.chars() {
            self.read(c, out);
        }
    }

    fn enter(&mut self, state: State) {
        self.state = state;
        self.place = Place::default();
        self.list &= state == State::Between;
        self.held.clear();
        self.pad = 0;
    }

    fn release(&mut self, voice: Voice, out: &mut Vec<DeltaPart>) {
        self.sink.write(voice, &self.held, out);
        self.held.clear();
        self.pad = 0;
    }
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')
}
