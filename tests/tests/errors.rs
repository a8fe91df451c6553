//! Every failure of every route has the one envelope, the published status and a request id.

#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use http::Method;
use serde_json::{Value, json};
use tests::Gateway;

/// Routes that need the key, by the document the gateway serves.
async fn guarded(gateway: &Gateway) -> Vec<(Method, String)> {
    let document = gateway.http().anonymous(Method::GET, "/openapi.json").send().await.ok();
    let mut routes = Vec::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for method in item.as_object().expect("operations").keys() {
            if path.starts_with("/v1/") {
                let method = method.to_uppercase().parse().expect("a method");
                routes.push((method, path.replace("{model}", "any")));
            }
        }
    }
    assert!(routes.len() >= 8, "{routes:?}");
    routes
}

#[tokio::test]
async fn no_operation_is_open_without_the_key() {
    let gateway = Gateway::start().await;
    for (method, path) in guarded(&gateway).await {
        for credential in [None, Some("Bearer sk-wrong"), Some("Basic YTpi"), Some("Bearer "), Some("")] {
            let mut request = gateway.http().anonymous(method.clone(), &path);
            if let Some(credential) = credential {
                request = request.header("authorization", credential);
            }
            if method == Method::POST {
                request = request.header("content-type", "application/json").body("{}");
            }
            let error = request.send().await.refused(401, "authentication_error");
            assert!(!error["message"].as_str().expect("a message").contains("sk-wrong"), "{error}");
        }
    }
}

#[tokio::test]
async fn health_and_documents_are_open() {
    let gateway = Gateway::start().await;
    for path in ["/healthz", "/readyz", "/openapi.json", "/docs"] {
        let answer = gateway.http().anonymous(Method::GET, path).send().await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    }
}

#[tokio::test]
async fn unknown_routes_and_methods_have_the_envelope() {
    let gateway = Gateway::start().await;
    for path in ["/", "/v1", "/v1/", "/v1/nothing", "/v1/chat/completions/x", "/%00"] {
        gateway.http().get(path).await.refused(404, "not_found_error");
    }
    // What is no text at all cannot name anything.
    for path in ["/v1/models/%ff", "/v1/models/%ff/x"] {
        gateway.http().get(path).await.refused(400, "invalid_request_error");
    }
    for (method, path) in [
        (Method::GET, "/v1/chat/completions"),
        (Method::DELETE, "/v1/chat/completions"),
        (Method::POST, "/v1/models"),
        (Method::PUT, "/healthz"),
    ] {
        let answer = gateway.http().request(method, path).send().await;
        answer.refused(405, "invalid_request_error");
        assert!(!answer.header("allow").is_empty(), "405 tells what is allowed");
    }
}

#[tokio::test]
async fn an_unknown_model_is_not_found() {
    let gateway = Gateway::start().await;
    let mut request = gateway.ask("Hi");
    for model in ["gpt-4o", "../../etc/passwd", " ", "💥"] {
        request["model"] = json!(model);
        let error =
            gateway.http().post("/v1/chat/completions", &request).await.refused(404, "not_found_error");
        assert_eq!(error["code"], "model_not_found", "{error}");
        assert_eq!(error["param"], "model", "{error}");
    }
    let error = gateway.http().get("/v1/models/gpt-4o").await.refused(404, "not_found_error");
    assert_eq!(error["code"], "model_not_found", "{error}");
}

#[tokio::test]
async fn bodies_that_are_not_json_are_refused_on_every_route() {
    let gateway = Gateway::start().await;
    for (method, path) in guarded(&gateway).await {
        // Giving a response up needs no body, so none is read.
        if method != Method::POST || path.ends_with("/cancel") {
            continue;
        }
        for body in [
            b"".as_slice(),
            b"{",
            b"[]",
            b"null",
            b"\"text\"",
            b"{}x",
            b"{\"model\": \"\xff\xfe\"}",
            b"\xef\xbb\xbf{",
            b"{\"model\": 1e999}",
            b"nonsense",
        ] {
            // A field that a conversation does not know is not read, whatever its number.
            if path.starts_with("/v1/conversations") && body.ends_with(b"1e999}") {
                continue;
            }
            let answer = gateway.http().post_bytes(&path, body.to_vec()).await;
            answer.refused(400, "invalid_request_error");
        }
        let plain =
            gateway.http().request(method.clone(), &path).header("content-type", "text/plain").body("{}");
        plain.send().await.refused(415, "invalid_request_error");
    }
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_however_it_is_sent() {
    let gateway = Gateway::start().await;
    let mut request = gateway.ask("Hi");
    request["padding"] = Value::String("x".repeat(10 << 20));
    let body = request.to_string();
    let path = "/v1/chat/completions";
    gateway.http().post_bytes(path, body.clone()).await.refused(413, "invalid_request_error");
    let pieces = body.into_bytes().chunks(64 << 10).map(<[u8]>::to_vec).collect();
    let chunked = gateway.http().json(path).chunks(pieces);
    chunked.send().await.refused(413, "invalid_request_error");
    gateway.http().chat(&gateway.ask("Hi")).await;
}

#[tokio::test]
async fn deep_nesting_is_refused_and_not_followed() {
    let gateway = Gateway::start().await;
    let fields = ["messages", "tools", "response_format", "metadata", "stop", "some_unknown_field"];
    let nestings = [("[", "]", 200), ("{\"a\":", "}", 200), ("[", "]", 20_000), ("{\"a\":", "}", 20_000)];
    for (field, (open, close, depth)) in
        fields.into_iter().flat_map(|field| nestings.map(|nesting| (field, nesting)))
    {
        let deep = format!("{}1{}", open.repeat(depth), close.repeat(depth));
        let request = gateway.ask("Hi").to_string();
        let rest = request.strip_prefix('{').expect("an object");
        let body = format!("{{\"{field}\":{deep},{rest}");
        let answer = gateway.http().post_bytes("/v1/chat/completions", body).await;
        // An unknown field is skipped; following it or not are both right.
        if field == "some_unknown_field" && answer.status == 200 {
            continue;
        }
        answer.refused(400, "invalid_request_error");
    }
    gateway.http().chat(&gateway.ask("Hi")).await;
}

#[tokio::test]
async fn a_full_queue_is_an_honest_overload() {
    let gateway = Gateway::builder().parallel(1).context(1024).queue(2).start().await;
    let path = "/v1/chat/completions";
    let mut held = Vec::new();
    let mut refused = None;
    for _ in 0..8 {
        match gateway.http().try_stream(path, &gateway.endless("Count.", 600)).await {
            Ok(stream) => held.push(stream),
            Err(answer) => refused = Some(answer),
        }
    }
    let answer = refused.expect("one running, two waiting: the others are refused");
    answer.refused(503, "overloaded_error");
    assert!(answer.header("retry-after").parse::<u64>().expect("whole seconds") >= 1);
    assert!(answer.header("retry-after-ms").parse::<u64>().expect("milliseconds") >= 1);
    assert!(held.len() >= 3, "{} were accepted", held.len());
    drop(held);
    gateway.idle().await;
    gateway.http().chat(&gateway.ask("Hi")).await;
}

#[tokio::test]
async fn a_request_id_comes_back_and_is_made_where_absent() {
    let gateway = Gateway::start().await;
    let first = gateway.http().get("/v1/models").await;
    let second = gateway.http().get("/v1/models").await;
    assert_ne!(first.header("x-request-id"), second.header("x-request-id"));
    assert!(first.header("x-request-id").len() >= 8);
}
