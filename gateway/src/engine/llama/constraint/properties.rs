//! Schemas at random and of ill will: what compiles yields JSON that validates, what does not is refused in time.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::ConstraintError;
use super::oracle::is_valid;
use super::tests::{Toy, schema_rule};

fn nested(depth: usize) -> Value {
    (0..depth).fold(
        json!({"type": "null"}),
        |inner, _| json!({"type": "object", "properties": {"a": inner}, "required": ["a"]}),
    )
}

#[test]
fn hostile_schemas_are_refused_or_bounded() {
    let toy = Toy::new(false);
    let wide: Vec<String> = (0..19_000).map(|i| format!("value-{i}-{}", i * 7919)).collect();
    let all_of = |depth: usize| {
        (0..depth).fold(json!({"$ref": "#/$defs/x"}), |inner, _| json!({"allOf": [inner, inner]}))
    };
    for schema in [
        json!({"$ref": "#"}),
        json!({"allOf": [{"$ref": "#"}]}),
        json!({"anyOf": [{"$ref": "#"}, {"$ref": "#"}]}),
        json!({"$ref": "https://example.com/schema.json"}),
        json!({"$ref": "file:///etc/passwd"}),
        json!({"$ref": "#/nowhere"}),
        json!({"not": {}}),
        json!({"type": "nonsense"}),
        json!({"type": 7}),
        json!({"properties": 3}),
        json!({"enum": []}),
        json!({"type": "object", "required": ["a"], "properties": {"a": false}}),
        json!(false),
        json!(null),
        json!([1]),
        json!({"type": "string", "pattern": "((a{1,1000}){1,1000}){1,1000}"}),
        json!({"type": "string", "pattern": "("}),
        json!({"type": "string", "pattern": "(?=a)b"}),
        json!({"type": "string", "minLength": 4_000_000_000_u64}),
        json!({"type": "string", "minLength": 90_000, "maxLength": 99_000}),
        json!({"type": "array", "minItems": 99_000}),
        json!({"type": "integer", "multipleOf": 0}),
        json!({"type": "number", "multipleOf": 1e-300, "minimum": 1e300}),
        json!({"uniqueItems": true, "type": "array"}),
        json!({"if": {}, "then": {}}),
        json!({"x-guidance": {"lenient": 7}}),
        json!({"oneOf": [{"type": "string"}, {"type": "string", "maxLength": 3}]}),
        nested(20),
        nested(1000),
        json!({"enum": wide}),
        all_of(14),
        json!({"$defs": {"x": {"type": "string"}}, "allOf": [all_of(8)]}),
        json!({"patternProperties": {"a+b": {}, "(a|b)*b": {}}, "type": "object"}),
    ] {
        let started = Instant::now();
        let shown: String = schema.to_string().chars().take(120).collect();
        match toy.factory.compile(&schema_rule(schema)) {
            Ok(constraint) => {
                constraint.unwrap().mask().unwrap();
            }
            Err(ConstraintError::Refused { message, param }) => {
                assert_eq!(param, "response_format");
                assert!(message.len() < 500, "{message}");
            }
            Err(error) => panic!("{shown}: {error}"),
        }
        assert!(started.elapsed() < Duration::from_secs(20), "{shown} took {:?}", started.elapsed());
    }
}

fn schemas() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!({"type": "null"})),
        Just(json!({"type": "boolean"})),
        Just(json!({"enum": ["a", "b\n\"c", 3, null]})),
        Just(json!({"const": {"k": [1, "x"]}})),
        (0_u32..4, 0_u32..4).prop_map(|(a, b)| json!({"type": "string", "minLength": a, "maxLength": a + b})),
        Just(json!({"type": "string", "pattern": "^[a-c]{2,3}$"})),
        Just(json!({"type": "string", "format": "date"})),
        (-50_i32..50, 0_i32..50)
            .prop_map(|(a, b)| json!({"type": "integer", "minimum": a, "maximum": a + b})),
        Just(json!({"type": "number", "minimum": -1.5, "exclusiveMaximum": 2.25})),
    ];
    leaf.prop_recursive(3, 16, 3, |inner| {
        prop_oneof![
            (inner.clone(), 0_u32..3, 0_u32..3)
                .prop_map(|(items, a, b)| json!({"type": "array", "items": items, "minItems": a, "maxItems": a + b})),
            (inner.clone(), inner.clone(), any::<bool>()).prop_map(|(a, b, both)| {
                let required = if both { json!(["a", "b"]) } else { json!(["b"]) };
                json!({"type": "object", "properties": {"a": a, "b": b}, "required": required, "additionalProperties": false})
            }),
            (inner.clone(), inner).prop_map(|(a, b)| json!({"anyOf": [a, b]})),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_walk_ends_in_json_that_validates(schema in schemas(), seed in any::<u64>()) {
        let toy = Toy::new(false);
        let tokens = toy.walk(&schema_rule(schema.clone()), seed);
        let text = toy.text(&tokens);
        let value: Value = serde_json::from_str(&text).map_err(|error| TestCaseError::fail(format!("{error} in {text}")))?;
        prop_assert!(is_valid(&schema, &value), "{} for {}", text, schema);
    }

    #[test]
    fn no_schema_panics(keyword in prop::sample::select(vec!["type", "enum", "items", "properties", "required", "allOf", "anyOf", "pattern", "format", "minimum", "maxItems", "$ref", "additionalProperties", "prefixItems", "const", "multipleOf"]), inner in schemas(), wrap in any::<bool>()) {
        let toy = Toy::new(false);
        let schema = if wrap { json!({ keyword: [inner] }) } else { json!({ keyword: inner }) };
        let _ = toy.factory.compile(&schema_rule(schema));
    }
}
