//! The OpenAPI document is complete, consistent, and the one that is checked in.

use std::collections::BTreeSet;

use poem::http::Method;
use serde_json::Value;

use super::{Surface, request};
use crate::routes::document;

/// The copy that reviewers and generators read.
const CHECKED_IN: &str = include_str!("../../../../openapi/openapi.json");

fn parsed() -> Value {
    serde_json::from_str(&document()).unwrap()
}

fn walk<'a>(value: &'a Value, visit: &mut impl FnMut(&'a str, &'a Value)) {
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                visit(name, value);
                walk(value, visit);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| walk(item, visit)),
        _ => {}
    }
}

#[test]
fn the_checked_in_document_is_the_served_one() {
    assert!(
        CHECKED_IN == document(),
        "openapi/openapi.json is not what the code says; \
         write it anew with: cargo run --release -p gateway -- openapi > openapi/openapi.json"
    );
}

#[test]
fn the_document_is_the_same_each_time() {
    assert_eq!(document(), document());
}

#[test]
fn it_is_openapi_3_1_with_every_reference_resolved() {
    let document = parsed();
    assert_eq!(document["openapi"], "3.1.0");
    walk(&document, &mut |name, value| {
        if name == "$ref" {
            let pointer = value.as_str().unwrap().strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{pointer} leads nowhere");
        }
        assert!(name != "nullable" && name != "$defs" && value != "x-derived", "{name}: {value}");
    });
}

#[test]
fn every_operation_has_an_id_of_its_own_and_documents_its_failure() {
    let document = parsed();
    let mut ids = BTreeSet::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for operation in operations.as_object().unwrap().values() {
            let id =
                operation["operationId"].as_str().unwrap_or_else(|| panic!("{path} has no operation id"));
            assert!(ids.insert(id), "{id} is there twice");
            let failure = "/responses/default/content/application~1json/schema/$ref";
            let envelope =
                if path.starts_with("/v1/messages") { "MessagesErrorEnvelope" } else { "ErrorEnvelope" };
            let expected = format!("#/components/schemas/{envelope}");
            assert_eq!(operation.pointer(failure).and_then(Value::as_str), Some(&*expected), "{id}");
        }
    }
}

#[test]
fn every_field_is_described() {
    let document = parsed();
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        let Some(properties) = schema["properties"].as_object() else { continue };
        for (field, property) in properties {
            assert!(property.get("description").is_some(), "{name}.{field}");
        }
    }
}

#[tokio::test]
async fn the_served_document_is_the_printed_one() {
    let answer = Surface::new().send(request(Method::GET, "/openapi.json").finish()).await;
    assert_eq!(answer.response.content_type(), Some("application/json"));
    assert!(answer.text == document(), "what is served is not what `gateway openapi` prints");
}

#[tokio::test]
async fn the_page_holds_the_document_and_loads_nothing() {
    let answer = Surface::new().send(request(Method::GET, "/docs").finish()).await;
    assert!(answer.text.contains(r#""openapi": "3.1.0""#));
    assert!(!answer.text.contains(r#""openapi": "3.0.0""#));
    let policy = answer.response.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'") && !policy.contains("http"), "{policy}");
    for tag in ["<link", "<img", "<iframe", "src=\"http", "@import", "@font-face"] {
        let head = answer.text.split("<script").next().unwrap();
        assert!(!head.contains(tag), "{tag}");
    }
    assert!(!answer.text.contains("<script src"));
}
