//! Conversations that are kept on the server.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::responses::Item;

/// Notes of the client: up to 16 pairs.
pub type Metadata = BTreeMap<String, String>;

/// A new conversation.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NewConversation {
    /// Its first items, at most 20.
    #[serde(default)]
    #[schemars(with = "Option<Vec<Item>>")]
    pub items: Option<Vec<Value>>,
    /// Up to 16 pairs.
    #[serde(default)]
    pub metadata: Option<Metadata>,
}

/// A change of a conversation.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ConversationChange {
    /// Replaces the notes.
    pub metadata: Metadata,
}

/// Items to add to a conversation.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NewItems {
    /// At most 20.
    #[schemars(with = "Vec<Item>")]
    pub items: Vec<Value>,
}

/// A conversation (`object`: `conversation`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Conversation {
    /// `conv_…`.
    pub id: String,
    /// Always `conversation`.
    pub object: String,
    /// When it was made, seconds since the Unix epoch.
    pub created_at: u64,
    /// The client's notes.
    pub metadata: Metadata,
}
