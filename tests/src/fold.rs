//! A chat stream put together again as a client does, with the order of its events checked on the way.

use serde_json::Value;

use crate::sse::{EventStream, Frame};

/// A chat stream put together.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Folded {
    /// The answers by index.
    pub choices: Vec<Choice>,
    /// From the usage-only chunk.
    pub usage: Option<Value>,
    /// Whether `[DONE]` came last.
    pub done: bool,
    /// The `error` event's error, after which nothing may follow.
    pub error: Option<Value>,
    /// How many chunks came.
    pub chunks: usize,
    id: Option<Value>,
}

/// One answer of a stream put together.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Choice {
    /// From the first delta.
    pub role: String,
    /// All content.
    pub content: String,
    /// All reasoning.
    pub reasoning: String,
    /// Calls by index.
    pub tool_calls: Vec<Call>,
    /// From the last chunk.
    pub finish_reason: Option<String>,
    /// Entries of `logprobs.content`.
    pub logprobs: Vec<Value>,
}

/// One tool call of a stream put together.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Call {
    /// `call_…`.
    pub id: String,
    /// The function.
    pub name: String,
    /// JSON text.
    pub arguments: String,
}

impl Folded {
    /// Reads a stream to its end.
    pub async fn read(mut stream: EventStream) -> Self {
        let mut folded = Self::default();
        while let Some(frame) = stream.next().await {
            folded.add(frame);
        }
        folded
    }

    /// Adds one event; panics where it may not come at this place.
    pub fn add(&mut self, frame: Frame) {
        match frame {
            Frame::Comment(_) => {}
            _ if self.done || self.error.is_some() => panic!("after the end of the stream: {frame:?}"),
            Frame::Done => self.done = true,
            Frame::Data(chunk) if chunk.get("error").is_some() => self.error = Some(chunk["error"].clone()),
            Frame::Data(chunk) => self.add_chunk(&chunk),
        }
    }

    /// The one answer of a stream with `n` = 1 that ended well.
    pub fn only(&self) -> &Choice {
        assert!(self.done && self.error.is_none(), "a stream that did not end well: {self:?}");
        let [choice] = self.choices.as_slice() else { panic!("not one choice: {self:?}") };
        choice
    }

    fn add_chunk(&mut self, chunk: &Value) {
        self.chunks += 1;
        assert_eq!(chunk["object"], "chat.completion.chunk", "{chunk}");
        let id = self.id.get_or_insert_with(|| chunk["id"].clone());
        assert_eq!(*id, chunk["id"], "one id for all chunks");
        let choices = chunk["choices"].as_array().unwrap_or_else(|| panic!("no choices in {chunk}"));
        if choices.is_empty() {
            assert!(self.usage.is_none(), "usage came twice: {chunk}");
            self.usage = Some(chunk["usage"].clone());
            return;
        }
        assert!(self.usage.is_none(), "usage comes last, yet: {chunk}");
        for choice in choices {
            let index = index_of(choice);
            if self.choices.len() <= index {
                self.choices.resize_with(index + 1, Choice::default);
            }
            if let Some(target) = self.choices.get_mut(index) {
                target.add(choice);
            }
        }
    }
}

impl Choice {
    fn add(&mut self, piece: &Value) {
        assert!(self.finish_reason.is_none(), "after finish_reason: {piece}");
        let delta = &piece["delta"];
        match delta.get("role").and_then(Value::as_str) {
            Some(role) => {
                assert!(self.role.is_empty(), "the role comes once: {piece}");
                role.clone_into(&mut self.role);
            }
            None => assert!(!self.role.is_empty(), "the first delta carries the role: {piece}"),
        }
        self.content.push_str(delta["content"].as_str().unwrap_or_default());
        self.reasoning.push_str(delta["reasoning_content"].as_str().unwrap_or_default());
        for call in delta["tool_calls"].as_array().into_iter().flatten() {
            self.add_call(call);
        }
        self.logprobs.extend(piece["logprobs"]["content"].as_array().cloned().unwrap_or_default());
        self.finish_reason = piece["finish_reason"].as_str().map(str::to_owned);
    }

    fn add_call(&mut self, piece: &Value) {
        let index = index_of(piece);
        let begins = index == self.tool_calls.len();
        if begins {
            self.tool_calls.push(Call::default());
            assert_eq!(piece["type"], "function", "a call's first delta says its type: {piece}");
        }
        let call = self.tool_calls.get_mut(index).unwrap_or_else(|| panic!("a call out of order: {piece}"));
        if begins {
            piece["id"].as_str().unwrap_or_default().clone_into(&mut call.id);
            piece["function"]["name"].as_str().unwrap_or_default().clone_into(&mut call.name);
            assert!(!call.id.is_empty() && !call.name.is_empty(), "a call begins with id and name: {piece}");
        }
        call.arguments.push_str(piece["function"]["arguments"].as_str().unwrap_or_default());
    }
}

fn index_of(value: &Value) -> usize {
    let index = value["index"].as_u64().unwrap_or_else(|| panic!("no index in {value}"));
    usize::try_from(index).expect("a small index")
}
