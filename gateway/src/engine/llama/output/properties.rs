//! Properties of the output parser that hold for any bytes, any split and any stop strings.

use proptest::prelude::*;

use super::tests::{content, read, thinking, tools};
use super::{OutputStyle, ToolFormat};
use crate::engine::DeltaPart;

/// Text rich in marks, halves of marks, JSON and things that resemble them.
fn markish() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "<tool_call>",
        "</tool_call>",
        "<tool_",
        "call>",
        "<think>",
        "</think>",
        "</thi",
        "<|python_tag|>",
        "[TOOL_CALLS]",
        "[ARGS]",
        "[",
        "]",
        "{\"name\": \"add\"",
        "{\"name\":\"nobody\"",
        ", \"arguments\": ",
        "\"parameters\":",
        "{\"a\": \"}\\\"\"}",
        "{\"a\": [1, {}]}",
        "}",
        "{",
        ",",
        ";",
        "null",
        "12.5",
        "\"",
        "\\",
        "\n",
        "  ",
        "add",
        "Ünï😀",
        "x",
        "\u{fffd}",
    ]);
    prop::collection::vec(pieces, 0..14).prop_map(|pieces| pieces.concat())
}

fn styles() -> impl Strategy<Value = OutputStyle> {
    let formats = prop::sample::select(vec![
        None,
        Some(ToolFormat::Hermes),
        Some(ToolFormat::Llama),
        Some(ToolFormat::MistralList),
        Some(ToolFormat::MistralNamed),
    ]);
    (formats, any::<Option<bool>>(), any::<bool>()).prop_map(|(format, reasoning, parallel)| {
        let mut style = format.map(tools).unwrap_or_default();
        if let Some(tools) = &mut style.tools {
            tools.parallel = parallel;
        }
        if let Some(inside) = reasoning { thinking(style, inside) } else { style }
    })
}

fn split(bytes: &[u8], at: &[prop::sample::Index]) -> Vec<Vec<u8>> {
    let mut borders: Vec<usize> = at.iter().map(|index| index.index(bytes.len() + 1)).collect();
    borders.sort_unstable();
    borders.push(bytes.len());
    let mut start = 0;
    let mut pieces = Vec::new();
    for border in borders {
        pieces.push(bytes[start..border].to_vec());
        start = border;
    }
    pieces
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_split_reads_the_same(
        style in styles(),
        text in markish(),
        junk in prop::collection::vec(any::<u8>(), 0..4),
        stop in prop::collection::vec("[a-c}<\\n]{1,3}", 0..3),
        at in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let mut bytes = text.into_bytes();
        bytes.extend(junk);
        let stop: Vec<&str> = stop.iter().map(String::as_str).collect();
        let whole = read(&style, &stop, std::slice::from_ref(&bytes));
        prop_assert_eq!(&whole, &read(&style, &stop, &split(&bytes, &at)));
        let singles: Vec<[u8; 1]> = bytes.iter().map(|&byte| [byte]).collect();
        prop_assert_eq!(&whole, &read(&style, &stop, &singles));
    }

    #[test]
    fn text_is_cut_exactly_before_the_first_stop_string(
        text in "[ab]{0,40}",
        stop in prop::collection::vec("[ab]{1,6}", 0..4),
        at in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let stop: Vec<&str> = stop.iter().map(String::as_str).collect();
        // The naive reading: the shortest beginning of the text that ends with a stop string, without the longest such.
        let cut = (0..=text.len()).find_map(|end| {
            stop.iter().filter(|stop| text[..end].ends_with(**stop)).map(|stop| end - stop.len()).min()
        });
        let kept = &text[..cut.unwrap_or(text.len())];
        let expected: Vec<DeltaPart> = if kept.is_empty() { Vec::new() } else { vec![content(kept)] };
        prop_assert_eq!(read(&OutputStyle::default(), &stop, &split(text.as_bytes(), &at)), expected);
        let shown = stop.iter().any(|stop| kept.contains(stop));
        prop_assert!(!shown);
    }

    #[test]
    fn plain_bytes_read_as_the_lossy_text(bytes in prop::collection::vec(any::<u8>(), 0..40), at in prop::collection::vec(any::<prop::sample::Index>(), 0..8)) {
        let expected = String::from_utf8_lossy(&bytes).into_owned();
        let parts = read(&OutputStyle::default(), &[], &split(&bytes, &at));
        let expected = if expected.is_empty() { Vec::new() } else { vec![DeltaPart::Content(expected)] };
        prop_assert_eq!(parts, expected);
    }

    #[test]
    fn where_nothing_was_called_no_visible_character_is_lost(style in styles(), text in markish()) {
        let parts = read(&OutputStyle { reasoning: None, begins_in_reasoning: false, ..style }, &[], &[&text]);
        if let [DeltaPart::Content(said)] = parts.as_slice() {
            prop_assert_eq!(said, &text);
        } else if parts.is_empty() {
            prop_assert!(text.is_empty());
        } else {
            let called = parts.iter().any(|part| matches!(part, DeltaPart::ToolCall { .. }));
            prop_assert!(called);
        }
    }
}
