//! The logits that a draw is made from: the model's own, read in place, with a few changed or most ruled out.

use super::math::BLOCK;
use super::penalty::Adjustments;

/// A mask that allows less than one token in so many is drawn from by listing them.
const SPARSE: usize = 8;

/// Bits in a word of a mask.
const WORD: usize = 32;

/// Logits by index, block by block.
#[derive(Debug, Clone, Copy)]
pub(super) struct View<'a> {
    logits: &'a [f32],
    overlay: &'a Overlay,
    /// The token of each index, where the view lists only some tokens.
    tokens: Option<&'a [u32]>,
    /// The token to name where none can be drawn: the first that the mask allows.
    pub(super) first: u32,
}

impl<'a> View<'a> {
    pub(super) fn len(&self) -> usize {
        self.logits.len()
    }

    /// The blocks in order, each of [`BLOCK`] logits but for the last.
    pub(super) fn blocks(&self) -> impl Iterator<Item = &'a [f32]> + use<'a> {
        let overlay = self.overlay;
        self.logits
            .chunks(BLOCK)
            .enumerate()
            .map(move |(i, block)| overlay.get(i, block.len()).unwrap_or(block))
    }

    /// One block; empty past the end.
    pub(super) fn block(&self, index: usize) -> &'a [f32] {
        let start = index * BLOCK;
        let end = self.logits.len().min(start + BLOCK);
        let block = self.logits.get(start..end).unwrap_or_default();
        self.overlay.get(index, block.len()).unwrap_or(block)
    }

    /// The token at an index.
    pub(super) fn token(&self, index: u32) -> u32 {
        self.tokens.and_then(|tokens| tokens.get(index as usize)).copied().unwrap_or(index)
    }
}

/// Copies of those blocks in which a logit changes.
#[derive(Debug, Default)]
struct Overlay {
    /// For each block, one more than its place in `copies`, or 0. Empty where nothing changes.
    places: Vec<usize>,
    copies: Vec<[f32; BLOCK]>,
}

impl Overlay {
    fn get(&self, block: usize, len: usize) -> Option<&[f32]> {
        let place = self.places.get(block)?.checked_sub(1)?;
        self.copies.get(place)?.get(..len)
    }

    fn clear(&mut self) {
        self.places.clear();
        self.copies.clear();
    }

    fn change(&mut self, logits: &[f32], token: usize, changed: &dyn Fn(f32) -> f32) {
        if token >= logits.len() {
            return;
        }
        if self.places.is_empty() {
            self.places.resize(logits.len().div_ceil(BLOCK), 0);
        }
        let Some(place) = self.places.get_mut(token / BLOCK) else { return };
        if *place == 0 {
            let mut copy = [f32::NEG_INFINITY; BLOCK];
            for (to, &from) in copy.iter_mut().zip(logits.iter().skip(token / BLOCK * BLOCK)) {
                *to = from;
            }
            self.copies.push(copy);
            *place = self.copies.len();
        }
        if let Some(logit) = self.copies.get_mut(*place - 1).and_then(|copy| copy.get_mut(token % BLOCK)) {
            *logit = changed(*logit);
        }
    }
}

/// Reusable memory for views.
#[derive(Debug, Default)]
pub(super) struct Source {
    overlay: Overlay,
    logits: Vec<f32>,
    tokens: Vec<u32>,
}

impl Source {
    /// The model's logits as they are.
    pub(super) fn plain<'a>(&'a mut self, logits: &'a [f32]) -> View<'a> {
        self.overlay.clear();
        View { logits, overlay: &self.overlay, tokens: None, first: 0 }
    }

    /// The logits with the changes applied and what the mask rules out at minus infinity or left out.
    ///
    /// Bit `i % 32` of word `i / 32` of the mask allows token `i`; what it has no word for is ruled out. A mask that
    /// allows nothing cannot be obeyed and is left aside: the constraint that made it refuses the token after.
    pub(super) fn view<'a>(
        &'a mut self,
        logits: &'a [f32],
        mask: Option<&[u32]>,
        adjustments: &Adjustments,
    ) -> View<'a> {
        self.overlay.clear();
        let words = mask.map(|mask| Words { mask, len: logits.len() });
        let allowed = words.map_or(0, Words::count);
        let Some(words) = words.filter(|_| allowed > 0) else {
            adjustments.each(|token, changed| self.overlay.change(logits, token as usize, changed));
            return View { logits, overlay: &self.overlay, tokens: None, first: 0 };
        };
        let first = words.first();
        if allowed <= logits.len() / SPARSE {
            self.list(logits, words, adjustments);
            View { logits: &self.logits, overlay: &self.overlay, tokens: Some(&self.tokens), first }
        } else {
            self.blank(logits, words, adjustments);
            View { logits: &self.logits, overlay: &self.overlay, tokens: None, first }
        }
    }

    /// Few are allowed: only they are copied, with their tokens beside them.
    fn list(&mut self, logits: &[f32], words: Words<'_>, adjustments: &Adjustments) {
        self.tokens.clear();
        self.logits.clear();
        for (first, word) in words.iter() {
            let mut left = word;
            while left != 0 {
                let token = first + left.trailing_zeros();
                self.tokens.push(token);
                self.logits.push(logits.get(token as usize).copied().unwrap_or(f32::NEG_INFINITY));
                left &= left - 1;
            }
        }
        adjustments.each(|token, changed| {
            if let Ok(index) = self.tokens.binary_search(&token)
                && let Some(logit) = self.logits.get_mut(index)
            {
                *logit = changed(*logit);
            }
        });
    }

    /// Many are allowed: all are copied, the others as minus infinity, without a branch.
    fn blank(&mut self, logits: &[f32], words: Words<'_>, adjustments: &Adjustments) {
        self.logits.clear();
        self.logits.resize(logits.len(), f32::NEG_INFINITY);
        for ((to, from), (_, word)) in self.logits.chunks_mut(WORD).zip(logits.chunks(WORD)).zip(words.iter())
        {
            for ((to, &from), bit) in to.iter_mut().zip(from).zip(0_u32..) {
                *to = if (word >> bit) & 1 == 1 { from } else { f32::NEG_INFINITY };
            }
        }
        adjustments.each(|token, changed| {
            if let Some(logit) = self.logits.get_mut(token as usize) {
                *logit = changed(*logit);
            }
        });
    }
}

/// A mask's words, without bits past the vocabulary.
#[derive(Clone, Copy)]
struct Words<'a> {
    mask: &'a [u32],
    len: usize,
}

impl<'a> Words<'a> {
    /// Each word with the token of its lowest bit.
    fn iter(self) -> impl Iterator<Item = (u32, u32)> + use<'a> {
        let whole = self.len / WORD;
        let last = (1_u32 << (self.len % WORD)) - 1;
        let words = self.mask.iter().enumerate().take(self.len.div_ceil(WORD));
        let inside = words.map(move |(i, &word)| if i < whole { word } else { word & last });
        (0_u32..).step_by(WORD).zip(inside)
    }

    fn first(self) -> u32 {
        let word = self.iter().find(|(_, word)| *word != 0);
        word.map_or(0, |(first, word)| first + word.trailing_zeros())
    }

    fn count(self) -> usize {
        self.iter().map(|(_, word)| word.count_ones() as usize).sum()
    }
}
