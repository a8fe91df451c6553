//! Sampling written for clarity alone, in f64 with full sorts: what the tests hold the fast one against.

use crate::engine::Sampling;

/// Tokens that can be drawn with their probabilities, likeliest first, lower ids first among equals.
pub(super) fn distribution(
    sampling: &Sampling,
    logits: &[f32],
    mask: Option<&[u32]>,
    past: &Past,
) -> Vec<(u32, f64)> {
    let changed = (0..).zip(logits).map(|(id, &logit)| (id, f64::from(penalized(sampling, past, id, logit))));
    let mut tokens: Vec<(u32, f64)> = changed.collect();
    tokens.retain(|&(id, logit)| allowed(mask, id) && logit > f64::NEG_INFINITY);
    tokens.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    if sampling.temperature == 0.0 {
        tokens.truncate(1);
        return tokens.into_iter().map(|(id, _)| (id, 1.0)).collect();
    }
    let peak = tokens.first().map_or(0.0, |&(_, logit)| logit);
    for (_, logit) in &mut tokens {
        *logit = ((*logit - peak) / f64::from(sampling.temperature)).exp();
    }
    if sampling.top_k > 0 {
        tokens.truncate(sampling.top_k as usize);
    }
    if sampling.top_p < 1.0 {
        let need = f64::from(sampling.top_p) * tokens.iter().map(|(_, weight)| weight).sum::<f64>();
        let mut held = 0.0;
        let nucleus = tokens.iter().take_while(|(_, weight)| {
            let more = held < need;
            held += weight;
            more
        });
        let len = nucleus.count().max(1);
        tokens.truncate(len);
    }
    tokens.retain(|&(_, weight)| weight >= f64::from(sampling.min_p));
    let total: f64 = tokens.iter().map(|(_, weight)| weight).sum();
    tokens.into_iter().map(|(id, weight)| (id, weight / total)).collect()
}

/// The tokens before the draw.
#[derive(Debug, Default, Clone)]
pub(super) struct Past {
    pub(super) prompt: Vec<u32>,
    pub(super) answer: Vec<u32>,
}

/// In f32, so that tokens keep the order they have in the sampler.
fn penalized(sampling: &Sampling, past: &Past, id: u32, logit: f32) -> f32 {
    let mut changed = logit;
    let recent = past.answer.iter().rev().chain(past.prompt.iter().rev()).take(64);
    if recent.into_iter().any(|&seen| seen == id) {
        changed = if logit > 0.0 { logit / sampling.repeat_penalty } else { logit * sampling.repeat_penalty };
    }
    let count = past.answer.iter().filter(|&&seen| seen == id).count();
    if count > 0 {
        changed -= count as f32 * sampling.frequency_penalty + sampling.presence_penalty;
    }
    changed + sampling.logit_bias.iter().filter(|(token, _)| *token == id).map(|(_, bias)| bias).sum::<f32>()
}

pub(super) fn allowed(mask: Option<&[u32]>, id: u32) -> bool {
    mask.is_none_or(|mask| mask.get(id as usize / 32).is_some_and(|word| (word >> (id % 32)) & 1 == 1))
}
