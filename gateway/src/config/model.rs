//! The entries `[[models]]`: a model file, and how it is run, or a server that has the model.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::duration;
use super::resident::{AdapterConfig, LoadWhen};
use super::upstream::{Http2, UpstreamHeaders};
use super::{Invalid, require};

/// A model to serve.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelConfig {
    /// The name clients use; absent means the file's name without `.gguf`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The GGUF file.
    #[serde(skip_serializing_if = "no_path")]
    pub path: PathBuf,
    /// Sequences computed at once.
    pub parallel: u32,
    /// Window of one sequence in tokens; 0 is the model's own, up to 4096.
    pub context: u32,
    /// Compute threads for decoding; absent means as many as there are cores.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threads: Option<u32>,
    /// Compute threads for prefill; absent means as `threads`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch_threads: Option<u32>,
    /// Layers computed on the GPU, where the build has one.
    pub gpu_layers: u32,
    /// Type of the KV cache's cells.
    pub kv_type: KvType,
    /// How sequences share the KV cache.
    pub kv_layout: KvLayout,
    /// Cells of a unified KV cache, all sequences together; absent means a quarter of what full windows would take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kv_cells: Option<u32>,
    /// Whether attention is computed in one fused step.
    pub flash_attention: FlashAttention,
    /// The most tokens in one decode step.
    pub batch: u32,
    /// The most prefill tokens a step takes while other sequences decode; as many times that as prompts outnumber them.
    pub prefill_chunk: u32,
    /// Whether tokens are computed ahead of those drawn.
    pub speculation: Speculation,
    /// The most tokens a sequence computes ahead in one step.
    pub draft_max: u32,
    /// Memory for prefixes kept after their request, in MiB; 0 keeps none.
    pub prefix_cache_mib: u32,
    /// Disk for prefixes that are idle or have no room in memory, in MiB; 0 writes none.
    pub spill_mib: u32,
    /// How long a kept prefix is not used before it is copied to disk.
    #[serde(with = "duration")]
    pub spill_after: Duration,
    /// Requests that may wait.
    pub queue: u32,
    /// Who may share a computed prefix.
    pub share_prefix: ShareScope,
    /// A Jinja chat template to use instead of the model's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chat_template: Option<PathBuf>,
    /// How long a stream's reader may take no event before its generation is cancelled.
    #[serde(with = "duration")]
    pub slow_reader_timeout: Duration,
    /// Which process the model runs in.
    pub isolation: Isolation,
    /// When the model is loaded.
    pub load: LoadWhen,
    /// Whether it stays in memory when others need room.
    pub pin: bool,
    /// How long it is not used before it is unloaded; 0: never.
    #[serde(with = "duration")]
    pub idle_unload: Duration,
    /// How long a request waits for the model to be loaded.
    #[serde(with = "duration")]
    pub load_wait: Duration,
    /// LoRA adapters, each served as `model:adapter`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub adapters: Vec<AdapterConfig>,
    /// Instead of a file, the OpenAI-compatible server that has the model: `http(s)://HOST/v1` or `unix:PATH`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The server's own name of the model; absent means `id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream_model: Option<String>,
    /// File with the key that the server asks for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_file: Option<PathBuf>,
    /// More header fields of every request to the server.
    #[serde(skip_serializing_if = "UpstreamHeaders::is_empty")]
    pub headers: UpstreamHeaders,
    /// PEM file of the authorities that the server is trusted by, instead of the system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// Which version of HTTP the server is spoken to in.
    pub http2: Http2,
    /// How long a connection to the server may take to be opened.
    #[serde(with = "duration")]
    pub connect_timeout: Duration,
    /// How long the server may take to the first byte of a streamed answer.
    #[serde(with = "duration")]
    pub first_byte_timeout: Duration,
    /// How long the server may be silent in a streamed answer.
    #[serde(with = "duration")]
    pub idle_timeout: Duration,
    /// How long the server may take for a whole answer.
    #[serde(with = "duration")]
    pub total_timeout: Duration,
}

impl Default for ModelConfig {
    fn default() -> Self {
        Self {
            id: None,
            path: PathBuf::new(),
            parallel: 8,
            context: 0,
            threads: None,
            batch_threads: None,
            gpu_layers: 0,
            kv_type: KvType::F16,
            kv_layout: KvLayout::Split,
            kv_cells: None,
            flash_attention: FlashAttention::Auto,
            batch: 512,
            prefill_chunk: 128,
            speculation: Speculation::Lookup,
            draft_max: 12,
            prefix_cache_mib: 512,
            // Prompts on a disk are the operator's choice: docs/adr/0006.
            spill_mib: 0,
            spill_after: Duration::from_mins(5),
            queue: 256,
            share_prefix: ShareScope::Tenant,
            chat_template: None,
            slow_reader_timeout: Duration::from_secs(30),
            isolation: Isolation::None,
            load: LoadWhen::Start,
            pin: false,
            idle_unload: Duration::ZERO,
            load_wait: Duration::from_mins(1),
            adapters: Vec::new(),
            url: None,
            upstream_model: None,
            key_file: None,
            headers: UpstreamHeaders::default(),
            ca_file: None,
            http2: Http2::Auto,
            connect_timeout: Duration::from_secs(5),
            // A long prompt behind a long queue.
            first_byte_timeout: Duration::from_mins(2),
            idle_timeout: Duration::from_mins(1),
            total_timeout: Duration::from_mins(30),
        }
    }
}

fn no_path(path: &Path) -> bool {
    path.as_os_str().is_empty()
}

/// Type of the KV cache's cells: smaller holds more, at some loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum KvType {
    /// 16-bit floats.
    F16,
    /// 8-bit blocks.
    Q8_0,
    /// 4-bit blocks.
    Q4_0,
    /// 32-bit floats.
    F32,
    /// 16-bit brain floats.
    Bf16,
}

/// Which process a model runs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Isolation {
    /// This one: nothing stands between it and its requests.
    None,
    /// One of its own: what breaks in it ends its own streams alone, and it is started again.
    Process,
}

/// How sequences share the KV cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum KvLayout {
    /// Each sequence has its own part: faster decoding of many sequences.
    Split,
    /// One pool for all: a prefix is shared without a copy.
    Unified,
}

/// Whether attention is computed in one fused step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FlashAttention {
    /// Where the model and the device allow it.
    Auto,
    /// Always.
    On,
    /// Never.
    Off,
}

/// Whether tokens are computed ahead of those drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Speculation {
    /// What followed the last tokens where they were said before, as far as it pays.
    Lookup,
    /// Never.
    Off,
}

/// Who may share a computed prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ShareScope {
    /// Requests of one tenant: timing tells nobody what others asked.
    Tenant,
    /// All requests: most reuse, where all callers trust each other.
    All,
    /// No two requests.
    None,
}

impl ModelConfig {
    /// The name clients use.
    pub fn name(&self) -> String {
        let stem = || self.path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        self.id.clone().or_else(|| self.upstream_model.clone()).or_else(stem).unwrap_or_default()
    }

    /// Checks what types cannot say.
    ///
    /// # Errors
    /// The first key whose value cannot work.
    pub fn validate(&self) -> Result<(), Invalid> {
        require(
            self.context == 0 || self.context >= 64,
            "context",
            "must be 0 (the model's own) or at least 64",
        )?;
        if let Some(url) = &self.url {
            return self.validate_upstream(url);
        }
        require(
            !self.path.as_os_str().is_empty(),
            "path",
            "is missing: name a GGUF file, or a server by `url`",
        )?;
        require(!self.name().trim().is_empty(), "id", "must not be empty")?;
        // llama.cpp's own bound on sequences.
        require((1..=256).contains(&self.parallel), "parallel", "must be from 1 to 256")?;
        for (key, threads) in [("threads", self.threads), ("batch_threads", self.batch_threads)] {
            require(threads.is_none_or(|n| (1..=512).contains(&n)), key, "must be from 1 to 512")?;
        }
        require(
            (32..=65_536).contains(&self.batch) && self.batch >= self.parallel,
            "batch",
            "must be from 32 to 65536, and at least `parallel`",
        )?;
        require(
            (1..=self.batch).contains(&self.prefill_chunk),
            "prefill_chunk",
            "must be from 1 to the value of `batch`",
        )?;
        require((1..=64).contains(&self.draft_max), "draft_max", "must be from 1 to 64")?;
        require(self.queue >= 1, "queue", "must be at least 1")?;
        require(
            self.isolation == Isolation::None || self.adapters.is_empty(),
            "isolation",
            "must be `none` for a model with adapters, which share its weights",
        )?;
        let quantised = matches!(self.kv_type, KvType::Q8_0 | KvType::Q4_0);
        require(
            !(quantised && self.flash_attention == FlashAttention::Off),
            "flash_attention",
            "must not be off with a quantised `kv_type`: llama.cpp cannot compute it",
        )?;
        require(!self.slow_reader_timeout.is_zero(), "slow_reader_timeout", "must be longer than 0")?;
        self.validate_residency()
    }
}
