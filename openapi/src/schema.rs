//! Carries the schemas that `schemars` derives through poem-openapi's registry into the document.
//!
//! poem-openapi's own schema type is OpenAPI 3.0 and cannot hold a 2020-12 schema. A registered type is therefore a
//! stand-in whose `example` carries the derived definitions; [`crate::document::finish`] puts them in its place.

use poem_openapi::registry::{MetaSchema, MetaSchemaRef, Registry};
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::Value;

/// The format by which `document` knows a stand-in.
pub(crate) const CARRIER: &str = "x-derived";

/// Where the document refers to a type.
pub fn reference<T: JsonSchema>() -> MetaSchemaRef {
    MetaSchemaRef::Reference(T::schema_name().into_owned())
}

/// Registers a type and everything it refers to.
pub fn register<T: JsonSchema>(registry: &mut Registry) {
    registry.create_schema::<T, _>(T::schema_name().into_owned(), |_| MetaSchema {
        format: Some(CARRIER),
        example: Some(definitions::<T>()),
        ..MetaSchema::ANY
    });
}

/// The type's own schema and those it refers to, by name.
pub(crate) fn definitions<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
    });
    let mut generator = settings.into_generator();
    let own = generator.subschema_for::<T>().to_value();
    let mut all = generator.take_definitions(true);
    // An array or a map has no definition of its own: its schema stands under its name.
    all.entry(T::schema_name()).or_insert(own);
    Value::Object(all)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde::Serialize;

    use super::*;
    use crate::embeddings::{Embedding, EmbeddingObject, Vector};
    use crate::error::{ErrorBody, ErrorEnvelope};
    use crate::message::{Content, Message, Part, Role, ToolCall};
    use crate::models::{Model, ModelObject};

    /// The fields that serde writes are those that are documented.
    #[track_caller]
    fn agree<T: JsonSchema + Serialize>(value: &T) {
        let definitions = definitions::<T>();
        let documented =
            definitions.get(&*T::schema_name()).and_then(|schema| schema["properties"].as_object());
        let documented: BTreeSet<_> = documented.unwrap().keys().cloned().collect();
        let written = serde_json::to_value(value).unwrap();
        let written: BTreeSet<_> = written.as_object().unwrap().keys().cloned().collect();
        assert_eq!(written, documented);
    }

    #[test]
    fn serde_and_the_document_use_the_same_names() {
        agree(&ErrorBody { message: String::new(), kind: "x".into(), param: None, code: None });
        agree(&Embedding { object: EmbeddingObject::Embedding, index: 0, embedding: Vector::Float(vec![]) });
        agree(&Model {
            id: String::new(),
            object: ModelObject::Model,
            created: 0,
            owned_by: String::new(),
            context_window: 1,
            embedding_dimensions: Some(1),
        });
        let call =
            serde_json::json!({"id": "", "type": "function", "function": {"name": "", "arguments": ""}});
        let call: ToolCall = serde_json::from_value(call).unwrap();
        agree(&call);
        agree(&Message {
            role: Role::User,
            content: Some(Content::Parts(vec![Part::Text { text: String::new() }])),
            name: Some(String::new()),
            tool_calls: Some(vec![call]),
            tool_call_id: Some(String::new()),
            refusal: Some(String::new()),
            reasoning_content: Some(String::new()),
        });
    }

    #[test]
    fn a_type_brings_those_it_refers_to() {
        let definitions = definitions::<ErrorEnvelope>();
        assert!(definitions.get("ErrorEnvelope").is_some() && definitions.get("ErrorBody").is_some());
        let reference = definitions.pointer("/ErrorEnvelope/properties/error/$ref");
        assert_eq!(reference.and_then(Value::as_str), Some("#/components/schemas/ErrorBody"));
    }
}
