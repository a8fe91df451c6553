//! Equality of greedy answers, up to the rounding of kernels for other batch shapes.
//!
//! llama.cpp picks another kernel for a batch of another shape (one token, many, a prefix that was copied), and these
//! add in another order. So the same prompt may yield logits that differ in the last bits, and where two tokens are
//! almost equally likely the likelier one may change; from there on the texts are about different things. The
//! comparison allows exactly that and nothing else.

use serde_json::Value;

/// The largest difference of a token's log-probability, in nats, between two computations of the same prefix.
///
/// Measured by `golden::the_bound_is_measured` over all arrangements of the golden tests, which prints the largest
/// difference seen.
pub const BOUND: f64 = 0.25;

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
pub fn assert_same(label: &str, reference: &[Step], other: &[Step]) -> Agreement {
    let mut difference: f64 = 0.0;
    for (place, (left, right)) in reference.iter().zip(other).enumerate() {
        if left.token != right.token {
            let (_, alternative) =
                left.top.iter().find(|(token, _)| *token == right.token).unwrap_or_else(|| {
                    panic!("{label}: token {place} is {right:?}, which is not near {left:?}")
                });
            let gap = (left.logprob - alternative).abs();
            assert!(gap <= BOUND, "{label}: token {place} differs at a gap of {gap}: {left:?} {right:?}");
            return Agreement { tokens: place, whole: false, difference };
        }
        let distance = (left.logprob - right.logprob).abs();
        assert!(distance <= BOUND, "{label}: token {place} is {distance} off: {left:?} {right:?}");
        difference = difference.max(distance);
    }
    assert_eq!(reference.len(), other.len(), "{label}: one answer ends before the other");
    Agreement { tokens: reference.len(), whole: true, difference }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{BOUND, assert_same, steps};

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
        let agreement = assert_same("same", &answer("b", -0.5, 1.0), &answer("b", -0.5, 1.0));
        assert!(agreement.whole && agreement.tokens == 2 && agreement.difference == 0.0);
    }

    #[test]
    fn a_near_tie_may_turn_and_ends_the_comparison() {
        let agreement = assert_same("tie", &answer("b", -0.7, BOUND / 2.0), &answer("c", -0.7, 0.0));
        assert!(!agreement.whole && agreement.tokens == 1);
    }

    #[test]
    #[should_panic(expected = "differs at a gap")]
    fn a_clear_choice_may_not_turn() {
        assert_same("clear", &answer("b", -0.1, BOUND * 4.0), &answer("c", -0.1, 0.0));
    }
}
