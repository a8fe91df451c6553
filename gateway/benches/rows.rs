//! What rows cost: the time of a decode step by how many tokens it computes, of one sequence (as a draft adds them) and
//! of several, where some have a draft and others none.
//!
//! `ROWS_MODEL=model.gguf cargo bench -p gateway --bench rows`

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measurement fails by panicking, prints its result, and has its environment for a configuration"
)]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gateway::config::{FlashAttention, KvType, ModelConfig};
use gateway::engine::llama::compute::{Compute, Limits, Row, Slot};
use gateway::engine::llama::context::{ContextSettings, LlamaCompute};
use gateway::engine::llama::model::Model;

/// Tokens of each sequence before the step that is measured.
const FILLED: u32 = 128;
const ROUNDS: usize = 25;
/// Rows of each sequence in a step.
const STEPS: [&[u32]; 19] = [
    &[1],
    &[2],
    &[3],
    &[4],
    &[6],
    &[8],
    &[12],
    &[16],
    &[1, 1],
    &[9, 1],
    &[9, 9],
    &[1, 1, 1, 1],
    &[9, 1, 1, 1],
    &[9, 1, 9, 1],
    &[9, 9, 9, 9],
    &[1, 1, 1, 1, 1, 1, 1, 1],
    &[9, 1, 1, 1, 1, 1, 1, 1],
    &[4, 4, 4, 4, 4, 4, 4, 4],
    &[9, 9, 9, 9, 9, 9, 9, 9],
];

fn main() {
    let path = std::env::var_os("ROWS_MODEL").map(PathBuf::from).unwrap();
    let config = ModelConfig { path, ..ModelConfig::default() };
    let model = Model::load(&config, &Arc::default()).unwrap();
    for unified in [false, true] {
        let mut compute = context(&model, unified);
        println!("\n{} KV: rows of each sequence, median ms, in plain steps of one sequence", name(unified));
        let mut times = vec![Vec::new(); STEPS.len()];
        // In turns, so that a busy spell of the machine falls on all.
        for _ in 0..ROUNDS {
            for (step, times) in STEPS.iter().zip(&mut times) {
                times.push(measure(&mut compute, step));
            }
        }
        let medians: Vec<f64> = times.into_iter().map(median).collect();
        for (step, median) in STEPS.iter().zip(&medians) {
            let rows: u32 = step.iter().sum();
            let plain = medians.first().unwrap();
            println!("{step:>2?} = {rows:>2} rows: {median:6.2} ms, {:5.2}", median / plain);
        }
    }
}

fn name(unified: bool) -> &'static str {
    if unified { "unified" } else { "split" }
}

fn context(model: &Model, unified: bool) -> LlamaCompute<'_> {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let threads = u32::try_from(threads).unwrap();
    let limits = Limits { slots: 8, window: 512, batch: 512, cells: 8 * 512, unified };
    let settings = ContextSettings {
        adapter: None,
        limits,
        kv_type: KvType::F16,
        flash_attention: FlashAttention::Auto,
        threads,
        batch_threads: threads,
    };
    let mut compute = LlamaCompute::new(model.weights(), &settings).unwrap();
    for slot in (0..limits.slots).map(Slot) {
        compute.decode(&rows(slot, 0, FILLED)).unwrap();
    }
    compute
}

fn rows(slot: Slot, from: u32, count: u32) -> Vec<Row> {
    // Any tokens will do: what they are costs nothing.
    let row = |position| Row { token: 1000 + position * 7 + u32::from(slot.0), position, slot, logits: true };
    (from..from + count).map(row).collect()
}

/// One step, its sequences cut back afterwards.
fn measure(compute: &mut LlamaCompute<'_>, step: &[u32]) -> Duration {
    let slots = (0..).map(Slot).zip(step);
    let rows: Vec<Row> = slots.clone().flat_map(|(slot, count)| rows(slot, FILLED, *count)).collect();
    let start = Instant::now();
    compute.decode(&rows).unwrap();
    assert!(compute.logits(rows.len() - 1).is_some());
    let time = start.elapsed();
    for (slot, _) in slots {
        assert!(compute.truncate(slot, FILLED));
    }
    time
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times.get(times.len() / 2).unwrap().as_secs_f64() * 1e3
}
