//! Each field of a chat request: what is accepted, and which is named when it is refused.

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::api::chat::{ChatPlan, parse};
use crate::api::harness::{chat, with};
use crate::error::ApiError;

fn check(fields: Value) -> Result<ChatPlan, ApiError> {
    parse(chat(fields).to_string().as_bytes())
}

#[track_caller]
fn accepted(fields: Value) -> ChatPlan {
    let shown = fields.to_string();
    check(fields).unwrap_or_else(|error| panic!("{shown} is refused: {error}"))
}

#[track_caller]
fn refused(param: &str, fields: Value) {
    let shown = fields.to_string();
    let error = check(fields).expect_err(&format!("{shown} is accepted"));
    assert_eq!(error.status().as_u16(), 400);
    assert_eq!(error.envelope().error.param.as_deref(), Some(param), "{shown}: {error}");
}

#[test]
fn null_is_absent_and_unknown_fields_are_ignored() {
    let nulls = [
        "stream",
        "stream_options",
        "max_tokens",
        "max_completion_tokens",
        "temperature",
        "top_p",
        "n",
        "stop",
        "seed",
        "logprobs",
        "top_logprobs",
        "logit_bias",
        "frequency_penalty",
        "presence_penalty",
        "response_format",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "user",
        "metadata",
        "top_k",
        "min_p",
        "repeat_penalty",
        "truncation",
        "conversation",
        "store",
        "service_tier",
        "verbosity",
        "modalities",
        "prediction",
        "reasoning_effort",
        "audio",
        "web_search_options",
        "functions",
        "function_call",
    ];
    for name in nulls {
        accepted(json!({ name: null }));
    }
    accepted(json!({"some_new_field": {"deep": [1]}}));
}

#[test]
fn numbers_have_openai_s_ranges() {
    let ranges = [
        ("temperature", json!(0), json!(2), json!(-0.1), json!(2.1)),
        ("top_p", json!(0.001), json!(1), json!(0), json!(1.01)),
        ("n", json!(1), json!(128), json!(0), json!(129)),
        ("frequency_penalty", json!(-2), json!(2), json!(-2.1), json!(1e300)),
        ("presence_penalty", json!(-2), json!(2), json!(-3), json!(3)),
        ("max_tokens", json!(1), json!(u32::MAX), json!(0), json!(i64::MAX)),
        ("max_completion_tokens", json!(1), json!(5), json!(-1), json!(u64::MAX)),
        ("top_k", json!(0), json!(40), json!(-1), json!("40")),
        ("min_p", json!(0), json!(1), json!(-1), json!(2)),
        ("repeat_penalty", json!(0.5), json!(1.3), json!(0), json!(-1)),
        ("seed", json!(i64::MIN), json!(i64::MAX), json!(1.5), json!("1")),
    ];
    for (name, least, most, below, above) in ranges {
        accepted(json!({ name: least }));
        accepted(json!({ name: most }));
        refused(name, json!({ name: below }));
        refused(name, json!({ name: above }));
    }
}

#[test]
fn a_refusal_says_what_openai_says() {
    let error = check(json!({"temperature": 3})).expect_err("refused").envelope().error;
    let message =
        "Invalid 'temperature': decimal above maximum value. Expected a value <= 2, but got 3 instead.";
    assert_eq!((error.message.as_str(), error.code.as_deref()), (message, Some("decimal_above_max_value")));
}

#[test]
fn what_cannot_be_honoured_is_refused_by_name() {
    refused("audio", json!({"audio": {"voice": "x"}}));
    refused("modalities", json!({"modalities": ["text", "audio"]}));
    refused("web_search_options", json!({"web_search_options": {}}));
    refused("functions", json!({"functions": []}));
    refused("function_call", json!({"function_call": "auto"}));
    refused("reasoning_effort", json!({"reasoning_effort": "low"}));
    refused("verbosity", json!({"verbosity": "low"}));
    refused("service_tier", json!({"service_tier": "flex"}));
    refused("truncation", json!({"truncation": "sometimes"}));
    refused("n", json!({"conversation": "conv_1", "n": 2}));
    refused("stream_options", json!({"stream_options": {}}));
    let obfuscated = json!({"stream": true, "stream_options": {"include_obfuscation": true}});
    refused("stream_options.include_obfuscation", obfuscated);
}

#[test]
fn what_has_no_effect_on_the_answer_is_accepted() {
    accepted(json!({"user": "u", "store": true, "prediction": {"type": "content", "content": "x"}}));
    accepted(json!({"modalities": ["text"], "verbosity": "medium", "truncation": "disabled"}));
    accepted(json!({"truncation": "auto", "conversation": "conv_1"}));
    accepted(json!({"conversation": {"id": "conv_1"}}));
    accepted(json!({"metadata": {"a": "b"}}));
    assert_eq!(accepted(json!({"service_tier": "auto"})).service_tier.as_deref(), Some("default"));
    let many: serde_json::Map<_, _> = (0..17).map(|index| (format!("k{index}"), json!("v"))).collect();
    refused("metadata", json!({"metadata": many}));
    refused("metadata", json!({"metadata": {"k": "v".repeat(513)}}));
}

#[test]
fn fields_that_need_or_exclude_each_other() {
    refused("top_logprobs", json!({"top_logprobs": 2}));
    refused("top_logprobs", json!({"top_logprobs": 21, "logprobs": true}));
    assert_eq!(accepted(json!({"logprobs": true})).request.logprobs, Some(0));
    refused("max_tokens", json!({"max_tokens": 1, "max_completion_tokens": 2}));
    assert_eq!(accepted(json!({"max_tokens": 2, "max_completion_tokens": 2})).request.max_tokens, Some(2));
    assert!(accepted(json!({"stream": true, "stream_options": {"include_usage": true}})).shape.include_usage);
}

#[test]
fn stop_strings_and_biases() {
    assert_eq!(accepted(json!({"stop": "a"})).request.stop, ["a"]);
    assert!(accepted(json!({"stop": []})).request.stop.is_empty());
    accepted(json!({"stop": ["a", "b", "c", "d"]}));
    refused("stop", json!({"stop": ["a", "b", "c", "d", "e"]}));
    refused("stop", json!({"stop": [""]}));
    refused("stop", json!({"stop": 1}));
    refused("logit_bias", json!({"logit_bias": {"hello": 1}}));
    refused("logit_bias", json!({"logit_bias": {"-1": 1}}));
    refused("logit_bias", json!({"logit_bias": {"1": 101}}));
}

#[test]
fn answer_formats() {
    let schema =
        |json_schema: Value| json!({"response_format": {"type": "json_schema", "json_schema": json_schema}});
    accepted(schema(json!({"name": "a", "schema": {"type": "object"}, "strict": true})));
    refused("response_format.json_schema.schema", schema(json!({"name": "a"})));
    refused("response_format.json_schema.schema", schema(json!({"name": "a", "schema": "x"})));
    refused("response_format.json_schema.name", schema(json!({"name": "a b", "schema": {}})));
    assert!(check(schema(json!({"schema": {}}))).is_err());
    assert!(check(json!({"response_format": {"type": "xml"}})).is_err());
}

#[test]
fn tools_and_the_choice_among_them() {
    let tool = |name: &str| json!({"type": "function", "function": {"name": name}});
    accepted(json!({"tools": [tool("a"), tool("b")], "tool_choice": "required"}));
    accepted(json!({"tools": [], "tool_choice": "none"}));
    refused("tools[1].function.name", json!({"tools": [tool("a"), tool("a")]}));
    refused("tools[0].function.name", json!({"tools": [tool("a b")]}));
    refused("tools[0].function.name", json!({"tools": [tool(&"a".repeat(65))]}));
    refused("tools", json!({"tools": (0..129).map(|index| tool(&format!("t{index}"))).collect::<Vec<_>>()}));
    refused("tool_choice", json!({"tool_choice": "required"}));
    let named = json!({"type": "function", "function": {"name": "c"}});
    refused("tool_choice", json!({"tools": [tool("a")], "tool_choice": named}));
    let parameters = json!({"type": "function", "function": {"name": "a", "parameters": []}});
    refused("tools[0].function.parameters", json!({"tools": [parameters]}));
}

#[test]
fn messages_are_named_by_their_place() {
    let messages = |messages: Value| json!({ "messages": messages });
    let user = json!({"role": "user", "content": "x"});
    let call = json!({"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}});
    accepted(messages(json!([
        {"role": "developer", "content": "x"},
        {"role": "user", "content": [{"type": "text", "text": "x"}], "name": "n"},
        {"role": "assistant", "content": null, "tool_calls": [call]},
        {"role": "tool", "content": "x", "tool_call_id": "c"},
        {"role": "assistant", "refusal": "no"},
    ])));
    refused("messages", messages(json!([])));
    refused("messages", messages(Value::Null));
    refused("messages[1].content", messages(json!([user, {"role": "user"}])));
    refused("messages[0].content", messages(json!([{"role": "assistant", "content": null}])));
    refused("messages[0].role", messages(json!([{"role": null, "content": "x"}])));
    refused("messages[0].content", messages(json!([{"role": "user", "content": []}])));
    refused("messages[0].role", messages(json!([{"role": "function", "content": "x", "name": "f"}])));
    refused("messages[0].role", messages(json!([{"role": "wizard", "content": "x"}])));
    refused("messages[0].tool_call_id", messages(json!([{"role": "tool", "content": "x"}])));
    refused(
        "messages[0].tool_calls",
        messages(json!([{"role": "user", "content": "x", "tool_calls": [call]}])),
    );
    let image = json!([{"type": "text", "text": "x"}, {"type": "image_url", "image_url": {"url": "data:"}}]);
    refused("messages[0].content[1].type", messages(json!([{"role": "user", "content": image}])));
}

#[test]
fn a_model_is_required() {
    let body = json!({"messages": [{"role": "user", "content": "x"}]});
    for body in [body.clone(), with(body, json!({"model": ""}))] {
        let error = parse(body.to_string().as_bytes()).expect_err("refused").envelope().error;
        assert_eq!(error.param.as_deref(), Some("model"), "{body}");
    }
}

#[test]
fn hostile_bodies_are_refused_and_never_a_panic() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let in_field = format!(r#"{{"model":"m","messages":{deep}}}"#);
    let ignored = format!(r#"{{"model":"m","messages":[],"x":{deep}}}"#);
    for body in [&b""[..], b"{", b"null", b"[]", b"\xff\xfe", b"{\"model\": NaN}", deep.as_bytes()] {
        assert!(parse(body).is_err());
    }
    assert!(parse(in_field.as_bytes()).is_err());
    assert!(parse(ignored.as_bytes()).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_number_in_any_numeric_field_is_an_answer_of_some_kind(
        name in prop::sample::select(vec!["temperature", "top_p", "n", "top_k", "seed", "max_tokens", "repeat_penalty"]),
        number in prop_oneof![any::<f64>().prop_map(|x| json!(x)), any::<i64>().prop_map(|x| json!(x))],
    ) {
        if let Err(error) = check(json!({ name: number })) {
            let param = error.envelope().error.param;
            prop_assert_eq!(param.as_deref(), Some(name));
        }
    }
}
