//! A chat surface in process: the generating resources over a scripted engine, their ledger in reach.

use std::sync::Arc;
use std::time::Duration;

use poem::http::{Method, StatusCode};
use poem::{Body, Endpoint, EndpointExt, Request, Response, Route};
use poem_openapi::OpenApiService;
use serde_json::{Value, json};

use super::chat::ChatApi;
use super::completions::CompletionsApi;
use super::conversations::ConversationsApi;
use super::messages::MessagesApi;
use super::responses::ResponsesApi;
use crate::accounting::tests::{Collected, books};
use crate::accounting::usage::Usage;
use crate::app::{App, HttpLimits};
use crate::auth::tests::access;
use crate::clock::Clock;
use crate::engine::Engine;
use crate::engine::scripted::{Script, ScriptedEngine};
use crate::error::messages::Rephrase;
use crate::error::rescue::Rescue;
use crate::limits::Limits;
use crate::limits::store::MemoryStore;
use crate::routing::Catalog;
use crate::shutdown::Lifecycle;
use crate::telemetry::LogControl;

const KEY: &str = "sk-test";

/// The surface, and what is behind it.
pub(crate) struct Surface {
    pub(crate) engine: Arc<ScriptedEngine>,
    pub(crate) ledger: Arc<Collected>,
    pub(crate) lifecycle: Lifecycle,
    app: Arc<App>,
}

impl Surface {
    /// A surface whose model `m` plays a script.
    pub(crate) fn playing(script: Script) -> Self {
        let engine = Arc::new(ScriptedEngine::new("m", script));
        let (books, ledger) = books();
        let lifecycle = Lifecycle::new();
        let app = Arc::new(App {
            catalog: Catalog::new(vec![Arc::clone(&engine) as Arc<dyn Engine>]),
            local: Arc::default(),
            access: access(KEY),
            admission: limits(),
            books,
            usage: Arc::new(Usage::in_memory()),
            conversations: Arc::new(crate::conversation::Conversations::in_memory()),
            lifecycle: lifecycle.clone(),
            metrics: Arc::default(),
            log: LogControl::default(),
            limits: HttpLimits { keep_alive: Duration::from_mins(10), ..HttpLimits::default() },
            is_worker: false,
        });
        Self { engine, ledger, lifecycle, app }
    }

    /// Posts a body with the key.
    pub(crate) async fn post(&self, path: &str, body: Value) -> Response {
        self.send(Method::POST, path, Some(body)).await
    }

    /// Sends a request with the key.
    pub(crate) async fn send(&self, method: Method, path: &str, body: Option<Value>) -> Response {
        let request = Request::builder()
            .method(method)
            .uri(path.parse().expect("a path"))
            .header("authorization", format!("Bearer {KEY}"))
            .content_type("application/json")
            .body(body.map_or_else(Body::empty, |body| Body::from(body.to_string())));
        let apis = (
            ChatApi::new(Arc::clone(&self.app)),
            CompletionsApi::new(Arc::clone(&self.app)),
            MessagesApi { app: Arc::clone(&self.app) },
            ResponsesApi { app: Arc::clone(&self.app) },
            ConversationsApi { app: Arc::clone(&self.app) },
        );
        let routes =
            Route::new().nest("/", OpenApiService::new(apis, "", "")).data(Arc::clone(&self.app.access));
        Rephrase(Rescue::new(routes, Box::new(|_| None))).call(request).await.expect("rescued")
    }

    /// A success as JSON.
    pub(crate) async fn json(&self, path: &str, body: Value) -> Value {
        let response = self.post(path, body).await;
        assert_eq!(response.status(), StatusCode::OK);
        read(response).await
    }

    /// What a path shows.
    pub(crate) async fn get(&self, path: &str) -> Value {
        let response = self.send(Method::GET, path, None).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        read(response).await
    }

    /// The status that a path answers with.
    pub(crate) async fn status(&self, method: Method, path: &str) -> u16 {
        self.send(method, path, None).await.status().as_u16()
    }

    /// A refusal: its status, and its message, param and code.
    pub(crate) async fn refusal(&self, path: &str, body: Value) -> (u16, Value) {
        let response = self.post(path, body).await;
        let status = response.status().as_u16();
        (status, read(response).await["error"].take())
    }

    /// How each request so far ended.
    pub(crate) fn outcomes(&self) -> Vec<(u16, &'static str)> {
        self.ledger.0.lock().iter().map(|record| (record.status, record.outcome.as_str())).collect()
    }
}

/// Limits that stand still in time.
pub(crate) fn limits() -> Arc<Limits> {
    Arc::new(Limits::new(Arc::new(MemoryStore::new(Clock::manual(1_000_000)))))
}

/// A response's body as JSON.
pub(crate) async fn read(response: Response) -> Value {
    let bytes = response.into_body().into_vec().await.expect("a body");
    serde_json::from_slice(&bytes).expect("JSON")
}

/// A smallest request with fields put in.
pub(crate) fn with(mut smallest: Value, fields: Value) -> Value {
    if let (Value::Object(all), Value::Object(more)) = (&mut smallest, fields) {
        all.extend(more);
    }
    smallest
}

/// The smallest chat request with fields put in.
pub(crate) fn chat(fields: Value) -> Value {
    with(json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]}), fields)
}
