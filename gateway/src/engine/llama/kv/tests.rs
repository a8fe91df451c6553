//! The cache against the simulated context.

use std::sync::Arc;

use super::KvCache;
use crate::engine::llama::compute::{Limits, Row, Slot};
use crate::engine::llama::simulated::Simulated;

const LIMITS: Limits = Limits { slots: 2, window: 128, batch: 128, cells: 256, unified: false };

fn cache(host_limit: usize) -> KvCache<Simulated> {
    KvCache::new(Simulated::new(LIMITS), host_limit)
}

fn compute(kv: &mut KvCache<Simulated>, slot: Slot, tokens: &[u32], from: usize) {
    let rows: Vec<Row> = (from..tokens.len())
        .map(|i| Row { token: tokens[i], position: u32::try_from(i).unwrap(), slot, logits: false })
        .collect();
    kv.decode(&rows).expect("there is room");
}

/// Runs a sequence to its end; returns how many of its tokens were reused.
fn run(kv: &mut KvCache<Simulated>, salt: &str, tokens: &[u32]) -> usize {
    let found = kv.longest_match(salt, &tokens[..tokens.len() - 1]);
    let (slot, reused) = kv.begin(salt, found.as_ref()).expect("a slot is free");
    compute(kv, slot, tokens, reused);
    kv.finish(slot, &Arc::from(salt), tokens);
    reused
}

#[test]
fn the_next_turn_goes_on_where_the_last_one_ended() {
    let mut kv = cache(1 << 20);
    let turn: Vec<u32> = (1..40).collect();
    assert_eq!(run(&mut kv, "a", &turn), 0);
    let next: Vec<u32> = (1..60).collect();
    assert_eq!(run(&mut kv, "a", &next), 39);
}

#[test]
fn a_sequence_pushed_out_of_its_slot_is_brought_back_from_the_host() {
    let mut kv = cache(1 << 20);
    let first: Vec<u32> = (1..40).collect();
    run(&mut kv, "a", &first);
    for other in 1..4 {
        run(&mut kv, "b", &(100 * other..100 * other + 30).collect::<Vec<_>>());
    }
    assert_eq!(run(&mut kv, "a", &(1..50).collect::<Vec<_>>()), 39);
}

#[test]
fn a_short_prefix_of_a_long_sequence_leaves_that_sequence_whole() {
    let mut kv = cache(1 << 20);
    let long: Vec<u32> = (1..100).collect();
    run(&mut kv, "a", &long);
    let other: Vec<u32> = (1..20).chain(500..510).collect();
    assert_eq!(run(&mut kv, "a", &other), 19);
    assert_eq!(run(&mut kv, "a", &(1..101).collect::<Vec<_>>()), 99);
}

#[test]
fn what_a_moved_sequence_displaces_stays_in_the_context() {
    let limits = Limits { slots: 3, cells: 384, ..LIMITS };
    let mut kv = KvCache::new(Simulated::new(limits), 1 << 20);
    let tokens: Vec<Vec<u32>> = (0..3).map(|i| (100 * i..100 * i + 30).collect()).collect();
    for (id, tokens) in (0..3).zip(&tokens) {
        assert_eq!(kv.begin("a", None), Some((Slot(id), 0)));
        compute(&mut kv, Slot(id), tokens, 0);
    }
    kv.finish(Slot(1), &Arc::from("a"), &tokens[1]);
    assert_eq!(kv.hole(), Some((Slot(2), Slot(1))));
    kv.relocate(Slot(2), Slot(1)).expect("the slot is not running");
    assert_eq!(kv.hole(), None);
    let found = kv.longest_match("a", &tokens[1]);
    assert_eq!(kv.begin("a", found.as_ref()), Some((Slot(2), 30)));
    for (slot, tokens) in [(0, &tokens[0]), (1, &tokens[2]), (2, &tokens[1])] {
        let more: Vec<u32> = tokens.iter().copied().chain([7]).collect();
        compute(&mut kv, Slot(slot), &more, 30);
    }
}

#[test]
fn the_host_forgets_the_least_recently_used_first() {
    // Room for two sequences of 30 tokens beside the two slots.
    let mut kv = cache(2 * 30 * 4);
    let texts: Vec<Vec<u32>> = (0..5).map(|i| (1000 * i + 1..1000 * i + 31).collect()).collect();
    for text in &texts {
        run(&mut kv, "a", text);
    }
    let reused = |kv: &KvCache<Simulated>, text: &[u32]| kv.longest_match("a", text).map_or(0, |m| m.length);
    assert_eq!(reused(&kv, &texts[0]), 0);
    assert_eq!(reused(&kv, &texts[4]), 30);
}

#[test]
fn with_no_memory_for_it_nothing_is_retained() {
    let mut kv = cache(0);
    run(&mut kv, "a", &(1..40).collect::<Vec<_>>());
    assert_eq!(run(&mut kv, "a", &(1..41).collect::<Vec<_>>()), 0);
}
