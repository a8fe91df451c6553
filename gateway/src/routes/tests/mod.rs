//! The whole surface, called in process with a scripted engine.

mod bodies;
mod document;
mod resources;
mod surface;

use std::sync::Arc;

use poem::endpoint::DynEndpoint;
use poem::http::{Method, StatusCode};
use poem::{Body, Request, Response};
use serde_json::Value;

use crate::accounting::usage::Usage;
use crate::accounting::{Books, LogLedger};
use crate::api::harness::limits;
use crate::app::{App, HttpLimits};
use crate::auth::tests::access;
use crate::engine::scripted::{Script, ScriptedEngine};
use crate::routing::Catalog;
use crate::shutdown::Lifecycle;
use crate::telemetry::LogControl;

const KEY: &str = "sk-test";
const MODEL: &str = "org/small";
const BODY_LIMIT: usize = 64 * 1024;

/// A gateway without a socket.
struct Surface {
    engine: Arc<ScriptedEngine>,
    lifecycle: Lifecycle,
    endpoint: Arc<dyn DynEndpoint<Output = Response>>,
}

/// What came back, read to its end.
struct Answer {
    status: StatusCode,
    response: Response,
    text: String,
}

impl Surface {
    fn new() -> Self {
        let engine = Arc::new(ScriptedEngine::new(MODEL, Script::text(["Hello", " world"])));
        let lifecycle = Lifecycle::new();
        let app = App {
            catalog: Catalog::new(vec![engine.clone()]),
            local: Arc::default(),
            access: access(KEY),
            admission: limits(),
            books: Books::new(Arc::new(LogLedger), Arc::default()),
            usage: Arc::new(Usage::in_memory()),
            conversations: Arc::new(crate::conversation::Conversations::in_memory()),
            lifecycle: lifecycle.clone(),
            metrics: Arc::default(),
            log: LogControl::default(),
            limits: HttpLimits { max_body_bytes: BODY_LIMIT, ..HttpLimits::default() },
            is_worker: false,
        };
        Self { engine, lifecycle, endpoint: super::routes(Arc::new(app)) }
    }

    async fn send(&self, request: Request) -> Answer {
        let mut response = self.endpoint.call(request).await.unwrap();
        let text = response.take_body().into_string().await.unwrap();
        Answer { status: response.status(), response, text }
    }

    async fn get(&self, path: &str) -> Answer {
        self.send(authorized(Method::GET, path).finish()).await
    }

    async fn post(&self, path: &str, body: impl Into<Body>) -> Answer {
        self.send(authorized(Method::POST, path).content_type("application/json").body(body)).await
    }
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    /// The body of an error: checks the envelope's shape and the request id on the way.
    #[track_caller]
    fn error(&self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        assert_eq!(self.response.content_type(), Some("application/json"));
        assert!(self.response.header("x-request-id").is_some());
        let envelope = self.json();
        let mut error = envelope["error"].clone();
        if self.response.header("request-id").is_some() {
            // The Messages API has an envelope of its own.
            assert_eq!(envelope["type"], "error", "{envelope}");
            assert_eq!(envelope["request_id"].as_str(), self.response.header("x-request-id"), "{envelope}");
            error["code"] = error["details"]["error_code"].take();
            error["param"] = Value::Null;
        }
        assert!(error["message"].is_string() && error["type"].is_string(), "{envelope}");
        assert!(error.get("param").is_some() && error.get("code").is_some(), "{envelope}");
        error
    }

    #[track_caller]
    fn ok(&self) -> Value {
        assert_eq!(self.status, StatusCode::OK, "{}", self.text);
        self.json()
    }
}

fn request(method: Method, path: &str) -> poem::RequestBuilder {
    Request::builder().method(method).uri(path.parse().unwrap())
}

fn authorized(method: Method, path: &str) -> poem::RequestBuilder {
    request(method, path).header("authorization", format!("Bearer {KEY}"))
}
