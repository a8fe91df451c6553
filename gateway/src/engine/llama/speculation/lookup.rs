//! Where a text last said the same few tokens: a table of its n-grams.

/// Marks a place of the table that holds nothing.
const EMPTY: u32 = 0;

/// The latest place of every n-gram of one text that something follows.
///
/// The tokens themselves stay with the sequence. A look-up and an addition cost the same however long the text is,
/// and nothing is allocated after the first.
#[derive(Debug)]
pub(super) struct NgramTable {
    n: usize,
    /// Open addressing, at most half full: the index of the token that follows an n-gram, whose tokens before it are
    /// the key.
    places: Box<[u32]>,
    /// Everything that ends before this token is in the table.
    added: usize,
}

impl NgramTable {
    /// For the n-grams of a text of up to `tokens` tokens. Zeroed memory costs nothing until it is touched.
    pub(super) fn new(n: usize, tokens: usize) -> Self {
        let places = vec![EMPTY; (2 * tokens).next_power_of_two().max(64)].into_boxed_slice();
        Self { n, places, added: n }
    }

    /// Adds the n-grams that end before the text's token `until`.
    pub(super) fn add(&mut self, text: &[u32], until: usize) {
        while self.added <= until.min(text.len().saturating_sub(1)) {
            let follower = self.added;
            let Some(key) = text.get(follower - self.n..follower) else { return };
            if follower * 2 > self.places.len() {
                // Longer than was said: what comes later is not found again.
                return;
            }
            if let Some(place) = self.find(text, key)
                && let Some(entry) = self.places.get_mut(place)
            {
                *entry = u32::try_from(follower).unwrap_or(EMPTY);
            }
            self.added += 1;
        }
    }

    /// The index of the token that followed the latest earlier n-gram that is equal to the text's last one.
    pub(super) fn latest(&self, text: &[u32]) -> Option<usize> {
        let key = text.get(text.len().checked_sub(self.n)?..)?;
        let place = self.find(text, key)?;
        self.places
            .get(place)
            .copied()
            .filter(|follower| *follower != EMPTY)
            .map(|follower| follower as usize)
    }

    /// The place of a key, or the empty one where it would go.
    fn find(&self, text: &[u32], key: &[u32]) -> Option<usize> {
        let mask = self.places.len() - 1;
        let mut place = hash(key) & mask;
        // Never full, so this ends.
        loop {
            let follower = *self.places.get(place)? as usize;
            if follower == EMPTY as usize || text.get(follower - self.n..follower) == Some(key) {
                return Some(place);
            }
            place = (place + 1) & mask;
        }
    }
}

fn hash(key: &[u32]) -> usize {
    let mixed = key.iter().fold(0_u64, |hash, token| {
        (hash ^ u64::from(*token)).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29)
    });
    // The low bits are the ones that count.
    usize::try_from((mixed ^ (mixed >> 32)) & u64::from(u32::MAX)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn naive(text: &[u32], n: usize) -> Option<usize> {
        let key = &text[text.len().checked_sub(n)?..];
        (n..text.len()).rev().find(|end| &text[end - n..*end] == key)
    }

    proptest! {
        #[test]
        fn the_table_finds_what_a_search_finds(
            text in prop::collection::vec(0_u32..5, 0..200),
            n in 2_usize..4,
            spare in 0_usize..100,
        ) {
            let mut table = NgramTable::new(n, text.len() + spare);
            for length in 1..=text.len() {
                let said = &text[..length];
                table.add(said, length - 1);
                prop_assert_eq!(table.latest(said), naive(said, n), "after {} tokens", length);
            }
        }
    }

    #[test]
    fn a_text_that_is_read_at_once_gives_the_same_table() {
        let text: Vec<u32> = (0..50).map(|index| index * index % 7).collect();
        let mut table = NgramTable::new(3, text.len());
        table.add(&text, text.len() - 1);
        assert_eq!(table.latest(&text), naive(&text, 3));
    }

    #[test]
    fn a_text_longer_than_was_said_is_read_no_further() {
        let text: Vec<u32> = (0..5000).map(|index| index % 900).collect();
        let mut table = NgramTable::new(2, 10);
        table.add(&text, text.len() - 1);
        assert_eq!(table.latest(&text), None);
    }
}
