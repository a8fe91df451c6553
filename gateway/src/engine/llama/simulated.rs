//! An exact model of a context's rules, for the scheduler's tests: it refuses what llama.cpp would abort on, and its
//! next token depends on every token in the KV, so that a wrong restore changes the answer.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::compute::{Compute, ComputeError, Limits, Row, Saved, Slot};
use super::memory_file::MemoryFile;

/// Tokens 1 to `VOCABULARY - 1` are text, 0 ends a generation.
pub(super) const VOCABULARY: usize = 32;

/// A simulated context.
pub(super) struct Simulated {
    limits: Limits,
    slots: Vec<Vec<Cell>>,
    next_cell: u64,
    logits: Vec<Option<Vec<f32>>>,
    law: Law,
    /// Whether a sequence can be cut: a recurrent memory cannot.
    cuts: bool,
    /// Rows of every decode so far.
    pub(super) steps: Vec<Vec<Row>>,
}

#[derive(Debug, Clone, Copy)]
struct Cell {
    id: u64,
    token: u32,
}

/// A saved sequence.
#[derive(Debug)]
pub(super) struct SavedTokens(Vec<u32>);

impl Saved for SavedTokens {
    fn bytes(&self) -> usize {
        self.0.len() * 4
    }
}

/// The greedy continuation of a text: what any correct schedule must produce.
pub(super) fn next_token(tokens: &[u32]) -> u32 {
    let mut hasher = DefaultHasher::new();
    tokens.hash(&mut hasher);
    u32::try_from(hasher.finish() % VOCABULARY as u64).unwrap()
}

/// What follows a text.
pub(super) type Law = fn(&[u32]) -> u32;

/// A model that says again what it said seven tokens before, four times of five; where and how it departs from that
/// depends on the whole text.
pub(super) fn echoing(tokens: &[u32]) -> u32 {
    let whim = next_token(tokens);
    let earlier = tokens.len().checked_sub(7).and_then(|index| tokens.get(index));
    earlier.copied().filter(|_| !whim.is_multiple_of(5)).unwrap_or(whim)
}

/// A model that says the last seven tokens for ever.
pub(super) fn repeating(tokens: &[u32]) -> u32 {
    tokens.len().checked_sub(7).and_then(|index| tokens.get(index)).copied().unwrap_or(1)
}

impl Simulated {
    pub(super) fn new(limits: Limits) -> Self {
        let slots = vec![Vec::new(); usize::from(limits.slots)];
        let (logits, steps) = (Vec::new(), Vec::new());
        Self { limits, slots, next_cell: 0, logits, law: next_token, cuts: true, steps }
    }

    /// A model with another law.
    pub(super) fn with_law(mut self, law: Law) -> Self {
        self.law = law;
        self
    }

    /// A model whose sequences cannot be cut.
    pub(super) fn uncut(mut self) -> Self {
        self.cuts = false;
        self
    }

    fn cells_used(&self) -> usize {
        self.slots.iter().flatten().map(|cell| cell.id).collect::<HashSet<_>>().len()
    }

    fn cell(&mut self, token: u32) -> Cell {
        self.next_cell += 1;
        Cell { id: self.next_cell, token }
    }
}

impl Compute for Simulated {
    type Snapshot = SavedTokens;

    fn limits(&self) -> Limits {
        self.limits
    }

    fn decode(&mut self, rows: &[Row]) -> Result<(), ComputeError> {
        assert!(!rows.is_empty() && rows.len() <= self.limits.batch as usize, "batch of {} rows", rows.len());
        assert!(rows.is_sorted_by_key(|row| row.slot), "rows stand in the order of their slots");
        self.logits.clear();
        if self.limits.unified && self.cells_used() + rows.len() > self.limits.cells as usize {
            return Err(ComputeError::KvFull);
        }
        for row in rows {
            let cell = self.cell(row.token);
            let slot = &mut self.slots[row.slot.index()];
            assert_eq!(
                slot.len(),
                row.position as usize,
                "positions continue the sequence in {:?}",
                row.slot
            );
            assert!(slot.len() < self.limits.window as usize, "the window is kept");
            slot.push(cell);
            let tokens: Vec<u32> = slot.iter().map(|cell| cell.token).collect();
            self.logits.push(row.logits.then(|| {
                let mut logits = vec![0.0; VOCABULARY];
                logits[(self.law)(&tokens) as usize] = 10.0;
                logits
            }));
        }
        self.steps.push(rows.to_vec());
        Ok(())
    }

    fn logits(&self, row: usize) -> Option<&[f32]> {
        self.logits.get(row)?.as_deref()
    }

    fn save(&mut self, slot: Slot) -> Result<SavedTokens, ComputeError> {
        Ok(SavedTokens(self.slots[slot.index()].iter().map(|cell| cell.token).collect()))
    }

    fn restore(&mut self, slot: Slot, snapshot: &SavedTokens) -> Result<(), ComputeError> {
        assert!(self.slots[slot.index()].is_empty(), "a restore needs an empty slot");
        if self.limits.unified && self.cells_used() + snapshot.0.len() > self.limits.cells as usize {
            return Err(ComputeError::Restore);
        }
        let cells = snapshot.0.iter().map(|token| self.cell(*token)).collect();
        self.slots[slot.index()] = cells;
        Ok(())
    }

    fn save_file(&mut self, slot: Slot) -> Result<MemoryFile, ComputeError> {
        let mut file = MemoryFile::create().unwrap();
        for token in self.save(slot)?.0 {
            file.append(&token.to_le_bytes()).unwrap();
        }
        Ok(file)
    }

    fn restore_file(&mut self, slot: Slot, file: &MemoryFile) -> Result<(), ComputeError> {
        let mut bytes = Vec::new();
        file.read(|piece| {
            bytes.extend_from_slice(piece);
            Ok(())
        })
        .unwrap();
        if bytes.len() % 4 != 0 {
            return Err(ComputeError::Restore);
        }
        let tokens = bytes.chunks_exact(4).map(|token| u32::from_le_bytes(token.try_into().unwrap()));
        self.restore(slot, &SavedTokens(tokens.collect()))
    }

    fn share(&mut self, from: Slot, to: Slot, length: u32) -> bool {
        assert!(self.limits.unified, "a split cache would abort here");
        assert!(self.slots[to.index()].is_empty(), "sharing needs an empty slot");
        self.slots[to.index()] = self.slots[from.index()][..length as usize].to_vec();
        true
    }

    fn truncate(&mut self, slot: Slot, length: u32) -> bool {
        if self.cuts {
            self.slots[slot.index()].truncate(length as usize);
        }
        self.cuts
    }

    fn clear(&mut self, slot: Slot) {
        self.slots[slot.index()].clear();
    }
}
