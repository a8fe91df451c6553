//! Bytes of tokens to text: whole characters go on, the beginning of one waits for its rest.

/// Splits a stream of bytes at character borders; what can never be UTF-8 becomes U+FFFD as the WHATWG decoder does.
#[derive(Debug, Clone, Default)]
pub struct Utf8Splitter {
    /// The beginning of a character; emptied before it could grow past four bytes.
    tail: Vec<u8>,
}

impl Utf8Splitter {
    /// Appends all text that the bytes complete.
    pub fn push(&mut self, bytes: &[u8], text: &mut String) {
        if self.tail.is_empty()
            && let Ok(valid) = std::str::from_utf8(bytes)
        {
            text.push_str(valid);
            return;
        }
        self.tail.extend_from_slice(bytes);
        let mut kept = 0;
        let mut chunks = self.tail.utf8_chunks().peekable();
        while let Some(chunk) = chunks.next() {
            text.push_str(chunk.valid());
            let invalid = chunk.invalid();
            if chunks.peek().is_none() && is_beginning(invalid) {
                kept = invalid.len();
            } else if !invalid.is_empty() {
                text.push(char::REPLACEMENT_CHARACTER);
            }
        }
        let done = self.tail.len() - kept;
        self.tail.drain(..done);
    }

    /// Ends the stream: a character that never became whole is one U+FFFD.
    pub fn finish(&mut self, text: &mut String) {
        if !self.tail.is_empty() {
            text.push(char::REPLACEMENT_CHARACTER);
            self.tail.clear();
        }
    }
}

/// Whether more bytes could make these a character.
fn is_beginning(invalid: &[u8]) -> bool {
    std::str::from_utf8(invalid).is_err_and(|error| error.error_len().is_none())
}
