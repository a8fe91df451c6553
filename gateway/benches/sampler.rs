//! What a token costs in the sampler, beside a plain loop for the largest logit over the same numbers.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use gateway::engine::Sampling;
use gateway::engine::llama::sampler::{Sampler, token_logprobs};

/// Vocabularies of the default model and of larger families.
const SIZES: [usize; 3] = [49_152, 131_072, 262_144];

/// How fast the logits fall off with rank: a model that is fairly sure, and one that hardly knows.
const SHAPES: [(&str, f64); 2] = [("sure", 1.6), ("unsure", 0.8)];

/// Logits by rank as `-decay · ln(rank)`, which is Zipf's law, in no order.
fn logits(len: usize, decay: f64) -> Vec<f32> {
    let mut state = 1_u64;
    let mut ranks: Vec<(u64, usize)> = Vec::with_capacity(len);
    for rank in 0..len {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ranks.push((state >> 16, rank));
    }
    ranks.sort_unstable();
    #[expect(clippy::cast_possible_truncation, reason = "data for a benchmark")]
    let logit = |rank: usize| (15.0 - decay * (rank as f64 + 2.0).ln()) as f32;
    ranks.into_iter().map(|(_, rank)| logit(rank)).collect()
}

fn plain_argmax(logits: &[f32]) -> usize {
    let mut best = (0, f32::NEG_INFINITY);
    for (index, &logit) in logits.iter().enumerate() {
        if logit > best.1 {
            best = (index, logit);
        }
    }
    best.0
}

/// The parameter sets people use, and those that cost most elsewhere.
fn settings() -> Vec<(&'static str, Sampling)> {
    let base = Sampling::default();
    vec![
        ("greedy", Sampling { temperature: 0.0, ..base.clone() }),
        ("temperature", base.clone()),
        ("temperature_0.7", Sampling { temperature: 0.7, ..base.clone() }),
        ("top_k_40_top_p", Sampling { top_k: 40, top_p: 0.95, temperature: 0.8, ..base.clone() }),
        ("top_k_1000", Sampling { top_k: 1000, ..base.clone() }),
        ("top_p_0.95", Sampling { top_p: 0.95, ..base.clone() }),
        ("min_p_0.05", Sampling { min_p: 0.05, ..base.clone() }),
        (
            "penalties",
            Sampling { repeat_penalty: 1.1, frequency_penalty: 0.2, presence_penalty: 0.2, ..base.clone() },
        ),
        ("greedy_penalties", Sampling { temperature: 0.0, repeat_penalty: 1.1, ..base }),
    ]
}

/// A mask that allows every `step`-th token.
fn mask(len: usize, step: usize) -> Vec<u32> {
    let mut words = vec![0_u32; len.div_ceil(32)];
    for token in (0..len).step_by(step) {
        if let Some(word) = words.get_mut(token / 32) {
            *word |= 1 << (token % 32);
        }
    }
    words
}

fn sample(c: &mut Criterion) {
    for (shape, decay) in SHAPES {
        for len in SIZES {
            sample_from(c, shape, &logits(len, decay));
        }
    }
}

fn sample_from(c: &mut Criterion, shape: &str, logits: &[f32]) {
    let mut group = c.benchmark_group(format!("sample/{shape}"));
    group.throughput(Throughput::Elements(logits.len() as u64));
    group.bench_function(BenchmarkId::new("plain_argmax_loop", logits.len()), |b| {
        b.iter(|| plain_argmax(black_box(logits)));
    });
    let prompt: Vec<u32> = (0..64).map(|i| i * 701 % 49_000).collect();
    for (name, sampling) in settings() {
        let mut sampler = Sampler::new(&sampling, 7);
        sampler.accept_prompt(&prompt);
        let mut next = || {
            let token = sampler.sample(black_box(logits), None);
            sampler.accept(token % 500);
            token
        };
        group.bench_function(BenchmarkId::new(name, logits.len()), |b| b.iter(&mut next));
    }
}

fn masked(c: &mut Criterion) {
    let logits = logits(49_152, 1.6);
    let mut group = c.benchmark_group("masked");
    for (name, step) in [("one_in_2", 2), ("one_in_50", 50), ("one_in_5000", 5000)] {
        let mask = mask(logits.len(), step);
        let mut sampler = Sampler::new(&Sampling::default(), 7);
        group.bench_function(name, |b| {
            b.iter(|| {
                let token = sampler.sample(black_box(&logits), Some(black_box(&mask)));
                sampler.accept(token);
                token
            });
        });
    }
}

fn logprobs(c: &mut Criterion) {
    let mut group = c.benchmark_group("logprobs");
    for len in SIZES {
        let logits = logits(len, 1.6);
        for top in [0, 20] {
            group.bench_function(BenchmarkId::new(format!("top_{top}"), len), |b| {
                b.iter(|| token_logprobs(black_box(&logits), 17, top));
            });
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_millis(200)).measurement_time(Duration::from_millis(700));
    targets = sample, masked, logprobs
}
criterion_main!(benches);
