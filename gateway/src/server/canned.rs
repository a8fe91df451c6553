//! Answers given before a request reaches the endpoint: bad heads, time-outs, no place. They carry the envelope too.

use serde_json::json;

/// How hyper begins an answer of its own to a head it cannot read.
const REFUSAL: &[u8] = b"HTTP/1.1 4";
/// What only hyper's own answers have: the endpoint's errors always have a body.
const EMPTY: &[u8] = b"\r\ncontent-length: 0\r\n";

/// An answer as bytes.
struct Canned {
    status: &'static str,
    kind: &'static str,
    message: &'static str,
    headers: &'static str,
}

impl Canned {
    fn bytes(&self) -> Vec<u8> {
        let error = json!({ "error": {
            "message": self.message, "type": self.kind, "param": null, "code": null,
        } });
        let body = error.to_string();
        let Self { status, headers, .. } = self;
        let (length, id) = (body.len(), rand::random::<u128>());
        format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\
             x-request-id: req_{id:032x}\r\nconnection: close\r\n{headers}\r\n{body}"
        )
        .into_bytes()
    }
}

/// The answer to a connection over the limit.
pub(super) fn no_place() -> Vec<u8> {
    Canned {
        status: "503 Service Unavailable",
        kind: "overloaded_error",
        message: "the gateway holds as many connections as it may; retry shortly",
        headers: "retry-after: 1\r\nretry-after-ms: 1000\r\n",
    }
    .bytes()
}

/// The answer to a head that did not come in time.
pub(super) fn head_too_slow() -> Vec<u8> {
    Canned {
        status: "408 Request Timeout",
        kind: "invalid_request_error",
        message: "the request's head did not arrive in time",
        headers: "",
    }
    .bytes()
}

/// The answer to send instead, if `written` is hyper's own bodyless answer to a head it cannot read.
pub(super) fn instead_of(written: &[u8]) -> Option<Vec<u8>> {
    if !written.starts_with(REFUSAL) || memchr::memmem::find(written, EMPTY).is_none() {
        return None;
    }
    if memchr::memmem::find(written, b"x-request-id").is_some() {
        return None;
    }
    let status = written.get(9..12)?;
    let (status, message) = match status {
        b"431" => {
            ("431 Request Header Fields Too Large", "the request's head is too large or has too many fields")
        }
        b"414" => ("414 URI Too Long", "the request's address is too long"),
        b"400" => ("400 Bad Request", "the request is not valid HTTP"),
        _ => return None,
    };
    Some(Canned { status, kind: "invalid_request_error", message, headers: "" }.bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_answers_of_the_http_library_itself_are_replaced() {
        let own =
            b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
        let text = String::from_utf8(instead_of(own).unwrap()).unwrap();
        assert!(
            text.starts_with("HTTP/1.1 431 ") && text.contains("\"type\":\"invalid_request_error\""),
            "{text}"
        );
        assert!(instead_of(b"HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\n{}").is_none());
        assert!(instead_of(b"HTTP/1.1 400 Bad\r\nx-request-id: a\r\ncontent-length: 0\r\n\r\n").is_none());
        assert!(instead_of(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").is_none());
    }
}
