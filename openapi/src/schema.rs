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
