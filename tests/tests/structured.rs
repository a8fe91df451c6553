//! Answers of a demanded shape always have it, at any temperature.

#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]

use serde_json::{Value, json};
use tests::Gateway;
use tests::requests::assert_validates;

fn schemas() -> Vec<(&'static str, Value)> {
    vec![
        (
            "person",
            json!({
                "type": "object",
                "properties": {"name": {"type": "string", "maxLength": 20}, "age": {"type": "integer", "minimum": 0, "maximum": 150}},
                "required": ["name", "age"],
                "additionalProperties": false,
            }),
        ),
        (
            "colours",
            json!({
                "type": "object",
                "properties": {"colours": {
                    "type": "array", "items": {"enum": ["red", "green", "blue"]}, "minItems": 1, "maxItems": 3,
                }},
                "required": ["colours"],
                "additionalProperties": false,
            }),
        ),
        (
            "shape",
            json!({
                "type": "object",
                "properties": {
                    "kind": {"const": "circle"},
                    "size": {"anyOf": [{"type": "number", "minimum": 0, "maximum": 10}, {"type": "null"}]},
                    "filled": {"type": "boolean"},
                },
                "required": ["kind", "size", "filled"],
                "additionalProperties": false,
            }),
        ),
        (
            "tree",
            json!({
                "$defs": {"leaf": {
                    "type": "object",
                    "properties": {"value": {"type": "integer", "minimum": -9, "maximum": 9}},
                    "required": ["value"],
                    "additionalProperties": false,
                }},
                "type": "object",
                "properties": {"left": {"$ref": "#/$defs/leaf"}, "right": {"$ref": "#/$defs/leaf"}},
                "required": ["left", "right"],
                "additionalProperties": false,
            }),
        ),
        (
            "date",
            json!({
                "type": "object",
                "properties": {"day": {"type": "string", "pattern": "^20[0-9]{2}-[01][0-9]-[0-3][0-9]$"}},
                "required": ["day"],
                "additionalProperties": false,
            }),
        ),
    ]
}

fn request(gateway: &Gateway, name: &str, schema: &Value, seed: u64) -> Value {
    let mut request = gateway.ask("Fill in the form with anything you like.");
    request["temperature"] = json!(1.0);
    request["seed"] = json!(seed);
    request["max_tokens"] = json!(200);
    request["response_format"] =
        json!({"type": "json_schema", "json_schema": {"name": name, "strict": true, "schema": schema}});
    request
}

#[tokio::test]
async fn json_schema_answers_validate_for_every_schema_and_seed() {
    let gateway = Gateway::start().await;
    for (name, schema) in schemas() {
        for seed in 0..4 {
            let body = gateway.http().chat(&request(&gateway, name, &schema, seed)).await;
            assert_eq!(body["choices"][0]["finish_reason"], "stop", "{name} {seed}: {body}");
            assert_validates(&schema, body["choices"][0]["message"]["content"].as_str().expect("content"));
        }
    }
}

#[tokio::test]
async fn streamed_json_schema_answers_validate_beside_each_other() {
    let gateway = Gateway::start().await;
    let schemas = schemas();
    let requests: Vec<Value> =
        schemas.iter().map(|(name, schema)| request(&gateway, name, schema, 9)).collect();
    let streams = requests.iter().map(|request| gateway.http().chat_stream(request));
    for (folded, (name, schema)) in futures_util::future::join_all(streams).await.iter().zip(&schemas) {
        assert_eq!(folded.only().finish_reason.as_deref(), Some("stop"), "{name}");
        assert_validates(schema, &folded.only().content);
    }
}

#[tokio::test]
async fn json_object_answers_are_objects() {
    let gateway = Gateway::start().await;
    for seed in 0..3 {
        let mut request = gateway.ask("Answer in JSON with the keys a and b, both small numbers.");
        request["temperature"] = json!(0.7);
        request["seed"] = json!(seed);
        request["max_tokens"] = json!(400);
        request["response_format"] = json!({"type": "json_object"});
        let body = gateway.http().chat(&request).await;
        let text = body["choices"][0]["message"]["content"].as_str().expect("content");
        if body["choices"][0]["finish_reason"] == "stop" {
            assert_validates(&json!({"type": "object"}), text);
        } else {
            assert!(text.trim_start().starts_with('{'), "{text:?}");
        }
    }
}

#[tokio::test]
async fn a_schema_that_cannot_be_enforced_is_refused_by_name() {
    let gateway = Gateway::start().await;
    let mut deep = json!({"type": "integer"});
    for _ in 0..100 {
        deep = json!({"type": "object", "properties": {"a": deep}, "required": ["a"]});
    }
    for schema in [
        json!({"type": "no-such-type"}),
        json!({"$ref": "#/$defs/absent"}),
        json!({"type": "string", "pattern": "("}),
        json!(7),
        json!({"allOf": [{"type": "string"}, {"type": "integer"}]}),
        deep,
    ] {
        let answer = gateway.http().post("/v1/chat/completions", &request(&gateway, "odd", &schema, 0)).await;
        if answer.status == 200 {
            // Where it is enforced after all, the answer must not be something else.
            let body = answer.json();
            if body["choices"][0]["finish_reason"] == "stop" {
                assert_validates(
                    &schema,
                    body["choices"][0]["message"]["content"].as_str().expect("content"),
                );
            }
            continue;
        }
        let error = answer.refused(400, "invalid_request_error");
        // Past the parser's depth no field can be named any more.
        let named = error["param"].as_str().unwrap_or_default().starts_with("response_format");
        assert!(named || error["code"] == "invalid_json", "{error}");
    }
}
