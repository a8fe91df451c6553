//! The OpenAPI document that a gateway serves, as a list of operations and as a judge of answers.

use http::Method;
use serde_json::{Value, json};
use tests::{Answer, Gateway};

/// The served document.
pub(crate) struct Document(Value);

/// One operation of it.
#[derive(Debug, Clone)]
pub(crate) struct Operation {
    pub(crate) id: String,
    pub(crate) method: Method,
    pub(crate) path: String,
    responses: Value,
}

impl Document {
    pub(crate) async fn of(gateway: &Gateway) -> Self {
        Self(gateway.http().anonymous(Method::GET, "/openapi.json").send().await.ok())
    }

    /// Every operation that there is.
    pub(crate) fn operations(&self) -> Vec<Operation> {
        let mut all = Vec::new();
        for (path, item) in self.0["paths"].as_object().expect("paths") {
            for (method, operation) in item.as_object().expect("operations") {
                all.push(Operation {
                    id: operation["operationId"].as_str().expect("an id").to_owned(),
                    method: method.to_uppercase().parse().expect("a method"),
                    path: path.clone(),
                    responses: operation["responses"].clone(),
                });
            }
        }
        assert!(all.len() >= 29, "the walk sees only {} operations", all.len());
        all
    }

    /// Panics unless the document says that this operation may answer so, and the body is as it says.
    pub(crate) fn assert_documents(&self, operation: &Operation, answer: &Answer) {
        let Operation { id, responses, .. } = operation;
        let (status, text) = (answer.status, answer.text());
        assert!(status < 500, "{id} failed with {status}: {text}");
        let documented = responses.get(status.to_string()).or_else(|| responses.get("default"));
        let documented = documented.unwrap_or_else(|| panic!("{id} does not document {status}: {text}"));
        assert_eq!(
            status == 200,
            responses.get(status.to_string()).is_some(),
            "{id} answers {status}: {text}"
        );
        for (name, header) in documented["headers"].as_object().into_iter().flatten() {
            let missing = header["required"] == json!(true) && answer.header(name).is_empty();
            assert!(!missing, "{id} answers {status} without {name}");
        }
        let media = answer.header("content-type").split(';').next().unwrap_or_default();
        let content = documented["content"].get(media);
        let content = content.unwrap_or_else(|| panic!("{id} does not document {media:?} for {status}"));
        // Text is a string to a schema.
        let body = if media == "application/json" { answer.json() } else { json!(text) };
        self.assert_valid(&content["schema"], &body, id);
    }

    fn assert_valid(&self, schema: &Value, body: &Value, id: &str) {
        let mut schema = schema.clone();
        schema["components"] = self.0["components"].clone();
        let validator = jsonschema::validator_for(&schema).expect("a schema of the document");
        let problems: Vec<String> = validator.iter_errors(body).map(|error| error.to_string()).collect();
        assert!(problems.is_empty(), "{id} answers what its schema forbids: {problems:?} in {body}");
    }
}
