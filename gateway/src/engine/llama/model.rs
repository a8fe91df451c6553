//! A loaded GGUF: weights, vocabulary, metadata. Tokenizes; contexts are made from it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use llama_cpp_2::llama_backend::LlamaBackend;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::model::params::LlamaModelParams;
use llama_cpp_2::token::LlamaToken;
use llama_cpp_2::{LogOptions, send_logs_to_tracing};

use super::adapter::{Adapter, Adapters};
use super::devices;
use super::vocabulary::{TokenEntry, Vocabulary};
use crate::config::ModelConfig;
use crate::engine::progress::Progress;

/// Why a model could not be loaded. The text is for the operator.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read.
    #[error("cannot read the model {}: {source}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file does not begin as a GGUF does.
    #[error("{} is not a GGUF file; `gateway model pull` fetches one", .0.display())]
    NotGguf(PathBuf),
    /// llama.cpp refused the file.
    #[error("llama.cpp cannot load {}: the file is damaged, cut short, or of an unknown architecture", .0.display())]
    Refused(PathBuf),
    /// llama.cpp refused an adapter.
    #[error("llama.cpp cannot use {} as an adapter: the file is damaged, or made for another model", .0.display())]
    Adapter(PathBuf),
    /// llama.cpp could not start.
    #[error("llama.cpp did not start: {0}")]
    Backend(String),
    /// The context could not be created.
    #[error(
        "cannot create the model's context: {0}; a smaller context, fewer parallel sequences or another KV type may fit"
    )]
    Context(String),
    /// The chat template does not compile.
    #[error("the model's chat template does not compile: {0}")]
    Template(String),
    /// The vocabulary cannot be used for constrained answers.
    #[error("the model's vocabulary cannot be used: {0}")]
    Vocabulary(String),
}

/// The process's one llama.cpp backend. llama.cpp's log goes to `tracing` from here on.
pub(super) fn backend() -> Result<&'static LlamaBackend, LoadError> {
    static BACKEND: OnceLock<Result<LlamaBackend, String>> = OnceLock::new();
    BACKEND
        .get_or_init(|| {
            send_logs_to_tracing(LogOptions::default());
            #[cfg(feature = "dynamic-backends")]
            devices::load_kernels();
            devices::report()?;
            LlamaBackend::init().map_err(|error| error.to_string())
        })
        .as_ref()
        .map_err(|error| LoadError::Backend(error.clone()))
}

/// How much of a load the weights are; the context is the rest.
const WEIGHTS: f32 = 0.9;

/// A loaded model, shared between the requests that tokenize and the thread that computes.
#[derive(Debug)]
pub struct Model {
    inner: Arc<LlamaModel>,
    vocabulary: Arc<Vocabulary>,
    longest_token: usize,
    adapters: Adapters,
}

impl Model {
    /// Loads a GGUF file and its adapters, its layers on the GPU as far as the configuration says.
    pub fn load(config: &ModelConfig, progress: &Arc<Progress>) -> Result<Self, LoadError> {
        let path = config.path.as_path();
        check_magic(path)?;
        let told = Arc::clone(progress);
        let params = LlamaModelParams::default()
            .with_n_gpu_layers(config.gpu_layers)
            .with_progress_callback(move |share| told.report(share * WEIGHTS));
        let mut inner = LlamaModel::load_from_file(backend()?, path, &params)
            .map_err(|_| LoadError::Refused(path.to_path_buf()))?;
        let adapters = Adapters::load(&mut inner, &config.adapters)?;
        let vocabulary = Arc::new(read_vocabulary(&inner));
        let longest_token = (0..u32::try_from(vocabulary.len()).unwrap_or(u32::MAX))
            .map(|id| vocabulary.bytes(id).len())
            .max()
            .unwrap_or(1);
        Ok(Self { inner: Arc::new(inner), vocabulary, longest_token, adapters })
    }

    /// The weights, for making contexts.
    pub fn weights(&self) -> &Arc<LlamaModel> {
        &self.inner
    }

    /// One of its adapters.
    pub(super) fn adapter(&self, name: &str) -> Option<Arc<Adapter>> {
        self.adapters.get(name)
    }

    /// Bytes of its tensors.
    pub fn bytes(&self) -> u64 {
        self.inner.size()
    }

    /// The model's tokens.
    pub fn vocabulary(&self) -> &Arc<Vocabulary> {
        &self.vocabulary
    }

    /// A metadata value of the file, such as `general.name`.
    pub fn metadata(&self, key: &str) -> Option<String> {
        self.inner.meta_val_str(key).ok()
    }

    /// The context length that the model was trained for.
    pub fn trained_context(&self) -> u32 {
        self.inner.n_ctx_train()
    }

    /// The length of its embeddings.
    pub fn embedding_dimensions(&self) -> Option<u32> {
        u32::try_from(self.inner.n_embd_out()).ok().filter(|n| *n > 0)
    }

    /// Whether the model's memory is a running state that cannot be cut at a token (Mamba, RWKV, hybrids).
    pub fn is_recurrent(&self) -> bool {
        self.inner.is_recurrent() || self.inner.is_hybrid()
    }

    /// A text's tokens. `add_special` adds begin-of-text where the model wants one, `parse_special` reads
    /// `<|im_end|>` and the like as the special tokens they name.
    pub fn tokenize(&self, text: &str, add_special: bool, parse_special: bool) -> Vec<u32> {
        let tokens = self.inner.vocab().tokenize(text.as_bytes(), add_special, parse_special);
        tokens.into_iter().map(|LlamaToken(id)| id.cast_unsigned()).collect()
    }

    /// Fewest tokens that a text of `bytes` bytes can have: no token covers more than the longest one's bytes.
    pub fn fewest_tokens(&self, bytes: usize) -> u32 {
        u32::try_from(bytes / self.longest_token.max(1)).unwrap_or(u32::MAX)
    }
}

/// Refuses what is no GGUF with a clearer word than llama.cpp's null.
pub(super) fn check_magic(path: &Path) -> Result<(), LoadError> {
    use std::io::Read;
    let mut magic = [0_u8; 4];
    let read = std::fs::File::open(path).and_then(|mut file| file.read(&mut magic));
    match read {
        Ok(4) if &magic == b"GGUF" => Ok(()),
        Ok(_) => Err(LoadError::NotGguf(path.to_path_buf())),
        Err(source) => Err(LoadError::Read { path: path.to_path_buf(), source }),
    }
}

fn read_vocabulary(model: &LlamaModel) -> Vocabulary {
    let vocab = model.vocab();
    let entries = (0..vocab.n_tokens()).map(LlamaToken::new).map(|token| {
        let text = vocab.token_to_piece(token, false, None);
        let special = text.is_empty();
        let bytes = if special { vocab.token_to_piece(token, true, None) } else { text };
        TokenEntry { bytes, special, end_of_generation: vocab.is_eog(token) }
    });
    let id = |LlamaToken(id): LlamaToken| u32::try_from(id).ok();
    Vocabulary::new(entries, id(vocab.bos()), id(vocab.eos()))
}
