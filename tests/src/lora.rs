//! A LoRA adapter for the default model, written by hand: random, so that answers with it are others.

use std::path::{Path, PathBuf};

use crate::model;

/// The default model's width, and that of its queries.
const WIDTH: u64 = 576;
const LAYERS: usize = 30;
const RANK: u64 = 4;
/// Where tensors begin, a multiple of this.
const ALIGNMENT: usize = 32;
const F32: u32 = 0;

/// Writes an adapter of every layer's queries.
pub fn adapter(folder: &Path) -> PathBuf {
    let path = folder.join("odd.gguf");
    std::fs::write(&path, bytes("adapter")).expect("the adapter is written");
    path
}

/// Writes what says of itself that it is no adapter.
pub fn impostor(folder: &Path) -> PathBuf {
    let path = folder.join("impostor.gguf");
    std::fs::write(&path, bytes("model")).expect("the file is written");
    path
}

fn bytes(kind: &str) -> Vec<u8> {
    assert!(model::path().ends_with(model::FILE), "the adapter is made for the default model");
    let tensors: Vec<(String, [u64; 2])> = (0..LAYERS)
        .flat_map(|layer| {
            let name = format!("blk.{layer}.attn_q.weight");
            [(format!("{name}.lora_a"), [WIDTH, RANK]), (format!("{name}.lora_b"), [RANK, WIDTH])]
        })
        .collect();
    let mut out = b"GGUF\x03\0\0\0".to_vec();
    out.extend((tensors.len() as u64).to_le_bytes());
    out.extend(4_u64.to_le_bytes());
    for (key, value) in [("general.type", kind), ("general.architecture", "llama"), ("adapter.type", "lora")]
    {
        text(&mut out, key);
        out.extend(8_u32.to_le_bytes());
        text(&mut out, value);
    }
    text(&mut out, "adapter.lora.alpha");
    out.extend(6_u32.to_le_bytes());
    out.extend(8.0_f32.to_le_bytes());
    let size = WIDTH * RANK * 4;
    for (index, (name, shape)) in (0_u64..).zip(&tensors) {
        text(&mut out, name);
        out.extend(2_u32.to_le_bytes());
        out.extend(shape.iter().flat_map(|side| side.to_le_bytes()));
        out.extend(F32.to_le_bytes());
        out.extend((index * size).to_le_bytes());
    }
    out.resize(out.len().next_multiple_of(ALIGNMENT), 0);
    let mut state = 0x2545_f491_u32;
    for _ in 0..tensors.len() as u64 * WIDTH * RANK {
        // Xorshift: the same adapter in every run.
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        let unit = f64::from(state) / f64::from(u32::MAX) / 2.0 - 0.25;
        #[expect(clippy::cast_possible_truncation, reason = "a weight is an f32")]
        out.extend((unit as f32).to_le_bytes());
    }
    out
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}
