//! Events of the Messages API, byte for byte; and joined they are the answer that is given without a stream.

use openapi::messages::{AnswerBlock, BlockDelta, MessagesAnswer, MessagesEvent};
use proptest::prelude::*;
use serde_json::Value;

use super::folding::{line, script};
use super::{QUIET, Stage, body, frame, one};
use crate::engine::scripted::{Gate, Script};
use crate::engine::{EngineError, FinishReason};
use crate::stream::message::{MessagesHead, MessagesWire, fold};

const START: &str = concat!(
    "event: message_start\n",
    r#"data: {"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"m","#,
    r#""content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":4,"#,
    r#""cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":0,"#,
    r#""output_tokens_details":{"thinking_tokens":0}}}}"#,
    "\n\n"
);

fn messages_head() -> MessagesHead {
    MessagesHead {
        id: "msg_1".to_owned(),
        model: "m".to_owned(),
        request_id: "req_1".into(),
        prompt_tokens: 4,
        shows_thinking: true,
    }
}

async fn streamed(script: Script, head: MessagesHead) -> String {
    let (frames, rest) = Stage::set(script, one()).await.frames(MessagesWire::new(head), QUIET);
    let body = body(frames).await;
    assert_eq!(rest.outcomes().len(), 1, "settled once");
    body
}

async fn whole(script: Script) -> MessagesAnswer {
    fold(messages_head(), Stage::set(script, one()).await.events).await.expect("folds")
}

/// The data of a body's events, each of which is named alike in its `event:` line.
fn events(body: &str) -> Vec<String> {
    let data = |event: &str| {
        let (name, data) = event.split_once('\n').expect("two lines");
        let data = data.strip_prefix("data: ").expect("data");
        let value: Value = serde_json::from_str(data).expect("JSON");
        assert_eq!(name.strip_prefix("event: "), value["type"].as_str());
        data.to_owned()
    };
    body.split_terminator("\n\n").map(data).collect()
}

/// What stands between the beginning and the end.
fn blocks(body: &str) -> Vec<String> {
    let mut events = events(body.strip_prefix(START).expect("it begins"));
    let end = events.split_off(events.len() - 2);
    assert!(end[0].starts_with(r#"{"type":"message_delta""#), "{end:?}");
    assert_eq!(end[1], r#"{"type":"message_stop"}"#);
    events
}

#[tokio::test]
async fn a_text_has_anthropic_s_events_in_their_order() {
    let script = Script::text(["Hel", "lo"]).usage(3, std::time::Duration::ZERO);
    let body = streamed(script, messages_head()).await;
    let expected = [
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
        r#"{"type":"ping"}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hel"}}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"lo"}}"#,
        r#"{"type":"content_block_stop","index":0}"#,
        concat!(
            r#"{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"#,
            r#""usage":{"input_tokens":1,"cache_creation_input_tokens":0,"cache_read_input_tokens":3,"#,
            r#""output_tokens":2,"output_tokens_details":{"thinking_tokens":0}}}"#
        ),
        r#"{"type":"message_stop"}"#,
    ];
    assert_eq!(events(body.strip_prefix(START).expect("it begins")), expected);
}

#[tokio::test]
async fn thoughts_text_and_calls_are_blocks_of_their_own() {
    let script =
        Script::new().think("hm").say("yes").call("call_1", "f", [r#"{"a":"#, "1}"]).call("call_2", "g", []);
    let body = streamed(script, messages_head()).await;
    let delta = |index: u32, delta: &str| {
        format!(r#"{{"type":"content_block_delta","index":{index},"delta":{{{delta}}}}}"#)
    };
    let begin = |index: u32, block: &str| {
        format!(r#"{{"type":"content_block_start","index":{index},"content_block":{{{block}}}}}"#)
    };
    let end = |index: u32| format!(r#"{{"type":"content_block_stop","index":{index}}}"#);
    let blocks = blocks(&body);
    let Some(AnswerBlock::Thinking { signature, .. }) = whole(Script::new().think("hm")).await.content.pop()
    else {
        panic!("no thought")
    };
    let expected = [
        begin(0, r#""type":"thinking","thinking":"","signature":"""#),
        r#"{"type":"ping"}"#.to_owned(),
        delta(0, r#""type":"thinking_delta","thinking":"hm""#),
        delta(0, &format!(r#""type":"signature_delta","signature":"{signature}""#)),
        end(0),
        begin(1, r#""type":"text","text":"""#),
        delta(1, r#""type":"text_delta","text":"yes""#),
        end(1),
        begin(2, r#""type":"tool_use","id":"call_1","name":"f","input":{}"#),
        delta(2, r#""type":"input_json_delta","partial_json":"""#),
        delta(2, r#""type":"input_json_delta","partial_json":"{\"a\":""#),
        delta(2, r#""type":"input_json_delta","partial_json":"1}""#),
        end(2),
        begin(3, r#""type":"tool_use","id":"call_2","name":"g","input":{}"#),
        delta(3, r#""type":"input_json_delta","partial_json":"""#),
        end(3),
    ];
    assert_eq!(blocks, expected);
    assert!(body.contains(r#""stop_reason":"tool_use""#), "{body}");
}

#[tokio::test]
async fn thoughts_that_are_not_wanted_are_left_out_and_counted() {
    let head = MessagesHead { shows_thinking: false, ..messages_head() };
    let body = streamed(Script::new().think("hm").say("yes"), head.clone()).await;
    assert!(!body.contains("hm") && body.contains(r#"{"thinking_tokens":1}"#), "{body}");
    let stage = Stage::set(Script::new().think("hm").say("yes"), one()).await;
    let answer = fold(head, stage.events).await.expect("folds");
    assert_eq!(answer.content, [AnswerBlock::Text { text: "yes".to_owned() }]);
}

#[tokio::test]
async fn every_end_has_its_name() {
    let ends = [
        (Script::text(["a"]), "end_turn", None),
        (Script::text(["a"]).finish(FinishReason::Length), "max_tokens", None),
        (Script::text(["a"]).stop("END"), "stop_sequence", Some("END")),
        (Script::new().call("c", "f", ["{}"]), "tool_use", None),
        // A call that a stop string cut is none to make.
        (
            Script::new().call("c", "f", ["{"]).finish(FinishReason::Stop).stop("END"),
            "stop_sequence",
            Some("END"),
        ),
    ];
    for (script, reason, sequence) in ends {
        let body = streamed(script.clone(), messages_head()).await;
        let sequence = serde_json::to_string(&sequence).expect("JSON");
        let expected = format!(r#""delta":{{"stop_reason":"{reason}","stop_sequence":{sequence}}}"#);
        assert!(body.contains(&expected), "{expected} is not in {body}");
        let answer = serde_json::to_value(whole(script).await).expect("JSON");
        assert_eq!((&answer["stop_reason"], answer["stop_sequence"].to_string()), (&reason.into(), sequence));
    }
}

#[tokio::test]
async fn an_answer_of_nothing_has_no_block() {
    assert_eq!(blocks(&streamed(Script::new(), messages_head()).await), [""; 0]);
    assert_eq!(whole(Script::new()).await.content, []);
}

#[tokio::test]
async fn an_error_in_the_middle_is_an_event_and_the_last() {
    let script = Script::text(["a"]).fail(EngineError::Failed("decode broke at /secret".to_owned())).say("b");
    let body = streamed(script, messages_head()).await;
    let events = events(&body);
    let last: Value = serde_json::from_str(events.last().expect("an event")).expect("JSON");
    assert_eq!((&last["type"], &last["error"]["type"]), (&"error".into(), &"api_error".into()), "{last}");
    assert_eq!(
        (&last["error"]["details"]["error_code"], &last["request_id"]),
        (&"engine_failed".into(), &"req_1".into())
    );
    assert!(!body.contains("secret") && !body.contains("message_stop"), "{body}");
}

#[tokio::test]
async fn a_revoked_caller_s_stream_ends_with_an_error_event() {
    let stage = Stage::set(Script::text(["a"]).gate(&Gate::closed()), one()).await;
    let (mut frames, rest) = stage.frames(MessagesWire::new(messages_head()), QUIET);
    assert!(frame(&mut frames).await.starts_with(START));
    rest.live.end_subject("t");
    let last = frame(&mut frames).await;
    let expected = r#"data: {"type":"error","error":{"type":"authentication_error","message":"#;
    assert!(last.starts_with(&format!("event: error\n{expected}")), "{last}");
    assert_eq!(rest.outcomes(), ["failed"]);
}

/// Joins events as Anthropic's clients do.
fn join(body: &str) -> MessagesAnswer {
    let mut answer = None;
    let mut arguments = String::new();
    for event in events(body) {
        match serde_json::from_str(&event).expect("an event") {
            MessagesEvent::MessageStart { message } => answer = Some(message),
            MessagesEvent::ContentBlockStart { index, content_block } => {
                let content = &mut answer.as_mut().expect("begun").content;
                assert_eq!(content.len(), index as usize);
                content.push(content_block);
                arguments.clear();
            }
            MessagesEvent::ContentBlockDelta { index, delta } => {
                match (&mut answer.as_mut().expect("begun").content[index as usize], delta) {
                    (AnswerBlock::Text { text }, BlockDelta::TextDelta { text: more }) => {
                        text.push_str(&more);
                    }
                    (
                        AnswerBlock::Thinking { thinking, .. },
                        BlockDelta::ThinkingDelta { thinking: more },
                    ) => {
                        thinking.push_str(&more);
                    }
                    (
                        AnswerBlock::Thinking { signature, .. },
                        BlockDelta::SignatureDelta { signature: whole },
                    ) => {
                        *signature = whole;
                    }
                    (AnswerBlock::ToolUse { .. }, BlockDelta::InputJsonDelta { partial_json }) => {
                        arguments.push_str(&partial_json);
                    }
                    (block, delta) => panic!("{delta:?} for {block:?}"),
                }
            }
            MessagesEvent::ContentBlockStop { .. } => {
                let content = &mut answer.as_mut().expect("begun").content;
                if let Some(AnswerBlock::ToolUse { input, .. }) = content.last_mut()
                    && !arguments.trim().is_empty()
                {
                    match serde_json::from_str(&arguments) {
                        Ok(whole) => *input = whole,
                        Err(_) => input.extend([("cut".to_owned(), Value::Null)]),
                    }
                }
            }
            MessagesEvent::MessageDelta { delta, usage } => {
                let answer = answer.as_mut().expect("begun");
                (answer.stop_reason, answer.stop_sequence) = (delta.stop_reason, delta.stop_sequence);
                answer.usage = usage;
            }
            MessagesEvent::Ping {} | MessagesEvent::MessageStop {} => {}
            MessagesEvent::Error { error, .. } => panic!("{error:?}"),
        }
    }
    let mut answer = answer.expect("begun");
    let was_cut = |block: &AnswerBlock| matches!(block, AnswerBlock::ToolUse { input, .. } if input.contains_key("cut"));
    answer.content.retain(|block| !was_cut(block));
    answer
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(128) })]

    #[test]
    fn joined_events_are_the_folded_answer(lines in prop::collection::vec(line(), 0..8)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let body = streamed(script(&lines), messages_head()).await;
            prop_assert_eq!(join(&body), whole(script(&lines)).await);
            Ok(())
        })?;
    }
}
