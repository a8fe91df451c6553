//! Each field of a Messages request: what is accepted, and which is named when it is refused.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::ask;
use crate::api::messages::{MessagesPlan, parse};
use crate::error::ApiError;

fn check(fields: Value) -> Result<MessagesPlan, ApiError> {
    parse(ask(fields).to_string().as_bytes())
}

#[track_caller]
fn accepted(fields: Value) -> MessagesPlan {
    let shown = fields.to_string();
    check(fields).unwrap_or_else(|error| panic!("{shown} is refused: {error}"))
}

#[track_caller]
fn refused(param: &str, fields: Value) {
    let shown = fields.to_string();
    let error = check(fields).expect_err(&format!("{shown} is accepted"));
    assert_eq!(error.status().as_u16(), 400);
    assert_eq!(error.param(), Some(param), "{shown}: {error}");
    let message = error.messages_body().message;
    assert!(message.contains(param), "{message} does not name {param}");
}

#[track_caller]
fn refused_block(param: &str, role: &str, block: &Value) {
    let messages = json!([{"role": role, "content": [{"type": "text", "text": "x"}, block]}, {"role": "user", "content": "x"}]);
    refused(param, json!({"messages": messages}));
}

#[test]
fn null_is_absent_and_unknown_fields_are_ignored() {
    let nulls = [
        "system",
        "stream",
        "stop_sequences",
        "temperature",
        "top_p",
        "top_k",
        "tools",
        "tool_choice",
        "thinking",
        "output_config",
        "metadata",
        "service_tier",
        "speed",
        "cache_control",
        "container",
        "mcp_servers",
        "context_management",
        "inference_geo",
    ];
    for name in nulls {
        accepted(json!({ name: null }));
    }
    accepted(json!({"some_new_field": {"deep": [1]}, "cache_control": {"type": "ephemeral"}}));
    accepted(json!({"metadata": {"user_id": "ada"}, "service_tier": "auto", "speed": "standard"}));
    accepted(json!({"output_config": {"effort": "high", "format": null}}));
}

#[test]
fn numbers_have_anthropic_s_ranges() {
    let ranges = [
        ("temperature", json!(0), json!(1), json!(-0.1), json!(1.1)),
        ("top_p", json!(0.001), json!(1), json!(0), json!(1.01)),
        ("top_k", json!(0), json!(40), json!(-1), json!("40")),
        ("max_tokens", json!(1), json!(u32::MAX), json!(0), json!(i64::MAX)),
    ];
    for (name, least, most, below, above) in ranges {
        accepted(json!({ name: least }));
        accepted(json!({ name: most }));
        refused(name, json!({ name: below }));
        refused(name, json!({ name: above }));
    }
}

#[test]
fn what_must_be_there_is_missed_by_name() {
    for name in ["model", "messages", "max_tokens"] {
        let mut body = ask(json!({}));
        body.as_object_mut().expect("an object").remove(name);
        let error = parse(body.to_string().as_bytes()).expect_err("it is incomplete");
        assert_eq!(error.param(), Some(name));
    }
    refused("model", json!({"model": ""}));
    refused("messages", json!({"messages": []}));
    refused("tools[0].name", json!({"tools": [{"input_schema": {}}]}));
    refused("tools[0].input_schema", json!({"tools": [{"name": "f"}]}));
    refused("messages[0].content", json!({"messages": [{"role": "user"}]}));
    refused("messages[0].content", json!({"messages": [{"role": "user", "content": []}]}));
}

#[test]
fn what_cannot_be_honoured_is_refused_by_name() {
    for (name, value) in [
        ("container", json!("c")),
        ("mcp_servers", json!([])),
        ("context_management", json!({})),
        ("inference_geo", json!("eu")),
        ("speed", json!("fast")),
        ("service_tier", json!("batch")),
        ("thinking", json!({"type": "enabled", "budget_tokens": 2048})),
        ("thinking", json!({"type": "between_tools"})),
    ] {
        refused(name, json!({ name: value }));
    }
    refused("thinking.display", json!({"thinking": {"type": "adaptive", "display": "omitted"}}));
    refused("output_config.effort", json!({"output_config": {"effort": "low"}}));
    let format = json!({"type": "json_schema", "schema": true});
    refused("output_config.format.schema", json!({"output_config": {"format": format}}));
    refused("stop_sequences[1]", json!({"stop_sequences": ["a", ""]}));
    refused("stop_sequences", json!({"stop_sequences": vec!["a"; 65]}));
}

#[test]
fn thinking_is_the_model_s_own_affair_and_may_be_hidden() {
    assert!(accepted(json!({})).shows_thinking);
    assert!(accepted(json!({"thinking": {"type": "adaptive", "display": "summarized"}})).shows_thinking);
    assert!(!accepted(json!({"thinking": {"type": "disabled"}})).shows_thinking);
}

#[test]
fn tools_that_the_server_runs_are_refused() {
    let tool = |fields: Value| {
        let mut tool = json!({"name": "f", "input_schema": {"type": "object"}});
        if let (Value::Object(all), Value::Object(more)) = (&mut tool, fields) {
            all.extend(more);
        }
        json!({"tools": [tool]})
    };
    accepted(tool(
        json!({"type": "custom", "defer_loading": false, "allowed_callers": ["direct"], "name": "a".repeat(128)}),
    ));
    refused("tools[0].type", tool(json!({"type": "web_search_20250305"})));
    refused("tools[0].type", json!({"tools": [{"type": "computer_toolset_20260801"}]}));
    refused("tools[0].name", tool(json!({"name": "a".repeat(129)})));
    refused("tools[0].name", tool(json!({"name": "a b"})));
    refused("tools[0].input_schema", tool(json!({"input_schema": []})));
    refused("tools[0].defer_loading", tool(json!({"defer_loading": true})));
    refused("tools[0].allowed_callers", tool(json!({"allowed_callers": ["code_execution_20250825"]})));
    let same = json!({"name": "f", "input_schema": {}});
    refused("tools[1].name", json!({"tools": [same, same]}));
    refused("tool_choice", json!({"tool_choice": {"type": "any"}}));
    refused("tool_choice.type", json!({"tool_choice": {"type": "sometimes"}}));
    refused("tool_choice.name", json!({"tool_choice": {"type": "tool", "name": "g"}}));
}

#[test]
fn blocks_that_cannot_be_read_are_refused_where_they_stand() {
    let type_of = "messages[0].content[1].type";
    let source = json!({"type": "base64", "media_type": "image/png", "data": "AAAA"});
    refused_block(type_of, "user", &json!({"type": "image", "source": source}));
    refused_block(type_of, "user", &json!({"type": "document", "source": {"type": "text", "data": "x"}}));
    refused_block(type_of, "assistant", &json!({"type": "redacted_thinking", "data": "x"}));
    refused_block(
        type_of,
        "assistant",
        &json!({"type": "server_tool_use", "id": "a", "name": "b", "input": {}}),
    );
    refused_block(type_of, "user", &json!({"type": "thinking", "thinking": "x"}));
    refused_block(type_of, "user", &json!({"type": "tool_use", "id": "a", "name": "b", "input": {}}));
    refused_block(type_of, "assistant", &json!({"type": "tool_result", "tool_use_id": "a"}));
    refused_block(type_of, "user", &json!({"type": "hologram"}));
    refused_block(
        "messages[0].content[1].id",
        "assistant",
        &json!({"type": "tool_use", "name": "b", "input": {}}),
    );
    refused_block(
        "messages[0].content[1].name",
        "assistant",
        &json!({"type": "tool_use", "id": "a", "name": "", "input": {}}),
    );
    let image = json!([{"type": "image", "source": source}]);
    let result = json!({"type": "tool_result", "tool_use_id": "a", "content": image});
    refused_block("messages[0].content[1].content[0].type", "user", &result);
}

#[test]
fn an_answer_that_was_begun_is_not_gone_on_with() {
    let messages =
        json!([{"role": "user", "content": "x"}, {"role": "assistant", "content": "The best answer is ("}]);
    refused("messages[1].role", json!({"messages": messages}));
}

/// Any JSON, rich in what is near to a request.
fn jsonish() -> impl Strategy<Value = Value> {
    let words = prop::sample::select(vec![
        "user",
        "assistant",
        "system",
        "text",
        "thinking",
        "tool_use",
        "tool_result",
        "image",
        "auto",
        "any",
        "tool",
        "none",
        "enabled",
        "disabled",
        "custom",
        "json_schema",
        "x",
        "",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        words.prop_map(Value::from),
    ];
    let keys = prop::sample::select(vec![
        "type",
        "role",
        "content",
        "text",
        "thinking",
        "id",
        "name",
        "input",
        "tool_use_id",
        "is_error",
        "input_schema",
        "cache_control",
        "format",
        "schema",
        "effort",
        "display",
        "user_id",
        "description",
        "strict",
    ]);
    leaf.prop_recursive(5, 48, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((keys.clone(), inner), 0..6).prop_map(|pairs| {
                Value::Object(
                    pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect::<Map<_, _>>(),
                )
            }),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1024) })]

    #[test]
    fn anything_in_any_field_is_accepted_or_refused_by_name(
        name in prop::sample::select(vec![
            "model", "messages", "max_tokens", "system", "stream", "stop_sequences", "temperature", "top_p", "top_k",
            "tools", "tool_choice", "thinking", "output_config", "metadata", "service_tier", "speed", "container",
        ]),
        value in jsonish(),
    ) {
        if let Err(error) = check(json!({ name: value })) {
            prop_assert_eq!(error.status().as_u16(), 400);
            let param = error.param().unwrap_or_default().to_owned();
            prop_assert!(param.starts_with(name), "{} is blamed on {:?}: {}", name, param, error);
            prop_assert!(error.messages_body().message.contains(&param));
        }
    }

    #[test]
    fn any_bytes_are_a_request_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
        if let Err(error) = parse(&bytes) {
            prop_assert_eq!(error.status().as_u16(), 400);
        }
    }
}
