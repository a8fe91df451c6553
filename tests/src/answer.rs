//! A complete HTTP answer and what tests ask of it.

use http::HeaderMap;
use http_body_util::BodyExt;
use serde_json::Value;

use crate::http::{Broken, Opened};

/// A complete HTTP answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    pub(crate) async fn read(opened: Opened) -> Result<Self, Broken> {
        // The connection must live until the body is read.
        let Opened { response, connection: _connection } = opened;
        let (head, body) = response.into_parts();
        let body = body.collect().await?.to_bytes().to_vec();
        Ok(Self { status: head.status.as_u16(), headers: head.headers, body })
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A header's value, empty where it is absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| {
            panic!("{error} in an answer {} that should be JSON: {}", self.status, self.text())
        })
    }

    /// The body of an answer that must be 200.
    pub fn ok(&self) -> Value {
        assert_eq!(self.status, 200, "{}", self.text());
        assert!(!self.header("x-request-id").is_empty(), "an answer without x-request-id");
        self.json()
    }

    /// The envelope's `error` of an answer that must have failed in this way, with all that every failure must have.
    pub fn refused(&self, status: u16, kind: &str) -> Value {
        assert_eq!(self.status, status, "{}", self.text());
        assert!(!self.header("x-request-id").is_empty(), "a refusal without x-request-id");
        assert_eq!(
            self.header("content-type").split(';').next(),
            Some("application/json"),
            "{}",
            self.text()
        );
        let body = self.json();
        let error = if self.header("request-id").is_empty() {
            assert_eq!(body.as_object().map(serde_json::Map::len), Some(1), "only an `error` in {body}");
            body["error"].clone()
        } else {
            self.messages_error(&body)
        };
        assert_eq!(error["type"], kind, "{body}");
        let message = error["message"].as_str().unwrap_or_default();
        assert!(!message.is_empty() && message.len() < 2000, "a message of sane length in {body}");
        for name in ["param", "code"] {
            let value = error.get(name).unwrap_or_else(|| panic!("no {name} in {body}"));
            assert!(value.is_null() || value.is_string(), "{name} in {body}");
        }
        error
    }

    /// The `error` of the Messages API's envelope, as the other one has it.
    fn messages_error(&self, body: &Value) -> Value {
        assert_eq!(body["type"], "error", "{body}");
        assert_eq!(body["request_id"], self.header("request-id"), "{body}");
        let mut error = body["error"].clone();
        error["code"] = error["details"]["error_code"].take();
        error["param"] = Value::Null;
        if let Some(fields) = error.as_object_mut() {
            fields.remove("details");
        }
        error
    }

    /// Like [`Answer::refused`] with 400, and the error must name this parameter.
    pub fn refused_for(&self, param: &str) -> Value {
        let error = self.refused(400, "invalid_request_error");
        assert_eq!(error["param"], param, "{error}");
        error
    }
}
