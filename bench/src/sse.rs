//! Splits the bytes of an event stream into events, as the WHATWG's specification of server-sent events does.

/// One event's data and where in the bytes the event was complete.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct SseEvent {
    /// The `data:` lines, joined by newlines.
    pub(crate) data: String,
    /// The offset just past the blank line that ended the event.
    pub(crate) end: usize,
}

/// All complete events; comments, other fields and an unfinished last event are left out.
pub(crate) fn events(body: &[u8]) -> Vec<SseEvent> {
    let mut found = Vec::new();
    let mut data: Option<String> = None;
    let mut offset = 0;
    for raw in body.split_inclusive(|byte| *byte == b'\n') {
        offset += raw.len();
        let Some(line) = raw.strip_suffix(b"\n") else { break };
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            if let Some(data) = data.take() {
                found.push(SseEvent { data, end: offset });
            }
        } else if let Some(value) = line.strip_prefix(b"data:") {
            let value = String::from_utf8_lossy(value.strip_prefix(b" ").unwrap_or(value));
            match &mut data {
                None => data = Some(value.into_owned()),
                Some(earlier) => {
                    earlier.push('\n');
                    earlier.push_str(&value);
                }
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(body: &str) -> Vec<String> {
        events(body.as_bytes()).into_iter().map(|event| event.data).collect()
    }

    #[test]
    fn events_end_at_blank_lines_and_know_where() {
        let found = events(b"data: one\n\ndata: two\n\n");
        assert_eq!(found[0], SseEvent { data: "one".to_owned(), end: 11 });
        assert_eq!(found[1], SseEvent { data: "two".to_owned(), end: 22 });
    }

    #[test]
    fn carriage_returns_comments_and_other_fields_are_not_data() {
        assert_eq!(data(": alive\r\n\r\nevent: x\r\nid: 1\r\ndata:{}\r\n\r\n"), ["{}"]);
    }

    #[test]
    fn several_data_lines_are_one_event() {
        assert_eq!(data("data: a\ndata: b\n\n"), ["a\nb"]);
    }

    #[test]
    fn an_unfinished_event_is_left_out() {
        assert_eq!(data("data: a\n\ndata: b\n"), ["a"]);
        assert_eq!(data("data: a\n\ndata: b"), ["a"]);
        assert_eq!(data(""), Vec::<String>::new());
    }
}
