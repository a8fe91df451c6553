//! A record as a JSON object that people read: nothing empty, times as texts, ids in hexadecimal.

use std::fmt::{self, Write as _};

use serde::Serialize;

use crate::records::wire::Record;

const NANOS: u64 = 1_000_000_000;

/// One record.
#[derive(Debug, Serialize)]
pub struct Row<'a> {
    time: Time,
    duration_seconds: f64,
    #[serde(skip_serializing_if = "is_empty")]
    instance: &'a str,
    #[serde(skip_serializing_if = "is_empty")]
    id: &'a str,
    #[serde(skip_serializing_if = "Hex::is_empty")]
    trace_id: Hex<'a>,
    #[serde(skip_serializing_if = "Hex::is_empty")]
    span_id: Hex<'a>,
    #[serde(skip_serializing_if = "Hex::is_empty")]
    parent_span_id: Hex<'a>,
    #[serde(skip_serializing_if = "is_empty")]
    route: &'a str,
    #[serde(skip_serializing_if = "is_empty")]
    model: &'a str,
    #[serde(skip_serializing_if = "is_empty")]
    subject: &'a str,
    #[serde(skip_serializing_if = "is_empty")]
    role: &'a str,
    status: u32,
    #[serde(skip_serializing_if = "is_empty")]
    outcome: &'a str,
    #[serde(skip_serializing_if = "is_empty")]
    reason: &'a str,
    #[serde(skip_serializing_if = "is_empty")]
    finish: &'a str,
    prompt_tokens: u32,
    cached_tokens: u32,
    completion_tokens: u32,
    queue_seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_token_seconds: Option<f64>,
    stream: bool,
    weight: f64,
    #[serde(skip_serializing_if = "is_empty")]
    kept: &'a str,
}

impl<'a> Row<'a> {
    /// A record of an instance.
    pub fn new(instance: &'a str, record: &'a Record) -> Self {
        Self {
            time: Time(record.time_unix_ns),
            duration_seconds: seconds(record.duration_ns),
            instance,
            id: &record.id,
            trace_id: Hex(&record.trace_id),
            span_id: Hex(&record.span_id),
            parent_span_id: Hex(&record.parent_span_id),
            route: &record.route,
            model: &record.model,
            subject: &record.subject,
            role: &record.role,
            status: record.status,
            outcome: &record.outcome,
            reason: &record.reason,
            finish: &record.finish,
            prompt_tokens: record.prompt_tokens,
            cached_tokens: record.cached_tokens,
            completion_tokens: record.completion_tokens,
            queue_seconds: seconds(record.queue_ns),
            first_token_seconds: (record.first_token_ns > 0).then(|| seconds(record.first_token_ns)),
            stream: record.stream,
            weight: record.weight,
            kept: &record.kept,
        }
    }
}

fn is_empty(text: &&str) -> bool {
    text.is_empty()
}

/// Nanoseconds as seconds.
pub fn seconds(nanos: u64) -> f64 {
    nanos as f64 / NANOS as f64
}

/// Bytes, written in hexadecimal.
#[derive(Debug, Clone, Copy)]
pub struct Hex<'a>(pub &'a [u8]);

impl Hex<'_> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digit = |half: u8| char::from_digit(half.into(), 16).unwrap_or('0');
        self.0.iter().try_for_each(|byte| {
            f.write_char(digit(byte >> 4))?;
            f.write_char(digit(byte & 15))
        })
    }
}

impl Serialize for Hex<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Whole, so that the text is checked and copied once and not by letters.
        let mut digits = [0; 32];
        let Some(digits) = digits.get_mut(..self.0.len() * 2) else { return serializer.collect_str(self) };
        for (pair, byte) in digits.as_chunks_mut().0.iter_mut().zip(self.0) {
            let digit = |half: u8| if half < 10 { b'0' + half } else { b'a' + half - 10 };
            *pair = [digit(byte >> 4), digit(byte & 15)];
        }
        serializer.serialize_str(str::from_utf8(digits).unwrap_or_default())
    }
}

/// Unix nanoseconds, written as RFC 3339 in UTC.
#[derive(Debug, Clone, Copy)]
pub struct Time(pub u64);

impl Time {
    /// Year, month, day, and the seconds of the day.
    pub(super) fn parts(self) -> (u64, u64, u64, u64) {
        let seconds = self.0 / NANOS;
        let (day, second) = (seconds / 86_400, seconds % 86_400);
        // Years that begin in March, counted from the year 0: a leap day is then the last of its year. Eras of 400
        // years have 146 097 days each.
        let day = day + 719_468;
        let (era, day) = (day / 146_097, day % 146_097);
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let month = (5 * day + 2) / 153;
        let date = day - (153 * month + 2) / 5 + 1;
        let (month, later) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
        (era * 400 + year + later, month, date, second)
    }
}

impl Time {
    fn text(self) -> [u8; 30] {
        let (year, month, date, second) = self.parts();
        let mut text = *b"0000-00-00T00:00:00.000000000Z";
        for (range, number) in [
            (0..4, year),
            (5..7, month),
            (8..10, date),
            (11..13, second / 3_600),
            (14..16, second / 60 % 60),
            (17..19, second % 60),
            (20..29, self.0 % NANOS),
        ] {
            let mut rest = number;
            for place in text.get_mut(range).unwrap_or_default().iter_mut().rev() {
                *place = b'0' + u8::try_from(rest % 10).unwrap_or_default();
                rest /= 10;
            }
        }
        text
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(str::from_utf8(&self.text()).unwrap_or_default())
    }
}

impl Serialize for Time {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(str::from_utf8(&self.text()).unwrap_or_default())
    }
}

#[cfg(test)]
pub(super) fn for_tests() -> Record {
    Record {
        time_unix_ns: 1_790_000_000_000_000_007,
        duration_ns: 1_500_000_000,
        id: "req-1".to_owned(),
        trace_id: (0..16).collect(),
        span_id: vec![0xff; 8],
        route: "create_chat_completion".to_owned(),
        model: "small \"m\"".to_owned(),
        status: 200,
        outcome: "ok".to_owned(),
        finish: "stop".to_owned(),
        prompt_tokens: 7,
        weight: 10.0,
        kept: "sampled".to_owned(),
        ..Record::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_readable_and_has_no_empty_fields() {
        let line = serde_json::to_string(&Row::new("gw-1", &for_tests())).unwrap();
        assert_eq!(
            line,
            r#"{"time":"2026-09-21T14:13:20.000000007Z","duration_seconds":1.5,"instance":"gw-1","id":"req-1","trace_id":"000102030405060708090a0b0c0d0e0f","span_id":"ffffffffffffffff","route":"create_chat_completion","model":"small \"m\"","status":200,"outcome":"ok","finish":"stop","prompt_tokens":7,"cached_tokens":0,"completion_tokens":0,"queue_seconds":0.0,"stream":false,"weight":10.0,"kept":"sampled"}"#
        );
    }

    #[test]
    fn ids_of_any_length_are_hexadecimal() {
        for length in [0, 1, 16, 17, 100] {
            let bytes: Vec<u8> = (0_u8..=255).rev().take(length).collect();
            let mut expected = String::new();
            for byte in &bytes {
                write!(expected, "{byte:02x}").unwrap();
            }
            assert_eq!(Hex(&bytes).to_string(), expected);
            assert_eq!(serde_json::to_string(&Hex(&bytes)).unwrap(), format!("\"{expected}\""));
        }
    }

    #[test]
    fn days_are_those_of_the_calendar() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00.000000000Z"),
            (951_782_399, "2000-02-28T23:59:59.000000000Z"),
            (951_782_400, "2000-02-29T00:00:00.000000000Z"),
            (951_868_800, "2000-03-01T00:00:00.000000000Z"),
            (1_709_164_800, "2024-02-29T00:00:00.000000000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000000000Z"),
            (1_798_761_599, "2026-12-31T23:59:59.000000000Z"),
        ] {
            assert_eq!(Time(seconds * NANOS).to_string(), text);
        }
        assert_eq!(Time(u64::MAX).to_string(), "2554-07-21T23:34:33.709551615Z");
    }
}
