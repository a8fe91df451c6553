//! `GET /v1/models`: what models there are.

use std::sync::Arc;

use openapi::models::{ListObject, Model, ModelList, ModelObject};
use poem_openapi::OpenApi;
use poem_openapi::param::Path;

use crate::api::Tag;
use crate::api::payload::SerdeJson;
use crate::app::App;
use crate::auth::{Authorized, permission};
use crate::engine::ModelCard;
use crate::error::ApiError;

/// The models resource.
pub struct ModelsApi {
    /// The shared parts.
    pub app: Arc<App>,
}

#[expect(clippy::unused_async, reason = "poem-openapi's operations are async, whatever they do")]
#[OpenApi(tag = "Tag::Models")]
impl ModelsApi {
    /// List the models
    ///
    /// The names that the caller's requests may use.
    #[oai(path = "/v1/models", method = "get", operation_id = "list_models")]
    async fn list(
        &self,
        caller: Authorized<permission::ModelsRead>,
    ) -> Result<SerdeJson<ModelList>, ApiError> {
        let cards = self.app.catalog.cards();
        let cards = cards.iter().filter(|card| caller.require_model(&card.id).is_ok());
        let data = cards.map(describe).collect();
        Ok(SerdeJson(ModelList { object: ListObject::List, data }))
    }

    /// Describe one model
    #[oai(path = "/v1/models/:model", method = "get", operation_id = "retrieve_model")]
    async fn retrieve(
        &self,
        caller: Authorized<permission::ModelsRead>,
        /// The model's name.
        model: Path<String>,
    ) -> Result<SerdeJson<Model>, ApiError> {
        caller.require_model(&model.0)?;
        let engine = self.app.catalog.resolve(&model.0)?;
        Ok(SerdeJson(describe(engine.card())))
    }
}

fn describe(card: &ModelCard) -> Model {
    Model {
        id: card.id.clone(),
        object: ModelObject::Model,
        created: card.created,
        owned_by: card.owned_by.clone(),
        context_window: card.context_window,
        embedding_dimensions: card.embedding_dimensions,
    }
}
