//! What can be told of an event without parsing it.

use std::sync::LazyLock;

use memchr::memmem::Finder;
use serde::Deserialize;

/// What is looked for in each event; a search is prepared once.
struct Names {
    choices: Finder<'static>,
    usage: Finder<'static>,
    finish: Finder<'static>,
    /// Where output stands, the commonest first.
    output: [Finder<'static>; 5],
}

static NAMES: LazyLock<Names> = LazyLock::new(|| Names {
    choices: Finder::new("\"choices\""),
    usage: Finder::new("\"usage\""),
    finish: Finder::new("\"finish_reason\""),
    output: ["\"content\"", "\"text\"", "\"arguments\"", "\"reasoning_content\"", "\"reasoning\""]
        .map(Finder::new),
});

/// What an event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nothing but comments.
    Comment,
    /// A chunk of an answer.
    Chunk,
    /// `[DONE]`
    Done,
    /// Anything else.
    Other,
}

/// The length of the first whole event, the empty line behind it included.
pub(super) fn event_length(bytes: &[u8]) -> Option<usize> {
    memchr::memchr_iter(b'\n', bytes).find_map(|end| match bytes.get(end + 1..)? {
        [b'\n', ..] => Some(end + 2),
        [b'\r', b'\n', ..] => Some(end + 3),
        _ => None,
    })
}

pub(super) fn kind(event: &[u8]) -> Kind {
    match data(event) {
        None => Kind::Comment,
        Some(b"[DONE]") => Kind::Done,
        Some(data) if NAMES.choices.find(data).is_some() => Kind::Chunk,
        Some(_) => Kind::Other,
    }
}

/// An event's data, for the few that are parsed.
pub(super) fn json<'a, T: Deserialize<'a>>(event: &'a [u8]) -> serde_json::Result<T> {
    serde_json::from_slice(data(event).unwrap_or_default())
}

/// The first line of data; there is one, for JSON is written without a line's end.
fn data(event: &[u8]) -> Option<&[u8]> {
    let mut rest = event;
    loop {
        let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        let (line, behind) = rest.split_at(end);
        if let Some(data) = line.strip_prefix(b"data:") {
            return Some(data.trim_ascii());
        }
        rest = behind.get(1..)?;
    }
}

/// Whether the usage is there, and not only its name.
pub(super) fn has_usage(event: &[u8]) -> bool {
    values(event, &NAMES.usage).any(|value| value.first() == Some(&b'{'))
}

/// Whether a choice gained anything: text, reasoning, or arguments of a call.
pub(super) fn has_output(event: &[u8]) -> bool {
    let said = |value: &[u8]| value.first() == Some(&b'"') && value.get(1) != Some(&b'"');
    NAMES.output.iter().any(|name| values(event, name).any(said))
}

/// Why a choice ended, where one did.
pub(super) fn finish(event: &[u8]) -> Option<&str> {
    values(event, &NAMES.finish).find_map(|value| {
        let text = value.strip_prefix(b"\"")?;
        std::str::from_utf8(text.get(..memchr::memchr(b'"', text)?)?).ok()
    })
}

/// What follows each place where a name and a colon are.
fn values<'a>(event: &'a [u8], name: &'static Finder<'static>) -> impl Iterator<Item = &'a [u8]> {
    name.find_iter(event).filter_map(move |start| {
        let behind = event.get(start + name.needle().len()..)?.trim_ascii_start();
        Some(behind.strip_prefix(b":")?.trim_ascii_start())
    })
}
