//! What passes through is what came, whatever the cuts.

use proptest::prelude::*;

use super::*;

const ONE: Expected = Expected { choices: 1, logprobs: false, prompt_tokens: 9 };

const ROLE: &str = r#"data: {"id":"x","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}],"usage":null}"#;
const TEXT: &str = r#"data: {"choices":[{"index":0,"delta":{"content":"say \"usage\": {\"a\": 1} é"}}]}"#;
const SCORED: &str =
    r#"data: {"choices": [{"logprobs": {"content": [{"token": "a"}]}, "delta": {"content": "a"}}]}"#;
const CALL: &str =
    r#"data: {"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{}"}}]}}]}"#;
const STOP: &str = r#"data: {"choices":[{"index":0,"delta":{},"finish_reason": "length"}]}"#;
const USAGE: &str = r#"data: {"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":7}}"#;
const DONE_LINE: &str = "data: [DONE]";

fn read<'a>(
    include_usage: bool,
    pieces: impl Iterator<Item = &'a [u8]>,
) -> Result<(String, u32, Option<FinishReason>, Usage), StreamError> {
    let mut reader = FrameReader::new(ONE, include_usage);
    let mut events = VecDeque::new();
    for piece in pieces {
        reader.push(Bytes::copy_from_slice(piece), &mut events)?;
    }
    reader.finish(&mut events)?;
    let (mut text, mut tokens, mut finish, mut usage) = (Vec::new(), 0, None, None);
    for event in events {
        assert!(usage.is_none(), "after the end: {event:?}");
        match event {
            Event::Wire(wired) => {
                text.extend_from_slice(&wired.bytes);
                tokens += wired.tokens;
                finish = wired.finish.or(finish);
            }
            Event::Done(used) => usage = Some(used),
            other => panic!("{other:?}"),
        }
    }
    Ok((String::from_utf8(text).unwrap(), tokens, finish, usage.unwrap()))
}

fn stream(lines: &[&str]) -> String {
    lines.iter().map(|line| format!("{line}\n\n")).collect::<Vec<_>>().concat()
}

fn whole(
    include_usage: bool,
    lines: &[&str],
) -> Result<(String, u32, Option<FinishReason>, Usage), StreamError> {
    read(include_usage, std::iter::once(stream(lines).as_bytes()))
}

#[test]
fn every_byte_passes_and_what_they_tell_is_known() {
    let lines = [ROLE, ": ping", TEXT, SCORED, CALL, STOP, USAGE, DONE_LINE];
    let (text, tokens, finish, usage) = whole(true, &lines).unwrap();
    assert_eq!(text, stream(&lines));
    assert_eq!((tokens, finish), (3, Some(FinishReason::Length)));
    assert_eq!((usage.prompt_tokens, usage.completion_tokens), (5, 7));
}

#[test]
fn the_usage_that_nobody_asked_for_is_left_out() {
    let (text, _, _, usage) = whole(false, &[ROLE, TEXT, STOP, USAGE, DONE_LINE]).unwrap();
    assert_eq!(text, stream(&[ROLE, TEXT, STOP, DONE_LINE]));
    assert_eq!(usage.completion_tokens, 7);
}

#[test]
fn usage_beside_choices_that_gain_nothing_is_left_out_too() {
    let empty = USAGE.replace("[]", r#"[{"index":0,"delta":{"content":null},"finish_reason":null}]"#);
    let (text, _, _, usage) = whole(false, &[ROLE, TEXT, STOP, &empty, DONE_LINE]).unwrap();
    assert_eq!((text, usage.completion_tokens), (stream(&[ROLE, TEXT, STOP, DONE_LINE]), 7));
    // What has more to say passes as it is.
    let last = USAGE.replace("[]", r#"[{"index":0,"delta":{},"finish_reason":"stop"}]"#);
    let (text, ..) = whole(false, &[ROLE, TEXT, &last, DONE_LINE]).unwrap();
    assert_eq!(text, stream(&[ROLE, TEXT, &last, DONE_LINE]));
}

#[test]
fn without_usage_what_was_seen_counts_and_without_done_it_is_said() {
    let (text, _, _, usage) = whole(true, &[TEXT, TEXT, STOP]).unwrap();
    assert_eq!(text, stream(&[TEXT, TEXT, STOP, DONE_LINE]));
    assert_eq!((usage.prompt_tokens, usage.completion_tokens), (9, 2));
    assert_eq!(
        read(true, [stream(&[TEXT, STOP]).as_bytes(), b"data: [DONE]"].into_iter()).unwrap().0,
        stream(&[TEXT, STOP, DONE_LINE])
    );
}

#[test]
fn an_error_or_garbage_ends_the_answer() {
    assert!(matches!(whole(true, &[TEXT]), Err(StreamError::Unfinished)));
    assert!(matches!(whole(true, &["data: {\"error\": {\"message\": \"no\"}}"]), Err(StreamError::Told(_))));
    assert!(matches!(whole(true, &["data: <html>"]), Err(StreamError::NoChunk(_))));
    // An answer that is not streamed, though it was to be.
    let whole_answer = r#"{"choices":[{"message":{"content":"a"},"finish_reason":"stop"}]}"#;
    assert!(matches!(whole(true, &[whole_answer]), Err(StreamError::Unfinished)));
    let named = "event: message\nid: 1\ndata: {\"choices\":[{\"text\":\"a\",\"finish_reason\":\"stop\"}]}";
    assert_eq!(whole(true, &[named, DONE_LINE]).unwrap().1, 1);
    let endless = "x".repeat(LONGEST_EVENT + 1);
    assert!(matches!(whole(true, &[&endless[..1], &endless]), Err(StreamError::Unfinished)));
    let mut reader = FrameReader::new(ONE, true);
    let pushed = reader.push(Bytes::from(endless), &mut VecDeque::new());
    assert!(matches!(pushed, Err(StreamError::TooLong(_))));
}

#[test]
fn a_whole_answer_passes_as_it_is() {
    let answer = br#"{ "choices": [{"finish_reason": "stop"}], "usage": {"prompt_tokens": 1, "completion_tokens": 2} }"#;
    let mut reader = WholeReader::new(9);
    let mut events = VecDeque::new();
    for piece in answer.chunks(5) {
        reader.push(&Bytes::copy_from_slice(piece)).unwrap();
    }
    reader.finish(&mut events).unwrap();
    let Some(Event::Wire(wired)) = events.pop_front() else { panic!("{events:?}") };
    assert_eq!((&wired.bytes[..], wired.tokens, wired.finish), (&answer[..], 2, Some(FinishReason::Stop)));
    assert!(matches!(events.pop_front(), Some(Event::Done(_))));
    let half = WholeReader { answer: BytesMut::from(&b"{\"choices\":["[..]), prompt_tokens: 0 };
    assert!({ half }.finish(&mut events).is_err());
}

proptest! {
    #[test]
    fn the_same_bytes_cut_otherwise_are_the_same_answer(
        lines in prop::collection::vec(
            prop::sample::select(vec![ROLE, TEXT, SCORED, CALL, STOP, USAGE, DONE_LINE, ": c", "event: x"]), 0..10,
        ),
        crlf in any::<bool>(),
        include_usage in any::<bool>(),
        size in 1_usize..50,
    ) {
        let end = if crlf { "\r\n\r\n" } else { "\n\n" };
        let text = lines.iter().map(|line| format!("{line}{end}")).collect::<Vec<_>>().concat();
        let at_once = format!("{:?}", read(include_usage, std::iter::once(text.as_bytes())));
        prop_assert_eq!(at_once, format!("{:?}", read(include_usage, text.as_bytes().chunks(size))));
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _result = read(true, bytes.chunks(7));
    }
}
