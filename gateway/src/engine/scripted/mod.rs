//! A real engine without a model: it plays scripts, for tests and for load tests without compute.
//!
//! Everything that the house relies on holds here too: the prompt is counted before anything starts, `max_tokens`
//! and the window end an answer with `length`, log-probabilities come when asked for, dropping the generation
//! cancels it. What a model would decide is written in a [`Script`]. Its tokenizer is the simplest honest one: a
//! token is a byte. Stop strings and answer formats are a model's business and have no effect here.

mod play;
mod script;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use openapi::message::{Content, Message, Part};
use parking_lot::Mutex;

use crate::engine::{
    ChatPrompt, EmbeddingInput, EmbeddingRequest, Embeddings, Engine, EngineError, EngineLoad, Generation,
    GenerationRequest, ModelCard, Prepared, Prompt, Start, TokenCount, TokenPiece, TokenizeRequest,
};
pub use script::{Gate, Script};

/// An engine that plays scripts.
pub struct ScriptedEngine {
    card: ModelCard,
    fallback: Script,
    stage: Arc<Stage>,
}

/// What the engine and its generations share.
#[derive(Debug, Default)]
struct Stage {
    next: Mutex<VecDeque<Script>>,
    requests: Mutex<Vec<GenerationRequest>>,
    starts: Mutex<Vec<Start>>,
    unready: AtomicBool,
    running: AtomicU32,
    completed: AtomicU32,
    cancelled: AtomicU32,
}

impl ScriptedEngine {
    /// An engine that plays `fallback` for every request, unless [`Self::enqueue`] says otherwise.
    pub fn new(model: &str, fallback: Script) -> Self {
        let card = ModelCard {
            id: model.to_owned(),
            created: 0,
            owned_by: "scripted".to_owned(),
            context_window: 65_536,
            embedding_dimensions: Some(8),
        };
        Self { card, fallback, stage: Arc::default() }
    }

    /// Changes what the model claims to be.
    #[must_use]
    pub fn with_card(mut self, change: impl FnOnce(&mut ModelCard)) -> Self {
        change(&mut self.card);
        self
    }

    /// Plays this script for the next request that has none yet.
    pub fn enqueue(&self, script: Script) {
        self.stage.next.lock().push_back(script);
    }

    /// Whether new requests are taken; true from the start.
    pub fn set_ready(&self, ready: bool) {
        self.stage.unready.store(!ready, Ordering::Relaxed);
    }

    /// The requests prepared so far.
    pub fn requests(&self) -> Vec<GenerationRequest> {
        self.stage.requests.lock().clone()
    }

    /// For whom generations were started so far.
    pub fn starts(&self) -> Vec<Start> {
        self.stage.starts.lock().clone()
    }

    /// Generations that are neither ended nor dropped.
    pub fn running(&self) -> u32 {
        self.stage.running.load(Ordering::Relaxed)
    }

    /// Generations that played to their end, failures included.
    pub fn completed(&self) -> u32 {
        self.stage.completed.load(Ordering::Relaxed)
    }

    /// Generations that were dropped before their end.
    pub fn cancelled(&self) -> u32 {
        self.stage.cancelled.load(Ordering::Relaxed)
    }

    fn prepare_now(&self, request: GenerationRequest) -> Result<Box<dyn Prepared>, EngineError> {
        let prompt = count(prompt_bytes(&request.prompt).len());
        let window = self.card.context_window;
        let output = request.max_tokens;
        if prompt.saturating_add(output.unwrap_or(1)) > window {
            return Err(EngineError::ContextLength { prompt, output, window });
        }
        self.stage.requests.lock().push(request.clone());
        let script = self.stage.next.lock().pop_front().unwrap_or_else(|| self.fallback.clone());
        let limit = output.unwrap_or(window - prompt);
        Ok(Box::new(Rehearsed { request, script, prompt, limit, stage: Arc::clone(&self.stage) }))
    }

    fn embed_now(&self, request: &EmbeddingRequest) -> Result<Embeddings, EngineError> {
        let Some(dimensions) = self.card.embedding_dimensions else {
            return Err(EngineError::Unsupported(format!("the model '{}' does not embed", self.card.id)));
        };
        let inputs: Vec<Vec<u8>> = request.inputs.iter().map(input_bytes).collect();
        Ok(Embeddings {
            vectors: inputs.iter().map(|bytes| unit_vector(bytes, dimensions)).collect(),
            prompt_tokens: count(inputs.iter().map(Vec::len).sum()),
            target: None,
        })
    }
}

impl Engine for ScriptedEngine {
    fn card(&self) -> &ModelCard {
        &self.card
    }

    fn load(&self) -> EngineLoad {
        EngineLoad {
            ready: !self.stage.unready.load(Ordering::Relaxed),
            running: self.running(),
            ..EngineLoad::default()
        }
    }

    fn prepare(&self, request: GenerationRequest) -> BoxFuture<'_, Result<Box<dyn Prepared>, EngineError>> {
        std::future::ready(self.prepare_now(request)).boxed()
    }

    fn embed(&self, request: EmbeddingRequest) -> BoxFuture<'_, Result<Embeddings, EngineError>> {
        std::future::ready(self.embed_now(&request)).boxed()
    }

    fn tokenize(&self, request: TokenizeRequest) -> BoxFuture<'_, Result<Vec<TokenPiece>, EngineError>> {
        let bytes = match request {
            TokenizeRequest::Text { text, .. } => text.into_bytes(),
            TokenizeRequest::Chat(chat) => chat_bytes(&chat),
        };
        let piece = |byte: u8| TokenPiece { id: u32::from(byte), bytes: vec![byte] };
        std::future::ready(Ok(bytes.into_iter().map(piece).collect())).boxed()
    }

    fn detokenize(&self, tokens: Vec<u32>) -> BoxFuture<'_, Result<String, EngineError>> {
        std::future::ready(Ok(String::from_utf8_lossy(&token_bytes(&tokens)).into_owned())).boxed()
    }
}

/// A request with the script that it will get.
struct Rehearsed {
    request: GenerationRequest,
    script: Script,
    prompt: u32,
    limit: u32,
    stage: Arc<Stage>,
}

impl Prepared for Rehearsed {
    fn prompt_tokens(&self) -> TokenCount {
        TokenCount::Exact(self.prompt)
    }

    fn max_output_tokens(&self) -> u32 {
        self.limit.saturating_mul(self.request.choices)
    }

    fn start(self: Box<Self>, start: Start) -> BoxFuture<'static, Result<Generation, EngineError>> {
        let result = if self.stage.unready.load(Ordering::Relaxed) {
            Err(EngineError::NotReady("it is told not to be"))
        } else if let Some(refusal) = self.script.refusal.clone() {
            Err(refusal)
        } else {
            self.stage.starts.lock().push(start);
            Ok(play::play(*self))
        };
        std::future::ready(result).boxed()
    }
}

fn prompt_bytes(prompt: &Prompt) -> Vec<u8> {
    match prompt {
        Prompt::Chat(chat) => chat_bytes(chat),
        Prompt::Text(text) => text.clone().into_bytes(),
        Prompt::Tokens(tokens) => token_bytes(tokens),
    }
}

fn input_bytes(input: &EmbeddingInput) -> Vec<u8> {
    match input {
        EmbeddingInput::Text(text) => text.clone().into_bytes(),
        EmbeddingInput::Tokens(tokens) => token_bytes(tokens),
    }
}

fn chat_bytes(chat: &ChatPrompt) -> Vec<u8> {
    chat.messages.iter().flat_map(message_bytes).collect()
}

fn message_bytes(message: &Message) -> Vec<u8> {
    match &message.content {
        None => Vec::new(),
        Some(Content::Text(text)) => text.clone().into_bytes(),
        Some(Content::Parts(parts)) => parts.iter().flat_map(part_bytes).copied().collect(),
    }
}

fn part_bytes(part: &Part) -> &[u8] {
    match part {
        Part::Text { text } => text.as_bytes(),
        Part::Refusal { refusal } => refusal.as_bytes(),
        Part::ImageUrl { .. } | Part::InputAudio { .. } | Part::File { .. } => &[],
    }
}

/// Token ids that are no byte stand for nothing.
fn token_bytes(tokens: &[u32]) -> Vec<u8> {
    tokens.iter().filter_map(|&token| u8::try_from(token).ok()).collect()
}

fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// The same input always gives the same direction.
fn unit_vector(bytes: &[u8], dimensions: u32) -> Vec<f32> {
    let mut vector = vec![0.0_f32; dimensions as usize];
    for (position, byte) in bytes.iter().enumerate() {
        if let Some(value) = vector.get_mut(position % dimensions.max(1) as usize) {
            *value += f32::from(*byte) + 1.0;
        }
    }
    let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
    vector.into_iter().map(|value| value / length).collect()
}
