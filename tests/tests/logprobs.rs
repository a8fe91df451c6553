//! Log-probabilities: one entry a token, consistent, streamed or not, beside tools too.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use serde_json::{Value, json};
use tests::Gateway;
use tests::requests::weather_tool;

fn check_entries(entries: &[Value], top: usize) {
    for entry in entries {
        let logprob = entry["logprob"].as_f64().expect("a logprob");
        assert!(logprob <= 0.0, "{entry}");
        let candidates = entry["top_logprobs"].as_array().expect("top_logprobs");
        assert_eq!(candidates.len(), top, "{entry}");
        let values: Vec<f64> =
            candidates.iter().map(|one| one["logprob"].as_f64().expect("a logprob")).collect();
        assert!(values.is_sorted_by(|left, right| left >= right), "likeliest first: {values:?}");
        let mass: f64 = values.iter().map(|value| value.exp()).sum();
        assert!(mass <= 1.001, "probabilities: {mass}");
        if let Some(bytes) = entry["bytes"].as_array() {
            let bytes: Vec<u8> = bytes.iter().filter_map(|byte| u8::try_from(byte.as_u64()?).ok()).collect();
            assert_eq!(String::from_utf8_lossy(&bytes), entry["token"].as_str().expect("a token"), "{entry}");
        }
    }
}

fn text_of(entries: &[Value]) -> String {
    let bytes = entries.iter().filter_map(|entry| entry["bytes"].as_array()).flatten();
    let bytes: Vec<u8> = bytes.filter_map(|byte| u8::try_from(byte.as_u64()?).ok()).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[tokio::test]
async fn every_token_has_an_entry_whose_bytes_make_the_text() {
    let gateway = Gateway::start().await;
    let mut request = gateway.endless("Tell me about the moon.", 20);
    request["logprobs"] = json!(true);
    request["top_logprobs"] = json!(4);
    gateway.http().warm(&request).await;
    let body = gateway.http().chat(&request).await;
    let choice = &body["choices"][0];
    let entries = choice["logprobs"]["content"].as_array().expect("entries").clone();
    assert_eq!(entries.len(), 20);
    check_entries(&entries, 4);
    assert_eq!(text_of(&entries), choice["message"]["content"].as_str().expect("content"));
    for entry in &entries {
        assert_eq!(entry["top_logprobs"][0]["token"], entry["token"], "greedy takes the likeliest");
    }
    let streamed = gateway.http().chat_stream(&request).await;
    assert_eq!(streamed.only().logprobs.len(), 20);
    assert_eq!(text_of(&streamed.only().logprobs), text_of(&entries));
    check_entries(&streamed.only().logprobs, 4);
}

#[tokio::test]
async fn zero_alternatives_is_allowed_and_no_logprobs_is_the_default() {
    let gateway = Gateway::start().await;
    let mut request = gateway.endless("Hi", 5);
    let body = gateway.http().chat(&request).await;
    assert!(body["choices"][0]["logprobs"].is_null(), "{body}");
    request["logprobs"] = json!(true);
    let body = gateway.http().chat(&request).await;
    check_entries(body["choices"][0]["logprobs"]["content"].as_array().expect("entries"), 0);
}

#[tokio::test]
async fn logprobs_come_with_tool_calls_too() {
    let gateway = Gateway::start().await;
    let mut request = gateway.ask("The weather in Oslo?");
    request["tools"] = json!([weather_tool()]);
    request["tool_choice"] = json!("required");
    request["max_tokens"] = json!(200);
    request["logprobs"] = json!(true);
    request["top_logprobs"] = json!(2);
    gateway.http().warm(&request).await;
    let body = gateway.http().chat(&request).await;
    let entries = body["choices"][0]["logprobs"]["content"].as_array().expect("entries").clone();
    assert!(!entries.is_empty(), "{body}");
    check_entries(&entries, 2);
    let streamed = gateway.http().chat_stream(&request).await;
    assert_eq!(streamed.only().logprobs.len(), entries.len(), "streamed and whole agree");
    assert!(!streamed.only().tool_calls.is_empty());
}
