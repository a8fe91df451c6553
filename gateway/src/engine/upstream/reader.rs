//! The three ways of reading an answer, as one.

use std::collections::VecDeque;

use bytes::Bytes;

use super::events::{ChunkReader, StreamError};
use super::passage::{FrameReader, WholeReader};
use crate::engine::Event;

/// Reads an answer.
pub(super) enum Reader {
    /// As events of ours.
    Chunks(ChunkReader),
    /// As a stream that goes to the client as it is.
    Frames(FrameReader),
    /// As an answer that goes to the client as it is.
    Whole(WholeReader),
}

impl Reader {
    /// Takes the next bytes.
    pub(super) fn push(&mut self, bytes: Bytes, events: &mut VecDeque<Event>) -> Result<(), StreamError> {
        match self {
            Self::Chunks(chunks) => chunks.push(&bytes, events),
            Self::Frames(frames) => frames.push(bytes, events),
            Self::Whole(whole) => whole.push(&bytes),
        }
    }

    /// The bytes have ended.
    pub(super) fn finish(&mut self, events: &mut VecDeque<Event>) -> Result<(), StreamError> {
        match self {
            Self::Chunks(chunks) => chunks.finish(events),
            Self::Frames(frames) => frames.finish(events),
            Self::Whole(whole) => whole.finish(events),
        }
    }

    /// Whether the answer is complete: what follows says nothing.
    pub(super) fn is_done(&self) -> bool {
        match self {
            Self::Chunks(chunks) => chunks.is_done(),
            Self::Frames(frames) => frames.is_done(),
            Self::Whole(_) => false,
        }
    }
}
