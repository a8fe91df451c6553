//! Why a conversation cannot be gone on from, or not be kept.

use super::store::StoreError;
use crate::error::{ApiError, ErrorKind};

/// Why a conversation cannot be gone on from, or not be kept.
#[derive(Debug, thiserror::Error)]
pub enum ConversationError {
    /// Nothing has this id, or it is somebody else's: said alike.
    #[error("no {kind} with id '{id}' was found; it may have been deleted, or was not used for too long")]
    NotFound {
        /// What was looked for.
        kind: &'static str,
        /// Its id.
        id: String,
    },
    /// Another request added to the conversation in the meantime.
    #[error(
        "another request has added to this conversation in the meantime (it is at {head} now); \
         nothing of this one was kept, send it again"
    )]
    Conflict {
        /// The state that the conversation is in.
        head: u64,
    },
    /// It holds as much as one may.
    #[error("this conversation is full; begin a new one, or delete some of its items")]
    Full,
    /// The response is still being made.
    #[error("the response '{0}' is not finished; wait for it before going on from it")]
    Unfinished(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What is stored cannot be read: another key, or not ours.
    #[error("what is stored of '{0}' cannot be read")]
    Unreadable(String),
}

impl From<ConversationError> for ApiError {
    fn from(error: ConversationError) -> Self {
        let text = error.to_string();
        match error {
            ConversationError::NotFound { kind, .. } => {
                let code = if kind == "response" { "response_not_found" } else { "conversation_not_found" };
                Self::new(ErrorKind::NotFound, text).with_code(code)
            }
            ConversationError::Conflict { .. } => {
                Self::new(ErrorKind::Conflict, text).with_code("conversation_conflict")
            }
            ConversationError::Full => Self::invalid(text).with_code("conversation_full"),
            ConversationError::Unfinished(_) => {
                Self::new(ErrorKind::Conflict, text).with_code("response_not_finished")
            }
            ConversationError::Store(_) => {
                let text = "stored conversations cannot be reached at present; try again";
                Self::new(ErrorKind::Overloaded, text)
                    .with_code("conversations_unavailable")
                    .with_cause(error)
            }
            ConversationError::Unreadable(_) => {
                Self::server().with_code("content_unreadable").with_cause(error)
            }
        }
    }
}
