//! Server-sent events out of bytes that come in pieces of any size: the data of each event, whole.
//!
//! As the standard has it: lines end with LF, CR or CRLF, an empty line ends an event, several `data` lines are one
//! with LF between, comments and other fields say nothing here. What is kept between two pieces is bounded.

/// The longest line and the longest event: arguments of a tool call may come in one.
pub const LONGEST_EVENT: usize = 4 << 20;

/// An event is longer than is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an event is longer than {LONGEST_EVENT} bytes")]
pub struct EventTooLong;

/// What is kept of a stream between its pieces.
#[derive(Debug, Default)]
pub struct SseDecoder {
    /// The beginning of a line whose end has not come.
    line: Vec<u8>,
    /// The data of the event whose end has not come.
    data: Vec<u8>,
    has_data: bool,
    /// The last byte ended a line by CR: an LF that follows belongs to it.
    after_cr: bool,
}

impl SseDecoder {
    /// Takes the next bytes; `each` is given the data of every event that they complete, and ends it by an error.
    ///
    /// # Errors
    /// What `each` says, or that an event is too long.
    pub fn push<E: From<EventTooLong>>(
        &mut self,
        bytes: &[u8],
        mut each: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut rest = bytes;
        if self.after_cr && !rest.is_empty() {
            self.after_cr = false;
            rest = rest.strip_prefix(b"\n").unwrap_or(rest);
        }
        while let Some(end) = memchr::memchr2(b'\n', b'\r', rest) {
            let (head, tail) = rest.split_at(end);
            if self.line.is_empty() {
                self.take_line(head, &mut each)?;
            } else {
                let mut line = std::mem::take(&mut self.line);
                grow(&mut line, head)?;
                self.take_line(&line, &mut each)?;
                line.clear();
                self.line = line;
            }
            let by_cr = tail.first() == Some(&b'\r');
            let tail = tail.get(1..).unwrap_or_default();
            self.after_cr = by_cr && tail.is_empty();
            rest = if by_cr { tail.strip_prefix(b"\n").unwrap_or(tail) } else { tail };
        }
        Ok(grow(&mut self.line, rest)?)
    }

    /// The stream has ended: an event that only lacks its empty line counts, as some servers end theirs.
    ///
    /// # Errors
    /// What `each` says, or that the event is too long.
    pub fn finish<E: From<EventTooLong>>(
        &mut self,
        mut each: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let line = std::mem::take(&mut self.line);
        self.take_line(&line, &mut each)?;
        self.take_line(b"", &mut each)
    }

    fn take_line<E: From<EventTooLong>>(
        &mut self,
        line: &[u8],
        each: &mut impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        if line.is_empty() {
            let whole = std::mem::take(&mut self.has_data);
            let told = if whole { each(&self.data) } else { Ok(()) };
            self.data.clear();
            return told;
        }
        let Some(data) = data_of(line) else { return Ok(()) };
        if std::mem::replace(&mut self.has_data, true) {
            grow(&mut self.data, b"\n")?;
        }
        Ok(grow(&mut self.data, data)?)
    }
}

/// The value of a `data` line.
fn data_of(line: &[u8]) -> Option<&[u8]> {
    match line.strip_prefix(b"data")? {
        [] => Some(&[]),
        [b':', b' ', value @ ..] | [b':', value @ ..] => Some(value),
        _ => None,
    }
}

fn grow(buffer: &mut Vec<u8>, more: &[u8]) -> Result<(), EventTooLong> {
    if buffer.len() + more.len() > LONGEST_EVENT {
        return Err(EventTooLong);
    }
    buffer.extend_from_slice(more);
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Vec<String> {
        let mut decoder = SseDecoder::default();
        let mut events = Vec::new();
        let mut each = |data: &[u8]| {
            events.push(String::from_utf8_lossy(data).into_owned());
            Ok::<_, EventTooLong>(())
        };
        for piece in pieces {
            decoder.push(piece, &mut each).unwrap();
        }
        decoder.finish(&mut each).unwrap();
        events
    }

    fn whole(text: &str) -> Vec<String> {
        read(std::iter::once(text.as_bytes()))
    }

    #[test]
    fn data_is_told_event_by_event_and_the_rest_is_passed_over() {
        assert_eq!(whole("data: a\n\ndata:b\r\n\r\ndata: c\r\r"), ["a", "b", "c"]);
        assert_eq!(whole(": ping\n\nevent: x\nid: 1\ndata: a\ndata: b\n\n"), ["a\nb"]);
        assert_eq!(whole("data\n\ndatax: no\n\ndata:  two blanks\n\n"), ["", " two blanks"]);
        assert_eq!(whole("data: [DONE]"), ["[DONE]"]);
        assert!(whole("\n\n\n").is_empty());
    }

    #[test]
    fn a_line_without_end_is_not_kept_for_ever() {
        let mut decoder = SseDecoder::default();
        let piece = vec![b'a'; LONGEST_EVENT / 2 + 1];
        let nothing = |_: &[u8]| Ok::<_, EventTooLong>(());
        assert_eq!(decoder.push(&piece, nothing), Ok(()));
        assert_eq!(decoder.push(&piece, nothing), Err(EventTooLong));
    }

    #[test]
    fn an_event_of_many_lines_is_not_kept_for_ever() {
        let mut decoder = SseDecoder::default();
        let line = [b"data: ".as_slice(), &vec![b'a'; 1 << 20], b"\n"].concat();
        let results: Vec<_> = (0..5).map(|_| decoder.push(&line, |_| Ok::<_, EventTooLong>(()))).collect();
        assert_eq!(results.last(), Some(&Err(EventTooLong)));
    }

    proptest! {
        #[test]
        fn the_same_bytes_cut_otherwise_are_the_same_events(
            parts in prop::collection::vec(
                prop::sample::select(vec!["data: ", "data:", ": c", "\n", "\r", "\r\n", "\n\n", "{\"a\":1}", "é", "x"]),
                0..60,
            ),
            size in 1_usize..9,
        ) {
            let text = parts.concat();
            prop_assert_eq!(whole(&text), read(text.as_bytes().chunks(size)));
        }
    }
}
