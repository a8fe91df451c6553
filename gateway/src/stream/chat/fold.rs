//! The events of a chat answer, folded to one object: what a client that joins the chunks would have.

use openapi::chat::{
    ChatChoice, ChatCompletion, ChatLogprobs, ChatMessage, FinishReason as WireFinish, TokenLogprobs,
};
use openapi::message::{FunctionCall, Role, ToolCall};
use openapi::usage::Usage as WireUsage;
use tokio_stream::{Stream, StreamExt};

use crate::engine::{Delta, DeltaPart, Event};
use crate::error::ApiError;
use crate::stream::{Head, StreamShape, Whole, logprobs, wire_finish, wire_usage};

/// Waits for the whole answer. An error anywhere is the request's error.
pub async fn fold(
    head: Head,
    shape: StreamShape,
    mut events: impl Stream<Item = Result<Event, ApiError>> + Unpin,
) -> Result<Whole<ChatCompletion>, ApiError> {
    let mut choices = vec![Choice::default(); shape.choices as usize];
    let (mut usage, mut passed) = (WireUsage::default(), None);
    while let Some(event) = events.next().await {
        match event? {
            Event::Delta(delta) => {
                if let Some(choice) = choices.get_mut(delta.choice as usize) {
                    choice.add(delta);
                }
            }
            Event::Finished { choice, reason, stop } => {
                if let Some(choice) = choices.get_mut(choice as usize) {
                    choice.finish = Some(wire_finish(reason));
                    choice.stop = stop.as_deref().map(str::to_owned);
                }
            }
            Event::Wire(wired) => passed = Some(wired.bytes),
            Event::Done(used) => usage = wire_usage(used),
        }
    }
    if let Some(passed) = passed {
        return Ok(Whole::Passed(passed));
    }
    Ok(Whole::Folded(ChatCompletion {
        id: head.id,
        object: "chat.completion".to_owned(),
        created: head.created,
        model: head.model,
        choices: (0..).zip(choices).map(|(index, choice)| choice.close(index, shape.logprobs)).collect(),
        usage,
        service_tier: head.service_tier,
        system_fingerprint: head.fingerprint,
    }))
}

/// One choice, growing.
#[derive(Debug, Default, Clone)]
struct Choice {
    content: Option<String>,
    reasoning: Option<String>,
    calls: Vec<ToolCall>,
    logprobs: Vec<TokenLogprobs>,
    finish: Option<WireFinish>,
    stop: Option<String>,
}

impl Choice {
    fn add(&mut self, delta: Delta) {
        self.logprobs.extend(delta.logprobs.into_iter().map(logprobs::chat_token));
        match delta.part {
            None => {}
            Some(DeltaPart::Content(text)) => self.content.get_or_insert_default().push_str(&text),
            Some(DeltaPart::Reasoning(text)) => self.reasoning.get_or_insert_default().push_str(&text),
            Some(DeltaPart::ToolCall { id, name, .. }) => self.calls.push(ToolCall {
                id,
                kind: "function".to_owned(),
                function: FunctionCall { name, arguments: String::new() },
            }),
            Some(DeltaPart::ToolArguments { index, arguments }) => {
                if let Some(call) = self.calls.get_mut(index as usize) {
                    call.function.arguments.push_str(&arguments);
                }
            }
        }
    }

    fn close(self, index: u32, with_logprobs: bool) -> ChatChoice {
        let only_calls = !self.calls.is_empty() && self.content.is_none();
        let content = if only_calls { None } else { Some(self.content.unwrap_or_default()) };
        ChatChoice {
            index,
            message: ChatMessage {
                role: Role::Assistant,
                content,
                refusal: None,
                reasoning_content: self.reasoning,
                tool_calls: (!self.calls.is_empty()).then_some(self.calls),
            },
            logprobs: with_logprobs.then_some(ChatLogprobs { content: Some(self.logprobs), refusal: None }),
            finish_reason: self.finish.unwrap_or(WireFinish::Stop),
            stop_reason: self.stop,
        }
    }
}
