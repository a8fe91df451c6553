//! The contract: what clients may rely on, as types. One file per resource; `document` finishes the OpenAPI page.
//!
//! Serde is the one truth of every name: `schemars` reads its attributes and the doc comments, so what is parsed and
//! what is documented cannot differ.

pub mod admin;
pub mod chat;
pub mod completions;
pub mod conversations;
pub mod document;
pub mod embeddings;
pub mod error;
pub mod health;
pub mod message;
pub mod messages;
pub mod models;
pub mod predict;
pub mod responses;
pub mod schema;
pub mod tokens;
pub mod usage;
