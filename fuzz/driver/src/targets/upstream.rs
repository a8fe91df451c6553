//! A streamed answer of another server, however its bytes are cut.

use std::collections::VecDeque;

use bytes::Bytes;
use gateway::engine::Event;
use gateway::engine::upstream::events::{ChunkReader, Expected, StreamError};
use gateway::engine::upstream::passage::FrameReader;

use super::mark;

/// An answer, after two bytes that choose what was asked and how it is cut: the cut may change nothing, and what is
/// passed on is what came.
///
/// # Panics
/// If it does, or is not: that is the finding.
pub fn upstream(bytes: &[u8]) -> u64 {
    let [choice, cut, rest @ ..] = bytes else { return 0 };
    let choices = u32::from(choice & 3) + 1;
    let expected = Expected { choices, logprobs: choice & 4 != 0, prompt_tokens: 1 };
    let size = usize::from(cut % 31) + 1;
    let read = |size: usize| {
        let mut reader = ChunkReader::new(expected);
        let events = gather(rest, size, |bytes, events| reader.push(&bytes, events));
        events.and_then(|mut events| reader.finish(&mut events).map(|()| without_ids(events)))
    };
    let whole = shown(&read(rest.len().max(1)));
    assert_eq!(whole, shown(&read(size)), "the same bytes cut otherwise mean something else");
    let pass = |size: usize| {
        let mut reader = FrameReader::new(expected, choice & 8 != 0);
        let events = gather(rest, size, |bytes, events| reader.push(bytes, events));
        events.and_then(|mut events| reader.finish(&mut events).map(|()| passed(&events)))
    };
    let (at_once, in_pieces) = (pass(rest.len().max(1)), pass(size));
    assert_eq!(shown(&at_once), shown(&in_pieces), "the same bytes cut otherwise are passed on otherwise");
    mark(&[whole.len() as u64 % 64, u64::from(at_once.is_ok())])
}

fn gather(
    bytes: &[u8],
    size: usize,
    mut push: impl FnMut(Bytes, &mut VecDeque<Event>) -> Result<(), StreamError>,
) -> Result<VecDeque<Event>, StreamError> {
    let mut events = VecDeque::new();
    for piece in bytes.chunks(size) {
        push(Bytes::copy_from_slice(piece), &mut events)?;
    }
    Ok(events)
}

/// Calls without a name of their own get a random one.
fn without_ids(events: VecDeque<Event>) -> Vec<String> {
    events.into_iter().map(|event| shown(&event)).map(|text| blot(&text)).collect()
}

fn blot(text: &str) -> String {
    match text.split_once("id: \"call_") {
        Some((before, after)) => {
            let after = after.split_once('"').map_or("", |(_, after)| after);
            format!("{before}{after}")
        }
        None => text.to_owned(),
    }
}

/// The bytes and counts that are passed on.
fn passed(events: &VecDeque<Event>) -> (Vec<u8>, u32, String) {
    let (mut bytes, mut tokens, mut end) = (Vec::new(), 0, String::new());
    for event in events {
        match event {
            Event::Wire(wired) => {
                bytes.extend_from_slice(&wired.bytes);
                tokens += wired.tokens;
            }
            other => end = shown(other),
        }
    }
    (bytes, tokens, end)
}

fn shown(value: &impl std::fmt::Debug) -> String {
    format!("{value:?}")
}
