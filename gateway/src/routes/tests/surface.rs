//! What is the same on every path: access, request ids, unknown paths and methods, health.

use poem::http::Method;
use serde_json::{Value, json};

use super::{Surface, authorized, request};
use crate::routes::document;

/// Operations that the contract leaves open.
const OPEN: [&str; 2] = ["healthz", "readyz"];

/// Operations of Anthropic's API, whose clients have a header of their own for keys.
const MESSAGES: [&str; 2] = ["create_message", "count_message_tokens"];

#[tokio::test]
async fn every_operation_but_health_wants_a_credential() {
    let surface = Surface::new();
    let document: Value = serde_json::from_str(&document()).unwrap();
    let paths = document["paths"].as_object().unwrap();
    let (mut guarded, bearer) = (0, json!([{ "bearer": [] }]));
    for (path, method, operation) in paths.iter().flat_map(|(path, operations)| {
        operations.as_object().unwrap().iter().map(move |(method, operation)| (path, method, operation))
    }) {
        let id = operation["operationId"].as_str().unwrap();
        let method: Method = method.to_uppercase().parse().unwrap();
        let path = path.replace("{model}", "any");
        let call = || request(method.clone(), &path).content_type("application/json");
        if OPEN.contains(&id) {
            assert!(operation.get("security").is_none(), "{id}");
            surface.send(call().finish()).await.ok();
            continue;
        }
        let either =
            if MESSAGES.contains(&id) { json!([{"bearer": []}, {"api_key": []}]) } else { bearer.clone() };
        assert_eq!(operation["security"], either, "{id}");
        for call in [call(), call().header("authorization", "Bearer sk-wrong")] {
            let answer = surface.send(call.body("not json")).await;
            assert_eq!(answer.error(401)["type"], "authentication_error", "{id}");
            assert_eq!(answer.response.header("www-authenticate"), Some("Bearer"), "{id}");
        }
        guarded += 1;
    }
    assert!(guarded >= 8, "the walk saw only {guarded} operations");
}

#[tokio::test]
async fn the_documentation_is_open() {
    let surface = Surface::new();
    for path in ["/openapi.json", "/docs"] {
        let answer = surface.send(request(Method::GET, path).finish()).await;
        assert_eq!(answer.status, 200, "{path}");
        assert!(answer.response.header("x-request-id").is_some(), "{path}");
    }
}

#[tokio::test]
async fn an_unknown_path_is_an_envelope() {
    let surface = Surface::new();
    for path in ["/", "/v1", "/v1/nothing", "/v1/models/", "/v1/messages/nothing", "/admin/v1/nothing"] {
        let error = surface.get(path).await.error(404);
        assert_eq!(error["type"], "not_found_error", "{path}");
        assert_eq!(error["code"], "unknown_url", "{path}");
    }
}

#[tokio::test]
async fn a_long_unknown_path_is_not_echoed() {
    let error = Surface::new().get(&format!("/{}", "a".repeat(5000))).await.error(404);
    assert!(error["message"].as_str().unwrap().len() < 400, "{error}");
}

#[tokio::test]
async fn a_wrong_method_is_told_the_right_ones() {
    let surface = Surface::new();
    for (method, path, allow) in [
        (Method::GET, "/v1/embeddings", "POST"),
        (Method::GET, "/v1/messages", "POST"),
        (Method::POST, "/v1/models", "GET, HEAD"),
        (Method::DELETE, "/v1/models/x", "GET, HEAD"),
        (Method::POST, "/healthz", "GET, HEAD"),
        (Method::POST, "/docs", "GET, HEAD"),
    ] {
        let answer = surface.send(authorized(method, path).finish()).await;
        let error = answer.error(405);
        assert_eq!(answer.response.header("allow"), Some(allow), "{path}");
        assert!(error["message"].as_str().unwrap().contains(allow), "{error}");
    }
}

#[tokio::test]
async fn the_head_alone_may_be_asked_for() {
    let surface = Surface::new();
    assert_eq!(surface.send(request(Method::HEAD, "/healthz").finish()).await.status, 200);
}

#[tokio::test]
async fn every_response_has_a_request_id_of_its_own() {
    let surface = Surface::new();
    let first = surface.get("/healthz").await;
    let second = surface.get("/healthz").await;
    let id = first.response.header("x-request-id").unwrap();
    assert!(id.starts_with("req_"), "{id}");
    assert_ne!(Some(id), second.response.header("x-request-id"));
}

#[tokio::test]
async fn a_client_s_request_id_is_taken_over_when_it_is_sane() {
    let surface = Surface::new();
    for (sent, taken) in [("abc-1.2:3_X", true), ("", false), ("a b", false), ("{evil}", false)] {
        let answer =
            surface.send(request(Method::GET, "/healthz").header("x-request-id", sent).finish()).await;
        assert_eq!(answer.response.header("x-request-id") == Some(sent), taken, "{sent}");
    }
    let long = "a".repeat(129);
    let answer = surface.send(request(Method::GET, "/healthz").header("x-request-id", &long).finish()).await;
    assert_ne!(answer.response.header("x-request-id"), Some(long.as_str()));
}

#[tokio::test]
async fn readiness_follows_the_engines_and_the_drain() {
    let surface = Surface::new();
    assert_eq!(surface.get("/readyz").await.ok()["status"], "ok");

    surface.engine.set_ready(false);
    let answer = surface.get("/readyz").await;
    assert_eq!(answer.error(503)["code"], "model_not_ready");
    assert_eq!(answer.response.header("retry-after"), Some("1"));

    surface.engine.set_ready(true);
    surface.lifecycle.drain();
    assert_eq!(surface.get("/readyz").await.error(503)["code"], "draining");
    assert_eq!(surface.get("/healthz").await.ok()["status"], "ok");
}
