//! Properties of whole draws, held against the plain reference.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::reference::{Past, allowed, distribution};
use super::*;

/// Logits that fall off like a language model's: few likely tokens, a long tail, in no order.
fn logits(len: usize, seed: u64, decay: f64) -> Vec<f32> {
    let mut ranks: Vec<(u64, usize)> =
        (0..len).map(|i| (random::unit(seed, i as u64).to_bits(), i)).collect();
    ranks.sort_unstable();
    #[expect(clippy::cast_possible_truncation, reason = "test data")]
    let logit = |rank: usize| (12.0 - decay * (rank as f64 + 1.5).ln()) as f32;
    ranks.into_iter().map(|(_, rank)| logit(rank)).collect()
}

fn draws(sampling: &Sampling, logits: &[f32], mask: Option<&[u32]>, count: u64) -> BTreeMap<u32, u64> {
    let mut found = BTreeMap::new();
    for seed in 0..count {
        *found.entry(Sampler::new(sampling, seed).sample(logits, mask)).or_default() += 1;
    }
    found
}

/// Pearson's statistic over tokens expected at least ten times, the others as one; far out of reach of chance.
fn assert_drawn_as(expected: &[(u32, f64)], found: &BTreeMap<u32, u64>, count: u64) {
    let (mut statistic, mut cells) = (0.0_f64, 0.0_f64);
    let (mut rare_expected, mut rare_found) = (0.0, 0.0);
    let mut cell = |expected: f64, found: f64| {
        statistic += (found - expected).powi(2) / expected;
        cells += 1.0;
    };
    for &(id, probability) in expected {
        let mean = probability * count as f64;
        let hits = found.get(&id).copied().unwrap_or(0) as f64;
        if mean >= 10.0 {
            cell(mean, hits);
        } else {
            rare_expected += mean;
            rare_found += hits;
        }
    }
    if rare_expected >= 10.0 {
        cell(rare_expected, rare_found);
    }
    let outside = found.keys().filter(|&id| !expected.iter().any(|(known, _)| known == id)).count();
    assert_eq!(outside, 0, "drawn outside the set");
    // Mean `cells`, deviation √(2·cells): six deviations and some for few cells.
    assert!(statistic < cells + 6.0 * (2.0 * cells).sqrt() + 12.0, "{statistic} with {cells} cells");
}

fn base() -> Sampling {
    Sampling::default()
}

#[test]
fn draws_follow_the_softmax_at_several_temperatures() {
    for (temperature, decay) in [(1.0, 1.2), (0.6, 1.2), (1.7, 2.5)] {
        let logits = logits(5_000, 3, decay);
        let sampling = Sampling { temperature, ..base() };
        let expected = distribution(&sampling, &logits, None, &Past::default());
        assert_drawn_as(&expected, &draws(&sampling, &logits, None, 40_000), 40_000);
    }
}

#[test]
fn draws_follow_the_truncated_distributions() {
    let logits = logits(5_000, 5, 1.1);
    let settings = [
        Sampling { top_k: 40, ..base() },
        Sampling { top_k: 300, ..base() },
        Sampling { top_p: 0.6, ..base() },
        Sampling { top_p: 0.97, temperature: 1.3, ..base() },
        Sampling { min_p: 0.02, ..base() },
        Sampling { top_k: 50, top_p: 0.8, min_p: 0.05, temperature: 0.8, ..base() },
    ];
    for sampling in settings {
        let expected = distribution(&sampling, &logits, None, &Past::default());
        assert_drawn_as(&expected, &draws(&sampling, &logits, None, 20_000), 20_000);
    }
}

#[test]
fn the_same_seed_draws_the_same_and_position_moves_only_by_accept() {
    let logits = logits(2_000, 9, 1.0);
    let run = |seed: u64| {
        let mut sampler = Sampler::new(&base(), seed);
        let tokens: Vec<u32> = (0..50)
            .map(|_| {
                let token = sampler.sample(&logits, None);
                assert_eq!(token, sampler.sample(&logits, None));
                sampler.accept(token);
                token
            })
            .collect();
        tokens
    };
    assert_eq!(run(42), run(42));
    assert_ne!(run(42), run(43));
}

#[test]
fn a_sampler_that_replays_its_tokens_goes_on_with_the_same_draws() {
    let logits = logits(2_000, 9, 1.0);
    let sampling = Sampling { repeat_penalty: 1.3, presence_penalty: 0.5, ..base() };
    let mut first = Sampler::new(&sampling, 11);
    let mut tokens = Vec::new();
    for _ in 0..100 {
        let token = first.sample(&logits, None);
        first.accept(token);
        tokens.push(token);
    }
    let mut resumed = Sampler::new(&sampling, 11);
    for &token in &tokens {
        resumed.accept(token);
    }
    assert_eq!(resumed.sample(&logits, None), first.sample(&logits, None));
}

#[test]
fn what_a_seed_draws_is_pinned() {
    let logits = logits(50_000, 1, 1.0);
    let mut sampler = Sampler::new(&base(), 2026);
    let tokens: Vec<u32> = (0..6)
        .map(|_| {
            let token = sampler.sample(&logits, None);
            sampler.accept(token);
            token
        })
        .collect();
    assert_eq!(tokens, PINNED);
}

/// Changes only with the draws' definition, which would break every recorded seed.
const PINNED: [u32; 6] = [2167, 7781, 12337, 30776, 28087, 31347];

#[test]
fn greedy_takes_the_lowest_of_equal_tokens() {
    let greedy = Sampling { temperature: 0.0, ..base() };
    let mut logits = vec![1.0_f32; 1000];
    logits[700] = 3.0;
    logits[300] = 3.0;
    assert_eq!(Sampler::new(&greedy, 1).sample(&logits, None), 300);
    let zeros = [-0.0, 0.0, -1.0];
    assert_eq!(Sampler::new(&greedy, 1).sample(&zeros, None), 0);
    assert_eq!(Sampler::new(&Sampling { top_k: 1, ..base() }, 1).sample(&logits, None), 300);
}

#[test]
fn what_is_not_a_number_is_never_drawn_and_infinity_always() {
    let settings = [
        base(),
        Sampling { temperature: 0.0, ..base() },
        Sampling { top_k: 5, ..base() },
        Sampling { top_p: 0.9, ..base() },
        Sampling { min_p: 0.1, ..base() },
    ];
    for sampling in &settings {
        let mut logits = vec![f32::NAN; 600];
        logits[555] = -4.0;
        assert_eq!(Sampler::new(sampling, 1).sample(&logits, None), 555);
        logits[10] = f32::INFINITY;
        assert_eq!(Sampler::new(sampling, 1).sample(&logits, None), 10);
        for nothing in [vec![f32::NAN; 600], vec![f32::NEG_INFINITY; 600], Vec::new()] {
            assert_eq!(Sampler::new(sampling, 1).sample(&nothing, None), 0);
            assert_eq!(
                Sampler::new(sampling, 1).sample(&nothing, Some(&[0, u32::MAX])),
                if nothing.is_empty() { 0 } else { 32 }
            );
        }
    }
}

#[test]
fn a_mask_that_allows_nothing_is_left_aside() {
    let logits = logits(1_000, 2, 1.0);
    let greedy = Sampling { temperature: 0.0, ..base() };
    let free = Sampler::new(&greedy, 1).sample(&logits, None);
    assert_eq!(Sampler::new(&greedy, 1).sample(&logits, Some(&[])), free);
    assert_eq!(Sampler::new(&greedy, 1).sample(&logits, Some(&[0; 40])), free);
}

#[test]
fn a_bias_bans_and_forces() {
    let logits = logits(5_000, 8, 1.0);
    let likeliest = Sampler::new(&Sampling { temperature: 0.0, ..base() }, 0).sample(&logits, None);
    let banned = Sampling { logit_bias: vec![(likeliest, -100.0), (9_999_999, 5.0)], ..base() };
    assert!(!draws(&banned, &logits, None, 500).contains_key(&likeliest));
    let forced = Sampling { logit_bias: vec![(4_321, 100.0)], ..base() };
    assert_eq!(draws(&forced, &logits, None, 100), BTreeMap::from([(4_321, 100)]));
}

#[test]
fn logprobs_agree_with_the_reference() {
    for (len, seed) in [(1, 1), (31, 2), (257, 3), (5_000, 4), (49_152, 5)] {
        let logits = logits(len, seed, 1.0);
        let expected = distribution(&base(), &logits, None, &Past::default());
        let last = expected.last().unwrap();
        let (drawn, top) = token_logprobs(&logits, last.0, 20);
        assert!((f64::from(drawn) - last.1.ln()).abs() < 1e-4, "{drawn} {}", last.1.ln());
        assert_eq!(top.len(), len.min(20));
        for ((id, logprob), (known, probability)) in top.iter().zip(&expected) {
            assert_eq!(id, known);
            assert!((f64::from(*logprob) - probability.ln()).abs() < 1e-5);
        }
    }
}

#[test]
fn logprobs_are_numbers_whatever_the_logits() {
    let odd = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1.0];
    assert_eq!(token_logprobs(&odd, 1, 1), (0.0, vec![(1, 0.0)]));
    for token in [0, 2, 3, 77] {
        assert_eq!(token_logprobs(&odd, token, 0), (-9999.0, vec![]));
    }
    assert_eq!(token_logprobs(&[], 0, 20), (-9999.0, vec![]));
    assert_eq!(token_logprobs(&[f32::NAN; 3], 0, 20), (-9999.0, vec![]));
    assert_eq!(token_logprobs(&[f32::NEG_INFINITY; 3], 0, 20).1, vec![]);
}

#[test]
fn a_nucleus_ends_within_equal_tokens_and_however_large_it_is() {
    let equal = vec![2.5_f32; 5_001];
    let half = Sampling { top_p: 0.5, ..base() };
    assert_eq!(kept(&mut Sampler::new(&half, 1), &equal, None), (0..2_501).collect::<Vec<u32>>());
    let flat = logits(20_000, 4, 0.1);
    let most = Sampling { top_p: 0.9, min_p: 0.5, ..base() };
    for (sampling, count) in [(half, 3_000), (most, 3_000), (Sampling { min_p: 0.4, ..base() }, 3_000)] {
        let expected = distribution(&sampling, &flat, None, &Past::default());
        let kept = kept(&mut Sampler::new(&sampling, 1), &flat, None);
        assert!(kept.len().abs_diff(expected.len()) <= 2, "{} {}", kept.len(), expected.len());
        let found = draws(&sampling, &flat, None, count);
        let mut ids: Vec<u32> = expected.iter().map(|&(id, _)| id).collect();
        ids.sort_unstable();
        assert!(found.keys().filter(|id| ids.binary_search(id).is_err()).count() <= 1);
        // Drawn from all over the set, not from its front only.
        let mean = found.iter().map(|(id, n)| f64::from(*id) * *n as f64).sum::<f64>() / count as f64;
        let middle: f64 = expected.iter().map(|&(id, probability)| f64::from(id) * probability).sum();
        assert!((mean - middle).abs() < 600.0, "{mean} {middle}");
    }
}

prop_compose! {
    fn settings()(
        temperature in prop_oneof![Just(0.0_f32), 0.2_f32..2.0],
        top_k in prop_oneof![Just(0_u32), 1_u32..60, 60_u32..2000],
        top_p in prop_oneof![Just(1.0_f32), 0.05_f32..0.999],
        min_p in prop_oneof![Just(0.0_f32), 0.001_f32..0.5],
        repeat_penalty in prop_oneof![Just(1.0_f32), 0.8_f32..2.0],
        frequency_penalty in prop_oneof![Just(0.0_f32), -2.0_f32..2.0],
        presence_penalty in prop_oneof![Just(0.0_f32), -2.0_f32..2.0],
        logit_bias in prop::collection::vec((0_u32..6000, -100.0_f32..100.0), 0..4),
    ) -> Sampling {
        Sampling { temperature, top_p, top_k, min_p, repeat_penalty, frequency_penalty, presence_penalty, logit_bias, seed: None }
    }
}

prop_compose! {
    fn masks()(kind in 0..3, words in prop::collection::vec(any::<u32>(), 1..200)) -> Option<Vec<u32>> {
        let one_of_many = |(i, word): (usize, &u32)| if i % 7 == 3 { 1 << (word % 32) } else { 0 };
        match kind {
            0 => None,
            1 => Some(words.iter().enumerate().map(one_of_many).collect()),
            _ => Some(words),
        }
    }
}

/// The tokens that a draw chose among, where something truncated them.
fn kept(sampler: &mut Sampler, logits: &[f32], mask: Option<&[u32]>) -> Vec<u32> {
    WORKSPACE.with_borrow_mut(|workspace| {
        *workspace = Workspace::default();
        let Workspace { source, scan, candidates } = workspace;
        let view = source.view(logits, mask, &sampler.adjustments);
        let drawn = sampler.choose(&view, scan, candidates).map(|index| view.token(index));
        let mut kept: Vec<u32> =
            candidates.sorted().iter().map(|&key| view.token(key::index_of(key))).collect();
        if scan.last != key::LAST {
            // Too many to list: all up to a key.
            let all = view
                .blocks()
                .flatten()
                .zip(0..)
                .filter(|&(&logit, index)| key::key(logit, index) <= scan.last);
            kept = all.filter(|(logit, _)| logit.is_finite()).map(|(_, index)| view.token(index)).collect();
        } else if kept.is_empty() {
            // The likeliest alone, taken without looking for candidates.
            kept.extend(drawn);
        }
        kept.sort_unstable();
        kept
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_truncation_keeps_equals_the_reference(
        sampling in settings(),
        mask in masks(),
        (len, seed, decay) in (1_usize..6000, any::<u64>(), 0.3_f64..2.5),
        prompt in prop::collection::vec(0_u32..6000, 0..100),
        answer in prop::collection::vec(0_u32..300, 0..100),
    ) {
        let logits = logits(len, seed, decay);
        let past = Past { prompt, answer };
        let mask = mask.as_deref().filter(|mask| (0..).zip(&logits).any(|(id, _)| allowed(Some(mask), id)));
        let mut sampler = Sampler::new(&sampling, seed);
        sampler.accept_prompt(&past.prompt);
        for &token in &past.answer {
            sampler.accept(token);
        }
        // Sums round: a set may end a token earlier or later where its bound is that near.
        let near = |step: f32| {
            let (top_p, min_p) = (sampling.top_p * (1.0 + step), sampling.min_p * (1.0 - step));
            let near = Sampling { top_p, min_p, ..sampling.clone() };
            let mut ids: Vec<u32> =
                distribution(&near, &logits, mask, &past).into_iter().map(|(id, _)| id).collect();
            ids.sort_unstable();
            ids
        };
        let larger = if sampling.top_p < 1.0 { near(1e-4) } else { near(0.0) };
        let token = sampler.sample(&logits, mask);
        prop_assert!(allowed(mask, token) && larger.binary_search(&token).is_ok());
        let choices = (0..).zip(&logits).filter(|(id, _)| allowed(mask, *id)).count();
        let by_rank = sampling.top_k > 0 && (sampling.top_k as usize) < choices;
        if by_rank || sampling.top_p < 1.0 || sampling.min_p > 0.0 {
            let kept = kept(&mut sampler, &logits, mask);
            let smaller = near(-1e-4);
            prop_assert!(kept.iter().all(|id| larger.binary_search(id).is_ok()), "{kept:?} in {larger:?}");
            prop_assert!(smaller.iter().all(|id| kept.binary_search(id).is_ok()), "{smaller:?} in {kept:?}");
        }
    }
}
