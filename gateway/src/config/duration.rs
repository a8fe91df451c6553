//! Durations as people write them: `250ms`, `30s`, `5m`, `1h`, `30d`, or a bare number of seconds.

use std::fmt;
use std::time::Duration;

use serde::de::{Deserializer, Error, Visitor};
use serde::ser::Serializer;

/// The words of the units, longest span first, with their milliseconds.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Reads a duration: `250ms`, `30s`, `5m`, `1h`, `30d`, or a bare number of seconds.
pub fn parse(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(digits)?;
    let number: u64 = number.parse().ok()?;
    let unit = if unit.is_empty() { "s" } else { unit.trim() };
    let (_, milliseconds) = UNITS.iter().find(|(word, _)| *word == unit)?;
    number.checked_mul(*milliseconds).map(Duration::from_millis)
}

/// Writes a duration in the largest unit that holds it exactly.
pub(crate) fn format(duration: Duration) -> String {
    let total = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let fits = |(_, unit): &&(&str, u64)| total >= *unit && total.is_multiple_of(*unit);
    UNITS.iter().find(fits).map_or_else(|| "0s".to_owned(), |(word, unit)| format!("{}{word}", total / unit))
}

/// For `#[serde(with = "duration")]`.
pub(crate) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format(*duration))
}

/// For `#[serde(with = "duration")]`.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    deserializer.deserialize_any(DurationVisitor)
}

struct DurationVisitor;

impl Visitor<'_> for DurationVisitor {
    type Value = Duration;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a duration such as \"250ms\", \"30s\", \"5m\" or a number of seconds")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Duration, E> {
        parse(text).ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(text), &self))
    }

    fn visit_i64<E: Error>(self, seconds: i64) -> Result<Duration, E> {
        let unexpected = serde::de::Unexpected::Signed(seconds);
        u64::try_from(seconds).map(Duration::from_secs).map_err(|_| E::invalid_value(unexpected, &self))
    }

    fn visit_u64<E: Error>(self, seconds: u64) -> Result<Duration, E> {
        Ok(Duration::from_secs(seconds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_in_every_unit_and_written_back_in_the_largest() {
        for (text, milliseconds, written) in [
            ("250ms", 250, "250ms"),
            ("30s", 30_000, "30s"),
            ("30", 30_000, "30s"),
            ("120s", 120_000, "2m"),
            ("1h", 3_600_000, "1h"),
            ("0", 0, "0s"),
        ] {
            let duration = parse(text).unwrap();
            assert_eq!(duration, Duration::from_millis(milliseconds), "{text}");
            assert_eq!(format(duration), written);
        }
    }

    #[test]
    fn what_is_not_a_duration_is_refused() {
        for text in ["", "s", "-1s", "1 fortnight", "1.5s", "99999999999999999999s", "18446744073709551615h"]
        {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
