//! The scheduler with drafts: fewer steps, and to the token the answers of each prompt alone.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::{Bench, Client, SPLIT, UNIFIED, alone, alone_by, prompt};
use crate::engine::FinishReason;
use crate::engine::llama::compute::Limits;
use crate::engine::llama::kv::KvCache;
use crate::engine::llama::simulated::{Law, Simulated, echoing, next_token, repeating};
use crate::engine::llama::speculation::cost::StepCost;

/// A scheduler whose drafts are as long as they can be: rows cost nothing.
fn drafting(limits: Limits, law: Law, draft: usize) -> Bench {
    of(Simulated::new(limits).with_law(law), draft)
}

fn of(compute: Simulated, draft: usize) -> Bench {
    let mut bench = Bench::of(KvCache::new(compute, 4 * 4096));
    bench.scheduler.policy.draft = draft;
    bench.scheduler.cost = StepCost::fixed(1.0, 0.0);
    bench
}

fn steps(bench: &Bench) -> usize {
    bench.scheduler.kv_for_tests().steps.len()
}

/// Rows of the step with the most.
fn widest(bench: &Bench) -> usize {
    bench.scheduler.kv_for_tests().steps.iter().map(Vec::len).max().unwrap_or_default()
}

/// A prompt that says seven tokens twice.
fn twice(seed: u32) -> Vec<u32> {
    [prompt(seed, 7), prompt(seed, 7)].concat()
}

#[test]
fn a_text_that_repeats_takes_a_fraction_of_the_steps() {
    for limits in [SPLIT, UNIFIED] {
        let mut bench = drafting(limits, repeating, 8);
        let mut client = bench.submit("a", &twice(1), 40, 1);
        bench.run();
        assert_eq!(client.answers(), [alone_by(repeating, &twice(1), 40, 64)]);
        // One for the prompt, with the first token; then nine tokens a step.
        assert_eq!(steps(&bench), 1 + 39_usize.div_ceil(9));
        let counted = bench.gauges.drafts();
        assert_eq!(counted.0, counted.1, "all that was drafted was right");
    }
}

#[test]
fn a_draft_that_is_partly_right_is_taken_as_far_as_it_is() {
    for limits in [SPLIT, UNIFIED] {
        let (mut drafted, mut accepted) = (0, 0);
        for seed in 0..30 {
            let mut bench = drafting(limits, echoing, 6);
            let mut client = bench.submit("a", &twice(seed), 40, 1);
            bench.run();
            assert_eq!(client.answers(), [alone_by(echoing, &twice(seed), 40, 64)], "seed {seed}");
            let counted = bench.gauges.drafts();
            drafted += counted.0;
            accepted += counted.1;
        }
        assert!(accepted > drafted / 4 && accepted < drafted, "{accepted} of {drafted}");
    }
}

#[test]
fn a_draft_that_is_wrong_changes_nothing() {
    // Two tokens come again by chance, and what followed them does not.
    let (mut drafted, mut accepted) = (0, 0);
    for seed in 0..60 {
        let mut bench = drafting(SPLIT, next_token, 6);
        let text = prompt(seed, 31);
        let mut client = bench.submit("a", &text, 30, 1);
        bench.run();
        assert_eq!(client.answers(), [alone(&text, 30, 64)], "seed {seed}");
        let counted = bench.gauges.drafts();
        drafted += counted.0;
        accepted += counted.1;
    }
    assert!(drafted > 20 && accepted < drafted / 4, "{accepted} of {drafted}");
}

#[test]
fn an_answer_ends_at_its_limit_and_nothing_past_it_is_computed() {
    for max_tokens in 1..24 {
        let mut bench = drafting(SPLIT, repeating, 8);
        let mut client = bench.submit("a", &twice(2), max_tokens, 1);
        bench.run();
        let answer = alone_by(repeating, &twice(2), max_tokens, 64);
        assert_eq!(answer.0.len(), max_tokens as usize);
        assert_eq!(client.answers(), [answer]);
        assert_eq!(bench.computed_rows(), 14 + max_tokens as usize - 1, "of {max_tokens}");
    }
}

#[test]
fn an_answer_ends_at_the_window() {
    let mut bench = drafting(SPLIT, repeating, 8);
    let mut client = bench.submit("a", &twice(2), 1000, 1);
    bench.run();
    let answers = client.answers();
    assert_eq!((answers[0].0.len(), answers[0].1), (50, Some(FinishReason::Length)));
}

#[test]
fn a_model_that_ends_inside_a_draft_has_ended() {
    // It says what it said before, but once only: then it is done.
    fn once(tokens: &[u32]) -> u32 {
        if tokens.len() >= 25 { 0 } else { repeating(tokens) }
    }
    let mut bench = drafting(SPLIT, once, 8);
    let mut client = bench.submit("a", &twice(4), 40, 1);
    bench.run();
    let answer = alone_by(once, &twice(4), 40, 64);
    assert_eq!(answer.1, Some(FinishReason::Stop));
    assert_eq!(client.answers(), [answer]);
}

#[test]
fn what_is_retained_is_what_was_accepted() {
    let mut bench = drafting(SPLIT, echoing, 6);
    let mut text = twice(5);
    // Each turn goes on from the last one's answer and finds its KV: a wrong cell in it would change the answer.
    for turn in 0..3 {
        let before = bench.computed_rows();
        let mut client = bench.submit("a", &text, 12, 1);
        bench.run();
        let answer = alone_by(echoing, &text, 12, 64);
        assert_eq!(client.answers().first(), Some(&answer), "turn {turn}");
        let (drafted, _) = bench.gauges.drafts();
        let rows = bench.computed_rows() - before;
        assert!(
            turn == 0 || rows <= 2 + 12 + usize::try_from(drafted).unwrap(),
            "the prompt is not computed"
        );
        text.extend(answer.0);
        text.push(1);
    }
}

#[test]
fn every_answer_of_a_request_drafts_for_itself() {
    let mut bench = drafting(SPLIT, echoing, 6);
    let mut client = bench.submit("a", &twice(6), 30, 4);
    bench.run();
    assert_eq!(client.answers(), vec![alone_by(echoing, &twice(6), 30, 64); 4]);
    assert!(bench.gauges.drafts().1 > 0);
}

#[test]
fn a_client_that_leaves_ends_its_draft_too() {
    let mut bench = drafting(SPLIT, repeating, 8);
    let client = bench.submit("a", &twice(1), 45, 1);
    bench.step();
    bench.step();
    assert!(bench.gauges.drafts().0 > 0);
    drop(client);
    let rows = bench.computed_rows();
    bench.step();
    assert_eq!(bench.computed_rows(), rows);
    assert!(bench.scheduler.is_idle());
}

#[test]
fn a_reader_is_sent_no_more_than_it_has_room_for() {
    let mut bench = drafting(SPLIT, repeating, 8);
    let mut client = bench.submit_to("a", &twice(1), (40, 1), 6);
    let mut tokens = Vec::new();
    while !bench.scheduler.is_idle() {
        bench.step();
        tokens.extend(client.answers().remove(0).0);
    }
    assert_eq!(tokens, alone_by(repeating, &twice(1), 40, 64).0);
    // Six places: for the token, the answer's end, and four of a draft.
    assert_eq!(bench.scheduler.kv_for_tests().steps.iter().skip(1).map(Vec::len).max(), Some(5));
}

#[test]
fn a_step_has_no_more_rows_than_a_batch() {
    let mut bench = drafting(SPLIT, repeating, 30);
    let mut clients: Vec<Client> =
        (0..4).map(|seed| bench.submit(["a", "b", "c", "d"][seed], &twice(7), 40, 1)).collect();
    bench.run();
    for client in &mut clients {
        assert_eq!(client.answers(), [alone_by(repeating, &twice(7), 40, 64)]);
    }
    assert!(widest(&bench) <= SPLIT.batch as usize);
}

#[test]
fn drafts_give_way_before_anyone_is_preempted() {
    // Two answers fill the cells to the last but one; drafts would need more.
    let limits = Limits { cells: 2 * (14 + 16), ..UNIFIED };
    let mut bench = drafting(limits, repeating, 12);
    let mut clients = [bench.submit("a", &twice(1), 16, 1), bench.submit("b", &twice(2), 16, 1)];
    bench.run();
    for (client, seed) in clients.iter_mut().zip([1, 2]) {
        assert_eq!(client.answers(), [alone_by(repeating, &twice(seed), 16, 64)]);
    }
    assert_eq!(bench.gauges.preemptions(), 0);
}

#[test]
fn a_draft_without_cells_is_computed_without_and_drafts_rest() {
    let limits = Limits { slots: 1, cells: 30, ..UNIFIED };
    let mut bench = drafting(limits, repeating, 12);
    let mut client = bench.submit("a", &twice(1), 40, 1);
    bench.run();
    let answers = client.answers();
    let mut plain = drafting(limits, repeating, 0);
    let mut expected = plain.submit("a", &twice(1), 40, 1);
    plain.run();
    assert_eq!(answers, expected.answers(), "the cells end the answer where they do without drafts");
}

#[test]
fn rows_that_cost_as_much_as_tokens_are_not_drafted() {
    let mut bench = drafting(SPLIT, repeating, 8);
    bench.scheduler.cost = StepCost::fixed(0.0, 1.0);
    let _client = bench.submit("a", &twice(1), 40, 1);
    bench.run();
    assert_eq!(bench.gauges.drafts(), (0, 0));
}

#[test]
fn a_memory_that_cannot_be_cut_is_computed_anew_and_drafted_no_more() {
    let mut bench = of(Simulated::new(SPLIT).with_law(echoing).uncut(), 6);
    let mut client = bench.submit("a", &twice(8), 40, 1);
    bench.run();
    assert_eq!(client.answers(), [alone_by(echoing, &twice(8), 40, 64)]);
    assert_eq!(bench.scheduler.policy.draft, 0);
}

#[test]
fn a_stalled_reader_is_still_cut_in_time() {
    let mut bench = drafting(SPLIT, repeating, 8);
    let _slow = bench.submit_to("a", &twice(1), (45, 1), 4);
    (0..20).for_each(|_| bench.step());
    assert_eq!(bench.gauges.load().running, 1);
    bench.scheduler.step(Instant::now() + Duration::from_secs(31));
    assert_eq!(bench.gauges.load().running, 0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn every_answer_is_what_the_model_says_alone(
        unified in any::<bool>(),
        draft in 1_usize..12,
        row in 0.0_f64..0.3,
        jobs in prop::collection::vec((0_u32..3, 1_u32..30, 1_u32..40, 1_u32..3, 0_usize..12, prop::option::of(0_usize..6)), 1..12),
    ) {
        let limits = if unified { UNIFIED } else { SPLIT };
        let mut bench = drafting(limits, echoing, draft);
        bench.scheduler.cost = StepCost::fixed(1.0, row);
        let mut clients = Vec::new();
        for (family, length, max_tokens, choices, steps, leaves) in jobs {
            let text = [prompt(family, length.min(9)), prompt(family, length)].concat();
            let mut client = Some(bench.submit(["a", "b"][(family % 2) as usize], &text, max_tokens, choices));
            for step in 0..steps {
                if leaves == Some(step) {
                    client = None;
                }
                bench.step();
            }
            clients.extend(client.map(|client| (client, text, max_tokens)));
        }
        bench.run();
        for (client, text, max_tokens) in &mut clients {
            let expected = alone_by(echoing, text, *max_tokens, limits.window);
            for answer in client.answers() {
                prop_assert_eq!(&answer, &expected);
            }
        }
        let load = bench.gauges.load();
        prop_assert_eq!((load.running, load.waiting), (0, 0));
    }
}
