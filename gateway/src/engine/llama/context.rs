//! The wrapper that no input can lead into one of llama.cpp's asserts: the only place that decodes.
//!
//! llama.cpp aborts the process on a batch longer than `n_batch`, on logits that were not computed, on a sequence id
//! out of range and on `seq_cp` of part of a split cache. Here a batch is cut off before the call, logits are
//! remembered per row, slots are checked, and a split cache never copies cells.

use std::num::NonZeroU32;
use std::sync::Arc;

use llama_cpp_2::DecodeError;
use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::context::params::{KvCacheType, LlamaContextParams, LlamaPoolingType};
use llama_cpp_2::context::session::{LlamaStateSeqFlags, SeqState};
use llama_cpp_2::llama_batch::LlamaBatch;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::token::LlamaToken;
use parking_lot::Mutex;

use super::adapter::Adapter;
use super::compute::{Compute, ComputeError, Limits, Row, Saved, Slot};
use super::memory_file::MemoryFile;
use super::model::{LoadError, backend};
use crate::config::{FlashAttention, KvType};

/// How a context is made.
#[derive(Debug, Clone)]
pub struct ContextSettings {
    /// Its sizes.
    pub limits: Limits,
    /// Element type of the KV cache.
    pub kv_type: KvType,
    /// Whether attention is fused.
    pub flash_attention: FlashAttention,
    /// Compute threads while decoding.
    pub threads: u32,
    /// Compute threads while prefilling.
    pub batch_threads: u32,
    /// What the weights are adapted by.
    pub adapter: Option<Arc<Adapter>>,
}

/// Held while a context is made: llama.cpp may write to the model meanwhile, which contexts share.
static MAKING: Mutex<()> = Mutex::new(());

/// Makes a context, with the adapter where there is one.
fn make<'m>(
    model: &'m LlamaModel,
    params: LlamaContextParams,
    settings: &ContextSettings,
) -> Result<LlamaContext<'m>, LoadError> {
    let _making = MAKING.lock();
    let mut context =
        model.new_context(backend()?, params).map_err(|error| LoadError::Context(error.to_string()))?;
    if let Some(adapter) = &settings.adapter {
        adapter.apply(&mut context)?;
    }
    Ok(context)
}

/// A generating context over a model's weights.
pub struct LlamaCompute<'m> {
    context: LlamaContext<'m>,
    limits: Limits,
    batch: LlamaBatch<'static>,
    /// Which rows of the last decode have logits; empty after a failed one.
    computed: Vec<bool>,
}

impl<'m> LlamaCompute<'m> {
    /// Allocates the KV cache and the compute buffers.
    pub fn new(model: &'m LlamaModel, settings: &ContextSettings) -> Result<Self, LoadError> {
        let limits = settings.limits;
        let params = base_params(settings)
            .with_n_ctx(NonZeroU32::new(limits.cells))
            .with_n_batch(limits.batch)
            .with_n_ubatch(limits.batch)
            .with_n_seq_max(u32::from(limits.slots))
            .with_kv_unified(limits.unified)
            // The whole window of sliding-window layers is kept, so that a sequence can be cut at any token.
            .with_swa_full(true);
        let context = make(model, params, settings)?;
        let rows = usize::try_from(limits.batch).unwrap_or(usize::MAX);
        Ok(Self { context, limits, batch: LlamaBatch::new(rows, 1), computed: Vec::with_capacity(rows) })
    }

    fn sequence(&self, slot: Slot) -> Option<i32> {
        (slot.0 < self.limits.slots).then_some(i32::from(slot.0))
    }

    fn checked(&self, slot: Slot) -> Result<i32, ComputeError> {
        self.sequence(slot).ok_or_else(|| ComputeError::Failed(format!("slot {} does not exist", slot.0)))
    }

    fn fill(&mut self, rows: &[Row]) -> Result<(), ComputeError> {
        if rows.len() > self.limits.batch as usize {
            return Err(ComputeError::Failed(format!("a batch of {} rows is over the limit", rows.len())));
        }
        self.batch.clear();
        for row in rows {
            let sequence = self.checked(row.slot)?;
            self.batch
                .add(
                    LlamaToken::new(row.token.cast_signed()),
                    row.position.cast_signed(),
                    &[sequence],
                    row.logits,
                )
                .map_err(|error| ComputeError::Failed(error.to_string()))?;
        }
        Ok(())
    }
}

impl Compute for LlamaCompute<'_> {
    type Snapshot = SeqState;

    fn limits(&self) -> Limits {
        self.limits
    }

    fn decode(&mut self, rows: &[Row]) -> Result<(), ComputeError> {
        self.computed.clear();
        self.fill(rows)?;
        match self.context.decode(&mut self.batch) {
            Ok(()) => {
                self.computed.extend(rows.iter().map(|row| row.logits));
                Ok(())
            }
            Err(DecodeError::NoKvCacheSlot) => Err(ComputeError::KvFull),
            Err(error) => Err(ComputeError::Failed(error.to_string())),
        }
    }

    fn logits(&self, row: usize) -> Option<&[f32]> {
        let computed = self.computed.get(row).copied().unwrap_or(false);
        let index = i32::try_from(row).ok()?;
        computed.then(|| self.context.get_logits_ith(index))
    }

    fn save(&mut self, slot: Slot) -> Result<SeqState, ComputeError> {
        let sequence = self.checked(slot)?;
        self.context
            .state_seq_get(sequence, LlamaStateSeqFlags::empty())
            .map_err(|error| ComputeError::Failed(error.to_string()))
    }

    fn restore(&mut self, slot: Slot, snapshot: &SeqState) -> Result<(), ComputeError> {
        let sequence = self.checked(slot)?;
        self.context.state_seq_set(snapshot, sequence).map_err(|_| ComputeError::Restore)
    }

    fn save_file(&mut self, slot: Slot) -> Result<MemoryFile, ComputeError> {
        let sequence = self.checked(slot)?;
        let failed = |error: std::io::Error| ComputeError::Failed(error.to_string());
        let mut file = MemoryFile::create().map_err(failed)?;
        self.context
            .state_seq_save_file(file.path(), sequence, &[])
            .map_err(|error| ComputeError::Failed(error.to_string()))?;
        file.measure().map_err(failed)?;
        Ok(file)
    }

    fn restore_file(&mut self, slot: Slot, file: &MemoryFile) -> Result<(), ComputeError> {
        let sequence = self.checked(slot)?;
        // Saved with no tokens: room for one is more than is ever read.
        let restored = self.context.state_seq_load_file(file.path(), sequence, 1);
        restored.map(|_| ()).map_err(|_| ComputeError::Restore)
    }

    fn share(&mut self, from: Slot, to: Slot, length: u32) -> bool {
        let (Some(from), Some(to)) = (self.sequence(from), self.sequence(to)) else { return false };
        self.limits.unified && self.context.kv_cache_seq_cp(from, to, Some(0), Some(length)).is_ok()
    }

    fn truncate(&mut self, slot: Slot, length: u32) -> bool {
        let Some(sequence) = self.sequence(slot) else { return false };
        self.context.kv_cache_seq_rm(sequence, Some(length), None).is_ok()
    }

    fn clear(&mut self, slot: Slot) {
        if let Some(sequence) = self.sequence(slot) {
            // Removing a whole sequence cannot fail: llama.h says so of this call.
            let _removed = self.context.kv_cache_seq_rm(sequence, None, None);
        }
    }
}

impl Saved for SeqState {
    fn bytes(&self) -> usize {
        self.byte_len()
    }
}

/// A context that pools embeddings; apart from the generating one, because llama.cpp fixes pooling per context.
pub struct EmbeddingCompute<'m> {
    context: LlamaContext<'m>,
    batch: LlamaBatch<'static>,
    rows: u32,
    sequences: u32,
}

/// Sequences that one embedding batch may hold.
const EMBEDDING_SEQUENCES: u32 = 16;

impl<'m> EmbeddingCompute<'m> {
    /// Allocates a context for inputs of up to `rows` tokens.
    pub fn new(model: &'m LlamaModel, settings: &ContextSettings, rows: u32) -> Result<Self, LoadError> {
        let params = base_params(settings)
            .with_n_ctx(NonZeroU32::new(rows))
            // A non-causal model aborts where a batch is longer than the micro-batch: they are the same here.
            .with_n_batch(rows)
            .with_n_ubatch(rows)
            .with_n_seq_max(EMBEDDING_SEQUENCES)
            .with_kv_unified(true)
            .with_embeddings(true);
        let pooled = |pooling| make(model, params.clone().with_pooling_type(pooling), settings);
        // The file's own pooling where it names one; a generating model names none and is averaged.
        let context = match pooled(LlamaPoolingType::Unspecified)? {
            context if names_pooling(model) => context,
            _unpooled => pooled(LlamaPoolingType::Mean)?,
        };
        let capacity = usize::try_from(rows).unwrap_or(usize::MAX);
        Ok(Self { context, batch: LlamaBatch::new(capacity, 1), rows, sequences: EMBEDDING_SEQUENCES })
    }

    /// Most tokens of one call, all inputs together.
    pub fn rows(&self) -> u32 {
        self.rows
    }

    /// Most inputs of one call.
    pub fn sequences(&self) -> u32 {
        self.sequences
    }

    /// One unit-length vector an input, in one decode.
    pub fn embed(&mut self, inputs: &[&[u32]]) -> Result<Vec<Vec<f32>>, ComputeError> {
        let total: usize = inputs.iter().map(|input| input.len()).sum();
        if total > self.rows as usize
            || inputs.len() > self.sequences as usize
            || inputs.iter().any(|i| i.is_empty())
        {
            return Err(ComputeError::Failed("an embedding batch is over its limits".to_owned()));
        }
        self.context.clear_kv_cache();
        self.batch.clear();
        for (sequence, input) in (0..).zip(inputs) {
            for (position, token) in (0..).zip(input.iter()) {
                self.batch
                    .add(LlamaToken::new(token.cast_signed()), position, &[sequence], true)
                    .map_err(|error| ComputeError::Failed(error.to_string()))?;
            }
        }
        self.context.decode(&mut self.batch).map_err(|error| ComputeError::Failed(error.to_string()))?;
        (0..)
            .zip(inputs)
            .map(|(sequence, _)| {
                let vector = self.context.embeddings_seq_ith(sequence);
                vector.map(normalised).map_err(|error| ComputeError::Failed(error.to_string()))
            })
            .collect()
    }
}

fn names_pooling(model: &LlamaModel) -> bool {
    model
        .meta_val_str("general.architecture")
        .and_then(|architecture| model.meta_val_str(&format!("{architecture}.pooling_type")))
        .is_ok_and(|pooling| pooling != "0")
}

fn normalised(vector: &[f32]) -> Vec<f32> {
    let norm = vector.iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>().sqrt();
    let scale = if norm > 0.0 { 1.0 / norm } else { 0.0 };
    #[expect(clippy::cast_possible_truncation, reason = "an embedding's elements are f32")]
    vector.iter().map(|x| (f64::from(*x) * scale) as f32).collect()
}

fn base_params(settings: &ContextSettings) -> LlamaContextParams {
    let kv_type = match settings.kv_type {
        KvType::F32 => KvCacheType::F32,
        KvType::F16 => KvCacheType::F16,
        KvType::Bf16 => KvCacheType::BF16,
        KvType::Q8_0 => KvCacheType::Q8_0,
        KvType::Q4_0 => KvCacheType::Q4_0,
    };
    let flash_attention = match settings.flash_attention {
        FlashAttention::Auto => llama_cpp_sys_2::LLAMA_FLASH_ATTN_TYPE_AUTO,
        FlashAttention::On => llama_cpp_sys_2::LLAMA_FLASH_ATTN_TYPE_ENABLED,
        FlashAttention::Off => llama_cpp_sys_2::LLAMA_FLASH_ATTN_TYPE_DISABLED,
    };
    LlamaContextParams::default()
        .with_type_k(kv_type)
        .with_type_v(kv_type)
        .with_flash_attention_policy(flash_attention)
        .with_n_threads(settings.threads.cast_signed())
        .with_n_threads_batch(settings.batch_threads.cast_signed())
        .with_no_perf(true)
}
