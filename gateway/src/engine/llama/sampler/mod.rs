//! Draws the next token from the model's logits.
//!
//! The order of the steps, and why:
//! 1. **Penalties**: `repeat_penalty` over the last 64 tokens, prompt included (llama.cpp's rule and default window),
//!    then `frequency_penalty` and `presence_penalty` over the whole answer (OpenAI's rule).
//! 2. **`logit_bias`** is added.
//! 3. **The constraint's mask** rules out tokens, whatever their bias.
//! 4. **Temperature** divides. It comes before truncation, as in OpenAI's API, vLLM and transformers, whose clients
//!    and recommended settings we serve: `top_p` is a share of the distribution that is drawn from. llama.cpp's
//!    default chain has it last; the two differ only where temperature is not 1 and `top_p` or `min_p` is set.
//! 5. **Truncation** in the order of llama.cpp and transformers: `top_k`, then `top_p` of what is left, then `min_p`,
//!    relative to the likeliest token. At least one token always remains.
//! 6. **One draw** from a number that only seed and position decide (`random`).
//!
//! Temperature 0 takes the likeliest token, the lowest id of several. A logit that is not a number is never drawn,
//! an infinite one always; where no token can be drawn at all, token 0 (or the first allowed one) is returned.
//!
//! The logits are read in place: blocks in which penalties or bias change something are copied (`view`), and a
//! mask that allows few tokens makes a short list. Scratch memory is one per thread, not one per sequence.

mod histogram;
mod key;
mod logprobs;
mod math;
mod penalty;
mod random;
#[cfg(test)]
mod reference;
mod scan;
mod select;
#[cfg(test)]
mod tests;
mod view;

use std::cell::RefCell;

use crate::engine::Sampling;

pub use logprobs::token_logprobs;

use math::Law;
use penalty::Adjustments;
use scan::Scan;
use select::Candidates;
use view::{Source, View};

/// Below this a temperature means greedy: the division would overflow, and no other token could be drawn anyway.
const GREEDY_BELOW: f32 = 1e-5;

thread_local! {
    /// Some hundred kilobytes with a large vocabulary, which would be too much for each of a thousand sequences.
    static WORKSPACE: RefCell<Workspace> = RefCell::default();
}

/// Memory that draws reuse; it carries nothing from one draw to the next.
#[derive(Debug, Default)]
struct Workspace {
    source: Source,
    scan: Scan,
    candidates: Candidates,
}

/// Draws the tokens of one sequence.
///
/// [`Sampler::sample`] changes nothing that later draws depend on: the draw's position and the penalties advance by
/// [`Sampler::accept`], once for each token of the answer.
#[derive(Debug, Clone)]
pub struct Sampler {
    /// 0 is greedy.
    temperature: f32,
    top_k: usize,
    top_p: f32,
    min_p: f32,
    adjustments: Adjustments,
    seed: u64,
    position: u64,
}

impl Sampler {
    /// A sampler at the start of an answer. The seed decides all draws; `sampling.seed` is not looked at, so that
    /// the choices of one request can have seeds of their own.
    pub fn new(sampling: &Sampling, seed: u64) -> Self {
        let greedy =
            sampling.temperature.is_nan() || sampling.temperature < GREEDY_BELOW || sampling.top_k == 1;
        Self {
            temperature: if greedy { 0.0 } else { sampling.temperature },
            top_k: sampling.top_k as usize,
            top_p: sampling.top_p,
            min_p: sampling.min_p,
            adjustments: Adjustments::new(sampling),
            seed,
            position: 0,
        }
    }

    /// Takes note of the prompt for the repeat penalty; once, before the first draw.
    pub fn accept_prompt(&mut self, tokens: &[u32]) {
        self.adjustments.prompt(tokens);
    }

    /// Takes note of the answer's next token and moves on to the next draw.
    pub fn accept(&mut self, token: u32) {
        self.adjustments.generated(token);
        self.position += 1;
    }

    /// Draws a token. Bit `i % 32` of word `i / 32` of the mask allows token `i`; a mask that allows nothing is
    /// left aside, as its constraint refuses the token when it is told.
    pub fn sample(&mut self, logits: &[f32], mask: Option<&[u32]>) -> u32 {
        WORKSPACE.with_borrow_mut(|workspace| {
            let Workspace { source, scan, candidates } = workspace;
            let view = source.view(logits, mask, &self.adjustments);
            let index = self.choose(&view, scan, candidates);
            index.map_or(view.first, |index| view.token(index))
        })
    }

    /// The index drawn, if there is a token that can be.
    fn choose(&self, view: &View<'_>, scan: &mut Scan, candidates: &mut Candidates) -> Option<u32> {
        let truncates_by_rank = self.top_k > 0 && self.top_k < view.len();
        let truncates_by_mass = self.top_p < 1.0;
        if self.temperature == 0.0 {
            scan.maxima(view);
            return scan.first_peak(view);
        }
        let scale = self.temperature.recip();
        let floor_only = self.min_p > 0.0 && !truncates_by_mass;
        if truncates_by_rank || floor_only {
            scan.maxima(view);
        } else {
            scan.weights(view, scale);
        }
        if scan.peak.is_infinite() {
            return if scan.peak > 0.0 { scan.first_peak(view) } else { None };
        }
        let law = Law { peak: scan.peak, scale };
        let floor = (scan.peak + self.temperature * self.min_p.min(1.0).ln()).max(f32::MIN);
        let unit = random::unit(self.seed, self.position);
        if truncates_by_rank {
            candidates.top(view, scan, self.top_k);
            if truncates_by_mass {
                let need = f64::from(self.top_p) * candidates.weight(law);
                candidates.keep_mass(law, need);
            }
        } else if truncates_by_mass {
            if f64::from(self.top_p) * scan.total <= 1.0 {
                // The likeliest token alone is the nucleus: the common case of a model that is sure.
                return scan.first_peak(view);
            }
            if let Some(last) = candidates.nucleus(view, scan, law, self.top_p) {
                let last = if self.min_p > 0.0 { last.min(key::last_at(floor)) } else { last };
                scan.weights_to(view, law, last);
                return scan.draw(view, law, unit);
            }
        } else if floor_only {
            if !candidates.gather_few(view, scan, floor) {
                scan.weights_to(view, law, key::last_at(floor));
                return scan.draw(view, law, unit);
            }
        } else {
            return scan.draw(view, law, unit);
        }
        if self.min_p > 0.0 {
            candidates.keep_above(floor);
        }
        candidates.draw(law, unit)
    }
}
