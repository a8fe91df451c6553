//! W3C trace context: which trace a request is part of (<https://www.w3.org/TR/trace-context/>).

use rand::{Rng, RngExt as _};

/// The length of version 00, and of the part of later versions that this one knows.
const LENGTH: usize = 55;
/// The bit of the flags that says that the caller keeps this trace.
const SAMPLED: u8 = 1;

/// A request's place in its trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace.
    pub trace_id: [u8; 16],
    /// The caller's span, if the caller named one.
    pub parent_id: Option<[u8; 8]>,
    /// The request's own span.
    pub span_id: [u8; 8],
    /// The caller keeps this trace.
    pub sampled: bool,
}

impl TraceContext {
    /// Goes on with the trace of a `traceparent` header, or begins one where there is none that holds.
    pub fn of(header: Option<&[u8]>, random: &mut impl Rng) -> Self {
        let span_id = id(random);
        match header.and_then(parse) {
            Some((trace_id, parent_id, flags)) => {
                Self { trace_id, parent_id: Some(parent_id), span_id, sampled: flags & SAMPLED != 0 }
            }
            None => Self { trace_id: id(random), parent_id: None, span_id, sampled: false },
        }
    }

    /// The trace's id in digits, as logs have it.
    pub fn trace(&self) -> String {
        let mut text = String::with_capacity(32);
        push_hex(&mut text, &self.trace_id);
        text
    }

    /// The header for whoever is asked on behalf of this request.
    pub fn traceparent(&self) -> String {
        let mut text = String::with_capacity(LENGTH);
        text.push_str("00-");
        push_hex(&mut text, &self.trace_id);
        text.push('-');
        push_hex(&mut text, &self.span_id);
        text.push_str(if self.sampled { "-01" } else { "-00" });
        text
    }
}

/// An id is never all zero, which means that there is none.
fn id<const N: usize>(random: &mut impl Rng) -> [u8; N] {
    loop {
        let mut bytes = [0; N];
        random.fill(&mut bytes[..]);
        if bytes.iter().any(|byte| *byte != 0) {
            return bytes;
        }
    }
}

/// Trace, caller's span and flags; `None` for what is no `traceparent` of any version.
fn parse(header: &[u8]) -> Option<([u8; 16], [u8; 8], u8)> {
    let (known, rest) = header.split_at_checked(LENGTH)?;
    let dashes = [2, 35, 52].iter().all(|at| known.get(*at) == Some(&b'-'));
    let [version] = hex(known.get(..2)?)?;
    // Version 00 ends here; later ones may go on, behind another dash.
    let ends = rest.is_empty() || (version != 0 && rest.first() == Some(&b'-'));
    if !dashes || !ends || version == 0xff {
        return None;
    }
    let trace: [u8; 16] = hex(known.get(3..35)?)?;
    let parent: [u8; 8] = hex(known.get(36..52)?)?;
    let [flags] = hex(known.get(53..55)?)?;
    let real = trace.iter().any(|byte| *byte != 0) && parent.iter().any(|byte| *byte != 0);
    real.then_some((trace, parent, flags))
}

/// Lowercase digits alone, as the standard has them.
fn hex<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    if digits.len() != N * 2 {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        for digit in pair {
            let value = match digit {
                b'0'..=b'9' => digit - b'0',
                b'a'..=b'f' => digit - b'a' + 10,
                _ => return None,
            };
            *byte = *byte << 4 | value;
        }
    }
    Some(bytes)
}

fn push_hex(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from_digit(digit.into(), 16).unwrap_or('0'));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const EXAMPLE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn of(header: &str) -> TraceContext {
        TraceContext::of(Some(header.as_bytes()), &mut rand::rng())
    }

    #[test]
    fn a_request_goes_on_with_its_callers_trace_as_a_span_of_its_own() {
        let context = of(EXAMPLE);
        assert_eq!(context.parent_id, Some([0x00, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7]));
        assert!(context.sampled);
        let told = context.traceparent();
        assert_eq!(told.get(..36), EXAMPLE.get(..36));
        assert_eq!(told.get(52..), EXAMPLE.get(52..));
        assert_ne!(told, EXAMPLE);
    }

    #[test]
    fn what_is_no_traceparent_begins_a_trace() {
        let bad = [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01more",
            "00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ];
        for header in bad {
            assert_eq!(of(header).parent_id, None, "{header}");
        }
    }

    #[test]
    fn a_later_version_may_say_more() {
        for header in [
            "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-the-future-holds",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-09",
        ] {
            assert!(of(header).parent_id.is_some(), "{header}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_sent_what_is_told_is_a_traceparent(header in prop::collection::vec(any::<u8>(), 0..80)) {
            let context = TraceContext::of(Some(&header), &mut rand::rng());
            let (trace, parent, _) = parse(context.traceparent().as_bytes()).unwrap();
            prop_assert_eq!((trace, parent), (context.trace_id, context.span_id));
        }

        #[test]
        fn a_well_formed_one_is_kept(trace in any::<[u8; 16]>(), parent in any::<[u8; 8]>(), sampled: bool) {
            prop_assume!(trace != [0; 16] && parent != [0; 8]);
            let caller = TraceContext { trace_id: trace, parent_id: None, span_id: parent, sampled };
            let context = TraceContext::of(Some(caller.traceparent().as_bytes()), &mut rand::rng());
            prop_assert_eq!((context.trace_id, context.parent_id, context.sampled), (trace, Some(parent), sampled));
        }
    }
}
