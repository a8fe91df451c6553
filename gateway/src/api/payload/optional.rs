//! A JSON body that may be left out.

use poem::{Request, RequestBody, Result};
use poem_openapi::registry::{MetaRequest, Registry};
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use super::{SerdeJson, check_content_type, parse, read};

/// A JSON body; nothing says what its default does.
#[derive(Debug, Clone)]
pub struct OptionalJson<T>(pub T);

impl<'a, T: DeserializeOwned + JsonSchema + Default + Send> ApiExtractor<'a> for OptionalJson<T> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];
    const PARAM_IS_REQUIRED: bool = false;

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        openapi::schema::register::<T>(registry);
    }

    fn request_meta() -> Option<MetaRequest> {
        SerdeJson::<T>::request_meta().map(|meta| MetaRequest { required: false, ..meta })
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _: ExtractParamOptions<()>,
    ) -> Result<Self> {
        let bytes = read(body.take()?).await?;
        if bytes.is_empty() {
            return Ok(Self(T::default()));
        }
        check_content_type(request.content_type())?;
        Ok(Self(parse(&bytes)?))
    }
}
