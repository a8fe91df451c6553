//! The operations, one file per resource: extract, steps, wrap.

pub mod admin;
pub mod chat;
pub mod completions;
pub mod conversations;
pub mod docs;
pub mod embeddings;
pub(crate) mod generation;
#[cfg(test)]
pub(crate) mod harness;
pub mod health;
pub mod jwks;
pub mod messages;
pub mod models;
pub mod payload;
pub mod predict;
pub mod responses;
pub mod tokens;
pub mod worker;

use std::sync::Arc;

use poem_openapi::Tags;

use crate::auth::Principal;
use crate::engine::Start;

/// Groups of operations in the document.
#[derive(Debug, Clone, Copy, Tags)]
pub enum Tag {
    /// Conversations with a model.
    Chat,
    /// Conversations with a model, as Anthropic's clients have them.
    Messages,
    /// Answers that are kept, and gone on from.
    Responses,
    /// Conversations that are kept.
    Conversations,
    /// Text that a model goes on from.
    Completions,
    /// Texts as vectors.
    Embeddings,
    /// What models there are.
    Models,
    /// A model's tokens.
    Tokens,
    /// The smallest possible call.
    Predict,
    /// Who may do what, and who changed it.
    Admin,
    /// Whether the gateway lives and may be sent traffic. No credential needed.
    Health,
}

/// Whom a generation is for.
pub fn start_for(caller: &Principal) -> Start {
    Start { tenant: Arc::clone(&caller.subject), priority: caller.policy.priority }
}
