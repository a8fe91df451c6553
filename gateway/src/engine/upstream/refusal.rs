//! What a server's refusal comes down to: its status and its error, in whichever form servers write it.

use std::time::Duration;

use http::{HeaderMap, StatusCode};
use serde_json::Value;

use crate::engine::{EngineError, UpstreamErrorKind};
use crate::error::rescue::shorten;

/// The most that is read of a refusal.
pub(super) const LONGEST_REFUSAL: usize = 64 << 10;
/// No server means that it wants to be left alone for longer.
const LONGEST_PAUSE: Duration = Duration::from_hours(24);

/// The error of an answer that is none; the message is the server's own, but for what it says of our credential.
pub(super) fn of_answer(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> EngineError {
    let told = Told::of(body);
    let kind = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::PAYMENT_REQUIRED => {
            UpstreamErrorKind::Credential
        }
        StatusCode::NOT_FOUND => UpstreamErrorKind::UnknownModel,
        StatusCode::REQUEST_TIMEOUT | StatusCode::GATEWAY_TIMEOUT => UpstreamErrorKind::TimedOut,
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => UpstreamErrorKind::Overloaded,
        // Anthropic's and others' word for overloaded.
        status if status.as_u16() == 529 => UpstreamErrorKind::Overloaded,
        status if status.is_server_error() => UpstreamErrorKind::Failed,
        status if status.is_client_error() && told.is_too_long() => UpstreamErrorKind::TooLong,
        status if status.is_client_error() => UpstreamErrorKind::Invalid,
        _ => UpstreamErrorKind::Broken,
    };
    told.error(kind, Some(status.as_u16()), retry_after(headers))
}

/// The error that a server wrote into its stream instead of a chunk.
pub(super) fn of_event(error: &Value) -> EngineError {
    let told = Told::of_error(error);
    let code = error.get("code").and_then(Value::as_u64).and_then(|code| u16::try_from(code).ok());
    let kind = match code {
        Some(429 | 503 | 529) => UpstreamErrorKind::Overloaded,
        _ if told.is_too_long() => UpstreamErrorKind::TooLong,
        _ => UpstreamErrorKind::Failed,
    };
    told.error(kind, code, None)
}

/// What a server said.
#[derive(Default)]
struct Told {
    message: Option<String>,
    param: Option<String>,
    code: Option<String>,
}

impl Told {
    /// OpenAI's `{"error": {…}}`, the same without a name around it, `{"detail": …}`, or a text.
    fn of(body: &[u8]) -> Self {
        let Ok(value) = serde_json::from_slice::<Value>(body) else {
            let text = String::from_utf8_lossy(body);
            let text = Some(text.trim().to_owned()).filter(|text| !text.is_empty() && !text.starts_with('<'));
            return Self { message: text, ..Self::default() };
        };
        match (value.get("error"), value.get("detail")) {
            (Some(error), _) => Self::of_error(error),
            (None, Some(detail)) => Self { message: Some(text_of(detail)), ..Self::default() },
            (None, None) => Self::of_error(&value),
        }
    }

    fn of_error(error: &Value) -> Self {
        let field = |name| error.get(name).and_then(Value::as_str).map(str::to_owned);
        match error {
            Value::String(text) => Self { message: Some(text.clone()), ..Self::default() },
            _ => Self {
                message: field("message"),
                param: field("param"),
                code: field("code").or_else(|| field("type")),
            },
        }
    }

    fn is_too_long(&self) -> bool {
        let code = self.code.as_deref().unwrap_or_default();
        // llama-server's, and what vLLM says under no code, and LiteLLM of others.
        let says =
            |text: &str| text.contains("maximum context length") || text.contains("ContextWindowExceeded");
        matches!(code, "context_length_exceeded" | "exceed_context_size_error")
            || self.message.as_deref().is_some_and(says)
    }

    fn error(
        self,
        kind: UpstreamErrorKind,
        status: Option<u16>,
        retry_after: Option<Duration>,
    ) -> EngineError {
        let message = match (kind, self.message) {
            // Servers repeat parts of the key in it.
            (UpstreamErrorKind::Credential, _) => "the server does not take the key of `key_file`".to_owned(),
            (_, Some(text)) => shorten(&text),
            (_, None) => "the server gave no reason".to_owned(),
        };
        let param = self.param.map(|param| shorten(&param).into());
        EngineError::Upstream { kind, status, retry_after, message, param }
    }
}

fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// `retry-after-ms`, or `retry-after` in seconds; dates are as good as nothing.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let number = |name| headers.get(name)?.to_str().ok()?.trim().parse::<f64>().ok();
    let seconds =
        number("retry-after-ms").map(|milliseconds| milliseconds / 1e3).or(number("retry-after"))?;
    let pause = Duration::try_from_secs_f64(seconds).ok()?;
    Some(pause.min(LONGEST_PAUSE))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refuse(status: u16, headers: &[(&'static str, &str)], body: &str) -> EngineError {
        let headers = headers.iter().map(|(name, value)| {
            (http::HeaderName::from_static(name), http::HeaderValue::from_str(value).unwrap())
        });
        of_answer(StatusCode::from_u16(status).unwrap(), &headers.collect(), body.as_bytes())
    }

    fn parts(error: &EngineError) -> (UpstreamErrorKind, &str) {
        match error {
            EngineError::Upstream { kind, message, .. } => (*kind, message),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_status_is_of_a_kind_and_every_form_of_error_is_read() {
        use UpstreamErrorKind::{
            Broken, Credential, Failed, Invalid, Overloaded, TimedOut, TooLong, UnknownModel,
        };
        let openai = r#"{"error":{"message":"no such field","type":"x","param":"top_k","code":null}}"#;
        let long = r#"{"error":{"message":"too long","code":"context_length_exceeded"}}"#;
        let vllm = r#"{"object":"error","message":"This model's maximum context length is 9","code":400}"#;
        let litellm = r#"{"error":{"message":"litellm.ContextWindowExceededError: too long","type":null,"code":"400"}}"#;
        for (status, body, kind, message) in [
            (400, openai, Invalid, "no such field"),
            (422, r#"{"detail":"bad"}"#, Invalid, "bad"),
            (422, r#"{"detail":[{"loc":1}]}"#, Invalid, r#"[{"loc":1}]"#),
            (413, "too large", Invalid, "too large"),
            (400, long, TooLong, "too long"),
            (400, vllm, TooLong, "This model's maximum context length is 9"),
            (400, litellm, TooLong, "litellm.ContextWindowExceededError: too long"),
            (404, r#"{"error":"unknown"}"#, UnknownModel, "unknown"),
            (429, "{}", Overloaded, "the server gave no reason"),
            (503, "<html>", Overloaded, "the server gave no reason"),
            (529, "", Overloaded, "the server gave no reason"),
            (504, "", TimedOut, "the server gave no reason"),
            (500, "boom", Failed, "boom"),
            (302, "", Broken, "the server gave no reason"),
            (401, "wrong key sk-secret", Credential, "the server does not take the key of `key_file`"),
        ] {
            assert_eq!(parts(&refuse(status, &[], body)), (kind, message), "{status} {body}");
        }
    }

    #[test]
    fn a_long_text_is_shortened_and_the_pause_is_read() {
        let error = refuse(429, &[("retry-after", "7")], &"long ".repeat(10_000));
        let EngineError::Upstream { retry_after, message, .. } = error else { panic!("{error:?}") };
        assert_eq!(retry_after, Some(Duration::from_secs(7)));
        assert!(message.len() < 300);
        let pause = |headers: &[(&'static str, &str)]| match refuse(429, headers, "") {
            EngineError::Upstream { retry_after, .. } => retry_after,
            other => panic!("{other:?}"),
        };
        assert_eq!(pause(&[("retry-after-ms", "250")]), Some(Duration::from_millis(250)));
        assert_eq!(pause(&[("retry-after", "1e300")]), None);
        assert_eq!(pause(&[("retry-after", "-1")]), None);
        assert_eq!(pause(&[("retry-after", "99999999")]), Some(LONGEST_PAUSE));
        assert_eq!(pause(&[("retry-after", "Mon, 01 Jan 2035 00:00:00 GMT")]), None);
    }

    #[test]
    fn an_error_in_the_stream_is_of_the_server_s_own_kind() {
        let kind = |text: &str| parts(&of_event(&serde_json::from_str(text).unwrap())).0;
        assert_eq!(kind(r#"{"message":"busy","code":503}"#), UpstreamErrorKind::Overloaded);
        assert_eq!(kind(r#""out of memory""#), UpstreamErrorKind::Failed);
        assert_eq!(kind("null"), UpstreamErrorKind::Failed);
    }
}
