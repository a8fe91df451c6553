//! A gateway before a second one with the real model: whatever is asked of the first is answered as by the second.

#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use serde_json::{Value, json};
use tests::requests::weather_tool;
use tests::{Frame, Gateway, eventually};

const PATH: &str = "/v1/chat/completions";

/// A gateway with the model, and one before it.
async fn both() -> (Gateway, Gateway) {
    let near = Gateway::builder().without_drafts().start().await;
    let key = tempfile::NamedTempFile::new().expect("a file can be made");
    std::fs::write(key.path(), near.http().key()).expect("a file can be written");
    let far = Gateway::builder()
        .upstream(&format!("http://{}/v1", near.address()))
        .set("GATEWAY_UPSTREAM_MODEL", near.model())
        .set("GATEWAY_UPSTREAM_KEY", key.path().display())
        .set("GATEWAY_CONTEXT", 2048)
        .start()
        .await;
    (near, far)
}

/// An answer without what differs between any two.
fn comparable(mut answer: Value) -> Value {
    for field in ["id", "created", "model", "system_fingerprint"] {
        answer[field] = Value::Null;
    }
    // Of the prompt, the second of two has more in the cache.
    answer["usage"]["prompt_tokens_details"] = Value::Null;
    answer
}

/// The same request, passed on as it is, and read and written anew because a conversation is kept of it.
async fn variants(far: &Gateway, request: &Value) -> [Value; 2] {
    let made = far.http().post("/v1/conversations", &json!({})).await.ok();
    let mut kept = request.clone();
    kept["conversation"] = made["id"].clone();
    [request.clone(), kept]
}

#[tokio::test]
async fn chat_is_answered_alike_streamed_or_not() {
    let (near, far) = both().await;
    let mut request = near.ask("What is the capital of France?");
    near.http().warm(&request).await;
    let expected = comparable(near.http().chat(&request).await);
    request["model"] = json!("far");
    request["stream_options"] = json!({"include_usage": true});
    let mut whole = request.clone();
    whole.as_object_mut().expect("an object").remove("stream_options");
    for body in variants(&far, &whole).await {
        assert_eq!(comparable(far.http().chat(&body).await), expected);
    }
    for body in variants(&far, &request).await {
        let streamed = far.http().chat_stream(&body).await;
        let choice = streamed.only();
        assert_eq!(choice.content, expected["choices"][0]["message"]["content"]);
        assert_eq!(choice.finish_reason.as_deref(), expected["choices"][0]["finish_reason"].as_str());
        let usage = streamed.usage.expect("it was asked for");
        assert_eq!(usage["completion_tokens"], expected["usage"]["completion_tokens"]);
        assert_eq!(usage["prompt_tokens"], expected["usage"]["prompt_tokens"]);
    }
}

#[tokio::test]
async fn tools_log_probabilities_and_several_choices_come_through() {
    let (near, far) = both().await;
    let mut request = near.ask("What is the weather in Paris, in celsius?");
    request["tools"] = json!([weather_tool()]);
    request["tool_choice"] = json!("required");
    request["max_tokens"] = json!(200);
    let call = |answer: &Value| answer["choices"][0]["message"]["tool_calls"][0]["function"].clone();
    near.http().warm(&request).await;
    let expected = call(&near.http().chat(&request).await);
    request["model"] = json!("far");
    for body in variants(&far, &request).await {
        let answer = far.http().chat(&body).await;
        assert_eq!(
            (call(&answer), &answer["choices"][0]["finish_reason"]),
            (expected.clone(), &json!("tool_calls"))
        );
        let streamed = far.http().chat_stream(&body).await;
        assert_eq!(streamed.only().tool_calls[0].name, expected["name"]);
    }
    let mut scored = near.ask("Name a colour.");
    (scored["logprobs"], scored["top_logprobs"]) = (json!(true), json!(2));
    let entries =
        |answer: &Value| answer["choices"][0]["logprobs"]["content"].as_array().expect("entries").len();
    let expected = entries(&near.http().chat(&scored).await);
    scored["model"] = json!("far");
    for body in variants(&far, &scored).await {
        assert_eq!(entries(&far.http().chat(&body).await), expected);
        assert_eq!(far.http().chat_stream(&body).await.only().logprobs.len(), expected);
    }
    let mut several = scored.clone();
    (several["n"], several["seed"], several["temperature"]) = (json!(2), json!(7), json!(1.0));
    let answer = far.http().chat(&several).await;
    assert_eq!(answer["choices"].as_array().expect("choices").len(), 2, "{answer}");
}

#[tokio::test]
async fn text_embeddings_and_responses_come_through() {
    let (near, far) = both().await;
    for prompt in [json!("Once upon a"), json!([["Once"], ["Twice"]].concat()), json!([1, 2, 3])] {
        let mut request = json!({"model": near.model(), "prompt": prompt, "max_tokens": 5, "temperature": 0});
        let expected = comparable(near.http().post("/v1/completions", &request).await.ok());
        request["model"] = json!("far");
        assert_eq!(comparable(far.http().post("/v1/completions", &request).await.ok()), expected, "{prompt}");
    }
    let mut request = json!({"model": near.model(), "input": ["a", "b"]});
    let expected = near.http().post("/v1/embeddings", &request).await;
    request["model"] = json!("far");
    let answer = far.http().post("/v1/embeddings", &request).await;
    assert_eq!(answer.status, expected.status, "{}", answer.text());
    assert_eq!(answer.json()["data"], expected.json()["data"]);
    let response = far
        .http()
        .post("/v1/responses", &json!({"model": "far", "input": "Hi", "max_output_tokens": 16}))
        .await;
    assert!(response.ok()["usage"]["output_tokens"].as_u64().expect("a count") > 0);
}

#[tokio::test]
async fn leaving_the_first_gateway_frees_the_second() {
    let (near, far) = both().await;
    let mut request = near.endless("Count for ever.", 1500);
    request["model"] = json!("far");
    for body in variants(&far, &request).await {
        let mut stream = far.http().stream(PATH, &body).await;
        for _ in 0..3 {
            assert!(matches!(stream.next().await, Some(Frame::Data(_))));
        }
        assert_eq!(near.load().await.running, 1);
        assert_eq!(far.load().await.running, 1);
        drop(stream);
        near.idle().await;
        far.idle().await;
    }
}

#[tokio::test]
async fn the_time_that_the_second_takes_is_measured() {
    let (near, far) = both().await;
    let mut request = near.ask("Hi");
    request["model"] = json!("far");
    far.http().chat(&request).await;
    let metrics = far.http().get("/metrics").await.text();
    assert!(metrics.contains("upstream_request_seconds_count{target=\"far\"} 1"), "{metrics}");
    eventually!(
        far.http().get("/metrics").await.text().contains("model_loaded{model=\"far\"} 1"),
        "it is there"
    );
    let refused = far.http().post("/v1/tokenize", &json!({"model": "far", "prompt": "a"})).await;
    assert_eq!(refused.refused(400, "invalid_request_error")["code"], "unsupported_by_model");
    drop(near);
    let gone = far.http().post(PATH, &request).await;
    let error = gone.refused(502, "server_error");
    assert!(error["code"].as_str().is_some_and(|code| code.starts_with("upstream_")), "{error}");
    assert!(!gone.text().contains("127.0.0.1"), "where the server is, is nobody's business: {error}");
}
