//! The one table of routes, and what each answers.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use ring::digest::{SHA256, digest};
use serde_json::json;
use tokio::time::timeout;

use super::check::{self, Limits};
use super::config::Settings;
use super::expose::{self, Encoding, Format};
use super::instances::{Instances, Verdict};
use super::own::Own;
use super::records::{Counters, Intake};
use crate::protocol::{self, Bounds, CodecError, PUSH_PATH, Snapshot};
use crate::records::wire::{RECORDS_PATH, RecordBatch};

/// How long a body may take.
const BODY_LIMIT: Duration = Duration::from_secs(10);
/// Records of one batch; a gateway sends 500.
const MOST_RECORDS: usize = 10_000;
/// When a gateway that found no place tries again.
const RETRY_FULL: HeaderValue = HeaderValue::from_static("30");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// Answers to scrapes are made many times and read once.
const GZIP_LEVEL: u32 = 1;

/// What all requests share.
pub struct App {
    instances: Arc<Instances>,
    own: Own,
    limits: Limits,
    bounds: Bounds,
    /// Hashed, so that comparing takes the same time whatever is sent. Without one, none is asked for.
    secrets: Vec<Vec<u8>>,
    advertise: Option<String>,
    /// Set once the sinks are open.
    records: OnceLock<Arc<Intake>>,
}

type Answer = Response<Full<Bytes>>;

/// An answer that says why not.
struct Refusal {
    status: StatusCode,
    /// The label of `exporter_rejected_total`, and the code in the answer.
    reason: &'static str,
    message: String,
}

impl Refusal {
    fn new(status: StatusCode, reason: &'static str, message: impl Into<String>) -> Self {
        Self { status, reason, message: message.into() }
    }
}

impl App {
    pub(super) fn of(settings: &Settings, instances: Arc<Instances>, own: Own) -> Self {
        let secrets = settings.secrets.iter().map(|secret| hash(secret.as_bytes())).collect();
        let (limits, bounds, advertise) = (settings.limits, settings.bounds, settings.advertise.clone());
        Self { instances, own, limits, bounds, secrets, advertise, records: OnceLock::new() }
    }

    /// Takes request records too, from now on.
    pub fn record(&self, intake: Arc<Intake>) {
        // Opened once, at the start.
        let _first = self.records.set(intake);
    }

    /// What became of request records.
    pub fn record_counters(&self) -> &Counters {
        &self.own.records
    }

    /// The gateways heard of.
    pub fn instances(&self) -> &Instances {
        &self.instances
    }

    /// Answers a request, whatever it is.
    pub(super) async fn answer(&self, request: Request<Incoming>) -> Answer {
        // The body of an answer to HEAD is not sent; its length is.
        let method = if request.method() == Method::HEAD { &Method::GET } else { request.method() };
        match (method, request.uri().path()) {
            (&Method::POST, PUSH_PATH) => self.push(request).await,
            (&Method::POST, RECORDS_PATH) => self.keep(request).await,
            (&Method::GET, "/metrics") => self.scrape(&request),
            (&Method::GET, "/sd") => self.discover(&request),
            (&Method::GET, "/healthz" | "/readyz") => text("text/plain", "ok\n".into()),
            (_, PUSH_PATH | RECORDS_PATH) => not_allowed("POST"),
            (_, "/metrics" | "/sd" | "/healthz" | "/readyz") => not_allowed("GET, HEAD"),
            _ => refuse(&Refusal::new(
                StatusCode::NOT_FOUND,
                "not_found",
                "there are /metrics, /sd, /healthz, /readyz, POST /v1/push and POST /v1/records",
            )),
        }
    }

    async fn push(&self, request: Request<Incoming>) -> Answer {
        match self.take(request).await {
            Ok(verdict) => self.tell(verdict),
            Err(refusal) => {
                self.own.snapshots.with_label_values(&["refused"]).inc();
                self.own.rejected.with_label_values(&[refusal.reason]).inc();
                refuse(&refusal)
            }
        }
    }

    async fn take(&self, request: Request<Incoming>) -> Result<Verdict, Refusal> {
        self.authorize(request.headers())?;
        let body = self.read(request).await?;
        let began = Instant::now();
        let snapshot: Snapshot = protocol::decode(&body, self.bounds).map_err(|error| unreadable(&error))?;
        let series = check::check(&snapshot, &self.limits).map_err(|fault| {
            Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, fault.reason(), fault.to_string())
        })?;
        #[expect(
            clippy::disallowed_methods,
            reason = "when a gateway was heard of is told by the wall clock"
        )]
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let verdict = self.instances.take(snapshot, series, now.as_secs_f64());
        self.own.ingest.observe(began.elapsed().as_secs_f64());
        Ok(verdict)
    }

    async fn keep(&self, request: Request<Incoming>) -> Answer {
        match self.take_records(request).await {
            Ok(()) => empty(),
            Err(refusal) => {
                self.own.rejected.with_label_values(&[refusal.reason]).inc();
                refuse(&refusal)
            }
        }
    }

    /// Takes request records in. A batch that is here already is as good as taken.
    async fn take_records(&self, request: Request<Incoming>) -> Result<(), Refusal> {
        self.authorize(request.headers())?;
        let Some(intake) = self.records.get() else {
            return Err(Refusal::new(
                StatusCode::NOT_FOUND,
                "records",
                "this exporter keeps no request records",
            ));
        };
        let body = self.read(request).await?;
        let bounds = Bounds { messages: MOST_RECORDS, ..self.bounds };
        let batch: RecordBatch = protocol::decode(&body, bounds).map_err(|error| match error {
            CodecError::TooMany(most) => {
                let message = format!("more than {most} records");
                Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "records", message)
            }
            error => unreadable(&error),
        })?;
        if batch.protocol != protocol::VERSION {
            let message = "this version of the protocol is not known here";
            return Err(Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, "protocol", message));
        }
        if batch.instance.is_empty() || !check::is_value(&batch.instance) {
            let message = "the instance has no name, or one that is no label";
            return Err(Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, "labels", message));
        }
        let intake = Arc::clone(intake);
        // What a queue has no place for is written to disk.
        let taken = tokio::task::spawn_blocking(move || intake.take(batch)).await;
        taken.map(drop).map_err(|_| {
            Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "records", "the batch could not be taken")
        })
    }

    /// Counts what became of a snapshot, and answers it.
    fn tell(&self, verdict: Verdict) -> Answer {
        let count = |outcome| self.own.snapshots.with_label_values(&[outcome]).inc();
        let message = match verdict {
            Verdict::Accepted => {
                count("accepted");
                return empty();
            }
            Verdict::Repeated => {
                count("repeated");
                return empty();
            }
            Verdict::Stale => {
                count("stale");
                "a newer snapshot of this instance is here"
            }
            Verdict::Full => {
                count("refused");
                self.own.rejected.with_label_values(&["instances"]).inc();
                "there are as many instances as may be"
            }
        };
        if verdict == Verdict::Stale {
            return refuse(&Refusal::new(StatusCode::CONFLICT, "stale", message));
        }
        let mut answer = refuse(&Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "instances", message));
        answer.headers_mut().insert(header::RETRY_AFTER, RETRY_FULL);
        answer
    }

    fn authorize(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let sent = headers.get(header::AUTHORIZATION).and_then(|value| bearer(value.as_bytes()));
        let is_known = |sent: &[u8]| self.secrets.contains(&hash(sent));
        if self.secrets.is_empty() || sent.is_some_and(is_known) {
            return Ok(());
        }
        let message = "send the exporter's secret as: Authorization: Bearer SECRET";
        Err(Refusal::new(StatusCode::UNAUTHORIZED, "auth", message))
    }

    async fn read(&self, request: Request<Incoming>) -> Result<Bytes, Refusal> {
        let encoding = request.headers().get(header::CONTENT_ENCODING).map(HeaderValue::as_bytes);
        if encoding != Some(protocol::CONTENT_ENCODING.as_bytes()) {
            let message = "send the body with content-encoding: zstd";
            return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "decode", message));
        }
        let body = Limited::new(request.into_body(), self.bounds.compressed).collect();
        match timeout(BODY_LIMIT, body).await {
            Ok(Ok(body)) => Ok(body.to_bytes()),
            Ok(Err(error)) if error.is::<LengthLimitError>() => {
                let message = format!("the body is larger than {} bytes", self.bounds.compressed);
                Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "body", message))
            }
            Ok(Err(_)) => Err(Refusal::new(StatusCode::BAD_REQUEST, "body", "the body broke off")),
            Err(_) => Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, "body", "the body took too long")),
        }
    }

    fn scrape(&self, request: &Request<Incoming>) -> Answer {
        let named = query(request, "instance");
        let live = self.instances.scrape(named.as_deref());
        if named.is_some() && live.is_empty() {
            return refuse(&Refusal::new(StatusCode::NOT_FOUND, "instance", "no such instance is heard of"));
        }
        // One gateway alone is asked for its own metrics, which the exporter's are not.
        let own = if named.is_some() { Vec::new() } else { self.own.gather(&self.instances) };
        let format = expose::format(value(request, &header::ACCEPT));
        let (plain, left_out) = expose::render(&own, &live, format);
        if left_out > 0 {
            self.own.rejected.with_label_values(&["kind"]).inc_by(left_out);
        }
        compress(plain, format, expose::encoding(value(request, &header::ACCEPT_ENCODING)))
    }

    /// Targets in the form of Prometheus' `http_sd_configs`: this exporter, or each gateway behind it.
    fn discover(&self, request: &Request<Incoming>) -> Answer {
        let host = value(request, &header::HOST);
        let Some(target) = self.advertise.as_deref().or_else(|| is_address(host).then_some(host)) else {
            let message = "the request's host is no address; ask by one, or set --advertise";
            return refuse(&Refusal::new(StatusCode::BAD_REQUEST, "host", message));
        };
        let groups = if query(request, "split").as_deref() == Some("instance") {
            let names = self.instances.names().into_iter();
            names
                .map(|name| {
                    let labels = json!({"__param_instance": &*name, "gateway": &*name});
                    json!({"targets": [target], "labels": labels})
                })
                .collect()
        } else {
            vec![json!({"targets": [target], "labels": {}})]
        };
        text("application/json", serde_json::Value::Array(groups).to_string())
    }
}

fn unreadable(error: &CodecError) -> Refusal {
    let status = match error {
        CodecError::TooLarge(_) => {
            return Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "body", error.to_string());
        }
        CodecError::TooMany(_) => {
            return Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, "series", error.to_string());
        }
        CodecError::Compression(_) | CodecError::Message(_) => StatusCode::UNPROCESSABLE_ENTITY,
    };
    Refusal::new(status, "decode", error.to_string())
}

/// The credential of an `authorization` header; the scheme's case does not matter.
fn bearer(header: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = header.split_at_checked("bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"bearer ").then_some(rest)
}

fn hash(secret: &[u8]) -> Vec<u8> {
    digest(&SHA256, secret).as_ref().to_vec()
}

/// A header's text; empty where there is none.
fn value<'a>(request: &'a Request<Incoming>, name: &header::HeaderName) -> &'a str {
    request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// A host with or without a port and nothing else: it is told to others.
fn is_address(host: &str) -> bool {
    let authority: Result<http::uri::Authority, _> = host.parse();
    authority.is_ok_and(|authority| !authority.host().is_empty() && !host.contains('@'))
}

/// A parameter of the query, decoded.
fn query(request: &Request<Incoming>, name: &str) -> Option<String> {
    let query = request.uri().query()?.as_bytes();
    form_urlencoded::parse(query).find(|(key, _)| key == name).map(|(_, text)| text.into_owned())
}

fn compress(plain: Vec<u8>, format: Format, encoding: Option<Encoding>) -> Answer {
    let packed = encoding.and_then(|encoding| {
        let packed = match encoding {
            Encoding::Gzip => {
                let mut gzip = flate2::read::GzEncoder::new(&*plain, flate2::Compression::new(GZIP_LEVEL));
                let mut out = Vec::new();
                std::io::Read::read_to_end(&mut gzip, &mut out).map(|_| out)
            }
            Encoding::Zstd => zstd::bulk::compress(&plain, 1),
        };
        // A compressor without memory costs the compression, not the answer.
        Some((encoding, packed.ok()?))
    });
    let (encoding, body) = packed.map_or((None, plain), |(encoding, packed)| (Some(encoding), packed));
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
    headers.insert(header::VARY, HeaderValue::from_static("accept, accept-encoding"));
    if let Some(encoding) = encoding {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding.name()));
    }
    answer
}

fn text(content_type: &'static str, body: String) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

fn empty() -> Answer {
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = StatusCode::NO_CONTENT;
    answer
}

fn not_allowed(methods: &'static str) -> Answer {
    let mut answer =
        refuse(&Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", format!("use {methods}")));
    answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static(methods));
    answer
}

fn refuse(refusal: &Refusal) -> Answer {
    let kind = if refusal.status.is_server_error() { "overloaded_error" } else { "invalid_request_error" };
    let body = json!({"error": {"message": refusal.message, "type": kind, "code": refusal.reason}});
    let mut answer = Response::new(Full::new(Bytes::from(body.to_string())));
    *answer.status_mut() = refusal.status;
    answer.headers_mut().insert(header::CONTENT_TYPE, JSON);
    if refusal.status == StatusCode::UNAUTHORIZED {
        answer.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    answer
}
