//! The Messages API from outside: its credential, its envelope, and that it counts what it charges.

use http::Method;
use serde_json::{Value, json};
use tests::http::Call;
use tests::{Answer, Gateway, rights};

const PATH: &str = "/v1/messages";

fn ask(gateway: &Gateway, text: &str) -> Value {
    json!({
        "model": gateway.model(), "max_tokens": 16, "temperature": 0,
        "messages": [{"role": "user", "content": text}],
    })
}

fn anonymous(gateway: &Gateway, path: &str) -> Call {
    gateway.http().anonymous(Method::POST, path).header("content-type", "application/json")
}

async fn with_key(gateway: &Gateway, key: &str) -> Answer {
    let call = anonymous(gateway, PATH).header("x-api-key", key).header("anthropic-version", "2023-06-01");
    call.body(ask(gateway, "Hi").to_string()).send().await
}

#[tokio::test]
async fn a_key_in_anthropic_s_header_opens_its_api_and_no_other() {
    let gateway = Gateway::start().await;
    let key = gateway.http().key();
    assert_eq!(with_key(&gateway, key).await.ok()["type"], "message");
    with_key(&gateway, "sk-wrong").await.refused(401, "authentication_error");
    let chat = anonymous(&gateway, "/v1/chat/completions").header("x-api-key", key);
    chat.body(gateway.ask("Hi").to_string()).send().await.refused(401, "authentication_error");
    let both =
        anonymous(&gateway, PATH).header("x-api-key", key).header("authorization", format!("Bearer {key}"));
    let error = both.body(ask(&gateway, "Hi").to_string()).send().await.refused(400, "invalid_request_error");
    assert_eq!(error["code"], "ambiguous_credential");
}

#[tokio::test]
async fn a_streamed_answer_is_the_whole_one_and_its_prompt_is_as_long_as_counted() {
    let gateway = Gateway::start().await;
    let mut asked = ask(&gateway, "Name a river.");
    asked["system"] = json!("You are brief.");
    let whole = gateway.http().post(PATH, &asked).await.ok();
    let mut count = asked.clone();
    count.as_object_mut().expect("an object").remove("max_tokens");
    let counted = gateway.http().post("/v1/messages/count_tokens", &count).await.ok();
    asked["stream"] = json!(true);
    let stream = gateway.http().post(PATH, &asked).await.text();
    let (mut text, mut usage) = (String::new(), Value::Null);
    for event in stream.split_terminator("\n\n").filter_map(|event| event.split_once("data: ")) {
        let event: Value = serde_json::from_str(event.1).expect("JSON");
        text.push_str(event["delta"]["text"].as_str().unwrap_or_default());
        if event["type"] == "message_delta" {
            usage = event["usage"].clone();
        }
    }
    assert_eq!(whole["content"], json!([{"type": "text", "text": text}]));
    for usage in [&whole["usage"], &usage] {
        let tokens = |name: &str| usage[name].as_u64().unwrap_or_else(|| panic!("no {name} in {usage}"));
        assert_eq!(counted["input_tokens"], tokens("input_tokens") + tokens("cache_read_input_tokens"));
    }
}

#[tokio::test]
async fn the_stop_sequence_that_came_is_told() {
    let gateway = Gateway::start().await;
    let mut asked = ask(&gateway, "Tell me about the sea.");
    let full = gateway.http().post(PATH, &asked).await.ok();
    let text = full["content"][0]["text"].as_str().expect("text").to_owned();
    let stop: String = text.chars().skip(6).take(4).collect();
    asked["stop_sequences"] = json!(["\u{1}never", stop]);
    let cut = gateway.http().post(PATH, &asked).await.ok();
    assert_eq!(
        (&cut["stop_reason"], &cut["stop_sequence"]),
        (&json!("stop_sequence"), &json!(stop)),
        "{text}"
    );
    assert_eq!(cut["content"][0]["text"].as_str(), text.split(&stop).next());
}

#[tokio::test]
async fn a_message_counts_against_its_caller_s_limits() {
    let gateway = Gateway::start().await;
    rights::role(&gateway, "slow", &json!({"permissions": ["chat"], "requests_per_minute": 1})).await;
    let caller = rights::holder(&gateway, "bob", "slow").await;
    caller.post(PATH, &ask(&gateway, "Hi")).await.ok();
    let refused = caller.post(PATH, &ask(&gateway, "Hi")).await;
    assert!(!refused.header("retry-after").is_empty());
    assert_eq!(refused.refused(429, "rate_limit_error")["code"], "requests");
}
