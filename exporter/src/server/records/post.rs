//! Posts bodies to a service that keeps records: one connection, opened when it is needed and kept.
//!
//! No TLS: what is on another machine is reached by way of an agent or a tunnel on this one.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, StatusCode};
use http_body_util::Full;

use super::sink::SinkError;
use crate::client::{Answer, Endpoint, Link};

/// The most that is logged of an answer, letters.
const LONGEST_QUOTE: usize = 300;

/// Posts to one path of one service.
pub(super) struct Post {
    link: Link,
    target: String,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Post {
    /// Opens nothing yet. `target`: the path with its query.
    pub(super) fn new(endpoint: Endpoint, target: String, headers: Vec<(HeaderName, HeaderValue)>) -> Self {
        Self { link: Link::new(endpoint), target, headers }
    }

    /// Posts a body; what was answered. It may arrive twice, which these services take.
    pub(super) async fn send(&mut self, body: Bytes) -> Result<Bytes, SinkError> {
        let mut request = Request::post(&self.target);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(body)).map_err(|error| SinkError::Never(error.to_string()))?;
        let answer = self.link.send(request).await.map_err(SinkError::later)?;
        if answer.status.is_success() { Ok(answer.body) } else { Err(refused(&answer)) }
    }
}

fn refused(answer: &Answer) -> SinkError {
    let message = format!("answered with {}: {}", answer.status, answer.quote(LONGEST_QUOTE));
    match answer.status {
        // It is the body that is wrong. Everything else may be set right: a database that is not there, a token.
        StatusCode::BAD_REQUEST
        | StatusCode::PAYLOAD_TOO_LARGE
        | StatusCode::UNSUPPORTED_MEDIA_TYPE
        | StatusCode::UNPROCESSABLE_ENTITY => SinkError::Never(message),
        _ => SinkError::Later { message, after: answer.retry_after },
    }
}
