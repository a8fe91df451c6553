//! Sends records as spans by OTLP over HTTP, one span a request, with the names of the conventions for generative AI.

#[cfg(test)]
mod tests;
pub mod wire;

use std::borrow::Cow;

use http::{HeaderValue, header};
use prost::Message as _;

use self::wire::{AnyValue, KeyValue, Kind, Request, Resource, ResourceSpans, Response};
use self::wire::{ERROR, SERVER, Scope, ScopeSpans, Span, Status};
use super::post::Post;
use super::row::seconds;
use super::sink::{Sink, SinkError};
use crate::client::Endpoint;
use crate::records::wire::{Record, RecordBatch};

const PATH: &str = "/v1/traces";
const SERVICE: &str = "sluice";

/// Spans in a collector.
pub struct Otlp {
    post: Post,
    /// Records that made no span, or one that was not taken.
    refused: u64,
}

impl Otlp {
    /// Opens nothing yet.
    pub fn new(endpoint: Endpoint) -> Self {
        let headers = vec![(header::CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"))];
        Self { post: Post::new(endpoint, PATH.to_owned(), headers), refused: 0 }
    }
}

impl Sink for Otlp {
    fn name(&self) -> &'static str {
        "otlp"
    }

    async fn deliver(&mut self, batch: &RecordBatch) -> Result<(), SinkError> {
        let request = request(batch);
        let spans: usize = request
            .resource_spans
            .iter()
            .flat_map(|from| &from.scope_spans)
            .map(|scope| scope.spans.len())
            .sum();
        let answer = self.post.send(request.encode_to_vec().into()).await?;
        self.refused += batch.records.len().saturating_sub(spans) as u64;
        // Sent again, those that were taken would be there twice.
        if let Some(rejected) = Response::decode(answer).ok().and_then(|answer| answer.partial_success)
            && rejected.rejected_spans > 0
        {
            let (count, error) = (rejected.rejected_spans, rejected.error_message);
            tracing::warn!(count, error, "some spans of request records were refused");
            self.refused += u64::try_from(count).unwrap_or(0).min(spans as u64);
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), SinkError> {
        Ok(())
    }

    fn take_refused(&mut self) -> u64 {
        std::mem::take(&mut self.refused)
    }
}

/// A batch as it is sent.
pub fn request(batch: &RecordBatch) -> Request {
    let mut resource = Attributes::default();
    resource.text("service.name", SERVICE).text("service.instance.id", &batch.instance);
    let scope = Scope { name: SERVICE.to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() };
    // One without ids is no span, and a collector may refuse the others with it.
    let spans =
        batch.records.iter().filter(|record| is_id(&record.trace_id, 16) && is_id(&record.span_id, 8));
    let scope_spans = vec![ScopeSpans { scope: Some(scope), spans: spans.map(span).collect() }];
    let resource = Some(Resource { attributes: resource.0 });
    Request { resource_spans: vec![ResourceSpans { resource, scope_spans }] }
}

fn is_id(id: &[u8], length: usize) -> bool {
    id.len() == length && id.iter().any(|byte| *byte != 0)
}

fn span(record: &Record) -> Span {
    let mut attributes = Attributes::default();
    attributes.of_model(record);
    attributes
        .int("http.response.status_code", record.status)
        .text("error.type", &error_type(record))
        .text("enduser.id", &record.subject)
        .text("sluice.request.id", &record.id)
        .text("sluice.role", &record.role)
        .text("sluice.outcome", &record.outcome)
        .text("sluice.finish", &record.finish)
        .text("sluice.kept", &record.kept)
        .with("sluice.weight", Kind::Double(record.weight))
        .with("sluice.stream", Kind::Bool(record.stream))
        .with("sluice.queue_seconds", Kind::Double(seconds(record.queue_ns)));
    if record.first_token_ns > 0 {
        attributes.with("sluice.first_token_seconds", Kind::Double(seconds(record.first_token_ns)));
    }
    let parent = &record.parent_span_id;
    Span {
        trace_id: record.trace_id.clone(),
        span_id: record.span_id.clone(),
        parent_span_id: if is_id(parent, 8) { parent.clone() } else { Vec::new() },
        name: record.route.clone(),
        kind: SERVER,
        start_time_unix_nano: record.time_unix_ns,
        end_time_unix_nano: record.time_unix_ns.saturating_add(record.duration_ns),
        attributes: attributes.0,
        status: has_failed(record).then(|| Status { message: record.reason.clone(), code: ERROR }),
    }
}

/// The server's fault, by the conventions for HTTP: not what it refused, but a stream that broke after its status.
fn has_failed(record: &Record) -> bool {
    record.status >= 500 || (record.status < 400 && !record.reason.is_empty())
}

/// Why it failed; by the conventions, the status where nothing else is known.
fn error_type(record: &Record) -> Cow<'_, str> {
    if record.reason.is_empty() && has_failed(record) {
        return record.status.to_string().into();
    }
    Cow::Borrowed(&record.reason)
}

/// The conventions' name of an operation.
fn operation(route: &str) -> &'static str {
    match route {
        "create_chat_completion" | "create_response" => "chat",
        "create_completion" => "text_completion",
        "create_embedding" => "embeddings",
        _ => "",
    }
}

#[derive(Default)]
struct Attributes(Vec<KeyValue>);

impl Attributes {
    /// What a request without a model does not have.
    fn of_model(&mut self, record: &Record) {
        self.text("gen_ai.operation.name", operation(&record.route));
        if !record.model.is_empty() {
            self.text("gen_ai.request.model", &record.model)
                .int("gen_ai.usage.input_tokens", record.prompt_tokens)
                .int("gen_ai.usage.output_tokens", record.completion_tokens)
                .int("sluice.cached_tokens", record.cached_tokens);
        }
    }

    /// An empty text is none.
    fn text(&mut self, key: &str, text: &str) -> &mut Self {
        if text.is_empty() { self } else { self.with(key, Kind::Text(text.to_owned())) }
    }

    fn int(&mut self, key: &str, number: u32) -> &mut Self {
        self.with(key, Kind::Int(number.into()))
    }

    fn with(&mut self, key: &str, kind: Kind) -> &mut Self {
        self.0.push(KeyValue { key: key.to_owned(), value: Some(AnyValue { kind: Some(kind) }) });
        self
    }
}
