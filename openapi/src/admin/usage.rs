//! Usage: what a subject used of a model on a day.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a subject used of a model on a day in UTC.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UsageRow {
    /// The row's place: what a next page's `after` names.
    pub id: String,
    /// The day in UTC, as `2026-11-23`.
    pub day: String,
    /// Who.
    pub subject: String,
    /// Of which model.
    pub model: String,
    /// Requests that the model began.
    pub requests: u64,
    /// Those of them that failed; a client that left is no failure.
    pub failed: u64,
    /// Tokens of prompts.
    pub prompt_tokens: u64,
    /// Those of them that were not computed again.
    pub cached_tokens: u64,
    /// Tokens that were made.
    pub completion_tokens: u64,
}
