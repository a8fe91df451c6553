//! A gateway before a server that fails in every way: each has its answer, nothing hangs, nothing leaks.

#![expect(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

use serde_json::{Value, json};
use tests::upstream::{Act, Upstream, begun, json as answer, stream};
use tests::{Answer, Folded, Frame, Gateway, eventually};

const PATH: &str = "/v1/chat/completions";
const KEY: &str = "sk-upstream-secret-0123456789";

const HELLO: &str = r#"data: {"id":"u-1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":"Hel"},"finish_reason":null}]}"#;
const LO: &str = r#"data: {"id":"u-1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"lo"},"finish_reason":null}]}"#;
const STOP: &str = r#"data: {"id":"u-1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;
const USAGE: &str = r#"data: {"id":"u-1","object":"chat.completion.chunk","created":1,"model":"m","choices":[],"usage":{"prompt_tokens":11,"completion_tokens":2,"total_tokens":13,"prompt_tokens_details":{"cached_tokens":4}}}"#;
const DONE: &str = "data: [DONE]";

/// A gateway before a server of scripts, with a key for it and short times.
async fn before(upstream: &Upstream) -> Gateway {
    let key = tempfile::NamedTempFile::new().expect("a file can be made");
    std::fs::write(key.path(), format!("{KEY}\n")).expect("a file can be written");
    Gateway::builder()
        .upstream(&upstream.url())
        .set("GATEWAY_UPSTREAM_MODEL", "their-name")
        .set("GATEWAY_UPSTREAM_KEY", key.path().display())
        .set("GATEWAY_UPSTREAM_FIRST_BYTE_TIMEOUT", "700ms")
        .set("GATEWAY_UPSTREAM_IDLE_TIMEOUT", "700ms")
        .set("GATEWAY_UPSTREAM_TOTAL_TIMEOUT", "5s")
        .start()
        .await
}

fn ask() -> Value {
    json!({"model": "far", "messages": [{"role": "user", "content": "Hi"}], "temperature": 0.5})
}

/// A request that is not passed on as it came: a conversation must see what is said.
async fn kept(gateway: &Gateway) -> Value {
    let made = gateway.http().post("/v1/conversations", &json!({})).await.ok();
    let mut ask = ask();
    ask["conversation"] = made["id"].clone();
    ask
}

#[tokio::test]
async fn a_stream_passes_byte_by_byte_and_the_key_goes_to_the_server_alone() {
    let upstream = Upstream::start().await;
    let gateway = before(&upstream).await;
    let odd = r#"data: { "choices" : [ { "index":0, "delta":{"content":"  1.50 "}, "our": "field" } ] }"#;
    upstream.play(stream(&[HELLO, ": a comment", odd, STOP, USAGE, DONE])).await;
    let mut body = ask();
    body["stream"] = json!(true);
    body["their_field"] = json!({"a": 1.50});
    let passed = gateway.http().post(PATH, &body).await;
    assert_eq!(passed.status, 200);
    assert_eq!(passed.header("x-sluice-target"), "far");
    let expected: String = [HELLO, ": a comment", odd, STOP, DONE].map(|line| format!("{line}\n\n")).concat();
    assert_eq!(passed.text(), expected, "all bytes, but for the usage that nobody asked for");
    let requests = upstream.requests().await;
    let sent = requests.first().expect("a request");
    assert!(sent.head.starts_with("POST /v1/chat/completions HTTP/1.1"), "{}", sent.head);
    assert!(sent.head.to_lowercase().contains(&format!("authorization: bearer {KEY}")), "{}", sent.head);
    assert!(!sent.head.contains(gateway.http().key()), "the caller's key stays here");
    let mut wanted = body.clone();
    wanted["model"] = json!("their-name");
    wanted["stream_options"] = json!({"include_usage": true});
    assert_eq!(sent.json(), wanted);
    assert!(!gateway.log().contains(KEY), "{}", gateway.log());
    // What it used is counted by the server's own word.
    eventually!(gateway.log().contains("completion_tokens"), "the request is in the log");
    let line = gateway.log();
    assert!(line.contains("prompt_tokens") && line.contains("11"), "{line}");
}

#[tokio::test]
async fn a_whole_answer_passes_byte_by_byte() {
    let upstream = Upstream::start().await;
    let gateway = before(&upstream).await;
    let body = r#"{ "id":"u", "choices":[{"index":0,"message":{"role":"assistant","content":"Hi"},"finish_reason":"stop"}],
        "usage":{"prompt_tokens":3,"completion_tokens":1}, "theirs": 1.50 }"#;
    upstream.play(answer("200 OK", "", body)).await;
    let passed = gateway.http().post(PATH, &ask()).await;
    assert_eq!((passed.status, passed.text().as_str()), (200, body));
    assert_eq!(passed.header("content-type").split(';').next(), Some("application/json"));
    assert!(upstream.requests().await[0].json().get("stream_options").is_none());
}

#[tokio::test]
async fn what_must_be_seen_here_is_read_and_written_anew() {
    let upstream = Upstream::start().await;
    let gateway = before(&upstream).await;
    let mut body = kept(&gateway).await;
    upstream.play(stream(&[HELLO, LO, STOP, USAGE, DONE])).await;
    let whole = gateway.http().chat(&body).await;
    assert_eq!(whole["choices"][0]["message"]["content"], "Hello");
    assert_eq!((&whole["model"], &whole["usage"]["prompt_tokens"]), (&json!("far"), &json!(11)));
    assert_eq!(whole["usage"]["prompt_tokens_details"]["cached_tokens"], 4);
    upstream.play(stream(&[HELLO, LO, STOP, USAGE, DONE])).await;
    body["stream_options"] = json!({"include_usage": true});
    let streamed = gateway.http().chat_stream(&body).await;
    assert_eq!(streamed.only().content, "Hello");
    assert_eq!(streamed.usage.expect("it was asked for")["completion_tokens"], 2);
    let requests = upstream.requests().await;
    // The turn before is in the second request, which nobody but this gateway remembers.
    let second = requests[1].json();
    assert_eq!(second["messages"].as_array().expect("messages").len(), 3, "{second}");
    assert!(second.get("conversation").is_none(), "{second}");
}

#[tokio::test]
async fn refusals_are_translated_and_none_tells_the_key() {
    let upstream = Upstream::start().await;
    let gateway = before(&upstream).await;
    let leaky = format!(
        r#"{{"error":{{"message":"key {KEY} at /srv/x is bad","type":"t","param":"top_k","code":null}}}}"#
    );
    let long = r#"{"error":{"message":"too long","code":"context_length_exceeded"}}"#;
    for (status, headers, body, expected, kind, code) in [
        ("400 Bad Request", "", leaky.as_str(), 400, "invalid_request_error", None),
        ("400 Bad Request", "", long, 400, "invalid_request_error", Some("context_length_exceeded")),
        ("401 Unauthorized", "", leaky.as_str(), 502, "server_error", Some("upstream_credential")),
        ("403 Forbidden", "", leaky.as_str(), 502, "server_error", Some("upstream_credential")),
        ("404 Not Found", "", "{}", 404, "not_found_error", Some("model_not_found")),
        (
            "429 Too Many Requests",
            "retry-after: 7\r\n",
            "{}",
            503,
            "overloaded_error",
            Some("upstream_overloaded"),
        ),
        ("500 Internal Server Error", "", leaky.as_str(), 502, "server_error", Some("upstream_failed")),
        ("503 Service Unavailable", "", "<html>", 503, "overloaded_error", Some("upstream_overloaded")),
        ("302 Found", "location: http://127.0.0.1:1/\r\n", "", 502, "server_error", Some("upstream_failed")),
    ] {
        upstream.play(answer(status, headers, body)).await;
        let refused: Answer = gateway.http().post(PATH, &ask()).await;
        let error = refused.refused(expected, kind);
        assert_eq!(error["code"].as_str(), code, "{status}: {error}");
        assert!(!refused.text().contains(KEY), "{status}: {error}");
        assert_eq!(refused.text().contains("/srv/x"), expected == 400 && code.is_none(), "{status}: {error}");
        if status.starts_with("429") {
            assert_eq!(refused.header("retry-after"), "7");
        }
    }
    assert!(!gateway.log().contains(KEY), "{}", gateway.log());
}

#[tokio::test]
async fn a_server_that_is_not_there_or_does_not_answer_is_told_in_time() {
    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let address = nobody.local_addr().expect("an address");
    drop(nobody);
    let alone = Gateway::builder().upstream(&format!("http://{address}/v1")).start().await;
    let refused = alone.http().post(PATH, &ask()).await;
    assert_eq!(refused.refused(502, "server_error")["code"], "upstream_unreachable");
    let upstream = Upstream::start().await;
    let gateway = before(&upstream).await;
    for (script, code) in [
        (vec![Act::Stall], "upstream_timeout"),
        (vec![Act::Close], "upstream_failed"),
        (vec![Act::Send("HTTP/1.1 200 OK\r\ncontent-".into()), Act::Close], "upstream_failed"),
        (vec![Act::Send("SSH-2.0-OpenSSH\r\n".into()), Act::Close], "upstream_failed"),
    ] {
        upstream.play(script.clone()).await;
        let mut body = ask();
        body["stream"] = json!(true);
        let refused = gateway.http().post(PATH, &body).await;
        assert_eq!(refused.refused(502, "server_error")["code"], code, "{script:?}");
    }
}

/// A streamed answer to its error, which comes instead of its end.
async fn failed(gateway: &Gateway, body: &Value) -> (String, Value) {
    let stream = gateway.http().stream(PATH, body).await;
    let folded = Folded::read(stream).await;
    assert!(!folded.done, "{folded:?}");
    let said = folded.choices.first().map(|choice| choice.content.clone()).unwrap_or_default();
    (said, folded.error.unwrap_or_else(|| panic!("no error: {:?}", folded.choices)))
}

#[tokio::test]
async fn a_stream_that_breaks_ends_by_an_error_whichever_way_it_is_read() {
    let upstream = Upstream::start().await;
    let gateway = before(&upstream).await;
    let with = |last: Vec<Act>| [begun(&[HELLO]), last].concat();
    for (script, code) in [
        (with(vec![Act::Close]), "upstream_failed"),
        (with(vec![Act::Stall]), "upstream_timeout"),
        (with(vec![Act::Send("0\r\n\r\n".into())]), "upstream_failed"),
        (stream(&[HELLO, "data: <html>it is broken</html>"]), "upstream_failed"),
        (
            stream(&[HELLO, r#"data: {"error":{"message":"at /srv: out of memory","code":500}}"#]),
            "upstream_failed",
        ),
    ] {
        for body in [ask(), kept(&gateway).await] {
            upstream.play(script.clone()).await;
            let (said, error) = failed(&gateway, &body).await;
            assert_eq!(said, "Hel", "what came before is not lost");
            assert_eq!(error["code"], code, "{error} of {script:?}");
            assert!(!error.to_string().contains("/srv"), "{error}");
        }
    }
}

#[tokio::test]
async fn a_client_that_leaves_closes_the_server_s_connection_at_once() {
    let upstream = Upstream::start().await;
    let gateway = before(&upstream).await;
    // In the stream.
    upstream.play([begun(&[HELLO]), vec![Act::Stall]].concat()).await;
    let mut left = gateway.http().stream(PATH, &ask()).await;
    assert!(matches!(left.next().await, Some(Frame::Data(_))));
    drop(left);
    eventually!(upstream.left() == 1, "the server sees it");
    // Before an answer's head.
    let gateway = Gateway::builder().upstream(&upstream.url()).start().await;
    upstream.play(vec![Act::Stall]).await;
    {
        let (http, body) = (gateway.http(), ask());
        let call = http.post(PATH, &body);
        tokio::pin!(call);
        let asked = async {
            eventually!(upstream.requests().await.len() == 2, "the server is asked");
        };
        tokio::select! {
            answer = &mut call => panic!("{answer:?}"),
            () = asked => {}
        }
    }
    eventually!(upstream.left() == 2, "the server sees it");
    gateway.idle().await;
}

#[tokio::test]
async fn connections_are_used_again() {
    let upstream = Upstream::start().await;
    let gateway = before(&upstream).await;
    for _ in 0..5 {
        upstream.play(stream(&[HELLO, STOP, USAGE, DONE])).await;
        assert!(Folded::read(gateway.http().stream(PATH, &ask()).await).await.done);
    }
    assert_eq!(upstream.connections(), 1);
}

#[tokio::test]
async fn a_kept_connection_that_the_server_closes_costs_nobody_an_answer() {
    let upstream = Upstream::start().await;
    let gateway = before(&upstream).await;
    upstream.play(stream(&[HELLO, STOP, USAGE, DONE])).await;
    assert!(Folded::read(gateway.http().stream(PATH, &ask()).await).await.done);
    // As if the server had closed at the moment of the next request.
    upstream.play(vec![Act::Close]).await;
    upstream.play(stream(&[HELLO, STOP, USAGE, DONE])).await;
    assert!(Folded::read(gateway.http().stream(PATH, &ask()).await).await.done);
    assert_eq!(upstream.connections(), 2);
}

#[tokio::test]
async fn an_answer_that_is_not_streamed_though_it_was_to_be_is_none() {
    let upstream = Upstream::start().await;
    let gateway = before(&upstream).await;
    upstream.play(answer("200 OK", "", r#"{"choices":[]}"#)).await;
    let mut body = ask();
    body["stream"] = json!(true);
    let refused = gateway.http().post(PATH, &body).await;
    assert_eq!(refused.refused(502, "server_error")["code"], "upstream_failed");
}
