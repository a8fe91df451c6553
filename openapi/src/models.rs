//! Models, as they are listed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A model that requests may name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Model {
    /// The name to use in requests.
    pub id: String,
    /// Always `model`.
    pub object: ModelObject,
    /// When it was loaded, seconds since the Unix epoch.
    pub created: u64,
    /// Who provides it.
    pub owned_by: String,
    /// The most tokens that a prompt and its answer may have together.
    pub context_window: u32,
    /// The length of an embedding; absent where the model does not embed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embedding_dimensions: Option<u32>,
}

/// All models that requests may name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ModelList {
    /// Always `list`.
    pub object: ListObject,
    /// The models.
    pub data: Vec<Model>,
}

/// The kind of a [`Model`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ModelObject {
    /// A model.
    #[default]
    Model,
}

/// The kind of a list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ListObject {
    /// A list.
    #[default]
    List,
}
