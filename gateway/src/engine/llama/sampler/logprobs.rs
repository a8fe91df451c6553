//! Log-probabilities under the model: before penalties, bias, masks, temperature and truncation.

use super::key::{index_of, logit_of};
use super::{WORKSPACE, Workspace};

/// What OpenAI's API reports for a token too unlikely to tell; JSON has no minus infinity.
const FLOOR: f32 = -9999.0;

/// The natural logarithm of a token's probability, and the `top` likeliest tokens with theirs, likeliest first.
///
/// Never below -9999, OpenAI's mark for a token too unlikely to tell. Of equally likely tokens the lower id comes
/// first; logits that are not a number are left out. An infinite logit has probability one.
pub fn token_logprobs(logits: &[f32], token: u32, top: u8) -> (f32, Vec<(u32, f32)>) {
    WORKSPACE.with_borrow_mut(|workspace| {
        let Workspace { source, scan, candidates } = workspace;
        let view = source.plain(logits);
        scan.weights(&view, 1.0);
        #[expect(clippy::cast_possible_truncation, reason = "a logarithm of a sum of f32 weights")]
        let log_total = scan.total.ln() as f32;
        let peak = scan.peak;
        let logprob = |logit: f32| {
            let below = if logit >= peak { 0.0 } else { logit - peak };
            let logprob = if peak.is_infinite() { below } else { below - log_total };
            if logprob > FLOOR { logprob } else { FLOOR }
        };
        let drawn = logits.get(token as usize).map_or(FLOOR, |&logit| logprob(logit));
        if top == 0 {
            return (drawn, Vec::new());
        }
        candidates.top(&view, scan, usize::from(top));
        (drawn, candidates.sorted().iter().map(|&key| (index_of(key), logprob(logit_of(key)))).collect())
    })
}
