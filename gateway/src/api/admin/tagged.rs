//! Versions as HTTP tells them: `ETag` on what is read, `If-Match` on what is changed.

use poem::http::{HeaderValue, header};
use poem::{IntoResponse, Response};
use poem_openapi::ApiResponse;
use poem_openapi::registry::{MetaHeader, MetaResponses, MetaSchema, MetaSchemaRef, Registry};
use schemars::JsonSchema;
use serde::Serialize;

use crate::api::payload::SerdeJson;
use crate::auth::store::Expected;
use crate::error::{ApiError, ErrorKind};

/// A thing with its version as `ETag`.
#[derive(Debug)]
pub struct Tagged<T>(pub T, pub u64);

impl<T: Serialize + Send> IntoResponse for Tagged<T> {
    fn into_response(self) -> Response {
        let mut response = SerdeJson(self.0).into_response();
        if let Ok(tag) = HeaderValue::from_str(&format!("\"{}\"", self.1)) {
            response.headers_mut().insert(header::ETAG, tag);
        }
        response
    }
}

impl<T: Serialize + JsonSchema + Send> ApiResponse for Tagged<T> {
    fn meta() -> MetaResponses {
        let mut meta = SerdeJson::<T>::meta();
        for response in &mut meta.responses {
            response.headers.push(MetaHeader {
                name: "etag".to_owned(),
                description: Some("The version; send it as `If-Match` with a change.".to_owned()),
                required: true,
                deprecated: false,
                schema: MetaSchemaRef::Inline(Box::new(MetaSchema::new("string"))),
            });
        }
        meta
    }

    fn register(registry: &mut Registry) {
        SerdeJson::<T>::register(registry);
    }
}

/// The version that a change was made for. Without one two admins could undo each other unseen: it must be sent.
pub fn expected(if_match: Option<&str>) -> Result<Expected, ApiError> {
    let Some(tag) = if_match.map(str::trim) else {
        let message =
            "send the etag that you read as if-match, or if-match: * to overwrite what others changed";
        return Err(ApiError::new(ErrorKind::PreconditionRequired, message));
    };
    if tag == "*" {
        return Ok(Expected::Any);
    }
    let version =
        tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')).and_then(|tag| tag.parse().ok());
    // A tag that we never gave matches nothing.
    version.map(Expected::Version).ok_or_else(|| {
        ApiError::new(ErrorKind::PreconditionFailed, "the if-match header is no etag of this server")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_etag_of_ours_names_a_version() {
        assert_eq!(expected(Some("\"12\"")).unwrap(), Expected::Version(12));
        assert_eq!(expected(Some(" * ")).unwrap(), Expected::Any);
        assert_eq!(expected(None).unwrap_err().status().as_u16(), 428);
        for wrong in ["", "12", "\"\"", "\"x\"", "\"-1\"", "W/\"12\"", "\"1\", \"2\""] {
            assert_eq!(expected(Some(wrong)).unwrap_err().status().as_u16(), 412, "{wrong}");
        }
    }
}
