//! Line feeds that stand alone in a request's head are made unreadable, so that the head is refused.
//!
//! hyper takes a bare line feed for the end of a line, others take it for a part of the line: between two that
//! disagree, a header or a whole request can hide. hyper has no switch for it, but refuses a NUL anywhere in a head.

/// Where in a head the bytes are that come next.
#[derive(Debug, Default)]
pub(super) struct Lines {
    previous: u8,
    /// The line has a byte already.
    has_text: bool,
    /// The request line was begun: an empty line now ends the head.
    begun: bool,
    is_over: bool,
}

impl Lines {
    /// Looks at the next bytes of a head; what follows it is left as it is.
    pub(super) fn check(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            if self.is_over {
                return;
            }
            if *byte == b'\n' && self.previous != b'\r' {
                *byte = 0;
            }
            match *byte {
                b'\n' => {
                    self.is_over = self.begun && !self.has_text;
                    self.has_text = false;
                }
                b'\r' => {}
                _ => (self.has_text, self.begun) = (true, true),
            }
            self.previous = *byte;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(text: &str) -> String {
        let mut bytes = text.as_bytes().to_vec();
        let mut lines = Lines::default();
        // However the head is cut into reads.
        bytes.chunks_mut(3).for_each(|piece| lines.check(piece));
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_head_and_the_body_behind_it_stay_as_they_are() {
        let fine = "\r\nPOST / HTTP/1.1\r\nhost: x\r\n\r\n{\n\"a\": 1\n}\n";
        assert_eq!(checked(fine), fine);
    }

    #[test]
    fn a_bare_line_feed_in_a_head_becomes_what_hyper_refuses() {
        assert_eq!(
            checked("GET / HTTP/1.1\r\na: b\nc: d\r\n\r\n\n"),
            "GET / HTTP/1.1\r\na: b\0c: d\r\n\r\n\n"
        );
        assert_eq!(checked("GET / HTTP/1.1\r\na: b\n\r\nGET"), "GET / HTTP/1.1\r\na: b\0\r\nGET");
        assert_eq!(checked("GET / HTTP/1.1\n\n"), "GET / HTTP/1.1\0\0");
        assert_eq!(checked("\nGET / HTTP/1.1\r\n\r\n"), "\0GET / HTTP/1.1\r\n\r\n");
    }
}
