//! Limits as OpenAI's clients read them: `x-ratelimit-*` and `retry-after`.

use std::time::Duration;

use http::{HeaderName, HeaderValue};

use super::store::LONGEST_PAUSE;
use super::terms::{LimitError, Refusal, Standing, Window};
use crate::error::retry_headers;

/// Names and values to set on an answer.
pub type Headers = Vec<(HeaderName, HeaderValue)>;

/// The three headers of one limit.
struct Names {
    limit: HeaderName,
    remaining: HeaderName,
    reset: HeaderName,
}

const REQUESTS: Names = Names {
    limit: HeaderName::from_static("x-ratelimit-limit-requests"),
    remaining: HeaderName::from_static("x-ratelimit-remaining-requests"),
    reset: HeaderName::from_static("x-ratelimit-reset-requests"),
};

const TOKENS: Names = Names {
    limit: HeaderName::from_static("x-ratelimit-limit-tokens"),
    remaining: HeaderName::from_static("x-ratelimit-remaining-tokens"),
    reset: HeaderName::from_static("x-ratelimit-reset-tokens"),
};

impl Standing {
    /// `x-ratelimit-*`, of what is limited.
    pub fn headers(&self) -> Headers {
        let mut headers = Vec::with_capacity(8);
        for (names, window) in [(REQUESTS, self.requests), (TOKENS, self.tokens)] {
            if let Some(window) = window {
                push_window(&mut headers, names, window);
            }
        }
        headers
    }
}

impl Refusal {
    /// `x-ratelimit-*` and, unless the request can never pass, `retry-after` and `retry-after-ms`.
    pub fn headers(&self) -> Headers {
        let mut headers = self.standing.headers();
        if let Some(wait) = self.retry_after {
            headers.extend(retry_headers(wait));
        }
        headers
    }
}

impl LimitError {
    /// The refusal's headers, or when the limits will have been tried again.
    pub fn headers(&self) -> Headers {
        match self {
            Self::Refused(refusal) => refusal.headers(),
            Self::Unavailable => retry_headers(LONGEST_PAUSE).into(),
        }
    }
}

fn push_window(headers: &mut Headers, names: Names, window: Window) {
    headers.push((names.limit, window.limit.into()));
    headers.push((names.remaining, window.remaining.into()));
    // What is written here is digits and letters, so it always is a value.
    if let Ok(reset) = HeaderValue::try_from(reset_text(window.reset)) {
        headers.push((names.reset, reset));
    }
}

/// A time as OpenAI writes it, which is how Go does: `20ms`, `1s`, `8.64s`, `6m0s`, `1h0m5s`.
fn reset_text(time: Duration) -> String {
    let (seconds, ms) = (time.as_secs(), time.subsec_millis());
    if seconds == 0 && ms > 0 {
        return format!("{ms}ms");
    }
    let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
    let mut text = match (hours, minutes) {
        (0, 0) => String::new(),
        (0, minutes) => format!("{minutes}m"),
        (hours, minutes) => format!("{hours}h{minutes}m"),
    };
    text.push_str(&(seconds % 60).to_string());
    if ms > 0 {
        text.push_str(format!(".{ms:03}").trim_end_matches('0'));
    }
    text.push('s');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Scope;

    #[test]
    fn times_are_written_as_openai_does() {
        let cases = [
            (0, "0s"),
            (20, "20ms"),
            (999, "999ms"),
            (1_000, "1s"),
            (8_640, "8.64s"),
            (1_005, "1.005s"),
            (59_999, "59.999s"),
            (360_000, "6m0s"),
            (61_500, "1m1.5s"),
            (3_605_000, "1h0m5s"),
            (86_400_000, "24h0m0s"),
        ];
        for (ms, text) in cases {
            assert_eq!(reset_text(Duration::from_millis(ms)), text);
        }
    }

    fn find(headers: &Headers, name: &str) -> Option<String> {
        let (_, value) = headers.iter().find(|(found, _)| found == name)?;
        value.to_str().ok().map(str::to_owned)
    }

    #[test]
    fn a_refusal_says_what_is_left_and_when_to_come_again() {
        let requests = Some(Window { limit: 60, remaining: 0, reset: Duration::from_millis(60_250) });
        let standing = Standing { requests, ..Standing::default() };
        let mut refusal =
            Refusal { scope: Scope::Requests, retry_after: Some(Duration::from_millis(1_001)), standing };
        let headers = refusal.headers();
        assert_eq!(find(&headers, "x-ratelimit-limit-requests").as_deref(), Some("60"));
        assert_eq!(find(&headers, "x-ratelimit-remaining-requests").as_deref(), Some("0"));
        assert_eq!(find(&headers, "x-ratelimit-reset-requests").as_deref(), Some("1m0.25s"));
        assert_eq!(find(&headers, "x-ratelimit-limit-tokens"), None);
        assert_eq!(find(&headers, "retry-after").as_deref(), Some("2"));
        assert_eq!(find(&headers, "retry-after-ms").as_deref(), Some("1001"));

        refusal.retry_after = Some(Duration::from_millis(1));
        assert_eq!(find(&refusal.headers(), "retry-after").as_deref(), Some("1"));
        refusal.retry_after = None;
        assert_eq!(find(&refusal.headers(), "retry-after"), None);
    }

    #[test]
    fn limits_that_cannot_be_read_say_when_they_are_tried_again() {
        assert_eq!(find(&LimitError::Unavailable.headers(), "retry-after").as_deref(), Some("5"));
    }
}
