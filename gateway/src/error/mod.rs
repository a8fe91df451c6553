//! The one error of the HTTP surface, and its one table to status, type and code.

pub mod messages;
pub mod request_id;
pub mod rescue;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use openapi::error::{ErrorBody, ErrorEnvelope};
use poem::error::ResponseError;
use poem::http::{HeaderName, HeaderValue, StatusCode, header};
use poem::{Body, Response};
use poem_openapi::ApiResponse;
use poem_openapi::registry::{MetaMediaType, MetaResponse, MetaResponses, Registry};

/// What kind of failure it is. Its `row` gives each its status and names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The request is wrong.
    InvalidRequest,
    /// Nobody known calls.
    Authentication,
    /// The caller may not do this.
    Permission,
    /// There is no such thing.
    NotFound,
    /// There is such a thing, but not for this method.
    MethodNotAllowed,
    /// It contradicts what there is.
    Conflict,
    /// What was to be changed is no longer what was read.
    PreconditionFailed,
    /// It was not said what was read.
    PreconditionRequired,
    /// The client sent its request too slowly.
    RequestTimeout,
    /// The body is too long.
    PayloadTooLarge,
    /// The body is not JSON.
    UnsupportedMediaType,
    /// The caller is over a limit.
    RateLimit,
    /// The head is too long.
    HeadersTooLarge,
    /// It is our fault.
    Server,
    /// There is no room now.
    Overloaded,
    /// It is the fault of a server behind us.
    BadGateway,
}

/// What clients and metrics see of a kind.
struct Row {
    status: StatusCode,
    /// `error.type`.
    kind: &'static str,
    /// `error.code`, unless the error has a more exact one.
    code: Option<&'static str>,
    /// The metric label.
    reason: &'static str,
}

impl ErrorKind {
    /// The one table.
    fn row(self) -> Row {
        let row = |status, kind, code, reason| Row { status, kind, code, reason };
        let invalid = "invalid_request_error";
        match self {
            Self::InvalidRequest => row(StatusCode::BAD_REQUEST, invalid, None, "invalid_request"),
            Self::Authentication => row(
                StatusCode::UNAUTHORIZED,
                "authentication_error",
                Some("invalid_api_key"),
                "authentication",
            ),
            Self::Permission => row(StatusCode::FORBIDDEN, "permission_error", None, "permission"),
            Self::NotFound => row(StatusCode::NOT_FOUND, "not_found_error", None, "not_found"),
            Self::MethodNotAllowed => {
                row(StatusCode::METHOD_NOT_ALLOWED, invalid, Some("method_not_allowed"), "method_not_allowed")
            }
            Self::Conflict => row(StatusCode::CONFLICT, invalid, Some("conflict"), "conflict"),
            Self::PreconditionFailed => {
                row(StatusCode::PRECONDITION_FAILED, invalid, Some("precondition_failed"), "precondition")
            }
            Self::PreconditionRequired => {
                row(StatusCode::PRECONDITION_REQUIRED, invalid, Some("precondition_required"), "precondition")
            }
            Self::RequestTimeout => {
                row(StatusCode::REQUEST_TIMEOUT, invalid, Some("request_timeout"), "request_timeout")
            }
            Self::PayloadTooLarge => {
                row(StatusCode::PAYLOAD_TOO_LARGE, invalid, Some("payload_too_large"), "payload_too_large")
            }
            Self::UnsupportedMediaType => row(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                invalid,
                Some("unsupported_media_type"),
                "unsupported_media_type",
            ),
            Self::RateLimit => row(StatusCode::TOO_MANY_REQUESTS, "rate_limit_error", None, "rate_limit"),
            Self::HeadersTooLarge => row(
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                invalid,
                Some("headers_too_large"),
                "headers_too_large",
            ),
            Self::Server => row(StatusCode::INTERNAL_SERVER_ERROR, "server_error", None, "server"),
            Self::Overloaded => row(StatusCode::SERVICE_UNAVAILABLE, "overloaded_error", None, "overloaded"),
            Self::BadGateway => {
                row(StatusCode::BAD_GATEWAY, "server_error", Some("upstream_failed"), "upstream")
            }
        }
    }
}

/// A failure, as the client will see it. The cause is only logged.
#[derive(Clone)]
pub struct ApiError {
    kind: ErrorKind,
    message: Cow<'static, str>,
    param: Option<Cow<'static, str>>,
    code: Option<&'static str>,
    retry_after: Option<Duration>,
    headers: Option<Arc<[(HeaderName, HeaderValue)]>>,
    cause: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

impl ApiError {
    /// A failure of a kind; the message says what to do and holds no secret.
    pub fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            kind,
            message: message.into(),
            param: None,
            code: None,
            retry_after: None,
            headers: None,
            cause: None,
        }
    }

    /// The request is wrong.
    pub fn invalid(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::InvalidRequest, message)
    }

    /// Our fault; what it was goes to the log only.
    pub fn server() -> Self {
        Self::new(
            ErrorKind::Server,
            "the server failed to answer this request; try again, or report its request id",
        )
    }

    /// Names the request's field.
    #[must_use]
    pub fn with_param(mut self, param: impl Into<Cow<'static, str>>) -> Self {
        self.param = Some(param.into());
        self
    }

    /// Names the exact failure for programs.
    #[must_use]
    pub fn with_code(mut self, code: &'static str) -> Self {
        self.code = Some(code);
        self
    }

    /// Says when the same request may pass.
    #[must_use]
    pub fn with_retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// Sets headers on the response.
    #[must_use]
    pub fn with_headers(mut self, headers: impl IntoIterator<Item = (HeaderName, HeaderValue)>) -> Self {
        self.headers = Some(headers.into_iter().collect());
        self
    }

    /// Keeps what happened, for the log.
    #[must_use]
    pub fn with_cause(mut self, cause: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.cause = Some(Arc::new(cause));
        self
    }

    /// What kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The response's status.
    pub fn status(&self) -> StatusCode {
        self.kind.row().status
    }

    /// A bounded label for metrics.
    pub fn reason(&self) -> &'static str {
        self.kind.row().reason
    }

    /// What happened, for the log.
    pub fn cause(&self) -> Option<&(dyn std::error::Error + Send + Sync + 'static)> {
        self.cause.as_deref()
    }

    /// `error.code`, where it has one.
    pub fn code(&self) -> Option<&'static str> {
        self.code.or(self.kind.row().code)
    }

    /// The response's body, or the data of a stream's error event.
    pub fn envelope(&self) -> ErrorEnvelope {
        let row = self.kind.row();
        ErrorEnvelope {
            error: ErrorBody {
                message: self.message.clone().into_owned(),
                kind: row.kind.into(),
                param: self.param.clone().map(Cow::into_owned),
                code: self.code.or(row.code).map(Cow::Borrowed),
            },
        }
    }

    /// What is wrong and what to do.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The request's field that is wrong.
    pub fn param(&self) -> Option<&str> {
        self.param.as_deref()
    }

    /// The whole response, but for what [`rescue`] adds to every response.
    pub fn response(&self) -> Response {
        let body = serde_json::to_vec(&self.envelope()).unwrap_or_default();
        let mut response =
            Response::builder().status(self.status()).content_type("application/json").body(Body::from(body));
        let headers = response.headers_mut();
        if self.kind == ErrorKind::Authentication {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(after) = self.retry_after {
            headers.extend(retry_headers(after));
        }
        for (name, value) in self.headers.iter().flat_map(|headers| headers.iter()) {
            headers.insert(name.clone(), value.clone());
        }
        response.set_data(self.clone());
        response
    }
}

/// `retry-after` in whole seconds and `retry-after-ms`, rounded up: a client that waits them out must not come too
/// early. Never 0, which some clients take for no answer.
pub fn retry_headers(after: Duration) -> [(HeaderName, HeaderValue); 2] {
    let milliseconds = u64::try_from(after.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX).max(1);
    [
        (header::RETRY_AFTER, milliseconds.div_ceil(1000).into()),
        (HeaderName::from_static("retry-after-ms"), milliseconds.into()),
    ]
}

impl fmt::Debug for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiError")
            .field("kind", &self.kind)
            .field("message", &self.message)
            .field("param", &self.param)
            .field("code", &self.code)
            .field("cause", &self.cause)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ApiError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause.as_ref().map(|cause| &**cause as &(dyn std::error::Error + 'static))
    }
}

impl ResponseError for ApiError {
    fn status(&self) -> StatusCode {
        Self::status(self)
    }

    fn as_response(&self) -> Response {
        self.response()
    }
}

impl ApiResponse for ApiError {
    fn meta() -> MetaResponses {
        MetaResponses {
            responses: vec![MetaResponse {
                description: "Any failure; `error.type` and the status say which.",
                status: None,
                status_range: None,
                content: vec![MetaMediaType {
                    content_type: "application/json",
                    schema: openapi::schema::reference::<ErrorEnvelope>(),
                }],
                headers: vec![],
            }],
        }
    }

    fn register(registry: &mut Registry) {
        openapi::schema::register::<ErrorEnvelope>(registry);
    }
}

#[cfg(test)]
mod tests;
