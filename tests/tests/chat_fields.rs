//! Conformance of `POST /v1/chat/completions`, field by field: each is honoured, or refused by its name.

#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use serde_json::{Value, json};
use tests::Gateway;

const PATH: &str = "/v1/chat/completions";

/// The one answer's text.
async fn answer(gateway: &Gateway, request: &Value) -> String {
    let body = gateway.http().chat(request).await;
    body["choices"][0]["message"]["content"].as_str().expect("content").to_owned()
}

/// The request with one more field.
fn with(request: &Value, field: &str, value: Value) -> Value {
    let mut request = request.clone();
    request[field] = value;
    request
}

#[tokio::test]
async fn an_answer_has_the_shape_openai_publishes() {
    let gateway = Gateway::start().await;
    let body = gateway.http().chat(&gateway.ask("What is the capital of France?")).await;
    assert_eq!(body["object"], "chat.completion");
    assert!(body["id"].as_str().expect("an id").starts_with("chatcmpl-"), "{body}");
    assert!(body["created"].as_u64().expect("a time") > 1_700_000_000, "{body}");
    assert_eq!(body["model"], gateway.model());
    let choice = &body["choices"][0];
    assert_eq!(choice["index"], 0);
    assert_eq!(choice["message"]["role"], "assistant");
    assert!(!choice["message"]["content"].as_str().expect("content").is_empty(), "{body}");
    assert!(["stop", "length"].contains(&choice["finish_reason"].as_str().expect("a reason")));
    let usage = &body["usage"];
    let prompt = usage["prompt_tokens"].as_u64().expect("prompt tokens");
    let completion = usage["completion_tokens"].as_u64().expect("completion tokens");
    assert!(prompt > 10 && completion > 3 && completion <= 16, "{usage}");
    assert_eq!(usage["total_tokens"], prompt + completion);
    assert!(usage["prompt_tokens_details"]["cached_tokens"].is_u64(), "{usage}");
}

#[tokio::test]
async fn messages_may_be_text_or_parts_and_of_every_role() {
    let gateway = Gateway::start().await;
    let plain = answer(&gateway, &gateway.ask("What is the capital\nof France?")).await;
    let parts = json!([{"role": "user", "content": [
        {"type": "text", "text": "What is the capital"},
        {"type": "text", "text": "of France?"},
    ]}]);
    let parted = answer(&gateway, &with(&gateway.ask(""), "messages", parts)).await;
    assert_eq!(plain, parted, "text parts are lines of one text");
    let conversation = json!([
        {"role": "system", "content": "You answer in one word."},
        {"role": "user", "content": "Capital of Italy?", "name": "ada"},
        {"role": "assistant", "content": null, "tool_calls": [
            {"id": "call_1", "type": "function", "function": {"name": "look_up", "arguments": "{\"of\":\"Italy\"}"}},
        ]},
        {"role": "tool", "tool_call_id": "call_1", "content": "Rome"},
        {"role": "assistant", "content": "Rome"},
        {"role": "user", "content": "And of Spain?"},
    ]);
    let longer = gateway.http().chat(&with(&gateway.ask(""), "messages", conversation)).await;
    assert!(longer["usage"]["prompt_tokens"].as_u64().expect("a count") > 40, "{longer}");
    let developer = json!([{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "Hi"}]);
    let system = json!([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]);
    assert_eq!(
        answer(&gateway, &with(&gateway.ask(""), "messages", developer)).await,
        answer(&gateway, &with(&gateway.ask(""), "messages", system)).await,
        "developer is the newer name of system"
    );
}

#[tokio::test]
async fn content_that_a_text_model_cannot_read_is_refused() {
    let gateway = Gateway::start().await;
    for part in [
        json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}),
        json!({"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}),
        json!({"type": "file", "file": {"file_id": "file-1"}}),
        json!({"type": "no_such_part"}),
    ] {
        let messages = json!([{"role": "user", "content": [part]}]);
        let refused = gateway.http().post(PATH, &with(&gateway.ask(""), "messages", messages)).await;
        let error = refused.refused(400, "invalid_request_error");
        assert!(error["param"].as_str().unwrap_or_default().starts_with("messages"), "{error}");
    }
}

#[tokio::test]
async fn the_ways_to_narrow_the_draw_all_end_at_the_greedy_answer() {
    let gateway = Gateway::start().await;
    let greedy = gateway.endless("Tell me about rivers.", 24);
    let expected = answer(&gateway, &greedy).await;
    let hot = with(&with(&greedy, "temperature", json!(1.0)), "seed", json!(7));
    for (field, value) in [("top_k", json!(1)), ("top_p", json!(0.000_001)), ("min_p", json!(1.0))] {
        assert_eq!(answer(&gateway, &with(&hot, field, value)).await, expected, "{field}");
    }
    let hotter = with(&hot, "temperature", json!(2.0));
    assert_ne!(answer(&gateway, &hotter).await, expected, "temperature 2 wanders off");
}

#[tokio::test]
async fn a_seed_makes_an_answer_repeatable() {
    let gateway = Gateway::start().await;
    let hot = with(&gateway.endless("Tell me a story.", 24), "temperature", json!(1.0));
    let seeded = with(&hot, "seed", json!(42));
    let first = answer(&gateway, &seeded).await;
    assert_eq!(answer(&gateway, &seeded).await, first);
    assert_ne!(answer(&gateway, &with(&hot, "seed", json!(43))).await, first);
    assert_ne!(answer(&gateway, &hot).await, answer(&gateway, &hot).await, "without a seed answers vary");
}

#[tokio::test]
async fn max_tokens_and_max_completion_tokens_bound_the_answer() {
    let gateway = Gateway::start().await;
    let request = gateway.endless("Count.", 9);
    let body = gateway.http().chat(&request).await;
    assert_eq!(body["usage"]["completion_tokens"], 9);
    assert_eq!(body["choices"][0]["finish_reason"], "length");
    let newer = with(&with(&request, "max_tokens", Value::Null), "max_completion_tokens", json!(7));
    let body = gateway.http().chat(&newer).await;
    assert_eq!(body["usage"]["completion_tokens"], 7);
}

#[tokio::test]
async fn n_answers_share_one_prompt() {
    let gateway = Gateway::start().await;
    let request = with(&gateway.endless("Tell me a joke.", 12), "n", json!(3));
    let request = with(&with(&request, "temperature", json!(1.0)), "seed", json!(1));
    let body = gateway.http().chat(&request).await;
    let choices = body["choices"].as_array().expect("choices");
    assert_eq!(
        choices.iter().map(|choice| choice["index"].as_u64()).collect::<Vec<_>>(),
        [Some(0), Some(1), Some(2)]
    );
    assert_eq!(body["usage"]["completion_tokens"], 36, "all answers count");
    let texts: Vec<&Value> = choices.iter().map(|choice| &choice["message"]["content"]).collect();
    assert!(texts[0] != texts[1] || texts[1] != texts[2], "the answers are drawn apart: {texts:?}");
    let once = gateway.http().chat(&with(&request, "n", json!(1))).await;
    assert_eq!(once["usage"]["prompt_tokens"], body["usage"]["prompt_tokens"], "the prompt counts once");
    let streamed = gateway.http().chat_stream(&request).await;
    assert_eq!(streamed.choices.len(), 3);
    assert!(streamed.choices.iter().all(|choice| choice.finish_reason.as_deref() == Some("length")));
}

#[tokio::test]
async fn logit_bias_forces_and_bans_tokens() {
    let gateway = Gateway::start().await;
    let tokens =
        gateway.http().post("/v1/tokenize", &json!({"model": gateway.model(), "text": " yes"})).await.ok();
    let yes = tokens["tokens"][0].as_u64().expect("a token");
    let forced = with(&gateway.ask("Say no."), "logit_bias", json!({yes.to_string(): 100}));
    let text = answer(&gateway, &with(&forced, "max_tokens", json!(4))).await;
    assert_eq!(text.matches("yes").count(), 4, "{text:?}");
    let banned = with(&gateway.ask("Say yes."), "logit_bias", json!({yes.to_string(): -100}));
    assert!(!answer(&gateway, &banned).await.contains(" yes"));
}

#[tokio::test]
async fn penalties_break_repetition() {
    let gateway = Gateway::start().await;
    let tokens =
        gateway.http().post("/v1/tokenize", &json!({"model": gateway.model(), "text": " yes"})).await.ok();
    let yes = tokens["tokens"][0].as_u64().expect("a token");
    let mut stuck = gateway.endless("Say something.", 32);
    stuck["logit_bias"][yes.to_string()] = json!(30);
    assert_eq!(answer(&gateway, &stuck).await.matches("yes").count(), 32, "without a penalty it is stuck");
    let freed = answer(&gateway, &with(&stuck, "frequency_penalty", json!(2.0))).await;
    assert!(freed.matches("yes").count() < 32, "{freed:?}");
    let plain = gateway.endless("Repeat after me: one two one two one two", 48);
    let expected = answer(&gateway, &plain).await;
    for (field, value) in [("presence_penalty", 2.0), ("repeat_penalty", 1.8)] {
        assert_ne!(answer(&gateway, &with(&plain, field, json!(value))).await, expected, "{field}");
    }
}

#[tokio::test]
async fn descriptive_fields_are_accepted_and_unknown_ones_ignored() {
    let gateway = Gateway::start().await;
    let mut request = gateway.ask("What is the capital of France?");
    let expected = answer(&gateway, &request).await;
    request["user"] = json!("ada");
    request["metadata"] = json!({"team": "blue"});
    request["some_future_field"] = json!({"deep": [1, 2, 3]});
    assert_eq!(answer(&gateway, &request).await, expected);
}

#[tokio::test]
async fn values_out_of_range_are_refused_by_name() {
    let gateway = Gateway::start().await;
    let request = gateway.ask("Hi");
    for (field, value) in [
        ("temperature", json!(-0.1)),
        ("temperature", json!(2.1)),
        ("temperature", json!("hot")),
        ("temperature", json!(1e300)),
        ("top_p", json!(1.1)),
        ("top_p", json!(-1)),
        ("top_k", json!(-1)),
        ("min_p", json!(2)),
        ("repeat_penalty", json!(0)),
        ("frequency_penalty", json!(2.5)),
        ("presence_penalty", json!(-2.5)),
        ("max_tokens", json!(-5)),
        ("max_tokens", json!(0)),
        ("max_tokens", json!(1e18)),
        ("max_completion_tokens", json!(1.5)),
        ("n", json!(0)),
        ("n", json!(1_000_000)),
        ("seed", json!("tomorrow")),
        ("top_logprobs", json!(21)),
        ("stop", json!(["a", "b", "c", "d", "e"])),
        ("stop", json!(7)),
        ("stream", json!("yes")),
        ("messages", json!([])),
        ("messages", json!("Hi")),
    ] {
        let refused = gateway.http().post(PATH, &with(&request, field, value.clone())).await;
        let error = refused.refused(400, "invalid_request_error");
        assert_eq!(error["param"], field, "{value}: {error}");
    }
    for (field, value) in [
        ("logit_bias", json!({"2": 101})),
        ("logit_bias", json!({"two": 1})),
        ("logit_bias", json!({"99999999": 1})),
        ("response_format", json!({"type": "yaml"})),
        ("tools", json!([{"type": "retrieval"}])),
        ("tool_choice", json!("sometimes")),
        ("messages", json!([{"role": "wizard", "content": "Hi"}])),
        ("messages", json!([{"role": "user"}])),
        ("messages", json!([{"content": "Hi"}])),
    ] {
        let refused = gateway.http().post(PATH, &with(&request, field, value.clone())).await;
        let error = refused.refused(400, "invalid_request_error");
        assert!(error["param"].as_str().unwrap_or_default().starts_with(field), "{value}: {error}");
    }
    for field in ["messages", "model"] {
        let mut lacking = request.clone();
        lacking.as_object_mut().expect("an object").remove(field);
        gateway.http().post(PATH, &lacking).await.refused_for(field);
    }
}

#[tokio::test]
async fn fields_that_cannot_be_honoured_are_refused_by_name() {
    let gateway = Gateway::start().await;
    let request = gateway.ask("Hi");
    for (field, value) in [
        ("modalities", json!(["text", "audio"])),
        ("audio", json!({"voice": "alloy", "format": "mp3"})),
        ("web_search_options", json!({})),
        ("top_logprobs", json!(3)),
        ("stream_options", json!({"include_usage": true})),
    ] {
        let refused = gateway.http().post(PATH, &with(&request, field, value)).await;
        refused.refused_for(field);
    }
}

#[tokio::test]
async fn a_prompt_longer_than_the_window_is_refused_with_both_counts() {
    let gateway = Gateway::builder().parallel(1).context(256).start().await;
    let long = gateway.ask(&tests::requests::long_text(400));
    let error = gateway.http().post(PATH, &long).await.refused(400, "invalid_request_error");
    assert_eq!(error["code"], "context_length_exceeded");
    assert!(error["message"].as_str().expect("a message").contains("256"), "{error}");
    let greedy = with(&gateway.ask("Hi"), "max_tokens", json!(5000));
    let error = gateway.http().post(PATH, &greedy).await.refused(400, "invalid_request_error");
    assert_eq!(error["code"], "context_length_exceeded");
}

#[tokio::test]
async fn without_max_tokens_an_answer_may_fill_the_window_and_no_more() {
    let gateway = Gateway::builder().parallel(1).context(256).start().await;
    let mut request = gateway.endless("Count for ever.", 1);
    request.as_object_mut().expect("an object").remove("max_tokens");
    let body = gateway.http().chat(&request).await;
    assert_eq!(body["choices"][0]["finish_reason"], "length");
    let total = body["usage"]["total_tokens"].as_u64().expect("a total");
    assert!((250..=256).contains(&total), "{body}");
}
