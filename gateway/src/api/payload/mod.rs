//! Bodies in and out: JSON parsed and written by serde, documented by its derived schema; JSON or server-sent events.

mod bounded;
mod limited;
mod optional;

use std::io;
use std::marker::PhantomData;

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use poem::http::header;
use poem::{Body, IntoResponse, Request, RequestBody, Response, Result};
use poem_openapi::registry::{
    MetaMediaType, MetaRequest, MetaResponse, MetaResponses, MetaSchemaRef, Registry,
};
use poem_openapi::{ApiExtractor, ApiExtractorType, ApiResponse, ExtractParamOptions};
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use self::bounded::{BodyTooLong, bound_body};
pub use self::limited::Limited;
pub use self::optional::OptionalJson;
use crate::error::rescue::shorten;
use crate::error::{ApiError, ErrorKind};
use crate::stream::Whole;

const JSON: &str = "application/json";
const EVENTS: &str = "text/event-stream";

/// A JSON body, in either direction.
#[derive(Debug, Clone)]
pub struct SerdeJson<T>(pub T);

/// A JSON body, and its bytes as they came.
#[derive(Debug, Clone)]
pub struct WithBytes<T>(pub T, pub Bytes);

impl<'a, T: DeserializeOwned + JsonSchema + Send> ApiExtractor<'a> for WithBytes<T> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];
    const PARAM_IS_REQUIRED: bool = true;

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        openapi::schema::register::<T>(registry);
    }

    fn request_meta() -> Option<MetaRequest> {
        SerdeJson::<T>::request_meta()
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _: ExtractParamOptions<()>,
    ) -> Result<Self> {
        check_content_type(request.content_type())?;
        let bytes = read(body.take()?).await?;
        Ok(Self(parse(&bytes)?, bytes))
    }
}

impl<'a, T: DeserializeOwned + JsonSchema + Send> ApiExtractor<'a> for SerdeJson<T> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];
    const PARAM_IS_REQUIRED: bool = true;

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        openapi::schema::register::<T>(registry);
    }

    fn request_meta() -> Option<MetaRequest> {
        Some(MetaRequest { description: None, content: vec![media_type::<T>(JSON)], required: true })
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        options: ExtractParamOptions<()>,
    ) -> Result<Self> {
        let WithBytes(value, _) = WithBytes::from_request(request, body, options).await?;
        Ok(Self(value))
    }
}

/// Only JSON is read; parameters such as the character set are let pass.
fn check_content_type(content_type: Option<&str>) -> Result<(), ApiError> {
    let essence = content_type.map(|value| value.split(';').next().unwrap_or_default().trim());
    let refusal = match essence {
        Some(essence) if essence.eq_ignore_ascii_case(JSON) => return Ok(()),
        Some(other) => format!("content-type `{}` is not understood; send application/json", shorten(other)),
        None => "the content-type header is missing; send application/json".to_owned(),
    };
    Err(ApiError::new(ErrorKind::UnsupportedMediaType, refusal))
}

/// Reads all of a body, whose length was bounded further out.
async fn read(body: Body) -> Result<Bytes, ApiError> {
    let mut chunks = Box::pin(body.into_bytes_stream());
    let mut all = BytesMut::new();
    while let Some(chunk) = chunks.next().await {
        all.extend_from_slice(&chunk.map_err(refuse_read)?);
    }
    Ok(all.freeze())
}

fn refuse_read(error: io::Error) -> ApiError {
    let too_long = error.get_ref().and_then(|inner| inner.downcast_ref::<BodyTooLong>());
    if let Some(too_long) = too_long {
        return ApiError::new(ErrorKind::PayloadTooLarge, too_long.to_string());
    }
    if error.kind() == io::ErrorKind::TimedOut {
        return ApiError::new(ErrorKind::RequestTimeout, "the request body came too slowly")
            .with_cause(error);
    }
    ApiError::invalid("the request body ended early").with_cause(error)
}

/// Parses a body. The happy path pays nothing for the errors' exactness: a body that fails is parsed again.
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(ApiError::invalid("the request body is empty; send a JSON object"));
    }
    if bytes.trim_ascii_start().first() == Some(&b'[') {
        // serde would take an array for an object's fields in their order.
        return Err(ApiError::invalid("the request body is an array; send a JSON object"));
    }
    let text = std::str::from_utf8(bytes)
        .map_err(|error| ApiError::invalid(format!("the request body is not UTF-8: {error}")))?;
    match serde_json::from_str(text) {
        Err(error) if error.to_string().starts_with("duplicate field") => parse_last_wins(text),
        parsed => parsed.map_err(|error| explain::<T>(text, &error)),
    }
}

/// Of a field that is there twice the last one counts, as in JavaScript and Python.
fn parse_last_wins<T: DeserializeOwned>(text: &str) -> Result<T, ApiError> {
    let value: serde_json::Value = serde_json::from_str(text).map_err(|error| explain::<T>(text, &error))?;
    let text = value.to_string();
    serde_json::from_str(&text).map_err(|error| explain::<T>(&text, &error))
}

fn explain<T: DeserializeOwned>(text: &str, error: &serde_json::Error) -> ApiError {
    // serde_json takes `null` for an enum's name to be a mistake of syntax.
    if !error.is_data() && serde_json::from_str::<serde_json::Value>(text).is_err() {
        return ApiError::invalid(format!("the request body is not valid JSON: {error}"))
            .with_code("invalid_json");
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let Err(located) = serde_path_to_error::deserialize::<_, T>(&mut deserializer) else {
        return ApiError::invalid(shorten(&error.to_string()));
    };
    let message = without_position(&located.inner().to_string()).to_owned();
    let path = located.path().to_string();
    let param = match (path.as_str(), missing_field(&message)) {
        (".", None) => None,
        (".", Some(field)) => Some(field.to_owned()),
        (parent, Some(field)) => Some(format!("{parent}.{field}")),
        (path, None) => Some(path.to_owned()),
    };
    let invalid = ApiError::invalid(shorten(&message));
    match param {
        Some(param) => invalid.with_param(shorten(&param)),
        None => invalid,
    }
}

/// ` at line 1 column 7` helps with syntax, not where the field is named.
fn without_position(message: &str) -> &str {
    message.rfind(" at line ").and_then(|end| message.get(..end)).unwrap_or(message)
}

fn missing_field(message: &str) -> Option<&str> {
    message.strip_prefix("missing field `")?.strip_suffix('`')
}

fn media_type<T: JsonSchema>(content_type: &'static str) -> MetaMediaType {
    MetaMediaType { content_type, schema: schema_ref::<T>() }
}

fn schema_ref<T: JsonSchema>() -> MetaSchemaRef {
    openapi::schema::reference::<T>()
}

impl<T: Serialize + Send> IntoResponse for SerdeJson<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(body) => Response::builder().content_type(JSON).body(body),
            Err(error) => ApiError::server().with_cause(error).response(),
        }
    }
}

impl<T: Serialize + JsonSchema + Send> ApiResponse for SerdeJson<T> {
    fn meta() -> MetaResponses {
        success("The answer.", vec![media_type::<T>(JSON)])
    }

    fn register(registry: &mut Registry) {
        openapi::schema::register::<T>(registry);
    }
}

fn success(description: &'static str, content: Vec<MetaMediaType>) -> MetaResponses {
    let response =
        MetaResponse { description, status: Some(200), status_range: None, content, headers: vec![] };
    MetaResponses { responses: vec![response] }
}

/// One answer as JSON, or its chunks as server-sent events, whichever was asked for.
#[derive(Debug)]
pub enum JsonOrEvents<T, C> {
    /// The whole answer.
    Json(SerdeJson<T>),
    /// The whole answer as another server wrote it.
    Passed(Bytes),
    /// Its chunks.
    Events(Events<C>),
}

impl<T, C> From<Whole<T>> for JsonOrEvents<T, C> {
    fn from(answer: Whole<T>) -> Self {
        match answer {
            Whole::Folded(answer) => Self::Json(SerdeJson(answer)),
            Whole::Passed(bytes) => Self::Passed(bytes),
        }
    }
}

impl<T: Serialize + Send, C: Send> IntoResponse for JsonOrEvents<T, C> {
    fn into_response(self) -> Response {
        match self {
            Self::Json(json) => json.into_response(),
            Self::Passed(bytes) => Response::builder().content_type(JSON).body(bytes),
            Self::Events(events) => events.into_response(),
        }
    }
}

impl<T: Serialize + JsonSchema + Send, C: JsonSchema + Send> ApiResponse for JsonOrEvents<T, C> {
    fn meta() -> MetaResponses {
        success(
            "The answer, or with `stream` its events; those of chat and text completions end with `data: [DONE]`.",
            vec![media_type::<T>(JSON), media_type::<C>(EVENTS)],
        )
    }

    fn register(registry: &mut Registry) {
        openapi::schema::register::<T>(registry);
        openapi::schema::register::<C>(registry);
    }
}

/// Server-sent events whose data are `C`, already framed.
#[derive(Debug)]
pub struct Events<C> {
    body: Body,
    chunk: PhantomData<fn() -> C>,
}

impl<C> Events<C> {
    /// A response body of frames.
    pub fn new(frames: impl Stream<Item = io::Result<Bytes>> + Send + 'static) -> Self {
        Self::from_body(Body::from_bytes_stream(frames))
    }

    /// A body that frames events itself.
    pub fn from_body(body: Body) -> Self {
        Self { body, chunk: PhantomData }
    }
}

impl<C: Send> IntoResponse for Events<C> {
    fn into_response(self) -> Response {
        Response::builder()
            .content_type(EVENTS)
            .header(header::CACHE_CONTROL, "no-cache")
            // Reverse proxies must not collect the stream.
            .header("x-accel-buffering", "no")
            .body(self.body)
    }
}
