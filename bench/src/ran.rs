//! What a run gave: its requests, and what else its scenario looks at.

use serde::Serialize;

use crate::error::CallError;
use crate::stats::Quantiles;
use crate::transcript::Transcript;
use crate::workload::Class;

/// One request that was made.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Which kind of request.
    pub(crate) class: Class,
    /// What came back.
    pub(crate) result: Result<Transcript, CallError>,
}

/// What a run gave: its requests, and what else the scenario looks at.
#[derive(Debug, Default)]
pub(crate) struct Ran {
    /// All requests.
    pub(crate) outcomes: Vec<Outcome>,
    /// Requests that the time limit left undone.
    pub(crate) undone: usize,
    /// What `long-arrival` saw.
    pub(crate) arrival: Option<Arrival>,
    /// What `prefix-reuse` saw.
    pub(crate) reuse: Option<Reuse>,
    /// What `turns` and `stored-turns` saw.
    pub(crate) turns: Option<Turns>,
}

/// What the running streams felt.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Arrival {
    /// Tokens of the prompt that arrived.
    pub(crate) prompt_tokens: u64,
    /// From its sending to its first token.
    pub(crate) first_token_ms: f64,
    /// Pauses between tokens of the running streams in the seconds before it came.
    pub(crate) before_ms: Quantiles,
    /// The same from its coming to its first token.
    pub(crate) during_ms: Quantiles,
    /// `during.p99 - before.p99`.
    pub(crate) stretch_ms: f64,
    /// `during.p50 - before.p50`: what one chunk of prefill adds to a step, where the prompt is worked off in many.
    pub(crate) chunk_ms: f64,
    /// Running streams that came to their end before the long prompt's first token: should be 0.
    pub(crate) ended_early: usize,
}

/// Medians over the repeats.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Reuse {
    /// Nobody computed the prefix before.
    pub(crate) cold_ms: f64,
    /// Another request computed it before.
    pub(crate) warm_ms: f64,
    /// `warm / cold`.
    pub(crate) warm_ratio: f64,
    /// From the leader's first token to the last follower's, where followers came while the leader was computing.
    pub(crate) follower_lag_ms: f64,
    /// `follower_lag / cold`: what the prefix cost the followers beyond waiting for the leader.
    pub(crate) follower_ratio: f64,
    /// Followers at once.
    pub(crate) followers: u32,
    /// Tokens of the warm prompt.
    pub(crate) prompt_tokens: u64,
    /// Of these, tokens that the server says it did not compute again.
    pub(crate) cached_tokens: u64,
}

/// Medians over the conversations.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Turns {
    /// Time to first token, turn by turn.
    pub(crate) first_token_by_turn_ms: Vec<f64>,
    /// The first of them.
    pub(crate) first_turn_ms: f64,
    /// The last of them.
    pub(crate) last_turn_ms: f64,
    /// Tokens of the last turn's prompt.
    pub(crate) last_prompt_tokens: f64,
    /// Of these, tokens that the server says it did not compute again.
    pub(crate) last_cached_tokens: f64,
    /// 1.3 times the first turn, and the prefill of the last one's new tokens at the first one's speed.
    pub(crate) allowed_ms: f64,
    /// `last / allowed`.
    pub(crate) of_allowed: f64,
}
