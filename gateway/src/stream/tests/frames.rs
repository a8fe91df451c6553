//! Chat chunks, byte for byte.

use futures_util::StreamExt;

use super::{Stage, body, data, frame, one};
use crate::engine::scripted::Script;
use crate::stream::StreamShape;

#[tokio::test]
async fn what_is_ready_at_once_is_one_frame_and_ends_with_done() {
    let (mut frames, rest) = Stage::set(Script::text(["Hel", "lo"]), one()).await.chat();
    let chunk = |choice: &str| {
        let head = r#"{"id":"x-1","object":"chat.completion.chunk","created":7,"model":"m","system_fingerprint":"fp_0""#;
        format!("data: {head},\"choices\":[{choice}]}}\n\n")
    };
    let expected = [
        chunk(
            r#"{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}"#,
        ),
        chunk(r#"{"index":0,"delta":{"content":"Hel"},"logprobs":null,"finish_reason":null}"#),
        chunk(r#"{"index":0,"delta":{"content":"lo"},"logprobs":null,"finish_reason":null}"#),
        chunk(r#"{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}"#),
        "data: [DONE]\n\n".to_owned(),
    ];
    assert_eq!(frame(&mut frames).await, expected.concat());
    assert!(frames.next().await.is_none());
    assert_eq!(rest.outcomes(), ["completed"]);
}

#[tokio::test]
async fn asked_for_usage_is_null_until_its_own_chunk_without_choices() {
    let shape = StreamShape { include_usage: true, ..one() };
    let script = Script::text(["a"]).usage(3, std::time::Duration::ZERO);
    let (frames, _rest) = Stage::set(script, shape).await.chat();
    let data = data(&body(frames).await);
    assert!(data[..3].iter().all(|chunk| chunk.ends_with(r#"],"usage":null}"#)), "{data:#?}");
    let usage = concat!(
        r#"{"choices":[],"usage":{"prompt_tokens":4,"completion_tokens":1,"total_tokens":5,"#,
        r#""prompt_tokens_details":{"cached_tokens":3},"completion_tokens_details":{"reasoning_tokens":0}}}"#
    );
    assert_eq!(data[3..], [usage, "[DONE]"]);
}

#[tokio::test]
async fn a_call_is_opened_with_its_name_and_then_gains_arguments() {
    let script = Script::new().call("call_1", "f", [r#"{"a":"#, "1}"]);
    let (frames, _rest) = Stage::set(script, one()).await.chat();
    let data = data(&body(frames).await);
    let choice = |delta: &str, finish: &str| {
        format!(r#"{{"choices":[{{"index":0,"delta":{delta},"logprobs":null,"finish_reason":{finish}}}]}}"#)
    };
    let opened = r#"{"tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"f","arguments":""}}]}"#;
    let expected = [
        choice(r#"{"role":"assistant","content":null}"#, "null"),
        choice(opened, "null"),
        choice(r#"{"tool_calls":[{"index":0,"function":{"arguments":"{\"a\":"}}]}"#, "null"),
        choice(r#"{"tool_calls":[{"index":0,"function":{"arguments":"1}"}}]}"#, "null"),
        choice("{}", r#""tool_calls""#),
        "[DONE]".to_owned(),
    ];
    assert_eq!(data, expected);
}

#[tokio::test]
async fn reasoning_has_its_own_field() {
    let (frames, _rest) = Stage::set(Script::new().think("hm").say("yes"), one()).await.chat();
    let data = data(&body(frames).await);
    assert!(data[1].contains(r#""delta":{"reasoning_content":"hm"}"#), "{data:#?}");
    assert!(data[2].contains(r#""delta":{"content":"yes"}"#), "{data:#?}");
}

#[tokio::test]
async fn a_token_whose_text_is_held_back_gives_its_logprobs_to_the_next_chunk() {
    let shape = StreamShape { logprobs: true, ..one() };
    let (frames, _rest) = Stage::set(Script::new().hold_back().say("a").hold_back(), shape).await.chat();
    let data = data(&body(frames).await);
    let entry = |text: &str, bytes: &str| {
        let token = format!(r#""token":"{text}","logprob":-0.6931472,"bytes":[{bytes}]"#);
        format!(r#"{{{token},"top_logprobs":[{{{token}}}]}}"#)
    };
    let with = |delta: &str, entries: &str, finish: &str| {
        let logprobs = format!(r#"{{"content":[{entries}],"refusal":null}}"#);
        format!(
            r#"{{"choices":[{{"index":0,"delta":{delta},"logprobs":{logprobs},"finish_reason":{finish}}}]}}"#
        )
    };
    assert_eq!(
        data[1],
        with(r#"{"content":"a"}"#, &format!("{},{}", entry("", ""), entry("a", "97")), "null")
    );
    assert_eq!(data[2], with("{}", &entry("", ""), r#""stop""#));
}

#[tokio::test]
async fn every_choice_says_who_speaks_and_why_it_ended() {
    let (frames, _rest) = Stage::set(Script::text(["a"]), StreamShape { choices: 2, ..one() }).await.chat();
    let data = data(&body(frames).await);
    for index in [0, 1] {
        let of_choice = data.iter().filter(|chunk| chunk.contains(&format!(r#""index":{index}"#)));
        let of_choice: Vec<_> = of_choice.collect();
        assert_eq!(of_choice.len(), 3, "{data:#?}");
        assert!(of_choice[0].contains(r#""role":"assistant""#));
        assert!(of_choice[2].contains(r#""finish_reason":"stop""#));
    }
    assert_eq!(data.len(), 7);
}

#[tokio::test]
async fn an_answer_without_a_word_still_says_who_speaks() {
    let (frames, _rest) = Stage::set(Script::new(), one()).await.chat();
    let data = data(&body(frames).await);
    assert_eq!(data.len(), 3);
    assert!(data[0].contains(r#"{"role":"assistant","content":""}"#));
}

#[tokio::test]
async fn a_frame_stays_near_16_kib_however_much_is_ready() {
    let (mut frames, _rest) = Stage::set(Script::tokens(1000, None), one()).await.chat();
    let mut sizes = Vec::new();
    while let Some(frame) = frames.next().await {
        sizes.push(frame.expect("no error").len());
    }
    assert!(sizes.len() > 5, "{sizes:?}");
    assert!(sizes.iter().all(|&size| size < 16 * 1024 + 512), "{sizes:?}");
}
