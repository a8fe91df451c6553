//! Every foreign error becomes the envelope, at the outermost place; every response gets its request id.

use std::any::Any;
use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use poem::error::{MethodNotAllowedError, NotFoundError, ParsePathError as PoemPathError, ReadBodyError};
use poem::http::{HeaderValue, Method, StatusCode, header};
use poem::{Endpoint, Error, IntoResponse, Request, Response, Result};
use poem_openapi::error::{ContentTypeError, ParseParamError, ParsePathError, ParseRequestPayloadError};

use super::request_id::{HEADER, RequestId};
use super::{ApiError, ErrorKind};

/// Finds the methods that a path has; `None` for an unknown path.
pub type AllowedMethods = dyn Fn(&str) -> Option<Vec<Method>> + Send + Sync;

/// Wraps the whole surface. Never answers with an error of poem's own, and never with `Err`.
pub struct Rescue<E> {
    inner: E,
    allowed: Box<AllowedMethods>,
}

impl<E> Rescue<E> {
    /// Wraps; `allowed` tells the methods of a path for the `allow` header.
    pub fn new(inner: E, allowed: Box<AllowedMethods>) -> Self {
        Self { inner, allowed }
    }

    fn refuse_method(&self, method: &Method, path: &str) -> Response {
        let methods = (self.allowed)(path).unwrap_or_default();
        let names: Vec<_> = methods.iter().map(Method::as_str).collect();
        let names = names.join(", ");
        let message = format!("{} is not allowed here; use {names}", shorten(method.as_str()));
        let mut response = ApiError::new(ErrorKind::MethodNotAllowed, message).response();
        if let Ok(value) = HeaderValue::from_str(&names) {
            response.headers_mut().insert(header::ALLOW, value);
        }
        response
    }
}

impl<E: Endpoint> Endpoint for Rescue<E> {
    type Output = Response;

    async fn call(&self, mut request: Request) -> Result<Response> {
        let id = RequestId::of(&request);
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        request.set_data(id.clone());
        let mut response = match AssertUnwindSafe(self.inner.call(request)).catch_unwind().await {
            Ok(Ok(output)) => output.into_response(),
            Ok(Err(error)) if error.is::<MethodNotAllowedError>() => self.refuse_method(&method, &path),
            Ok(Err(error)) => translate(&error, &method, &path).response(),
            Err(panic) => ApiError::server().with_cause(Panicked::from(&*panic)).response(),
        };
        log(&response, &id);
        response.headers_mut().insert(HEADER, id.header_value());
        Ok(response)
    }
}

/// The envelope of an error, whoever made it.
fn translate(error: &Error, method: &Method, path: &str) -> ApiError {
    if let Some(known) = error.downcast_ref::<ApiError>() {
        return known.clone();
    }
    if error.is::<NotFoundError>() {
        let message = format!(
            "unknown request URL: {} {}; see /docs for what exists",
            shorten(method.as_str()),
            shorten(path)
        );
        return ApiError::new(ErrorKind::NotFound, message).with_code("unknown_url");
    }
    if let Some(refused) = error.downcast_ref::<ParseParamError>() {
        return ApiError::invalid(shorten(&refused.reason)).with_param(refused.name);
    }
    if let Some(refused) = error.downcast_ref::<ParsePathError>() {
        return ApiError::invalid(shorten(&refused.reason)).with_param(refused.name);
    }
    if error.is::<PoemPathError>() || error.is::<ParseRequestPayloadError>() {
        return ApiError::invalid(shorten(&error.to_string()));
    }
    if error.is::<ContentTypeError>() {
        return ApiError::new(
            ErrorKind::UnsupportedMediaType,
            "send the body as content-type: application/json",
        );
    }
    if let Some(ReadBodyError::PayloadTooLarge) = error.downcast_ref::<ReadBodyError>() {
        return ApiError::new(ErrorKind::PayloadTooLarge, "the request body is too long");
    }
    by_status(error)
}

/// For errors of no known type, the status is all that can be told.
fn by_status(error: &Error) -> ApiError {
    let status = error.status();
    let kind = match status {
        StatusCode::UNAUTHORIZED => ErrorKind::Authentication,
        StatusCode::FORBIDDEN => ErrorKind::Permission,
        StatusCode::NOT_FOUND => ErrorKind::NotFound,
        StatusCode::METHOD_NOT_ALLOWED => ErrorKind::MethodNotAllowed,
        StatusCode::REQUEST_TIMEOUT => ErrorKind::RequestTimeout,
        StatusCode::PAYLOAD_TOO_LARGE => ErrorKind::PayloadTooLarge,
        StatusCode::UNSUPPORTED_MEDIA_TYPE => ErrorKind::UnsupportedMediaType,
        StatusCode::TOO_MANY_REQUESTS => ErrorKind::RateLimit,
        StatusCode::SERVICE_UNAVAILABLE => ErrorKind::Overloaded,
        status if status.is_client_error() => ErrorKind::InvalidRequest,
        _ => return ApiError::server().with_cause(Foreign(error.to_string())),
    };
    let message = status.canonical_reason().unwrap_or("the request was refused").to_lowercase();
    ApiError::new(kind, message).with_cause(Foreign(error.to_string()))
}

/// Logged once, here: our own failures loudly, refusals only for who looks for them.
fn log(response: &Response, id: &RequestId) {
    let Some(error) = response.data::<ApiError>() else { return };
    let cause = error.cause().map(tracing::field::display);
    let reason = error.reason();
    match error.kind() {
        ErrorKind::Server => tracing::error!(request_id = %id, reason, cause, "request failed: {error}"),
        ErrorKind::BadGateway => tracing::warn!(request_id = %id, reason, cause, "request failed: {error}"),
        _ => tracing::debug!(request_id = %id, reason, cause, "request refused: {error}"),
    }
}

/// Keeps a client's text from filling messages: the beginning and the end of what is too long.
pub fn shorten(text: &str) -> String {
    const HEAD: usize = 120;
    const TAIL: usize = 70;
    if text.len() <= HEAD + TAIL {
        return text.to_owned();
    }
    let head = text.floor_char_boundary(HEAD);
    let tail = text.ceil_char_boundary(text.len() - TAIL);
    format!("{}…{}", text.get(..head).unwrap_or_default(), text.get(tail..).unwrap_or_default())
}

/// What a panic said.
#[derive(Debug, thiserror::Error)]
#[error("a handler panicked: {0}")]
struct Panicked(String);

impl From<&(dyn Any + Send)> for Panicked {
    fn from(payload: &(dyn Any + Send)) -> Self {
        let text = payload.downcast_ref::<&str>().copied();
        let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        Self(text.unwrap_or("no message").to_owned())
    }
}

/// An error of a library's, as text.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Foreign(String);
