//! The events of responses that nobody need wait for, so that any replica can tell them again from any place on.
//!
//! A log is bounded and ends some time after its last event. Whoever writes it writes at least each [`BEAT`], and
//! learns so that the response was cancelled; a log that is silent for [`SILENCE`] has lost its writer.

pub mod memory;
pub mod metered;
pub mod redis;
#[cfg(test)]
mod tests;

use std::time::Duration;

use bytes::Bytes;

use super::store::Answer;

/// How often a log's writer is heard of at least.
pub const BEAT: Duration = Duration::from_millis(500);
/// A writer that is silent for so long is gone.
pub const SILENCE: Duration = Duration::from_secs(15);
/// How long a log is kept after its last event.
pub const KEPT: Duration = Duration::from_mins(10);
/// Events of one log at most; the oldest go first.
pub const MOST: usize = 20_000;

/// An event, with its place in the stream.
pub type Numbered = (u64, Bytes);

/// What a log knows of its writer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Standing {
    /// The writer has been heard of lately.
    pub alive: bool,
    /// The response was cancelled.
    pub cancelled: bool,
}

/// Keeps the events of many responses.
pub trait EventLog: Send + Sync + 'static {
    /// Adds events, and says that the writer lives. Events that are there already are not added again.
    fn append<'a>(&'a self, owner: &'a str, id: &'a str, events: &'a [Numbered]) -> Answer<'a, Standing>;

    /// The events behind a place, at most so many.
    fn read<'a>(
        &'a self,
        owner: &'a str,
        id: &'a str,
        after: Option<u64>,
        most: usize,
    ) -> Answer<'a, Vec<Numbered>>;

    /// How a log stands; not alive where there is none.
    fn standing<'a>(&'a self, owner: &'a str, id: &'a str) -> Answer<'a, Standing>;

    /// Tells the writer to stop.
    fn cancel<'a>(&'a self, owner: &'a str, id: &'a str) -> Answer<'a, ()>;

    /// The response is deleted: so are its events.
    fn remove<'a>(&'a self, owner: &'a str, id: &'a str) -> Answer<'a, ()>;
}
