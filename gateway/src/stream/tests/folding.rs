//! Joining the chunks of a stream gives the answer that is given without one, whatever is said.

use openapi::chat::{ChatChunk, ChatCompletion, ChatDelta, ChatLogprobs, ToolCallDelta};
use openapi::message::{FunctionCall, ToolCall};
use proptest::prelude::*;

use super::{Stage, body, head};
use crate::engine::scripted::Script;
use crate::stream::StreamShape;
use crate::stream::chat::fold;

#[derive(Debug, Clone)]
pub(super) enum Line {
    Say(String),
    Think(String),
    HoldBack,
    Call(String, Vec<String>),
}

pub(super) fn line() -> impl Strategy<Value = Line> {
    prop_oneof![
        4 => ".{0,6}".prop_map(Line::Say),
        2 => ".{0,6}".prop_map(Line::Think),
        1 => Just(Line::HoldBack),
        1 => ("[a-z]{1,5}", prop::collection::vec(".{0,4}", 0..3)).prop_map(|(name, more)| Line::Call(name, more)),
    ]
}

pub(super) fn script(lines: &[Line]) -> Script {
    lines.iter().fold(Script::new(), |script, line| match line {
        Line::Say(text) => script.say(text),
        Line::Think(text) => script.think(text),
        Line::HoldBack => script.hold_back(),
        Line::Call(name, arguments) => script.call("call_1", name, arguments.iter().map(String::as_str)),
    })
}

/// Joins chunks onto an answer that has only its choices, empty.
fn join(mut answer: ChatCompletion, body: &str) -> ChatCompletion {
    let mut finished = 0;
    for event in body.split_terminator("\n\n") {
        let data = event.strip_prefix("data: ").expect("an event");
        if data == "[DONE]" {
            assert_eq!(finished, answer.choices.len(), "every choice ended before the stream did");
            return answer;
        }
        let chunk: ChatChunk = serde_json::from_str(data).expect("a chunk");
        if let Some(usage) = chunk.usage {
            answer.usage = usage;
        }
        for gained in chunk.choices {
            let choice = &mut answer.choices[gained.index as usize];
            if let Some(ChatLogprobs { content: Some(more), .. }) = gained.logprobs {
                let lists = choice.logprobs.get_or_insert_default();
                lists.content.get_or_insert_default().extend(more);
            }
            if let Some(reason) = gained.finish_reason {
                choice.finish_reason = reason;
                finished += 1;
            }
            let ChatDelta { content, reasoning_content, tool_calls, .. } = gained.delta;
            append(&mut choice.message.content, content);
            append(&mut choice.message.reasoning_content, reasoning_content);
            for call in tool_calls.into_iter().flatten() {
                join_call(choice.message.tool_calls.get_or_insert_default(), call);
            }
        }
    }
    panic!("the stream has no end: {body}");
}

fn append(to: &mut Option<String>, more: Option<String>) {
    if let Some(more) = more {
        to.get_or_insert_default().push_str(&more);
    }
}

fn join_call(calls: &mut Vec<ToolCall>, delta: ToolCallDelta) {
    let arguments = delta.function.arguments.unwrap_or_default();
    match delta.id {
        Some(id) => {
            assert_eq!(calls.len(), delta.index as usize);
            let name = delta.function.name.expect("a call begins with its name");
            calls.push(ToolCall {
                id,
                kind: delta.kind.expect("a kind"),
                function: FunctionCall { name, arguments },
            });
        }
        None => calls[delta.index as usize].function.arguments.push_str(&arguments),
    }
}

async fn streamed_and_whole(lines: &[Line], shape: StreamShape) -> (ChatCompletion, ChatCompletion) {
    let stage = Stage::set(script(lines), shape).await;
    let mut whole =
        fold(head(), shape, stage.events).await.expect("folds").folded().expect("it was made here");
    let (frames, _rest) = Stage::set(script(lines), shape).await.chat();
    let body = body(frames).await;
    let mut empty = whole.clone();
    for choice in &mut empty.choices {
        choice.message.content = None;
        choice.message.reasoning_content = None;
        choice.message.tool_calls = None;
        choice.logprobs = None;
    }
    let mut streamed = join(empty, &body);
    for (streamed, whole) in streamed.choices.iter_mut().zip(&mut whole.choices) {
        // A stream cannot know that only calls will come, so where they come late it has said "" and not null.
        let calls_only = whole.message.content.is_none();
        if calls_only && streamed.message.content.as_deref() == Some("") {
            streamed.message.content = None;
        }
        // Nor is there a list where no token came.
        if whole.logprobs.as_ref().is_some_and(|lists| lists.content == Some(Vec::new())) {
            assert_eq!(streamed.logprobs, None);
            whole.logprobs = None;
        }
    }
    (streamed, whole)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn joined_chunks_are_the_whole_answer(
        lines in prop::collection::vec(line(), 0..12),
        choices in 1_u32..4,
        logprobs in any::<bool>(),
    ) {
        let shape = StreamShape { choices, logprobs, include_usage: true };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        let (streamed, whole) = runtime.block_on(streamed_and_whole(&lines, shape));
        prop_assert_eq!(streamed, whole);
    }
}
