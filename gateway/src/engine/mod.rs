//! What every engine is to the house: prepare a request, generate a stream of events, embed, tokenize.
//!
//! The trait is shaped for two kinds. An **in-process model** ([`llama`]) renders the template and counts tokens
//! itself in [`Engine::prepare`], and generates from its scheduler. A **remote OpenAI-compatible server** fits the
//! same steps: `prepare` only estimates ([`TokenCount::Estimate`]) and keeps the request; [`Prepared::start`] opens
//! the upstream request, whose server-sent chunks map one to one on [`Event`]s (its deltas are already parsed into
//! content, reasoning and tool calls, which is why events carry meaning and not tokens); dropping the
//! [`Generation`] closes the upstream connection. [`Engine::tokenize`] answers [`EngineError::Unsupported`] where a
//! remote server has no such operation.
//!
//! Dropping a [`Generation`] is the one way to cancel it, wherever it is: queued, in prefill or decoding.

pub mod child;
pub mod estimate;
pub mod failure;
pub mod llama;
pub mod progress;
pub mod scripted;
pub mod upstream;
mod wire;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::Stream;
use futures_util::future::BoxFuture;
use openapi::admin::models::Residency;
use openapi::message::{Message, ResponseFormat, Tool, ToolChoice};

pub use failure::{EngineError, UpstreamErrorKind};
pub use wire::{Operation, Wire, Wired};

/// A model being served, by whatever means.
pub trait Engine: Send + Sync + 'static {
    /// What the model is and can do.
    fn card(&self) -> &ModelCard;

    /// How busy the engine is at this moment.
    fn load(&self) -> EngineLoad;

    /// Whether it answers; asked now and then. An engine that can only be known by asking asks here.
    fn probe(&self) -> BoxFuture<'_, bool> {
        Box::pin(std::future::ready(self.load().ready))
    }

    /// Where the model is between disk and memory, if it comes and goes.
    fn residency(&self) -> Option<Residency> {
        None
    }

    /// Checks the request against the model, renders and counts its prompt. Never touches the model's compute.
    fn prepare(&self, request: GenerationRequest) -> BoxFuture<'_, Result<Box<dyn Prepared>, EngineError>>;

    /// Embeds each input; vectors come back in the order of the inputs.
    fn embed(&self, request: EmbeddingRequest) -> BoxFuture<'_, Result<Embeddings, EngineError>>;

    /// The model's tokens for a text.
    fn tokenize(&self, request: TokenizeRequest) -> BoxFuture<'_, Result<Vec<TokenPiece>, EngineError>>;

    /// The text of tokens; bytes that are not UTF-8 become U+FFFD.
    fn detokenize(&self, tokens: Vec<u32>) -> BoxFuture<'_, Result<String, EngineError>>;
}

/// A request that was checked and counted, and holds no compute yet.
pub trait Prepared: Send {
    /// The prompt's length.
    fn prompt_tokens(&self) -> TokenCount;

    /// The most tokens that all choices together may generate: what admission reserves.
    fn max_output_tokens(&self) -> u32;

    /// Joins the engine's queue. Returns once the request is accepted, before the first event.
    fn start(self: Box<Self>, start: Start) -> BoxFuture<'static, Result<Generation, EngineError>>;
}

/// Who a generation is for.
#[derive(Debug, Clone)]
pub struct Start {
    /// Fair sharing and prefix reuse stay inside one tenant: by default the subject.
    pub tenant: Arc<str>,
    /// Higher goes first. Default 0.
    pub priority: u8,
}

/// A model's name, limits and abilities.
#[derive(Debug, Clone)]
pub struct ModelCard {
    /// The name clients use.
    pub id: String,
    /// When the model was loaded, seconds since the Unix epoch.
    pub created: u64,
    /// Who provides it, as `/v1/models` says.
    pub owned_by: String,
    /// The most tokens a prompt and its answer may have together.
    pub context_window: u32,
    /// The length of an embedding, where the engine embeds.
    pub embedding_dimensions: Option<u32>,
}

/// How busy an engine is.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct EngineLoad {
    /// May be sent requests.
    pub ready: bool,
    /// Sequences being computed.
    pub running: u32,
    /// Requests in the queue.
    pub waiting: u32,
    /// Share of the KV cells in use, 0–1.
    pub kv_used_ratio: f64,
}

/// An exact count, or a guess where the tokenizer is elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenCount {
    /// Counted by the served model's own tokenizer.
    Exact(u32),
    /// Guessed from the text's length.
    Estimate(u32),
}

/// Everything one generation asks for, whichever API asked.
#[derive(Debug, Clone)]
pub struct GenerationRequest {
    /// What to go on from.
    pub prompt: Prompt,
    /// How the next token is drawn.
    pub sampling: Sampling,
    /// The most tokens per choice; absent means up to the window.
    pub max_tokens: Option<u32>,
    /// Strings that end the answer and are not part of it.
    pub stop: Vec<String>,
    /// How many answers to the one prompt (`n`), at least 1.
    pub choices: u32,
    /// `Some(k)`: report each token's log-probability and the `k` likeliest alternatives (0–20).
    pub logprobs: Option<u8>,
    /// The shape the answer must have.
    pub format: ResponseFormat,
    /// The client's own request, where an engine that speaks its protocol may pass request and answer on as they are.
    pub wire: Option<Wire>,
}

/// What a generation goes on from.
#[derive(Debug, Clone)]
pub enum Prompt {
    /// Messages, rendered through the model's chat template.
    Chat(ChatPrompt),
    /// Raw text; special tokens in it are parsed, as OpenAI's completions do.
    Text(String),
    /// Raw tokens.
    Tokens(Vec<u32>),
}

/// A chat with its tools.
#[derive(Debug, Clone)]
pub struct ChatPrompt {
    /// The conversation so far.
    pub messages: Vec<Message>,
    /// Tools the model may call.
    pub tools: Vec<Tool>,
    /// Whether it must.
    pub tool_choice: ToolChoice,
    /// Whether it may call several in one answer.
    pub parallel_tool_calls: bool,
}

/// Sampling parameters, already validated; the defaults are OpenAI's.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampling {
    /// 0 is greedy.
    pub temperature: f32,
    /// Nucleus mass; 1 is off.
    pub top_p: f32,
    /// Keep the `k` likeliest; 0 is off.
    pub top_k: u32,
    /// Keep tokens at least this share as likely as the likeliest; 0 is off.
    pub min_p: f32,
    /// llama.cpp's penalty on tokens seen, divides or multiplies the logit; 1 is off.
    pub repeat_penalty: f32,
    /// OpenAI's penalty per occurrence.
    pub frequency_penalty: f32,
    /// OpenAI's penalty for having occurred.
    pub presence_penalty: f32,
    /// Added to the logits of these tokens.
    pub logit_bias: Vec<(u32, f32)>,
    /// Makes draws repeatable.
    pub seed: Option<u64>,
}

impl Default for Sampling {
    fn default() -> Self {
        Self {
            temperature: 1.0,
            top_p: 1.0,
            top_k: 0,
            min_p: 0.0,
            repeat_penalty: 1.0,
            frequency_penalty: 0.0,
            presence_penalty: 0.0,
            logit_bias: Vec::new(),
            seed: None,
        }
    }
}

/// A running generation: a stream of events that ends with [`Event::Done`]. Dropping it cancels.
pub struct Generation {
    /// The events, of all choices.
    pub events: Pin<Box<dyn Stream<Item = Result<Event, EngineError>> + Send>>,
    /// Who generates, where that is not the model that was asked for.
    pub target: Option<Arc<str>>,
}

impl std::fmt::Debug for Generation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Generation").finish_non_exhaustive()
    }
}

/// One thing that happened in a generation.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// Output of one choice.
    Delta(Delta),
    /// A choice is complete.
    Finished {
        /// Which choice, from 0.
        choice: u32,
        /// Why it ended.
        reason: FinishReason,
        /// The stop string that ended it, where one did and the engine can tell which.
        stop: Option<Arc<str>>,
    },
    /// A part of the answer as it goes to the client; only for a request that has a [`Wire`], which then has no other
    /// output.
    Wire(Wired),
    /// All choices are complete; always the last event of a generation that did not fail.
    Done(Usage),
}

/// Output of one choice.
#[derive(Debug, Clone, PartialEq)]
pub struct Delta {
    /// Which choice, from 0.
    pub choice: u32,
    /// Tokens that this delta accounts for; text held back (a possible stop string, half a character) comes later.
    pub tokens: u32,
    /// What was said, if the tokens completed any.
    pub part: Option<DeltaPart>,
    /// One entry a token, where asked for.
    pub logprobs: Vec<TokenLogprob>,
}

/// What a delta adds to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeltaPart {
    /// The answer's text.
    Content(String),
    /// Reasoning before the answer.
    Reasoning(String),
    /// A tool call begins.
    ToolCall {
        /// Position among the answer's calls.
        index: u32,
        /// `call_…`.
        id: String,
        /// The function.
        name: String,
    },
    /// More of a tool call's arguments.
    ToolArguments {
        /// Position among the answer's calls.
        index: u32,
        /// JSON text.
        arguments: String,
    },
}

/// Log-probability of a token and its likeliest alternatives.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenLogprob {
    /// The token drawn.
    pub token: Candidate,
    /// The likeliest tokens in its place, likeliest first.
    pub top: Vec<Candidate>,
}

/// A token with its log-probability under the model (before temperature and truncation).
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// The token's id.
    pub id: u32,
    /// Its bytes, which need not be whole characters.
    pub bytes: Vec<u8>,
    /// Natural logarithm of its probability.
    pub logprob: f32,
}

/// Why a choice ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FinishReason {
    /// The model ended, or a stop string came.
    Stop,
    /// The token limit or the window was reached.
    Length,
    /// The answer is tool calls.
    ToolCalls,
}

/// What a generation used, all choices together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens of the prompt.
    pub prompt_tokens: u32,
    /// Of these, tokens whose KV was already there.
    pub cached_tokens: u32,
    /// Tokens generated.
    pub completion_tokens: u32,
    /// Of these, reasoning.
    pub reasoning_tokens: u32,
    /// From start to the first prefill step.
    pub queued: Duration,
}

/// Texts to embed.
#[derive(Debug, Clone)]
pub struct EmbeddingRequest {
    /// Each is one vector.
    pub inputs: Vec<EmbeddingInput>,
    /// Fairness, as for generations.
    pub start: Start,
}

/// One text or token list to embed.
#[derive(Debug, Clone)]
pub enum EmbeddingInput {
    /// Text.
    Text(String),
    /// Tokens.
    Tokens(Vec<u32>),
}

/// Vectors and what they cost.
#[derive(Debug, Clone, PartialEq)]
pub struct Embeddings {
    /// One unit-length vector an input.
    pub vectors: Vec<Vec<f32>>,
    /// Tokens of all inputs.
    pub prompt_tokens: u32,
    /// Which model made them, where it is another than was asked.
    pub target: Option<Arc<str>>,
}

/// What to tokenize.
#[derive(Debug, Clone)]
pub enum TokenizeRequest {
    /// Text; `add_special` adds the model's begin-of-text token where it wants one.
    Text {
        /// The text.
        text: String,
        /// Add begin-of-text.
        add_special: bool,
        /// Read `<|im_end|>` and the like as special tokens.
        parse_special: bool,
    },
    /// A chat, as its template renders it for a generation.
    Chat(ChatPrompt),
}

/// A token and the bytes it stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenPiece {
    /// The token's id.
    pub id: u32,
    /// Its bytes.
    pub bytes: Vec<u8>,
}
