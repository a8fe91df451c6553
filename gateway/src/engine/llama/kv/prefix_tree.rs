//! Which stored token sequence shares the longest prefix with a prompt.
//!
//! Sequences are kept in lexical order, which is a walk of the tree they form: those that share a prefix stand side
//! by side, and the longest common prefix with any key is found at one of the key's two neighbours. Each salt has a
//! tree of its own, so nothing is ever found across tenants.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::Arc;

/// A stored sequence that begins as the prompt does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    /// Tokens in common.
    pub length: usize,
    /// The stored sequence, whole.
    pub tokens: Arc<[u32]>,
}

/// Values by token sequence, found by common prefix.
#[derive(Debug)]
pub struct PrefixTree<V> {
    salted: HashMap<Arc<str>, BTreeMap<Arc<[u32]>, V>>,
}

impl<V> Default for PrefixTree<V> {
    fn default() -> Self {
        Self { salted: HashMap::new() }
    }
}

impl<V> PrefixTree<V> {
    /// The stored sequence with the longest common prefix; of equally long ones a short sequence, which is cheaper
    /// to restore.
    pub fn longest_match(&self, salt: &str, prompt: &[u32]) -> Option<Match> {
        let tree = self.salted.get(salt)?;
        let from = |bound| tree.range::<[u32], _>((bound, Bound::Unbounded)).next();
        let before = tree.range::<[u32], _>((Bound::Unbounded, Bound::Excluded(prompt))).next_back();
        let best = [from(Bound::Included(prompt)), before]
            .into_iter()
            .flatten()
            .map(|(tokens, _)| Match { length: common_prefix(tokens, prompt), tokens: Arc::clone(tokens) })
            .filter(|found| found.length > 0)
            .max_by_key(|found| (found.length, std::cmp::Reverse(found.tokens.len())))?;
        // The sequence that is nothing but the common prefix, if stored, stands first among all that begin with it.
        let shared = prompt.get(..best.length).unwrap_or_default();
        match from(Bound::Included(shared)) {
            Some((tokens, _)) if tokens.len() < best.tokens.len() && tokens.starts_with(shared) => {
                Some(Match { length: best.length, tokens: Arc::clone(tokens) })
            }
            _ => Some(best),
        }
    }

    /// Stores a value; returns the one that stood there.
    pub fn insert(&mut self, salt: &Arc<str>, tokens: Arc<[u32]>, value: V) -> Option<V> {
        self.salted.entry(Arc::clone(salt)).or_default().insert(tokens, value)
    }

    /// Takes a sequence out.
    pub fn remove(&mut self, salt: &str, tokens: &[u32]) -> Option<V> {
        let tree = self.salted.get_mut(salt)?;
        let value = tree.remove(tokens);
        if tree.is_empty() {
            self.salted.remove(salt);
        }
        value
    }

    /// The value of exactly this sequence.
    pub fn get(&self, salt: &str, tokens: &[u32]) -> Option<&V> {
        self.salted.get(salt)?.get(tokens)
    }

    /// The value of exactly this sequence, to be changed.
    pub fn get_mut(&mut self, salt: &str, tokens: &[u32]) -> Option<&mut V> {
        self.salted.get_mut(salt)?.get_mut(tokens)
    }

    /// All sequences and their values.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &Arc<[u32]>, &V)> {
        self.salted
            .iter()
            .flat_map(|(salt, tree)| tree.iter().map(move |(tokens, value)| (salt, tokens, value)))
    }

    /// How many sequences are stored.
    pub fn len(&self) -> usize {
        self.salted.values().map(BTreeMap::len).sum()
    }

    /// Whether nothing is stored.
    pub fn is_empty(&self) -> bool {
        self.salted.is_empty()
    }
}

/// How many tokens two sequences have in common from their start.
pub fn common_prefix(a: &[u32], b: &[u32]) -> usize {
    a.iter().zip(b).take_while(|(x, y)| x == y).count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn salt(name: &str) -> Arc<str> {
        Arc::from(name)
    }

    #[test]
    fn another_tenants_sequence_is_never_found() {
        let mut tree = PrefixTree::default();
        tree.insert(&salt("a"), Arc::from([1, 2, 3]), ());
        assert_eq!(tree.longest_match("b", &[1, 2, 3]), None);
    }

    #[test]
    fn a_tenant_with_nothing_stored_leaves_no_tree_behind() {
        let mut tree = PrefixTree::default();
        tree.insert(&salt("a"), Arc::from([1]), ());
        tree.remove("a", &[1]);
        assert!(tree.is_empty());
    }

    #[test]
    fn the_bare_prefix_is_preferred_over_longer_sequences() {
        let mut tree = PrefixTree::default();
        for tokens in [vec![1, 2], vec![1, 2, 0, 5], vec![1, 2, 9, 9]] {
            tree.insert(&salt("a"), Arc::from(tokens), ());
        }
        let found = tree.longest_match("a", &[1, 2, 5]).expect("the prefix is stored");
        assert_eq!((found.length, found.tokens.len()), (2, 2));
    }

    proptest! {
        #[test]
        fn the_match_is_as_long_as_a_search_through_all_finds(
            stored in prop::collection::vec(prop::collection::vec(0_u32..3, 1..8), 0..20),
            prompt in prop::collection::vec(0_u32..3, 0..8),
        ) {
            let mut tree = PrefixTree::default();
            for tokens in &stored {
                tree.insert(&salt("a"), Arc::from(tokens.as_slice()), ());
            }
            let expected = stored.iter().map(|tokens| common_prefix(tokens, &prompt)).max().unwrap_or(0);
            let found = tree.longest_match("a", &prompt);
            prop_assert_eq!(found.as_ref().map_or(0, |m| m.length), expected);
            if let Some(found) = found {
                prop_assert_eq!(common_prefix(&found.tokens, &prompt), found.length);
                prop_assert!(tree.remove("a", &found.tokens).is_some());
            }
        }
    }
}
