//! What a model will be and take, told from the head of its file.

use std::path::Path;

use super::header::Header;
use super::kv::spill::parts;
use super::model::LoadError;
use super::thread;
use crate::config::{KvType, ModelConfig};
use crate::engine::ModelCard;

/// Rows of activations that a step holds at once, beside its logits: measured, and rounded up.
const ACTIVATIONS: u64 = 12;
/// llama.cpp's own graphs and tables, whatever the model.
const FIXED: u64 = 8 << 20;
/// A layer's width where the file does not say it.
const TYPICAL_WIDTH: u64 = 4096;

/// What is known of a model that is not loaded.
#[derive(Debug, Clone)]
pub struct Outlook {
    /// What it will be and can do.
    pub card: ModelCard,
    /// Bytes of its weights.
    pub weights: u64,
    /// Bytes of its adapters, which are read with the weights.
    pub adapters: u64,
    /// Bytes of a context: KV cache, compute buffers, and the prefixes that may be kept beside it.
    pub context: u64,
}

/// Reads the head of a model's file. `created` is what the card says, in seconds since the Unix epoch.
///
/// # Errors
/// The file cannot be read, or is no GGUF.
pub fn outlook(config: &ModelConfig, id: &str, created: u64) -> Result<Outlook, LoadError> {
    let path = config.path.as_path();
    super::model::check_magic(path)?;
    let weights = bytes_of(parts(path))?;
    for adapter in &config.adapters {
        super::adapter::check(&adapter.path)?;
    }
    let adapters = bytes_of(config.adapters.iter().map(|adapter| &adapter.path))?;
    let header = Header::read(path).map_err(|_| LoadError::Refused(path.to_owned()))?;
    let trained = header.number("context_length").and_then(|length| u32::try_from(length).ok());
    let settings = thread::settings(trained.unwrap_or(u32::MAX), config);
    let width = header.number("embedding_length").unwrap_or(TYPICAL_WIDTH);
    let vocabulary = header.length("tokenizer.ggml.tokens").unwrap_or_default();
    let cells = u64::from(settings.limits.cells);
    let rows = u64::from(settings.limits.batch);
    let kv = cell_bits(&header, config.kv_type).saturating_mul(cells) / 8;
    let compute = rows.saturating_mul(vocabulary.saturating_add(width * ACTIVATIONS)).saturating_mul(4);
    let kept = u64::from(config.prefix_cache_mib) << 20;
    let dimensions = header.number("embedding_length_out").unwrap_or(width);
    Ok(Outlook {
        card: ModelCard {
            id: id.to_owned(),
            created,
            owned_by: "sluice".to_owned(),
            context_window: settings.limits.window,
            embedding_dimensions: u32::try_from(dimensions).ok().filter(|dimensions| *dimensions > 0),
        },
        weights,
        adapters,
        context: kv.saturating_add(compute).saturating_add(kept).saturating_add(FIXED),
    })
}

fn bytes_of(files: impl IntoIterator<Item = impl AsRef<Path>>) -> Result<u64, LoadError> {
    let mut bytes = 0_u64;
    for file in files {
        let path = file.as_ref();
        let about =
            std::fs::metadata(path).map_err(|source| LoadError::Read { path: path.to_owned(), source })?;
        bytes = bytes.saturating_add(about.len());
    }
    Ok(bytes)
}

/// Bits of a cell of the KV cache, all layers together.
fn cell_bits(header: &Header, kv_type: KvType) -> u64 {
    let layers = usize::try_from(header.number("block_count").unwrap_or_default()).unwrap_or_default();
    let width = header.number("embedding_length").unwrap_or(TYPICAL_WIDTH);
    let elements = (0..layers).map(|layer| {
        let heads = header.of_layer("attention.head_count", layer).unwrap_or(1).max(1);
        let kv_heads = header.of_layer("attention.head_count_kv", layer).unwrap_or(heads);
        let key = header.number("attention.key_length").unwrap_or(width / heads);
        let value = header.number("attention.value_length").unwrap_or(width / heads);
        kv_heads.saturating_mul(key.saturating_add(value))
    });
    elements.fold(0_u64, u64::saturating_add).saturating_mul(bits(kv_type))
}

/// Bits of an element, the scale that its block shares included and rounded up.
fn bits(kv_type: KvType) -> u64 {
    match kv_type {
        KvType::F32 => 32,
        KvType::F16 | KvType::Bf16 => 16,
        KvType::Q8_0 => 9,
        KvType::Q4_0 => 5,
    }
}
