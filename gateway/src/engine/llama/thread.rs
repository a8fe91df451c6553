//! The thread that owns the context: made here, so that nothing else can touch it.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use llama_cpp_2::model::LlamaModel;

use super::compute::{ComputeError, Limits};
use super::context::{ContextSettings, EmbeddingCompute, LlamaCompute};
use super::gauges::Gauges;
use super::kv::KvCache;
use super::kv::spill::{Identity, Spill, SpillSettings};
use super::model::{LoadError, Model};
use super::scheduler::{Command, Policy, Scheduler};
use super::vocabulary::Vocabulary;
use crate::config::{KvLayout, ModelConfig, ShareScope, Speculation};

/// The window of a model that is told none: longer ones cost memory that most users never fill.
const DEFAULT_WINDOW: u32 = 4096;

/// llama.cpp pads a sequence's cells to this.
const CELL_PADDING: u32 = 256;

/// llama.cpp's bound on sequences of a context.
const MOST_SEQUENCES: u32 = 256;

/// Sizes and threads of the context that a configuration asks for.
pub(super) fn settings(trained_context: u32, config: &ModelConfig) -> ContextSettings {
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let cores = u32::try_from(cores).unwrap_or(1);
    let threads = config.threads.unwrap_or(cores).max(1);
    let slots = config.parallel.clamp(1, MOST_SEQUENCES);
    let window = if config.context == 0 { trained_context.min(DEFAULT_WINDOW) } else { config.context };
    let padded = window.max(1).next_multiple_of(CELL_PADDING);
    let unified = config.kv_layout == KvLayout::Unified;
    let cells = match (unified, config.kv_cells) {
        (true, Some(cells)) => cells.max(CELL_PADDING),
        (true, None) => padded.saturating_mul(slots.div_ceil(4)),
        (false, _) => padded.saturating_mul(slots),
    };
    ContextSettings {
        limits: Limits {
            slots: u16::try_from(slots).unwrap_or(u16::MAX),
            window: window.min(cells),
            // Every sequence's decode token fits beside a whole chunk of prefill.
            batch: config.batch.max(config.prefill_chunk).saturating_add(slots),
            cells,
            unified,
        },
        kv_type: config.kv_type,
        flash_attention: config.flash_attention,
        threads,
        batch_threads: config.batch_threads.unwrap_or(threads).max(1),
        adapter: None,
    }
}

/// The running thread. Dropping it waits for the step being computed and for the context to be freed: a process that
/// ended in mid-step would take llama.cpp's globals away under its compute threads, and die of it.
pub(super) struct Worker {
    /// `None` only while being dropped, which is what ends the thread.
    commands: Option<SyncSender<Command>>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// Hands a command over, or gives it back where the inbox is full or the thread is gone.
    pub(super) fn send(&self, command: Command) -> Result<(), TrySendError<Command>> {
        match &self.commands {
            Some(commands) => commands.try_send(command),
            None => Err(TrySendError::Disconnected(command)),
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        drop(self.commands.take());
        if let Some(Err(_)) = self.thread.take().map(JoinHandle::join) {
            tracing::error!("the engine's thread had panicked");
        }
    }
}

/// Starts the thread and waits until its context is allocated. What is spilled to disk lies below `folder`.
pub(super) fn start(
    (id, folder): (&str, &Path),
    model: &Model,
    settings: &ContextSettings,
    config: &ModelConfig,
    gauges: &Arc<Gauges>,
) -> Result<Worker, LoadError> {
    let (commands, inbox) = sync_channel(config.queue.saturating_add(64) as usize);
    let (allocated, outcome) = sync_channel(1);
    let owned = Owned {
        weights: Arc::clone(model.weights()),
        vocabulary: Arc::clone(model.vocabulary()),
        settings: settings.clone(),
        policy: Policy {
            prefill_chunk: config.prefill_chunk.max(1) as usize,
            slow_reader: config.slow_reader_timeout,
            queue: config.queue.saturating_add(MOST_SEQUENCES) as usize,
            draft: longest_draft(model, config),
        },
        host_limit: (config.prefix_cache_mib as usize).saturating_mul(1024 * 1024),
        spill: spill(settings, config, folder, gauges),
        gauges: Arc::clone(gauges),
    };
    // The kernel shows 15 bytes of a thread's name; llama.cpp's own threads take it over.
    let name: String = format!("llama-{id}").chars().take(15).collect();
    let thread = std::thread::Builder::new()
        .name(name)
        .spawn(move || owned.run(&inbox, &allocated))
        .map_err(|error| LoadError::Context(error.to_string()))?;
    outcome.recv().map_err(|_| LoadError::Context("the engine's thread ended".to_owned()))??;
    Ok(Worker { commands: Some(commands), thread: Some(thread) })
}

/// Most tokens of a draft. A recurrent memory has none: it cannot forget what did not come true.
fn longest_draft(model: &Model, config: &ModelConfig) -> usize {
    match config.speculation {
        Speculation::Lookup if !model.is_recurrent() => config.draft_max as usize,
        Speculation::Lookup | Speculation::Off => 0,
    }
}

/// Where retained sequences go that are pushed out of memory or idle, if that is wanted and possible. It is only a
/// cache: without it the engine serves as well.
fn spill(settings: &ContextSettings, config: &ModelConfig, folder: &Path, gauges: &Gauges) -> Option<Spill> {
    // What an adapter computed is not told apart from what the model itself did.
    if settings.adapter.is_some() {
        return None;
    }
    // Without sharing nothing is ever found again, and without memory for prefixes nothing is retained.
    if config.spill_mib == 0 || config.prefix_cache_mib == 0 || config.share_prefix == ShareScope::None {
        return None;
    }
    let opened = Identity::of(&config.path, settings).and_then(|identity| {
        let settings = SpillSettings {
            identity,
            folder: SpillSettings::folder(folder, &identity),
            limit: u64::from(config.spill_mib) << 20,
            after: config.spill_after,
            window: settings.limits.window,
        };
        Spill::open(settings, Arc::clone(gauges.spill()))
    });
    opened
        .inspect_err(|error| {
            tracing::warn!(%error, folder = %folder.display(), "no KV is spilled to disk");
        })
        .ok()
}

/// All that the thread takes with it.
struct Owned {
    weights: Arc<LlamaModel>,
    vocabulary: Arc<Vocabulary>,
    settings: ContextSettings,
    policy: Policy,
    host_limit: usize,
    spill: Option<Spill>,
    gauges: Arc<Gauges>,
}

/// Says that the engine is gone, also when its thread panics.
struct ReadyWhileAlive(Arc<Gauges>);

impl Drop for ReadyWhileAlive {
    fn drop(&mut self) {
        self.0.set_ready(false);
    }
}

impl Owned {
    fn run(self, inbox: &Receiver<Command>, allocated: &SyncSender<Result<(), LoadError>>) {
        let compute = match LlamaCompute::new(&self.weights, &self.settings) {
            Ok(compute) => compute,
            Err(error) => {
                let _loader_gone = allocated.send(Err(error));
                return;
            }
        };
        let _ready = ReadyWhileAlive(Arc::clone(&self.gauges));
        self.gauges.set_ready(true);
        let _loader_gone = allocated.send(Ok(()));
        let kv = KvCache::new(compute, self.host_limit).with_spill(self.spill);
        let mut scheduler = Scheduler::new(kv, self.policy, self.vocabulary, self.gauges);
        // Most processes never embed: the second context is made when the first input comes.
        let mut embedding: Option<EmbeddingCompute<'_>> = None;
        scheduler.run(inbox, &mut |inputs| {
            if embedding.is_none() {
                let made =
                    EmbeddingCompute::new(&self.weights, &self.settings, embedding_rows(&self.settings));
                embedding = Some(made.map_err(|error| ComputeError::Failed(error.to_string()))?);
            }
            let Some(compute) = &mut embedding else { return Err(ComputeError::Restore) };
            let inputs: Vec<&[u32]> = inputs.iter().map(Vec::as_slice).collect();
            compute.embed(&inputs)
        });
    }
}

/// Longest embedding input, in tokens: one micro-batch, since pooling does not cross them.
pub(super) fn embedding_rows(settings: &ContextSettings) -> u32 {
    settings.limits.window.min(2048)
}
