//! Equality of greedy answers, up to the rounding of kernels for other batch shapes.
//!
//! In a split cache nothing that happens beside a sequence changes a bit of its logits: measured 0 in every
//! arrangement but one, a beginning taken over from a prompt so long that another kernel computed it. In a unified
//! one attention walks over the cells of others too and adds in another order. The first difference is in the last
//! bit; it has been seen to grow to a quarter of a nat, probably because activations are rounded to 8-bit blocks
//! before each product (not proven). Where two tokens are that close the other may be drawn, and from there on the
//! texts are about different things. The comparison allows exactly that and nothing else.

use serde_json::Value;

/// The largest difference of a token's log-probability, in nats, between two computations of the same prefix.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bound(pub f64);

/// Of a split cache: measured 0. The rest is for processors whose kernels add in an order that follows the batch.
pub const SPLIT: Bound = Bound(0.05);

/// Of a beginning that was computed as part of a longer prompt: attention over 64 rows and more is another kernel of
/// llama.cpp, which keeps its sums in more bits. Measured up to 0.21 over 48 tokens.
pub const RESHAPED: Bound = Bound(0.5);

/// Of a unified cache: measured up to 0.25 over 48 to 160 tokens, in runs of `tests/golden.rs`, which prints it.
pub const UNIFIED: Bound = Bound(0.5);

/// One generated token with its log-probability and the likeliest tokens in its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// The token's bytes.
    pub token: Value,
    /// Its log-probability.
    pub logprob: f64,
    /// The likeliest tokens, likeliest first.
    pub top: Vec<(Value, f64)>,
}

/// What a comparison found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Agreement {
    /// Tokens that were the same before the first difference, or to the end.
    pub tokens: usize,
    /// Whether all were the same.
    pub whole: bool,
    /// The largest difference of a log-probability on the way.
    pub difference: f64,
}

/// The steps of an answer with `logprobs` and `top_logprobs` of at least 2.
pub fn steps(entries: &[Value]) -> Vec<Step> {
    entries.iter().map(step).collect()
}

fn step(entry: &Value) -> Step {
    let top = entry["top_logprobs"].as_array().unwrap_or_else(|| panic!("no top_logprobs in {entry}"));
    Step {
        token: entry["bytes"].clone(),
        logprob: logprob(entry),
        top: top.iter().map(|candidate| (candidate["bytes"].clone(), logprob(candidate))).collect(),
    }
}

fn logprob(entry: &Value) -> f64 {
    entry["logprob"].as_f64().unwrap_or_else(|| panic!("no logprob in {entry}"))
}

/// Compares two greedy answers to one prompt; panics where they differ by more than rounding.
pub fn assert_same(label: &str, bound: Bound, reference: &[Step], other: &[Step]) -> Agreement {
    let mut difference: f64 = 0.0;
    for (place, (left, right)) in reference.iter().zip(other).enumerate() {
        if left.token != right.token {
            let (_, alternative) =
                left.top.iter().find(|(token, _)| *token == right.token).unwrap_or_else(|| {
                    panic!("{label}: token {place} is {right:?}, which is not near {left:?}")
                });
            let gap = (left.logprob - alternative).abs();
            assert!(gap <= bound.0, "{label}: token {place} differs at a gap of {gap}: {left:?} {right:?}");
            return Agreement { tokens: place, whole: false, difference };
        }
        let distance = (left.logprob - right.logprob).abs();
        assert!(distance <= bound.0, "{label}: token {place} is {distance} off: {left:?} {right:?}");
        difference = difference.max(distance);
    }
    assert_eq!(reference.len(), other.len(), "{label}: one answer ends before the other");
    Agreement { tokens: reference.len(), whole: true, difference }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{UNIFIED, assert_same, steps};

    fn answer(second: &str, logprob: f64, gap: f64) -> Vec<super::Step> {
        let entry = |text: &str, logprob: f64, other: &str, gap: f64| {
            json!({"bytes": text.as_bytes(), "logprob": logprob, "top_logprobs": [
                {"bytes": text.as_bytes(), "logprob": logprob},
                {"bytes": other.as_bytes(), "logprob": logprob - gap},
            ]})
        };
        let other = if second == "b" { "c" } else { "b" };
        steps(&[entry("a", -0.1, "x", 2.0), entry(second, logprob, other, gap)])
    }

    #[test]
    fn equal_answers_agree_wholly() {
        let agreement = assert_same("same", UNIFIED, &answer("b", -0.5, 1.0), &answer("b", -0.5, 1.0));
        assert!(agreement.whole && agreement.tokens == 2 && agreement.difference == 0.0);
    }

    #[test]
    fn a_near_tie_may_turn_and_ends_the_comparison() {
        let agreement =
            assert_same("tie", UNIFIED, &answer("b", -0.7, UNIFIED.0 / 2.0), &answer("c", -0.7, 0.0));
        assert!(!agreement.whole && agreement.tokens == 1);
    }

    #[test]
    #[should_panic(expected = "differs at a gap")]
    fn a_clear_choice_may_not_turn() {
        assert_same("clear", UNIFIED, &answer("b", -0.1, UNIFIED.0 * 4.0), &answer("c", -0.1, 0.0));
    }
}
