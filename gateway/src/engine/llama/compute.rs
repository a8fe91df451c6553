//! What the scheduler asks of a context: decode a batch, read logits, keep and move the KV of sequences.
//!
//! The one real implementation is [`super::context::LlamaCompute`]; the scheduler's tests drive an exact model of
//! its rules, which refuses what llama.cpp would abort on.

use super::memory_file::MemoryFile;

/// A sequence's place in the context, checked against the number of slots where it is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(pub u16);

impl Slot {
    /// The slot's position in a table of slots.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// One token to compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// The token.
    pub token: u32,
    /// Its position in its sequence.
    pub position: u32,
    /// The sequence's slot.
    pub slot: Slot,
    /// Whether the logits after this token are wanted.
    pub logits: bool,
}

/// The context's sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Sequences at once.
    pub slots: u16,
    /// Most tokens of one sequence.
    pub window: u32,
    /// Most rows of one decode.
    pub batch: u32,
    /// KV cells of the whole context.
    pub cells: u32,
    /// Whether all sequences draw on one pool of cells, so that it can run out while no window is full.
    pub unified: bool,
}

/// Why the context refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ComputeError {
    /// No free cells for the batch; nothing was changed.
    #[error("the KV cache is full")]
    KvFull,
    /// The state does not fit this context.
    #[error("the sequence's state could not be restored")]
    Restore,
    /// Anything else that llama.cpp reports.
    #[error("{0}")]
    Failed(String),
}

/// A context that computes.
pub trait Compute {
    /// A sequence's KV, held in host memory.
    type Snapshot: Saved;

    /// The context's sizes.
    fn limits(&self) -> Limits;

    /// Computes all rows. Positions continue each sequence, and rows stand in the order of their slots.
    fn decode(&mut self, rows: &[Row]) -> Result<(), ComputeError>;

    /// The logits after row `row` of the last decode, if they were asked for.
    fn logits(&self, row: usize) -> Option<&[f32]>;

    /// Copies a sequence's KV out.
    fn save(&mut self, slot: Slot) -> Result<Self::Snapshot, ComputeError>;

    /// Copies a saved KV into an empty slot.
    fn restore(&mut self, slot: Slot, snapshot: &Self::Snapshot) -> Result<(), ComputeError>;

    /// Copies a sequence's KV out in a form that can leave the process.
    fn save_file(&mut self, slot: Slot) -> Result<MemoryFile, ComputeError>;

    /// Copies what [`Compute::save_file`] gave into an empty slot. The bytes must be the same: llama.cpp's reader may
    /// abort on others.
    fn restore_file(&mut self, slot: Slot, file: &MemoryFile) -> Result<(), ComputeError>;

    /// Lets `to`, which is empty, share the first `length` cells of `from` without a copy; `false` where the
    /// context's layout cannot.
    fn share(&mut self, from: Slot, to: Slot, length: u32) -> bool;

    /// Drops a sequence's cells from `length` on; `false` where the model's memory cannot be cut there.
    fn truncate(&mut self, slot: Slot, length: u32) -> bool;

    /// Drops all of a sequence's cells.
    fn clear(&mut self, slot: Slot);
}

/// A saved sequence.
pub trait Saved {
    /// Its size in host memory.
    fn bytes(&self) -> usize;
}
