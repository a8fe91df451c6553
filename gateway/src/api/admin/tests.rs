//! The admin API as a client calls it.

use std::sync::Arc;

use poem::endpoint::DynEndpoint;
use poem::http::Method;
use poem::{Body, Request, Response};
use serde_json::{Value, json};

use crate::accounting::Books;
use crate::accounting::usage::Usage;
use crate::api::harness::limits;
use crate::app::{App, HttpLimits};
use crate::auth::tests::access;
use crate::engine::scripted::{Script, ScriptedEngine};
use crate::routes::routes;
use crate::routing::Catalog;
use crate::shutdown::Lifecycle;
use crate::telemetry::LogControl;

const KEY: &str = "sk-test";

struct Client {
    endpoint: Arc<dyn DynEndpoint<Output = Response>>,
    key: String,
}

struct Answer {
    status: u16,
    etag: Option<String>,
    headers: poem::http::HeaderMap,
    body: Value,
}

impl Answer {
    fn header(&self, name: &str) -> Option<String> {
        self.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
    }
}

impl Client {
    fn admin() -> Self {
        let usage = Arc::new(Usage::in_memory());
        let app = App {
            catalog: Catalog::new(vec![Arc::new(ScriptedEngine::new("m", Script::text(["Hello"])))]),
            local: Arc::default(),
            access: access(KEY),
            admission: limits(),
            books: Books::new(Arc::clone(&usage) as _, Arc::default()),
            usage,
            conversations: Arc::new(crate::conversation::Conversations::in_memory()),
            lifecycle: Lifecycle::new(),
            metrics: Arc::default(),
            log: LogControl::default(),
            limits: HttpLimits::default(),
            is_worker: false,
        };
        Self { endpoint: routes(Arc::new(app)), key: KEY.to_owned() }
    }

    fn with_key(&self, key: &str) -> Self {
        Self { endpoint: Arc::clone(&self.endpoint), key: key.to_owned() }
    }

    async fn call(&self, method: Method, path: &str, if_match: Option<&str>, body: Value) -> Answer {
        let mut request = Request::builder()
            .method(method)
            .uri(path.parse().unwrap())
            .header("authorization", format!("Bearer {}", self.key));
        if let Some(tag) = if_match {
            request = request.header("if-match", tag);
        }
        let request = match body {
            Value::Null => request.finish(),
            body => request.content_type("application/json").body(Body::from(body.to_string())),
        };
        let mut response = self.endpoint.call(request).await.unwrap();
        let etag = response.header("etag").map(str::to_owned);
        let text = response.take_body().into_string().await.unwrap();
        let body = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        Answer { status: response.status().as_u16(), etag, headers: response.headers().clone(), body }
    }

    async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path, None, Value::Null).await
    }

    async fn post(&self, path: &str, body: Value) -> Answer {
        self.call(Method::POST, path, None, body).await
    }

    async fn user_key(&self, subject: &str, role: &str) -> Self {
        let made = self.post("/admin/v1/keys", json!({"subject": subject, "role": role})).await;
        assert_eq!(made.status, 200, "{}", made.body);
        self.with_key(made.body["secret"].as_str().unwrap())
    }
}

#[tokio::test]
async fn a_role_is_made_given_changed_and_felt_at_once() {
    let admin = Client::admin();
    let policy = json!({"permissions": ["chat", "models:read"], "models": ["m"]});
    let made = admin.post("/admin/v1/roles", json!({"name": "team", "policy": policy})).await;
    assert_eq!(made.status, 200, "{}", made.body);
    let user = admin.user_key("alice", "team").await;
    let ask = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]});
    assert_eq!(user.post("/v1/chat/completions", ask.clone()).await.status, 200);

    let change = json!({"policy": {"models": ["other"]}});
    let etag = made.etag.as_deref();
    let changed = admin.call(Method::PATCH, "/admin/v1/roles/team", etag, change).await;
    assert_eq!(changed.status, 200, "{}", changed.body);
    assert_ne!(changed.etag, made.etag);
    let refused = user.post("/v1/chat/completions", ask).await;
    assert_eq!((refused.status, &refused.body["error"]["code"]), (403, &json!("model_not_permitted")));
    assert_eq!(user.get("/v1/models").await.body["data"], json!([]));
}

#[tokio::test]
async fn a_change_says_what_it_was_made_for() {
    let admin = Client::admin();
    let path = "/admin/v1/roles/user";
    let read = admin.get(path).await;
    let change = || json!({"description": "new"});
    let unsaid = admin.call(Method::PATCH, path, None, change()).await;
    assert_eq!((unsaid.status, &unsaid.body["error"]["code"]), (428, &json!("precondition_required")));
    assert_eq!(admin.call(Method::PATCH, path, read.etag.as_deref(), change()).await.status, 200);
    assert_eq!(admin.call(Method::PATCH, path, read.etag.as_deref(), change()).await.status, 412);
    assert_eq!(admin.call(Method::PATCH, path, Some("*"), change()).await.status, 200);
}

#[tokio::test]
async fn each_role_may_do_what_its_permissions_say() {
    let admin = Client::admin();
    let user = admin.user_key("u", "user").await;
    let viewer = admin.user_key("v", "viewer").await;
    for (path, for_user, for_viewer) in [
        ("/v1/models", 200, 200),
        ("/admin/v1/whoami", 200, 200),
        ("/admin/v1/audit", 403, 200),
        ("/admin/v1/roles", 403, 403),
        ("/admin/v1/keys", 403, 403),
        ("/admin/v1/subjects", 403, 403),
    ] {
        let statuses = (user.get(path).await.status, viewer.get(path).await.status);
        assert_eq!(statuses, (for_user, for_viewer), "{path}");
    }
    let ask = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]});
    assert_eq!(viewer.post("/v1/chat/completions", ask).await.status, 403);
}

#[tokio::test]
async fn a_secret_is_shown_once_and_a_revoked_key_is_dead() {
    let admin = Client::admin();
    let made = admin.post("/admin/v1/keys", json!({"subject": "alice", "role": "user", "note": "ci"})).await;
    let secret = made.body["secret"].as_str().unwrap();
    let id = made.body["key"]["id"].as_str().unwrap();
    let user = admin.with_key(secret);
    assert_eq!(user.get("/admin/v1/whoami").await.body["subject"], "alice");
    let list = admin.get("/admin/v1/keys").await.body;
    assert!(!list.to_string().contains(secret), "{list}");
    let path = format!("/admin/v1/keys/{id}");
    let revoked = admin.call(Method::DELETE, &path, None, Value::Null).await;
    assert_eq!(revoked.status, 200, "{}", revoked.body);
    assert_eq!(user.get("/admin/v1/whoami").await.status, 401);
}

#[tokio::test]
async fn lists_come_in_pages() {
    let admin = Client::admin();
    for id in ["a", "b", "c"] {
        assert_eq!(admin.post("/admin/v1/subjects", json!({"id": id, "role": "user"})).await.status, 200);
    }
    let first = admin.get("/admin/v1/subjects?limit=2").await.body;
    assert_eq!((first["data"][1]["id"].as_str(), &first["has_more"]), (Some("admin"), &json!(true)));
    let second = admin.get("/admin/v1/subjects?limit=2&after=admin").await.body;
    assert_eq!((second["data"][0]["id"].as_str(), &second["has_more"]), (Some("b"), &json!(false)));
    assert_eq!(admin.get("/admin/v1/subjects?limit=0").await.status, 400);
    assert_eq!(admin.get("/admin/v1/keys?limit=x").await.status, 400);
}

#[tokio::test]
async fn explain_tells_the_rule() {
    let admin = Client::admin();
    admin.user_key("alice", "viewer").await;
    let asked = json!({"subject": "alice", "permission": "chat"});
    let answer = admin.post("/admin/v1/explain", asked).await.body;
    assert_eq!(answer["allowed"], json!(false));
    assert!(answer["rule"].as_str().unwrap().contains("chat"), "{answer}");
}

#[tokio::test]
async fn caps_bound_the_prompt_and_the_answer() {
    let admin = Client::admin();
    let policy = json!({"permissions": ["chat"], "output_cap": 8, "context_cap": 3});
    assert_eq!(admin.post("/admin/v1/roles", json!({"name": "capped", "policy": policy})).await.status, 200);
    let user = admin.user_key("alice", "capped").await;
    let ask = |text: &str, max_tokens: Option<u32>| json!({"model": "m", "max_tokens": max_tokens, "messages": [{"role": "user", "content": text}]});
    assert_eq!(user.post("/v1/chat/completions", ask("hi", None)).await.status, 200);
    let long = user.post("/v1/chat/completions", ask("hi", Some(9))).await;
    assert_eq!((long.status, &long.body["error"]["code"]), (400, &json!("output_cap_exceeded")));
    let prompt = user.post("/v1/chat/completions", ask("one two three four five six", None)).await;
    assert_eq!((prompt.status, &prompt.body["error"]["code"]), (400, &json!("context_length_exceeded")));
}

#[tokio::test]
async fn limits_are_told_and_kept() {
    let admin = Client::admin();
    let policy = json!({"permissions": ["chat"], "requests_per_minute": 2, "tokens_per_minute": 10_000});
    assert_eq!(admin.post("/admin/v1/roles", json!({"name": "slow", "policy": policy})).await.status, 200);
    let user = admin.user_key("alice", "slow").await;
    let ask = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]});
    for left in ["1", "0"] {
        let answer = user.post("/v1/chat/completions", ask.clone()).await;
        assert_eq!(
            (answer.status, answer.header("x-ratelimit-remaining-requests")),
            (200, Some(left.to_owned()))
        );
    }
    let refused = user.post("/v1/chat/completions", ask).await;
    assert_eq!((refused.status, &refused.body["error"]["code"]), (429, &json!("requests")));
    assert!(refused.header("retry-after").is_some() && refused.header("retry-after-ms").is_some());
    let left = admin.post("/admin/v1/explain", json!({"subject": "alice", "permission": "chat"})).await.body;
    assert_eq!(left["left"]["requests"], 0, "{left}");
    let spent = 10_000 - left["left"]["tokens"].as_u64().unwrap();
    assert!((1..100).contains(&spent), "what was reserved and not used is given back: {spent}");
}

#[tokio::test]
async fn a_route_is_made_used_changed_and_removed_while_the_gateway_runs() {
    let admin = Client::admin();
    let ask = json!({"model": "alias", "messages": [{"role": "user", "content": "hi"}]});
    let path = "/admin/v1/models/alias";
    assert_eq!(admin.post("/v1/chat/completions", ask.clone()).await.status, 404);
    let spec = json!({"targets": [{"model": "m", "weight": 3}]});
    let made = admin.call(Method::PUT, path, None, spec.clone()).await;
    assert_eq!((made.status, &made.body["route"]["name"]), (200, &json!("alias")), "{}", made.body);
    let answer = admin.post("/v1/chat/completions", ask.clone()).await;
    let who = (answer.header("x-sluice-target"), answer.body["model"].as_str());
    assert_eq!((answer.status, who), (200, (Some("m".to_owned()), Some("alias"))));
    let listed = admin.get("/v1/models").await.body;
    assert_eq!(listed["data"].as_array().unwrap().len(), 2, "{listed}");

    let change = json!({"targets": [{"model": "m", "weight": 1, "cap": 2}], "retries": 0});
    assert_eq!(admin.call(Method::PUT, path, None, change.clone()).await.status, 428);
    let changed = admin.call(Method::PUT, path, made.etag.as_deref(), change.clone()).await;
    assert_eq!((changed.status, &changed.body["targets"][0]["cap"]), (200, &json!(2)));
    assert_eq!(admin.call(Method::PUT, path, made.etag.as_deref(), change).await.status, 412);
    assert_eq!(admin.get(path).await.etag, changed.etag);

    assert_eq!(admin.call(Method::DELETE, path, None, Value::Null).await.status, 428);
    assert_eq!(admin.call(Method::DELETE, path, Some("*"), Value::Null).await.status, 200);
    assert_eq!(admin.call(Method::DELETE, path, Some("*"), Value::Null).await.status, 404);
    assert_eq!(admin.post("/v1/chat/completions", ask).await.status, 404);
    let audit = admin.get("/admin/v1/audit?limit=3").await.body;
    let actions: Vec<_> = audit["data"].as_array().unwrap().iter().map(|entry| &entry["action"]).collect();
    assert_eq!(actions, ["route.delete", "route.update", "route.create"]);
}

#[tokio::test]
async fn every_answer_tells_who_gave_it() {
    let admin = Client::admin();
    let ask = json!({"model": "m", "prompt": ["a", "b"]});
    let answer = admin.post("/v1/completions", ask).await;
    assert_eq!(answer.header("x-sluice-target").as_deref(), Some("m"));
    let state = admin.get("/admin/v1/models/m").await.body;
    assert_eq!(state["targets"][0]["outstanding"], 0);
    assert_eq!((&state["configured"], &state["targets"][0]["breaker"]), (&json!(true), &json!("closed")));
    assert_eq!(admin.get("/admin/v1/models/nope").await.status, 404);
}

#[tokio::test]
async fn a_route_that_cannot_work_or_goes_beyond_its_makers_rights_is_refused() {
    let admin = Client::admin();
    let put = |client: &Client, name: &str, spec: Value| {
        let (client, path) = (client.with_key(&client.key), format!("/admin/v1/models/{name}"));
        async move { client.call(Method::PUT, &path, None, spec).await }
    };
    let target = |model: &str| json!({"targets": [{"model": model}]});
    for (spec, param) in [
        (target("nope"), "targets"),
        (json!({"targets": [{"model": "m", "weight": 0}]}), "targets"),
        (json!({"targets": [{"model": "m"}], "retries": 99}), "retries"),
        (json!({"name": "other", "targets": [{"model": "m"}]}), "name"),
    ] {
        let refused = put(&admin, "alias", spec).await;
        assert_eq!((refused.status, &refused.body["error"]["param"]), (400, &json!(param)));
    }
    let policy = json!({"permissions": ["models:manage"], "models": ["alias"]});
    assert_eq!(admin.post("/admin/v1/roles", json!({"name": "narrow", "policy": policy})).await.status, 200);
    let narrow = admin.user_key("alice", "narrow").await;
    let refused = put(&narrow, "alias", target("m")).await;
    assert_eq!((refused.status, &refused.body["error"]["code"]), (403, &json!("model_not_permitted")));
    let audit = admin.get("/admin/v1/audit?limit=1").await.body;
    assert_eq!(audit["data"][0]["after"]["refused"], "the model `m`");
}
