//! Tool calls: enforced where demanded, valid where strict, streamed as deltas, and understood when answered.

#![expect(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

use serde_json::{Value, json};
use tests::Gateway;
use tests::requests::{add_tool, assert_validates, weather_tool};

fn request(gateway: &Gateway, choice: Value, seed: u64) -> Value {
    let mut request = gateway.ask("What is the weather in Paris, in celsius?");
    request["tools"] = json!([weather_tool(), add_tool()]);
    request["tool_choice"] = choice;
    request["temperature"] = json!(1.0);
    request["seed"] = json!(seed);
    // How many calls are made is drawn too, and a row of them need not end; one does.
    request["parallel_tool_calls"] = json!(false);
    request["max_tokens"] = json!(256);
    request
}

fn schema_of(name: &str) -> Value {
    let tool = if name == "add" { add_tool() } else { weather_tool() };
    assert_eq!(tool["function"]["name"], name, "only tools of the request are called");
    tool["function"]["parameters"].clone()
}

fn assert_calls(message: &Value) {
    let calls = message["tool_calls"].as_array().unwrap_or_else(|| panic!("no calls in {message}"));
    assert!(!calls.is_empty(), "{message}");
    for call in calls {
        assert!(call["id"].as_str().expect("an id").starts_with("call_"), "{call}");
        assert_eq!(call["type"], "function");
        let name = call["function"]["name"].as_str().expect("a name");
        assert_validates(
            &schema_of(name),
            call["function"]["arguments"].as_str().expect("arguments are text"),
        );
    }
}

#[tokio::test]
async fn required_always_calls_with_arguments_that_validate() {
    let gateway = Gateway::start().await;
    for seed in 0..5 {
        let body = gateway.http().chat(&request(&gateway, json!("required"), seed)).await;
        assert_eq!(body["choices"][0]["finish_reason"], "tool_calls", "{body}");
        assert_calls(&body["choices"][0]["message"]);
    }
}

#[tokio::test]
async fn a_named_function_is_the_one_called() {
    let gateway = Gateway::start().await;
    for (seed, name) in [(1, "add"), (2, "get_weather"), (3, "add")] {
        let choice = json!({"type": "function", "function": {"name": name}});
        let body = gateway.http().chat(&request(&gateway, choice, seed)).await;
        let message = &body["choices"][0]["message"];
        assert_calls(message);
        for call in message["tool_calls"].as_array().expect("calls") {
            assert_eq!(call["function"]["name"], name);
        }
    }
}

#[tokio::test]
async fn calls_are_streamed_as_deltas() {
    let gateway = Gateway::builder().without_drafts().start().await;
    gateway.http().warm(&request(&gateway, json!("required"), 0)).await;
    for seed in 0..3 {
        let streamed = gateway.http().chat_stream(&request(&gateway, json!("required"), seed)).await;
        let choice = streamed.only();
        assert_eq!(choice.finish_reason.as_deref(), Some("tool_calls"));
        assert_eq!(choice.content, "", "the marks of the call are no content");
        assert!(!choice.tool_calls.is_empty());
        for call in &choice.tool_calls {
            assert_validates(&schema_of(&call.name), &call.arguments);
        }
        let whole = gateway.http().chat(&request(&gateway, json!("required"), seed)).await;
        let called = &whole["choices"][0]["message"]["tool_calls"][0]["function"];
        assert_eq!(called["name"], choice.tool_calls[0].name, "streamed and whole agree");
        assert_eq!(called["arguments"], choice.tool_calls[0].arguments);
    }
}

#[tokio::test]
async fn without_parallel_calls_there_is_one() {
    let gateway = Gateway::start().await;
    for seed in 0..4 {
        let body = gateway.http().chat(&request(&gateway, json!("required"), seed)).await;
        let calls = body["choices"][0]["message"]["tool_calls"].as_array().expect("calls");
        assert_eq!(calls.len(), 1, "{body}");
    }
}

#[tokio::test]
async fn parallel_calls_validate_each() {
    let gateway = Gateway::start().await;
    for seed in 0..4 {
        let mut request = request(&gateway, json!("required"), seed);
        request["parallel_tool_calls"] = json!(true);
        let mut body = gateway.http().chat(&request).await;
        let choice = &mut body["choices"][0];
        if choice["finish_reason"] == "length" {
            // The last one may have been cut off.
            choice["message"]["tool_calls"].as_array_mut().expect("calls").pop();
        }
        assert_calls(&choice["message"]);
    }
}

#[tokio::test]
async fn none_never_calls() {
    let gateway = Gateway::start().await;
    for seed in 0..3 {
        let mut request = request(&gateway, json!("none"), seed);
        request["max_tokens"] = json!(40);
        let body = gateway.http().chat(&request).await;
        assert!(body["choices"][0]["message"]["tool_calls"].is_null(), "{body}");
        assert_ne!(body["choices"][0]["finish_reason"], "tool_calls");
    }
}

#[tokio::test]
async fn auto_answers_or_calls_and_what_it_calls_is_json() {
    let gateway = Gateway::start().await;
    for seed in 0..4 {
        let streamed = gateway.http().chat_stream(&request(&gateway, json!("auto"), seed)).await;
        let choice = streamed.only();
        assert_eq!(choice.tool_calls.is_empty(), choice.finish_reason.as_deref() != Some("tool_calls"));
        for call in &choice.tool_calls {
            let arguments: Value = serde_json::from_str(&call.arguments).expect("arguments are JSON");
            assert!(arguments.is_object(), "{arguments}");
        }
    }
}

#[tokio::test]
async fn a_call_and_its_result_go_back_into_the_conversation() {
    let gateway = Gateway::start().await;
    let mut request = request(&gateway, json!("required"), 1);
    let body = gateway.http().chat(&request).await;
    let message = body["choices"][0]["message"].clone();
    let mut messages = request["messages"].as_array().expect("messages").clone();
    let results: Vec<Value> = message["tool_calls"]
        .as_array()
        .expect("calls")
        .iter()
        .map(|call| json!({"role": "tool", "tool_call_id": call["id"], "content": "21 degrees and sunny"}))
        .collect();
    messages.push(message);
    messages.extend(results);
    request["messages"] = json!(messages);
    request["tool_choice"] = json!("none");
    request["max_tokens"] = json!(30);
    let answer = gateway.http().chat(&request).await;
    assert!(!answer["choices"][0]["message"]["content"].as_str().expect("content").is_empty(), "{answer}");
}

#[tokio::test]
async fn tools_that_make_no_sense_are_refused() {
    let gateway = Gateway::start().await;
    let cases = [
        ("tool_choice", json!({"tool_choice": {"type": "function", "function": {"name": "absent"}}})),
        ("tools", json!({"tools": [], "tool_choice": "required"})),
        ("tools", json!({"tools": [{"type": "function", "function": {"name": "a b!"}}]})),
        ("tools", json!({"tools": [{"type": "function", "function": {"name": ""}}]})),
        (
            "tools",
            json!({"tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "nonsense"}, "strict": true}}]}),
        ),
    ];
    for (param, fields) in cases {
        let mut request = request(&gateway, json!("required"), 0);
        for (name, value) in fields.as_object().expect("fields") {
            request[name] = value.clone();
        }
        let answer = gateway.http().post("/v1/chat/completions", &request).await;
        let error = answer.refused(400, "invalid_request_error");
        let named = error["param"].as_str().unwrap_or_default();
        assert!(named.starts_with(param) || named.starts_with("tool_choice"), "{fields}: {error}");
    }
}
