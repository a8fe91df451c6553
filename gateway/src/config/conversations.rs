//! The section `[conversations]`: how long and how much of them is kept.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Invalid, duration, require};

/// A month: as long as OpenAI keeps responses.
const KEEP_FOR: Duration = Duration::from_hours(30 * 24);
/// Far more than a window holds.
const MAX_ITEMS: u32 = 2_000;

/// How long and how much of conversations and responses is kept.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConversationsConfig {
    /// How long a thing is kept after it was last used.
    #[serde(with = "duration")]
    pub keep_for: Duration,
    /// Items of one conversation at most, and responses of one chain.
    pub max_items: u32,
    /// What becomes of an answer whose client leaves in the middle.
    pub partial: Partial,
    /// File with the key that contents are sealed with; without one they are stored as they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_file: Option<PathBuf>,
}

/// What becomes of an answer whose client leaves in the middle.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Partial {
    /// What was made is kept, marked incomplete.
    #[default]
    Keep,
    /// Nothing of the turn is kept.
    Drop,
}

impl Default for ConversationsConfig {
    fn default() -> Self {
        Self { keep_for: KEEP_FOR, max_items: MAX_ITEMS, partial: Partial::default(), key_file: None }
    }
}

impl ConversationsConfig {
    /// Checks what types cannot say.
    ///
    /// # Errors
    /// The first key whose value cannot work.
    pub fn validate(&self) -> Result<(), Invalid> {
        require(self.keep_for >= Duration::from_secs(1), "keep_for", "must be at least 1s")?;
        require((2..=100_000).contains(&self.max_items), "max_items", "must be from 2 to 100000")
    }
}
