//! Finishes the OpenAPI document that poem-openapi writes: version 3.1, the derived schemas in place, sorted.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::schema::CARRIER;

/// Turns poem-openapi's 3.0 document into the 3.1 document that is published.
pub fn finish(mut document: Value) -> Value {
    if let Some(schemas) = document.pointer_mut("/components/schemas") {
        let taken = std::mem::take(schemas);
        *schemas = unpack(taken);
    }
    let Value::Object(root) = &mut document else { return document };
    root.insert("openapi".to_owned(), json!("3.1.0"));
    // An absent list means the same as an empty one, and reads better.
    root.retain(|_, value| !value.as_array().is_some_and(Vec::is_empty));
    modernize(&mut document);
    document
}

/// Puts carried definitions in the place of their stand-ins, sorted by name.
fn unpack(schemas: Value) -> Value {
    let Value::Object(schemas) = schemas else { return schemas };
    let mut all = BTreeMap::new();
    for (name, schema) in schemas {
        let carried = schema.get("format").and_then(Value::as_str) == Some(CARRIER);
        match schema.get("example") {
            Some(Value::Object(definitions)) if carried => all.extend(definitions.clone()),
            _ => drop(all.insert(name, schema)),
        }
    }
    Value::Object(all.into_iter().collect())
}

/// OpenAPI 3.0's `nullable` became a type in 3.1.
fn modernize(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(modernize),
        Value::Object(object) => {
            make_nullable(object);
            name_by_type(object);
            object.values_mut().for_each(modernize);
        }
        _ => {}
    }
}

/// Contents are named by their type alone: its parameters (`charset`, `version`) are the answer's to tell.
fn name_by_type(object: &mut Map<String, Value>) {
    let Some(Value::Object(content)) = object.get_mut("content") else { return };
    let named = std::mem::take(content).into_iter().map(|(media, schema)| {
        let media = media.split(';').next().unwrap_or_default().trim().to_owned();
        (media, schema)
    });
    *content = named.collect();
}

fn make_nullable(schema: &mut Map<String, Value>) {
    if schema.get("nullable") != Some(&Value::Bool(true)) {
        return;
    }
    schema.remove("nullable");
    if let Some(Value::String(kind)) = schema.get("type") {
        let both = json!([kind, "null"]);
        schema.insert("type".to_owned(), both);
    }
}

#[cfg(test)]
mod tests {
    use poem_openapi::registry::Registry;

    use super::*;
    use crate::error::ErrorEnvelope;

    #[test]
    fn a_carried_schema_takes_the_place_of_its_stand_in() {
        let mut registry = Registry::new();
        crate::schema::register::<ErrorEnvelope>(&mut registry);
        let schemas = serde_json::to_value(&registry.schemas).unwrap();
        let document = finish(json!({"openapi": "3.0.0", "components": {"schemas": schemas}}));
        assert_eq!(document["openapi"], "3.1.0");
        let envelope = &document["components"]["schemas"]["ErrorEnvelope"];
        assert_eq!(envelope["type"], "object");
        assert_eq!(envelope.get("example"), None);
        assert_eq!(document["components"]["schemas"]["ErrorBody"]["properties"]["type"]["type"], "string");
    }

    #[test]
    fn nullable_becomes_a_type() {
        let document = finish(json!({"a": [{"type": "string", "nullable": true}]}));
        assert_eq!(document["a"][0], json!({"type": ["string", "null"]}));
    }

    #[test]
    fn empty_lists_at_the_top_are_left_out() {
        let document = finish(json!({"servers": [], "tags": [{"name": "x"}]}));
        assert_eq!(document.get("servers"), None);
        assert!(document.get("tags").is_some());
    }
}
