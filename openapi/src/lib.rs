//! The contract: what clients may rely on, as types. One file per resource; `document` finishes the OpenAPI page.

pub mod chat;
pub mod completions;
pub mod message;
pub mod usage;
