//! Answers as servers write them, cut anywhere.

use proptest::prelude::*;

use super::*;

fn read<'a>(expected: Expected, pieces: impl Iterator<Item = &'a [u8]>) -> Result<Vec<Event>, StreamError> {
    let mut reader = ChunkReader::new(expected);
    let mut events = VecDeque::new();
    for piece in pieces {
        reader.push(piece, &mut events)?;
    }
    reader.finish(&mut events)?;
    Ok(events.into())
}

fn one() -> Expected {
    Expected { choices: 1, logprobs: true, prompt_tokens: 9 }
}

fn whole(lines: &[&str]) -> Result<Vec<Event>, StreamError> {
    let text =
        lines.iter().map(|line| format!("data: {}\n\n", line.replace('\n', ""))).collect::<Vec<_>>().concat();
    read(one(), std::iter::once(text.as_bytes()))
}

fn delta(tokens: u32, part: DeltaPart) -> Event {
    Event::Delta(crate::engine::Delta { choice: 0, tokens, part: Some(part), logprobs: Vec::new() })
}

fn content(text: &str) -> Event {
    delta(1, DeltaPart::Content(text.to_owned()))
}

const STOP: Event = Event::Finished { choice: 0, reason: FinishReason::Stop, stop: None };

#[test]
fn a_chat_is_read_with_reasoning_and_exact_usage() {
    let events = whole(&[
        r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}],"usage":null}"#,
        r#"{"choices":[{"index":0,"delta":{"reasoning_content":"hm"}}]}"#,
        r#"{"choices":[{"index":0,"delta":{"content":"Hi"},"logprobs":null}]}"#,
        r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#,
        r#"{"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":2,"total_tokens":7,
            "prompt_tokens_details":{"cached_tokens":4},"completion_tokens_details":{"reasoning_tokens":1}}}"#,
        "[DONE]",
    ])
    .unwrap();
    let used = Usage {
        prompt_tokens: 5,
        cached_tokens: 4,
        completion_tokens: 2,
        reasoning_tokens: 1,
        ..Usage::default()
    };
    let reasoning = delta(1, DeltaPart::Reasoning("hm".to_owned()));
    assert_eq!(events, [reasoning, content("Hi"), STOP, Event::Done(used)]);
}

#[test]
fn the_stop_string_is_known_where_the_server_tells_it() {
    // vLLM writes tokens there, too.
    for (told, stop) in [("\"END\"", Some("END")), ("2", None), ("null", None)] {
        let end = format!(r#"{{"choices":[{{"delta":{{}},"finish_reason":"stop","stop_reason":{told}}}]}}"#);
        let finished =
            Event::Finished { choice: 0, reason: FinishReason::Stop, stop: stop.map(std::sync::Arc::from) };
        assert_eq!(whole(&[&end, "[DONE]"]).unwrap()[0], finished);
    }
}

#[test]
fn tool_calls_are_numbered_as_they_begin() {
    let events = whole(&[
        r#"{"choices":[{"delta":{"tool_calls":[{"index":3,"id":"call_a","type":"function","function":{"name":"f","arguments":""}}]}}]}"#,
        r#"{"choices":[{"delta":{"tool_calls":[{"index":3,"function":{"arguments":"{\"a\""}}]}}]}"#,
        r#"{"choices":[{"delta":{"tool_calls":[{"index":3,"function":{"arguments":":1}"}},{"index":7,"id":"call_b","function":{"name":"g","arguments":"{}"}}]}}]}"#,
        r#"{"choices":[{"delta":{},"finish_reason":"tool_calls"}]}"#,
        "[DONE]",
    ])
    .unwrap();
    let call =
        |index, id: &str, name: &str| DeltaPart::ToolCall { index, id: id.to_owned(), name: name.to_owned() };
    let arguments = |index, text: &str| DeltaPart::ToolArguments { index, arguments: text.to_owned() };
    assert_eq!(
        events[..6],
        [
            delta(1, call(0, "call_a", "f")),
            delta(1, arguments(0, "{\"a\"")),
            delta(1, arguments(0, ":1}")),
            delta(0, call(1, "call_b", "g")),
            delta(0, arguments(1, "{}")),
            Event::Finished { choice: 0, reason: FinishReason::ToolCalls, stop: None },
        ]
    );
}

#[test]
fn log_probabilities_are_read_in_both_forms_and_count_tokens() {
    let events = whole(&[
        r#"{"choices":[{"delta":{"content":"ab"},"logprobs":{"content":[
            {"token":"a","logprob":-0.5,"bytes":[97],"top_logprobs":[{"token":"x","logprob":-1,"bytes":null}]},
            {"token":"b","logprob":-0.25,"bytes":[98],"top_logprobs":[]}]}}]}"#,
        r#"{"choices":[{"text":"c","logprobs":{"tokens":["c"],"token_logprobs":[-2],"top_logprobs":[{"y":-3}],"text_offset":[0]},"finish_reason":"length"}]}"#,
        "[DONE]",
    ])
    .unwrap();
    let token = |text: &str, logprob| Candidate { id: 0, bytes: text.into(), logprob };
    let Event::Delta(first) = &events[0] else { panic!("{events:?}") };
    assert_eq!(first.tokens, 2);
    assert_eq!(first.logprobs[0], TokenLogprob { token: token("a", -0.5), top: vec![token("x", -1.0)] });
    let Event::Delta(second) = &events[1] else { panic!("{events:?}") };
    assert_eq!(second.logprobs, [TokenLogprob { token: token("c", -2.0), top: vec![token("y", -3.0)] }]);
    // Without the server's own count, what was seen counts.
    let Some(Event::Done(used)) = events.last() else { panic!("{events:?}") };
    assert_eq!((used.prompt_tokens, used.completion_tokens), (9, 3));
}

#[test]
fn an_end_without_done_counts_when_every_choice_has_ended() {
    let ended = r#"{"choices":[{"delta":{"content":"a"},"finish_reason":"stop"}]}"#;
    assert!(matches!(whole(&[ended]).unwrap().last(), Some(Event::Done(_))));
    let open = r#"{"choices":[{"delta":{"content":"a"}}]}"#;
    assert!(matches!(whole(&[open]), Err(StreamError::Unfinished)));
    assert!(matches!(whole(&[]), Err(StreamError::Unfinished)));
    assert!(whole(&[open, "[DONE]", "garbage after the end"]).unwrap().contains(&STOP));
}

#[test]
fn what_is_no_answer_is_said_to_be_none() {
    let no_chunk = |line: &str| matches!(whole(&[line]), Err(StreamError::NoChunk(_)));
    for line in ["<html>", "{", "[1]", "3", r#"{"choices":3}"#, r#"{"choices":[{"index":-1}]}"#] {
        assert!(no_chunk(line), "{line}");
    }
    let disorder = |line: &str| matches!(whole(&[line]), Err(StreamError::Disorder(_)));
    assert!(disorder(r#"{"choices":[{"index":1,"delta":{}}]}"#));
    assert!(disorder(
        r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{}"}}]}}]}"#
    ));
    let told = whole(&[r#"{"error":{"message":"out of memory","code":500}}"#]);
    assert!(matches!(told, Err(StreamError::Told(error)) if error["code"] == 500));
}

/// Lines that servers send and lines that they should not.
fn lines() -> impl Strategy<Value = Vec<&'static str>> {
    let line = prop::sample::select(vec![
        r#"data: {"choices":[{"index":0,"delta":{"content":"é😀"}}]}"#,
        r#"data: {"choices":[{"index":1,"delta":{"content":"b"},"finish_reason":"length"}]}"#,
        r#"data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"c","function":{"name":"f","arguments":"{}"}}]}}]}"#,
        r#"data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}"#,
        r#"data: {"error":"broke"}"#,
        "data: [DONE]",
        ": ping",
        "",
        "data: {",
        "event: x",
    ]);
    prop::collection::vec(line, 0..12)
}

proptest! {
    #[test]
    fn the_same_bytes_cut_otherwise_are_the_same_answer(
        lines in lines(),
        end in prop::sample::select(vec!["\n\n", "\r\n\r\n", "\n", "\r\r"]),
        size in 1_usize..40,
    ) {
        let expected = Expected { choices: 2, logprobs: false, prompt_tokens: 0 };
        let text = lines.join(end);
        let shown = |result: Result<Vec<Event>, StreamError>| format!("{result:?}");
        prop_assert_eq!(
            shown(read(expected, std::iter::once(text.as_bytes()))),
            shown(read(expected, text.as_bytes().chunks(size)))
        );
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _result = read(one(), bytes.chunks(7));
    }
}
