//! The same failures in Anthropic's words, on the paths of its Messages API.

use std::borrow::Cow;

use openapi::messages::{MessagesErrorBody, MessagesErrorDetails, MessagesErrorEnvelope};
use poem::http::HeaderName;
use poem::{Endpoint, Request, Response, Result};
use poem_openapi::ApiResponse;
use poem_openapi::registry::{MetaMediaType, MetaResponse, MetaResponses, Registry};

use super::request_id::HEADER;
use super::{ApiError, ErrorKind};

/// The Messages API's path; those of its other operations are below it.
const ROOT: &str = "/v1/messages";

/// Where Anthropic's clients look for the request's id.
const REQUEST_ID: HeaderName = HeaderName::from_static("request-id");

/// Anthropic's name of a kind of failure. The status stays: its clients try any failure of a server again.
fn kind_name(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Authentication => "authentication_error",
        ErrorKind::Permission => "permission_error",
        ErrorKind::NotFound => "not_found_error",
        ErrorKind::PayloadTooLarge => "request_too_large",
        ErrorKind::RateLimit => "rate_limit_error",
        ErrorKind::RequestTimeout => "timeout_error",
        ErrorKind::Server | ErrorKind::BadGateway => "api_error",
        ErrorKind::Overloaded => "overloaded_error",
        ErrorKind::InvalidRequest
        | ErrorKind::MethodNotAllowed
        | ErrorKind::Conflict
        | ErrorKind::PreconditionFailed
        | ErrorKind::PreconditionRequired
        | ErrorKind::UnsupportedMediaType
        | ErrorKind::HeadersTooLarge => "invalid_request_error",
    }
}

impl ApiError {
    /// What failed, as the Messages API says it.
    pub fn messages_body(&self) -> MessagesErrorBody {
        // There is no field for the parameter: the message must name it.
        let message = match self.param() {
            Some(param) if !self.message().contains(param) => format!("{param}: {}", self.message()),
            _ => self.message().to_owned(),
        };
        let details = self.code().map(|code| MessagesErrorDetails { error_code: Cow::Borrowed(code) });
        MessagesErrorBody { kind: kind_name(self.kind()).into(), message, details }
    }

    /// The response's body, as the Messages API has it.
    pub fn messages_envelope(&self, request_id: &str) -> MessagesErrorEnvelope {
        MessagesErrorEnvelope {
            kind: "error".into(),
            error: self.messages_body(),
            request_id: request_id.to_owned(),
        }
    }
}

/// Wraps the whole surface, outside of [`super::rescue`]: failures on the Messages API's paths get its envelope,
/// whoever made them, and every answer there gets `request-id`.
pub struct Rephrase<E>(pub E);

impl<E: Endpoint<Output = Response>> Endpoint for Rephrase<E> {
    type Output = Response;

    async fn call(&self, request: Request) -> Result<Response> {
        let ours = is_ours(request.uri().path());
        let mut response = self.0.call(request).await?;
        if !ours {
            return Ok(response);
        }
        let id = response.headers().get(HEADER).cloned();
        if let Some(error) = response.data::<ApiError>() {
            let shown = id.as_ref().and_then(|id| id.to_str().ok()).unwrap_or_default();
            let body = serde_json::to_vec(&error.messages_envelope(shown)).unwrap_or_default();
            response.set_body(body);
        }
        if let Some(id) = id {
            response.headers_mut().insert(REQUEST_ID, id);
        }
        Ok(response)
    }
}

fn is_ours(path: &str) -> bool {
    path.strip_prefix(ROOT).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// A failure of an operation of the Messages API: documented in its envelope, which [`Rephrase`] puts it into.
#[derive(Debug)]
pub struct MessagesError(ApiError);

impl From<ApiError> for MessagesError {
    fn from(error: ApiError) -> Self {
        Self(error)
    }
}

impl From<MessagesError> for poem::Error {
    fn from(error: MessagesError) -> Self {
        error.0.into()
    }
}

impl ApiResponse for MessagesError {
    fn meta() -> MetaResponses {
        let content = vec![MetaMediaType {
            content_type: "application/json",
            schema: openapi::schema::reference::<MessagesErrorEnvelope>(),
        }];
        let description = "Any failure; `error.type` and the status say which.";
        let response =
            MetaResponse { description, status: None, status_range: None, content, headers: vec![] };
        MetaResponses { responses: vec![response] }
    }

    fn register(registry: &mut Registry) {
        openapi::schema::register::<MessagesErrorEnvelope>(registry);
    }
}

#[cfg(test)]
mod tests {
    use poem::endpoint::make;

    use super::*;
    use crate::error::rescue::Rescue;

    async fn answer(path: &str) -> Response {
        let failing = make(|_| async {
            let odd = ApiError::invalid("it is odd").with_param("a").with_code("odd");
            Err::<Response, _>(poem::Error::from(odd))
        });
        let surface = Rephrase(Rescue::new(failing, Box::new(|_| None)));
        let request = Request::builder().uri(path.parse().unwrap()).header("x-request-id", "r1").finish();
        surface.call(request).await.unwrap()
    }

    #[tokio::test]
    async fn failures_below_its_path_are_said_in_its_words_and_no_others() {
        for path in ["/v1/messages", "/v1/messages/count_tokens", "/v1/messages/nothing"] {
            let answer = answer(path).await;
            assert_eq!(answer.header("request-id"), Some("r1"), "{path}");
            let body = answer.into_body().into_string().await.unwrap();
            let expected = concat!(
                r#"{"type":"error","error":{"type":"invalid_request_error","message":"a: it is odd","#,
                r#""details":{"error_code":"odd"}},"request_id":"r1"}"#
            );
            assert_eq!(body, expected, "{path}");
        }
        for path in ["/v1/messagesx", "/v1/models", "/messages"] {
            let answer = answer(path).await;
            assert_eq!(answer.header("request-id"), None, "{path}");
            let body = answer.into_body().into_string().await.unwrap();
            assert!(body.starts_with(r#"{"error":{"message""#), "{path}: {body}");
        }
    }
}
