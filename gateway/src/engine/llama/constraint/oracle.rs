//! A validator written for the tests, independent of the one that builds grammars: the keywords that they use.

use serde_json::Value;

/// Whether the value has the schema's shape.
pub(super) fn is_valid(schema: &Value, value: &Value) -> bool {
    let keyword = |name: &str| schema.get(name);
    keyword("type").is_none_or(|kind| is_type(kind.as_str().unwrap(), value))
        && keyword("enum").is_none_or(|choices| choices.as_array().unwrap().contains(value))
        && keyword("const").is_none_or(|constant| constant == value)
        && keyword("anyOf")
            .is_none_or(|choices| choices.as_array().unwrap().iter().any(|choice| is_valid(choice, value)))
        && value.as_str().is_none_or(|text| is_valid_text(schema, text))
        && value.as_f64().is_none_or(|number| is_valid_number(schema, number))
        && value.as_array().is_none_or(|items| is_valid_array(schema, items))
        && value.as_object().is_none_or(|members| is_valid_object(schema, members))
}

fn is_type(kind: &str, value: &Value) -> bool {
    match kind {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "string" => value.is_string(),
        "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        "number" => value.is_number(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("the oracle knows no type {other}"),
    }
}

fn limit(schema: &Value, name: &str) -> Option<f64> {
    schema.get(name).map(|limit| limit.as_f64().unwrap())
}

fn within(schema: &Value, least: &str, most: &str, count: usize) -> bool {
    let count = count as f64;
    limit(schema, least).is_none_or(|least| count >= least)
        && limit(schema, most).is_none_or(|most| count <= most)
}

fn is_valid_text(schema: &Value, text: &str) -> bool {
    let pattern = schema.get("pattern").is_none_or(|pattern| {
        assert_eq!(pattern, "^[a-c]{2,3}$", "the one pattern that the oracle knows");
        (2..=3).contains(&text.len()) && text.bytes().all(|byte| (b'a'..=b'c').contains(&byte))
    });
    let format = schema.get("format").is_none_or(|format| {
        assert_eq!(format, "date", "the one format that the oracle knows");
        let parts: Vec<usize> = text.split('-').map(str::len).collect();
        parts == [4, 2, 2] && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-')
    });
    pattern && format && within(schema, "minLength", "maxLength", text.chars().count())
}

fn is_valid_number(schema: &Value, number: f64) -> bool {
    limit(schema, "minimum").is_none_or(|least| number >= least)
        && limit(schema, "maximum").is_none_or(|most| number <= most)
        && limit(schema, "exclusiveMaximum").is_none_or(|bound| number < bound)
}

fn is_valid_array(schema: &Value, items: &[Value]) -> bool {
    within(schema, "minItems", "maxItems", items.len())
        && schema.get("items").is_none_or(|schema| items.iter().all(|item| is_valid(schema, item)))
}

fn is_valid_object(schema: &Value, members: &serde_json::Map<String, Value>) -> bool {
    let properties = schema.get("properties").and_then(Value::as_object);
    let closed = schema.get("additionalProperties") == Some(&Value::Bool(false));
    let required = schema.get("required").and_then(Value::as_array);
    required.is_none_or(|names| names.iter().all(|name| members.contains_key(name.as_str().unwrap())))
        && members.iter().all(|(name, member)| {
            let known = properties.and_then(|properties| properties.get(name));
            known.map_or(!closed, |schema| is_valid(schema, member))
        })
}
