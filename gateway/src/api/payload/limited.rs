//! An answer with the headers of the caller's limits.

use poem::{IntoResponse, Response};
use poem_openapi::ApiResponse;
use poem_openapi::registry::{MetaHeader, MetaResponses, MetaSchema, MetaSchemaRef, Registry};

use crate::limits::Headers;

/// An answer, and where its caller stands.
#[derive(Debug)]
pub struct Limited<T>(pub T, pub Headers);

impl<T: IntoResponse> IntoResponse for Limited<T> {
    fn into_response(self) -> Response {
        let mut response = self.0.into_response();
        response.headers_mut().extend(self.1);
        response
    }
}

impl<T: ApiResponse> ApiResponse for Limited<T> {
    fn meta() -> MetaResponses {
        let mut meta = T::meta();
        for response in &mut meta.responses {
            response.headers.extend(["requests", "tokens"].into_iter().flat_map(headers_of));
            response.headers.push(target());
        }
        meta
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

fn target() -> MetaHeader {
    MetaHeader {
        name: "x-sluice-target".to_owned(),
        description: Some("The model that answers, where a route may choose among several.".to_owned()),
        required: false,
        deprecated: false,
        schema: MetaSchemaRef::Inline(Box::new(MetaSchema::new("string"))),
    }
}

fn headers_of(scope: &'static str) -> [MetaHeader; 3] {
    let header = |part: &str, kind, description: &str| MetaHeader {
        name: format!("x-ratelimit-{part}-{scope}"),
        description: Some(format!("{description} Only where {scope} a minute are limited.")),
        required: false,
        deprecated: false,
        schema: MetaSchemaRef::Inline(Box::new(MetaSchema::new(kind))),
    };
    [
        header("limit", "integer", "The limit."),
        header("remaining", "integer", "What is left of it."),
        header("reset", "string", "Until it is full again, as `1s` or `6m0s`."),
    ]
}
