//! Sends records to `InfluxDB` by its line protocol: one point of the measurement `requests` a record.
//!
//! Two points of the same tags and the same nanosecond are one point to it: the later stands.

use std::fmt::Write as _;

use http::{HeaderValue, header};

use super::post::Post;
use super::row::seconds;
use super::sink::{Sink, SinkError};
use crate::client::Endpoint;
use crate::records::wire::{Record, RecordBatch};

/// The latest moment that it has.
const LATEST: u64 = i64::MAX as u64 - 1;

/// Which database.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The server.
    pub endpoint: Endpoint,
    /// The database; of version 2, the bucket that is mapped to it.
    pub database: String,
    /// `TOKEN`, or `USER:PASSWORD` of version 1.8.
    pub token: Option<String>,
}

/// A token cannot be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the token must be one line of printable characters")]
pub struct TokenError;

/// Points in `InfluxDB`.
pub struct Influx {
    post: Post,
}

impl Influx {
    /// Opens nothing yet.
    ///
    /// # Errors
    /// The token cannot be sent.
    pub fn new(settings: Settings) -> Result<Self, TokenError> {
        let mut query = form_urlencoded::Serializer::new(String::from("/write?"));
        query.append_pair("db", &settings.database).append_pair("precision", "ns");
        let mut headers = vec![(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"))];
        if let Some(token) = settings.token {
            let mut value = HeaderValue::try_from(format!("Token {token}")).map_err(|_| TokenError)?;
            value.set_sensitive(true);
            headers.push((header::AUTHORIZATION, value));
        }
        Ok(Self { post: Post::new(settings.endpoint, query.finish(), headers) })
    }
}

impl Sink for Influx {
    fn name(&self) -> &'static str {
        "influx"
    }

    async fn deliver(&mut self, batch: &RecordBatch) -> Result<(), SinkError> {
        self.post.send(lines(batch).into()).await.map(drop)
    }

    async fn flush(&mut self) -> Result<(), SinkError> {
        Ok(())
    }
}

/// A batch as it is sent.
pub fn lines(batch: &RecordBatch) -> String {
    let mut lines = String::with_capacity(batch.records.len() * 320);
    for record in &batch.records {
        let written = line(&mut lines, record);
        debug_assert!(written.is_ok(), "writing to a text does not fail");
    }
    lines
}

fn line(line: &mut String, record: &Record) -> std::fmt::Result {
    line.push_str("requests");
    // In the order of the names, which costs the server least.
    for (name, value) in [
        ("kept", &record.kept),
        ("model", &record.model),
        ("outcome", &record.outcome),
        ("role", &record.role),
        ("route", &record.route),
    ] {
        // It has no empty tags.
        if !value.is_empty() {
            write!(line, ",{name}=")?;
            escape(line, value);
        }
    }
    write!(line, ",status={}", record.status)?;
    write!(line, " duration_seconds={}", seconds(record.duration_ns))?;
    write!(line, ",queue_seconds={}", seconds(record.queue_ns))?;
    if record.first_token_ns > 0 {
        write!(line, ",first_token_seconds={}", seconds(record.first_token_ns))?;
    }
    write!(line, ",prompt_tokens={}i", record.prompt_tokens)?;
    write!(line, ",cached_tokens={}i", record.cached_tokens)?;
    write!(line, ",completion_tokens={}i", record.completion_tokens)?;
    // It has no infinity either.
    if record.weight.is_finite() {
        write!(line, ",weight={}", record.weight)?;
    }
    writeln!(line, " {}", record.time_unix_ns.min(LATEST))
}

/// The value of a tag. There is no way to say a line break, nor a backslash at the end, which would take the comma
/// behind it along: both are replaced.
fn escape(line: &mut String, value: &str) {
    for letter in value.chars() {
        match letter {
            ',' | '=' | ' ' => line.extend(['\\', letter]),
            '\\' => line.push('/'),
            letter if letter.is_control() => line.push('?'),
            letter => line.push(letter),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::server::records::row;

    /// Splits where the server does: at what is not behind a backslash.
    fn split(text: &str, at: char) -> Vec<&str> {
        let bytes = text.as_bytes();
        let places = text.match_indices(at).map(|(place, _)| place);
        let cuts = places.filter(|place| *place == 0 || bytes[place - 1] != b'\\');
        let mut parts = Vec::new();
        let mut from = 0;
        for cut in cuts {
            parts.push(&text[from..cut]);
            from = cut + 1;
        }
        parts.push(&text[from..]);
        parts
    }

    fn plain(text: &str) -> String {
        text.replace("\\,", ",").replace("\\=", "=").replace("\\ ", " ")
    }

    fn batch(records: Vec<Record>) -> RecordBatch {
        RecordBatch { records, ..RecordBatch::default() }
    }

    #[test]
    fn a_record_is_a_point() {
        let record =
            Record { model: "a b,c=d\\".to_owned(), first_token_ns: 250_000_000, ..row::for_tests() };
        assert_eq!(
            lines(&batch(vec![record])),
            "requests,kept=sampled,model=a\\ b\\,c\\=d/,outcome=ok,route=create_chat_completion,status=200 \
             duration_seconds=1.5,queue_seconds=0,first_token_seconds=0.25,prompt_tokens=7i,cached_tokens=0i,\
             completion_tokens=0i,weight=10 1790000000000000007\n"
        );
    }

    #[test]
    fn a_token_that_is_no_header_is_refused() {
        let endpoint = Endpoint::Tcp("127.0.0.1:1".to_owned());
        let settings = Settings { endpoint, database: "a&b".to_owned(), token: Some("a\nb".to_owned()) };
        assert!(Influx::new(settings).is_err());
    }

    proptest! {
        #[test]
        fn whatever_is_in_a_record_one_line_says_it(
            texts in prop::collection::vec(any::<String>(), 5), numbers in any::<(u64, u64, u64, f64)>(),
        ) {
            let [kept, model, outcome, role, route] = <[String; 5]>::try_from(texts.clone()).unwrap();
            let (time_unix_ns, duration_ns, first_token_ns, weight) = numbers;
            let record = Record {
                time_unix_ns, duration_ns, route, model, role, outcome, first_token_ns, weight, kept,
                ..Record::default()
            };
            let text = lines(&batch(vec![record.clone(), record]));
            let lines: Vec<_> = text.lines().collect();
            prop_assert_eq!(lines.len(), 2);
            prop_assert!(text.chars().filter(|letter| letter.is_control()).count() == 2);
            let parts = split(lines[0], ' ');
            prop_assert_eq!(parts.len(), 3);
            let mut tags = split(parts[0], ',');
            prop_assert_eq!((tags.remove(0), tags.pop()), ("requests", Some("status=0")));
            let read: Vec<_> = tags.iter().map(|tag| {
                let sides = split(tag, '=');
                assert_eq!(sides.len(), 2);
                plain(sides[1])
            }).collect();
            let said = |text: &String| -> String {
                text.chars().map(|letter| match letter {
                    '\\' => '/',
                    letter if letter.is_control() => '?',
                    letter => letter,
                }).collect()
            };
            let expected: Vec<_> = texts.iter().filter(|text| !text.is_empty()).map(said).collect();
            prop_assert_eq!(read, expected);
            for field in parts[1].split(',') {
                let number = field.split_once('=').unwrap().1;
                prop_assert!(number.trim_end_matches('i').parse::<f64>().unwrap().is_finite());
            }
            prop_assert!(parts[2].parse::<i64>().unwrap() < i64::MAX);
        }
    }
}
