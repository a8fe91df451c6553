//! Bodies that cannot be read, each with a clear refusal.

use futures_util::stream;
use poem::Body;
use poem::http::Method;
use serde_json::json;

use super::{BODY_LIMIT, Surface, authorized};

#[tokio::test]
async fn a_body_that_is_not_json_is_refused_clearly() {
    let surface = Surface::new();
    let deep = format!(r#"{{"messages":{}"#, "[".repeat(10_000));
    let deep_known = format!(
        r#"{{"tools":[{{"type":"function","function":{{"name":"f","parameters":{}1{}}}}}]}}"#,
        r#"{"a":"#.repeat(500),
        "}".repeat(500)
    );
    for (body, part) in [
        ("", "empty"),
        (" \n", "empty"),
        ("{", "not valid JSON"),
        ("nonsense", "not valid JSON"),
        (r#"{"prompt":"x"} trailing"#, "not valid JSON"),
        (r#"{"prompt": 1e999}"#, "not valid JSON"),
        (deep.as_str(), "not valid JSON"),
        (deep_known.as_str(), "not valid JSON"),
    ] {
        let error = surface.post("/v1/tokenize", body.to_owned()).await.error(400);
        assert_eq!(error["type"], "invalid_request_error");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(part), "{message}");
    }
}

#[tokio::test]
async fn bytes_that_are_not_text_are_refused() {
    let body = b"{\"prompt\":\"\xff\xfe\"}".to_vec();
    let error = Surface::new().post("/v1/tokenize", body).await.error(400);
    assert!(error["message"].as_str().unwrap().contains("UTF-8"), "{error}");
}

#[tokio::test]
async fn the_wrong_field_is_named() {
    let surface = Surface::new();
    let user = json!({"role": "user", "content": "x"});
    for (path, body, param) in [
        ("/v1/tokenize", json!({"messages": [{"role": "boss", "content": "x"}]}), "messages[0].role"),
        ("/v1/tokenize", json!({"messages": [user, {"content": "x"}]}), "messages[1].role"),
        ("/v1/tokenize", json!({"messages": [{"role": "user", "content": 7}]}), "messages[0].content"),
        ("/v1/tokenize", json!({"messages": "x"}), "messages"),
        ("/v1/tokenize", json!({"prompt": 1}), "prompt"),
        ("/v1/tokenize", json!({"messages": [user], "tools": [{"type": "function"}]}), "tools[0].function"),
        ("/v1/detokenize", json!({"tokens": [1, -1]}), "tokens[1]"),
        ("/v1/detokenize", json!({"tokens": [99_999_999_999_u64]}), "tokens[0]"),
        ("/v1/detokenize", json!({}), "tokens"),
        ("/v1/embeddings", json!({"model": "m"}), "input"),
        ("/v1/embeddings", json!({"model": "m", "input": 5}), "input"),
        ("/v1/embeddings", json!({"model": "m", "input": "x", "encoding_format": "xml"}), "encoding_format"),
        ("/v1/embeddings", json!({"model": "m", "input": "x", "dimensions": -3}), "dimensions"),
    ] {
        let error = surface.post(path, body.to_string()).await.error(400);
        assert_eq!(error["param"], param, "{body} {error}");
    }
}

#[tokio::test]
async fn an_array_where_an_object_belongs_is_refused() {
    let error = Surface::new().post("/v1/embeddings", "\"text\"").await.error(400);
    assert_eq!(error["param"], json!(null), "{error}");
}

#[tokio::test]
async fn a_client_s_value_is_never_echoed_at_length() {
    let body = json!({"tokens": "x".repeat(50_000)}).to_string();
    let answer = Surface::new().post("/v1/detokenize", body).await;
    answer.error(400);
    assert!(answer.text.len() < 500, "{}", answer.text.len());
}

#[tokio::test]
async fn unknown_fields_are_ignored_and_repeated_ones_tolerated() {
    let surface = Surface::new();
    let answer = surface.post("/v1/tokenize", r#"{"prompt":"a","shiny":{"new":1},"prompt":"bc"}"#).await;
    assert_eq!(answer.ok()["tokens"], json!([98, 99]));
}

#[tokio::test]
async fn only_json_is_read() {
    let surface = Surface::new();
    for content_type in [None, Some("text/plain"), Some("application/x-www-form-urlencoded"), Some("")] {
        let mut request = authorized(Method::POST, "/v1/tokenize");
        if let Some(content_type) = content_type {
            request = request.content_type(content_type);
        }
        let error = surface.send(request.body(r#"{"prompt":"a"}"#)).await.error(415);
        assert!(error["message"].as_str().unwrap().contains("application/json"), "{error}");
    }
    for content_type in
        ["application/json; charset=utf-8", "Application/JSON", "application/json;charset=UTF-8"]
    {
        let request = authorized(Method::POST, "/v1/tokenize").content_type(content_type);
        surface.send(request.body(r#"{"prompt":"a"}"#)).await.ok();
    }
}

#[tokio::test]
async fn a_body_that_declares_too_much_is_refused_unread() {
    let never_read = Body::from_bytes_stream(stream::pending::<Result<bytes::Bytes, std::io::Error>>());
    let request = authorized(Method::POST, "/v1/tokenize")
        .content_type("application/json")
        .header("content-length", (BODY_LIMIT + 1).to_string())
        .body(never_read);
    let error = Surface::new().send(request).await.error(413);
    assert_eq!(error["code"], "payload_too_large");
}

#[tokio::test]
async fn a_body_in_chunks_is_refused_once_it_is_too_long() {
    // Without an end: a reader that does not count would never answer.
    let endless = stream::repeat_with(|| Ok::<_, std::io::Error>(bytes::Bytes::from_static(&[b' '; 1024])));
    let request = authorized(Method::POST, "/v1/tokenize")
        .content_type("application/json")
        .body(Body::from_bytes_stream(endless));
    Surface::new().send(request).await.error(413);
}

#[tokio::test]
async fn a_body_of_exactly_the_limit_is_read() {
    let frame = r#"{"prompt":""}"#.len();
    let body = json!({"prompt": "x".repeat(BODY_LIMIT - frame)}).to_string();
    assert_eq!(body.len(), BODY_LIMIT);
    let answer = Surface::new().post("/v1/tokenize", body).await;
    assert_eq!(answer.ok()["count"], BODY_LIMIT - frame);
}

#[tokio::test]
async fn a_body_that_breaks_off_is_a_bad_request() {
    let chunks =
        [Ok(bytes::Bytes::from_static(b"{")), Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset))];
    let request = authorized(Method::POST, "/v1/tokenize")
        .content_type("application/json")
        .body(Body::from_bytes_stream(stream::iter(chunks)));
    Surface::new().send(request).await.error(400);
}
