//! What comes out of the output parser for each way in which models write.

use std::sync::Arc;

use super::{Flow, OutputParser, OutputStyle, ReasoningMarks, ToolFormat, ToolStyle};
use crate::engine::DeltaPart;

pub(super) fn tools(format: ToolFormat) -> OutputStyle {
    let names: Arc<[String]> = ["get_weather".to_owned(), "add".to_owned()].into();
    OutputStyle { tools: Some(ToolStyle { format, names, parallel: true }), ..OutputStyle::default() }
}

pub(super) fn thinking(mut style: OutputStyle, inside: bool) -> OutputStyle {
    style.reasoning = Some(ReasoningMarks { open: "<think>".to_owned(), close: "</think>".to_owned() });
    style.begins_in_reasoning = inside;
    style
}

/// Reads the pieces; neighbouring parts are joined and identifiers checked and replaced by their index.
pub(super) fn read<B: AsRef<[u8]>>(style: &OutputStyle, stop: &[&str], pieces: &[B]) -> Vec<DeltaPart> {
    let stop: Vec<String> = stop.iter().map(|&s| s.to_owned()).collect();
    let mut parser = OutputParser::new(style, &stop);
    let mut out = Vec::new();
    for piece in pieces {
        if parser.push(piece.as_ref(), &mut out) == Flow::Stopped {
            break;
        }
    }
    parser.finish(&mut out);
    let parts = out.len();
    parser.finish(&mut out);
    assert_eq!(out.len(), parts, "a second finish adds nothing");
    join(out)
}

fn join(parts: Vec<DeltaPart>) -> Vec<DeltaPart> {
    let mut joined: Vec<DeltaPart> = Vec::new();
    for part in parts {
        match (joined.last_mut(), part) {
            (Some(DeltaPart::Content(a)), DeltaPart::Content(b))
            | (Some(DeltaPart::Reasoning(a)), DeltaPart::Reasoning(b)) => a.push_str(&b),
            (
                Some(DeltaPart::ToolArguments { index: i, arguments: a }),
                DeltaPart::ToolArguments { index, arguments },
            ) if *i == index => {
                a.push_str(&arguments);
            }
            (_, DeltaPart::ToolCall { index, id, name }) => {
                assert!(id.len() == 29 && id.starts_with("call_"), "{id}");
                joined.push(DeltaPart::ToolCall { index, id: String::new(), name });
            }
            (_, part) => joined.push(part),
        }
    }
    joined
}

fn letters(text: &str) -> Vec<String> {
    text.chars().map(String::from).collect()
}

pub(super) fn content(text: &str) -> DeltaPart {
    DeltaPart::Content(text.to_owned())
}

fn reasoning(text: &str) -> DeltaPart {
    DeltaPart::Reasoning(text.to_owned())
}

fn call(index: u32, name: &str, arguments: &str) -> [DeltaPart; 2] {
    [
        DeltaPart::ToolCall { index, id: String::new(), name: name.to_owned() },
        DeltaPart::ToolArguments { index, arguments: arguments.to_owned() },
    ]
}

/// However the text is split, it reads as `expected`.
#[track_caller]
fn reads(style: &OutputStyle, text: &str, expected: &[DeltaPart]) {
    assert_eq!(read(style, &[], &[text]), expected, "in one piece");
    assert_eq!(read(style, &[], &letters(text)), expected, "letter by letter");
}

#[test]
fn plain_text_is_passed_on_at_once() {
    let mut parser = OutputParser::new(&OutputStyle::default(), &[]);
    let mut out = Vec::new();
    assert_eq!(parser.push(b" Hello\n", &mut out), Flow::Continue);
    assert_eq!(out, [content(" Hello\n")]);
}

#[test]
fn a_character_split_over_tokens_comes_out_whole() {
    let plain = OutputStyle::default();
    assert_eq!(read(&plain, &[], &[&b"a\xF0\x9F"[..], b"\x98", b"\x80b"]), [content("a😀b")]);
}

#[test]
fn bytes_that_are_no_text_become_replacement_characters() {
    let plain = OutputStyle::default();
    for bytes in
        [&b"\xFFa\xC3"[..], b"\xE2\x82(", b"\xED\xA0\x80", b"\xF0\x9F\x98", b"\xC0\xAF", b"\xF4\x90\x80\x80"]
    {
        let expected = [DeltaPart::Content(String::from_utf8_lossy(bytes).into_owned())];
        assert_eq!(read(&plain, &[], &[bytes]), expected, "{bytes:?}");
        let singles: Vec<[u8; 1]> = bytes.iter().map(|&byte| [byte]).collect();
        assert_eq!(read(&plain, &[], &singles), expected, "{bytes:?}");
    }
}

#[test]
fn a_stop_string_across_tokens_never_shows() {
    let plain = OutputStyle::default();
    assert_eq!(read(&plain, &["END"], &["one E", "N", "Dtwo"]), [content("one ")]);
    assert_eq!(read(&plain, &["abab", "zz"], &["xaba", "cabab"]), [content("xabac")]);
}

#[test]
fn text_that_began_like_a_stop_string_is_released_as_soon_as_it_is_none() {
    let mut parser = OutputParser::new(&OutputStyle::default(), &["\n\nUser:".to_owned()]);
    let mut out = Vec::new();
    parser.push(b"yes\n\nUs", &mut out);
    assert_eq!(out, [content("yes")]);
    parser.push(b"ing", &mut out);
    assert_eq!(out, [content("yes\n\nUsing")]);
}

#[test]
fn an_unfinished_stop_string_is_text_at_the_end() {
    assert_eq!(read(&OutputStyle::default(), &["END"], &["the EN"]), [content("the EN")]);
}

#[test]
fn the_stop_string_that_completes_first_wins() {
    assert_eq!(read(&OutputStyle::default(), &["abcd", "bc"], &["abcd"]), [content("a")]);
    assert_eq!(read(&OutputStyle::default(), &["d", "abcd"], &["xabcd"]), [content("x")]);
}

#[test]
fn it_is_known_which_stop_string_came() {
    let stopped_by = |pieces: &[&str]| {
        let stop = ["END".to_owned(), "ab\u{e9}".to_owned()];
        let mut parser = OutputParser::new(&OutputStyle::default(), &stop);
        for piece in pieces {
            parser.push(piece.as_bytes(), &mut Vec::new());
        }
        parser.finish(&mut Vec::new());
        parser.stopped_by().map(str::to_owned)
    };
    assert_eq!(stopped_by(&["one EN", "D two"]).as_deref(), Some("END"));
    assert_eq!(stopped_by(&["EN", "ab\u{e9}", "END"]).as_deref(), Some("ab\u{e9}"));
    assert_eq!(stopped_by(&["the EN"]), None);
}

#[test]
fn reasoning_is_told_apart_and_trimmed() {
    let style = thinking(OutputStyle::default(), false);
    reads(
        &style,
        "<think>\nwhy, \n so\n</think>\n\nBecause.\n",
        &[reasoning("why, \n so"), content("Because.\n")],
    );
    reads(&style, "<think>\n\n</think>\n\nHi", &[content("Hi")]);
    reads(&style, "no <think> here", &[content("no <think> here")]);
    reads(&style, "<thin air", &[content("<thin air")]);
}

#[test]
fn reasoning_that_the_prompt_opened_needs_no_mark() {
    let style = thinking(OutputStyle::default(), true);
    reads(&style, "\nhm </thin> hm</think>\nYes", &[reasoning("hm </thin> hm"), content("Yes")]);
    reads(&style, "<think>\nhm</think>Yes", &[reasoning("hm"), content("Yes")]);
    reads(&style, "cut of", &[reasoning("cut of")]);
    let mut parser = OutputParser::new(&style, &[]);
    assert!(parser.in_reasoning());
    parser.push(b"hm</think>", &mut Vec::new());
    assert!(!parser.in_reasoning());
}

#[test]
fn hermes_calls_are_read_with_the_text_around_them() {
    let style = tools(ToolFormat::Hermes);
    let one = "Let me see.\n<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"city\": \"K\\u00f6ln}\"}}\n</tool_call>";
    let [a, b] = call(0, "get_weather", "{\"city\": \"K\\u00f6ln}\"}");
    reads(&style, one, &[content("Let me see."), a.clone(), b.clone()]);
    let two = format!(
        "{one}\n<tool_call>\n{{\"arguments\": {{\"a\": [1, 2]}}, \"name\": \"add\"}}\n</tool_call>\nDone."
    );
    let [c, d] = call(1, "add", "{\"a\": [1, 2]}");
    reads(&style, &two, &[content("Let me see."), a, b, c, d, content("Done.")]);
}

#[test]
fn a_call_is_announced_before_its_arguments_and_streams_them_as_they_come() {
    let mut parser = OutputParser::new(&tools(ToolFormat::Hermes), &[]);
    let mut out = Vec::new();
    parser.push(b"<tool_call>{\"name\": \"add\"", &mut out);
    assert!(matches!(out.as_slice(), [DeltaPart::ToolCall { index: 0, name, .. }] if name == "add"));
    assert!(parser.called_tools());
    out.clear();
    parser.push(b", \"arguments\": {\"a\": 1", &mut out);
    assert_eq!(out, [DeltaPart::ToolArguments { index: 0, arguments: "{\"a\": 1".to_owned() }]);
    out.clear();
    parser.push(b"2}", &mut out);
    assert_eq!(out, [DeltaPart::ToolArguments { index: 0, arguments: "2}".to_owned() }]);
}

#[test]
fn llama_calls_are_bare_json_or_follow_the_python_tag() {
    let style = tools(ToolFormat::Llama);
    let one = "{\"name\": \"add\", \"parameters\": {\"a\": 1}}";
    let expected = call(0, "add", "{\"a\": 1}");
    reads(&style, one, &expected);
    reads(&style, &format!("<|python_tag|>{one}"), &expected);
    reads(&style, &format!("\n{{\"type\": \"function\", {}", &one[1..]), &expected);
    let [a, b] = call(0, "add", "{\"a\": 1}");
    let [c, d] = call(1, "add", "{\"a\": 1}");
    reads(&style, &format!("{one}; {one}"), &[a, b, c, d]);
}

#[test]
fn json_that_is_no_call_stays_content() {
    let style = tools(ToolFormat::Llama);
    for text in [
        "{\"name\": \"Ann\", \"age\": 3}",
        "{\"a\": {\"name\": \"add\"}}",
        "{",
        "{}",
        "{\"name\": 1}",
        "x {\"name\": \"add\"}",
    ] {
        reads(&style, text, &[content(text)]);
    }
    reads(&style, "<|python_tag|>print(1)", &[content("<|python_tag|>print(1)")]);
}

#[test]
fn mistral_calls_come_as_a_list_or_by_name() {
    let [a, b] = call(0, "add", "{\"a\": 1}");
    let [c, d] = call(1, "get_weather", "{}");
    let expected = [a, b, c, d];
    for format in [ToolFormat::MistralList, ToolFormat::MistralNamed] {
        let style = tools(format);
        let list =
            "[TOOL_CALLS] [{\"name\": \"add\", \"arguments\": {\"a\": 1}}, {\"name\": \"get_weather\"}]";
        reads(&style, list, &expected);
        let named = "[TOOL_CALLS]add[CALL_ID]Ab1[ARGS]{\"a\": 1}[TOOL_CALLS]get_weather{}";
        reads(&style, named, &expected);
    }
}

#[test]
fn what_only_resembles_a_call_is_content_unchanged() {
    for text in [
        "a <tool_cal",
        "<tool_call>hm",
        "<tool_call>\n[1]",
        "<tool_call>{\"name\": \"x",
        "<tool_call>{\"nme\": 1}</tool_call>",
    ] {
        reads(&tools(ToolFormat::Hermes), text, &[content(text)]);
    }
    for text in [
        "[TOOL_CALLS][",
        "[TOOL_CALLS][x",
        "[TOOL_CALLS]",
        "[TOOL_CALLS] [ ]",
        "[TOOL_CALLS]a b(",
        "[TOOL_CALLS] [{\"a\":1}]",
    ] {
        reads(&tools(ToolFormat::MistralList), text, &[content(text)]);
    }
    let nested = "<tool_call><tool_call>{\"name\":\"add\"}";
    let [a, b] = call(0, "add", "{}");
    reads(&tools(ToolFormat::Hermes), nested, &[content("<tool_call>"), a, b]);
}

#[test]
fn arguments_in_a_string_are_unwrapped() {
    let [a, b] = call(0, "add", "{\"a\":1}");
    reads(
        &tools(ToolFormat::Hermes),
        r#"<tool_call>{"name":"add","arguments":"{\"a\":1}"}</tool_call>"#,
        &[a, b],
    );
}

#[test]
fn a_call_that_breaks_after_its_name_loses_no_text() {
    let style = tools(ToolFormat::Hermes);
    let [a, b] = call(0, "add", "{}");
    reads(&style, "<tool_call>{\"name\": \"add\"; oh", &[a, b, content("; oh")]);
    let [a, b] = call(0, "add", "{\"a\": ");
    reads(&style, "<tool_call>{\"name\": \"add\", \"arguments\": {\"a\": ", &[a, b]);
}

#[test]
fn without_tools_nothing_is_a_call() {
    let text = "<tool_call>{\"name\": \"add\", \"arguments\": {}}</tool_call>";
    reads(&OutputStyle::default(), text, &[content(text)]);
    reads(&thinking(OutputStyle::default(), false), text, &[content(text)]);
}

#[test]
fn one_call_is_all_where_parallel_calls_are_off() {
    let mut style = tools(ToolFormat::Hermes);
    style.tools.as_mut().unwrap().parallel = false;
    let one = "<tool_call>{\"name\":\"add\"}</tool_call>";
    reads(&style, &format!("{one}{one}"), &call(0, "add", "{}"));
    let mut parser = OutputParser::new(&style, &[]);
    assert_eq!(parser.push(one.as_bytes(), &mut Vec::new()), Flow::Stopped);
}

#[test]
fn a_call_may_follow_reasoning() {
    let style = thinking(tools(ToolFormat::Llama), true);
    let [a, b] = call(0, "add", "{}");
    reads(&style, "so\n</think>\n\n{\"name\":\"add\",\"parameters\":{}}", &[reasoning("so"), a, b]);
}

#[test]
fn only_the_marks_of_the_style_are_read_from_special_tokens() {
    let style = thinking(tools(ToolFormat::Hermes), false);
    assert!(
        style.reads_mark(b"<tool_call>")
            && style.reads_mark(b"</tool_call>")
            && style.reads_mark(b"</think>")
    );
    assert!(!style.reads_mark(b"<|im_end|>") && !OutputStyle::default().reads_mark(b"<think>"));
}
