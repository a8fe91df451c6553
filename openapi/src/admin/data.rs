//! What a subject has stored: its conversations and responses.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::conversations::Conversation;
use crate::responses::{Item, Response};

/// One thing that a subject has stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StoredThing {
    /// `conv_…` or `resp_…`.
    pub id: String,
    /// What it holds, where that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<StoredContent>,
}

/// What a stored thing holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StoredContent {
    /// A conversation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation: Option<Conversation>,
    /// A response.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response: Option<Response>,
    /// The conversation's items, or the response's input.
    pub items: Vec<Item>,
}

/// All that a subject had stored is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DataDeleted {
    /// The subject.
    pub id: String,
    /// Always true.
    pub deleted: bool,
    /// How many conversations and responses it had.
    pub things: u64,
}
