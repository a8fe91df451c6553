//! A request checked against the model, rendered and counted: all that happens before the queue.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::TrySendError;

use futures_util::future::BoxFuture;

use super::constraint::{Constraint, ConstraintRule, rule_for};
use super::generation::OutputStream;
use super::model::{LoadError, Model};
use super::output::OutputStyle;
use super::scheduler::Command;
use super::sequence::Job;
use super::template::{ChatTemplate, ControlSpellings, Rendered};
use super::{ShareScope, Shared};
use crate::config::ModelConfig;
use crate::engine::{
    ChatPrompt, EngineError, Generation, GenerationRequest, Prepared, Prompt, Start, TokenCount, TokenPiece,
    TokenizeRequest,
};

/// Outputs that a stream may lag behind before its sequences are left out of steps.
const LAG: usize = 64;

/// The configured template, else the file's own.
pub(super) fn compile_template(model: &Model, config: &ModelConfig) -> Result<ChatTemplate, LoadError> {
    let source = match &config.chat_template {
        Some(path) => Some(
            std::fs::read_to_string(path).map_err(|source| LoadError::Read { path: path.clone(), source })?,
        ),
        None => model.metadata("tokenizer.chat_template"),
    };
    let vocabulary = model.vocabulary();
    let text = |token: Option<u32>| {
        token.map(|token| String::from_utf8_lossy(vocabulary.bytes(token)).into_owned()).unwrap_or_default()
    };
    let (bos, eos) = (text(vocabulary.bos()), text(vocabulary.eos()));
    let template = source.map_or_else(
        || ChatTemplate::chatml(&bos, &eos),
        |source| ChatTemplate::compile(&source, &bos, &eos),
    );
    let controls = ControlSpellings::new(vocabulary.control_spellings());
    Ok(template.map_err(|error| LoadError::Template(error.to_string()))?.controls(controls))
}

/// A request ready for the queue.
pub(super) struct PreparedRequest {
    shared: Arc<Shared>,
    request: GenerationRequest,
    prompt: Arc<[u32]>,
    style: OutputStyle,
    constraint: Option<Constraint>,
    /// Most tokens an answer.
    max_tokens: u32,
}

/// Renders, counts and checks. Runs off the runtime's threads.
pub(super) fn prepare(
    shared: &Arc<Shared>,
    request: &GenerationRequest,
) -> Result<PreparedRequest, EngineError> {
    check_logit_bias(shared, request)?;
    let (prompt, style, rule) = match &request.prompt {
        Prompt::Chat(chat) => {
            let rendered = render(shared, chat)?;
            let rule = rule_for(&rendered.style, chat, &request.format)?;
            (tokens_of_chat(shared, &rendered)?, rendered.style, rule)
        }
        Prompt::Text(text) => (
            tokens_of_pieces(shared, std::iter::once(text.as_str()), true)?,
            OutputStyle::default(),
            plain(request),
        ),
        Prompt::Tokens(tokens) => (checked_tokens(shared, tokens)?, OutputStyle::default(), plain(request)),
    };
    let max_tokens = fit_window(&prompt, request.max_tokens, shared.card.context_window)?;
    let constraint = shared.constraints.compile(&rule)?;
    Ok(PreparedRequest {
        shared: Arc::clone(shared),
        request: request.clone(),
        prompt: Arc::from(prompt),
        style,
        constraint,
        max_tokens,
    })
}

fn plain(request: &GenerationRequest) -> ConstraintRule {
    ConstraintRule::format(&request.format)
}

/// The answer's limit: what was asked for if it fits beside the prompt, else what is left of the window.
fn fit_window(prompt: &[u32], asked: Option<u32>, window: u32) -> Result<u32, EngineError> {
    let length = u32::try_from(prompt.len()).unwrap_or(u32::MAX);
    let left = window.saturating_sub(length);
    match asked {
        Some(asked) if asked > left => {
            Err(EngineError::ContextLength { prompt: length, output: Some(asked), window })
        }
        _ if left == 0 => Err(EngineError::ContextLength { prompt: length, output: None, window }),
        asked => Ok(asked.unwrap_or(left)),
    }
}

fn tokens_of_chat(shared: &Shared, chat: &Rendered) -> Result<Vec<u32>, EngineError> {
    // Most templates write the begin-of-text token themselves; a second one would confuse the model.
    let bos =
        shared.model.vocabulary().bos().map(|bos| shared.model.vocabulary().bytes(bos)).unwrap_or_default();
    let has_bos =
        !bos.is_empty() && chat.pieces().next().is_some_and(|text| text.as_bytes().starts_with(bos));
    tokens_of_pieces(shared, chat.pieces(), !has_bos)
}

/// The tokens of all pieces; the first begins with the model's begin-of-text token where `special` says so.
fn tokens_of_pieces<'a>(
    shared: &Shared,
    pieces: impl Iterator<Item = &'a str> + Clone,
    special: bool,
) -> Result<Vec<u32>, EngineError> {
    let window = shared.card.context_window;
    let fewest = shared.model.fewest_tokens(pieces.clone().map(str::len).sum());
    if fewest > window {
        // Megabytes of text are refused by their size alone, before the tokenizer spends seconds on them.
        return Err(EngineError::ContextLength { prompt: fewest, output: None, window });
    }
    let mut tokens = Vec::new();
    for (index, piece) in pieces.enumerate() {
        tokens.extend(shared.model.tokenize(piece, special && index == 0, true));
    }
    match shared.model.vocabulary().bos() {
        Some(bos) if tokens.is_empty() => Ok(vec![bos]),
        None if tokens.is_empty() => Err(invalid("the prompt is empty".to_owned(), "prompt")),
        _ => Ok(tokens),
    }
}

fn checked_tokens(shared: &Shared, tokens: &[u32]) -> Result<Vec<u32>, EngineError> {
    if tokens.is_empty() {
        return Err(invalid("the prompt is empty".to_owned(), "prompt"));
    }
    match tokens.iter().find(|token| !shared.model.vocabulary().contains(**token)) {
        Some(token) => Err(invalid(format!("token {token} is not in the model's vocabulary"), "prompt")),
        None => Ok(tokens.to_vec()),
    }
}

fn check_logit_bias(shared: &Shared, request: &GenerationRequest) -> Result<(), EngineError> {
    match request.sampling.logit_bias.iter().find(|(token, _)| !shared.model.vocabulary().contains(*token)) {
        Some((token, _)) => {
            Err(invalid(format!("token {token} is not in the model's vocabulary"), "logit_bias"))
        }
        None => Ok(()),
    }
}

fn invalid(message: String, param: &'static str) -> EngineError {
    EngineError::Invalid { message, param: Some(param) }
}

impl Prepared for PreparedRequest {
    fn prompt_tokens(&self) -> TokenCount {
        TokenCount::Exact(u32::try_from(self.prompt.len()).unwrap_or(u32::MAX))
    }

    fn max_output_tokens(&self) -> u32 {
        self.max_tokens.saturating_mul(self.request.choices)
    }

    fn start(self: Box<Self>, start: Start) -> BoxFuture<'static, Result<Generation, EngineError>> {
        Box::pin(async move { self.enqueue(start) })
    }
}

impl PreparedRequest {
    fn enqueue(self, start: Start) -> Result<Generation, EngineError> {
        let shared = self.shared;
        let choices = self.request.choices.max(1);
        shared.gauges.enter_queue(choices)?;
        let (outputs, events) = tokio::sync::mpsc::channel(LAG + 4 * choices as usize);
        let stopped: Arc<[AtomicBool]> = (0..choices).map(|_| AtomicBool::new(false)).collect();
        let prompt_tokens = u32::try_from(self.prompt.len()).unwrap_or(u32::MAX);
        let stream = OutputStream::new(
            events,
            Arc::clone(shared.model.vocabulary()),
            self.style,
            &self.request.stop,
            Arc::clone(&stopped),
        )
        .with_prompt_tokens(prompt_tokens);
        let job = Job {
            salt: match shared.share_prefix {
                ShareScope::Tenant => Arc::clone(&start.tenant),
                ShareScope::All => Arc::from(""),
                ShareScope::None => Arc::from(format!("{:x}", rand::random::<u128>())),
            },
            tenant: start.tenant,
            priority: start.priority,
            prompt: self.prompt,
            seed: self.request.sampling.seed.unwrap_or_else(rand::random),
            sampling: Arc::new(self.request.sampling),
            max_tokens: self.max_tokens,
            logprobs: self.request.logprobs,
            constraint: self.constraint,
            outputs,
            stopped,
        };
        shared.worker.send(Command::Generate(Box::new(job))).map_err(|error| {
            shared.gauges.leave_queue(choices);
            match error {
                TrySendError::Full(_) => shared.gauges.queue_full(),
                TrySendError::Disconnected(_) => EngineError::NotReady("its engine has stopped"),
            }
        })?;
        Ok(Generation { events: Box::pin(stream), target: None })
    }
}

/// The tokens of a text or of a rendered chat.
pub(super) fn tokenize(
    shared: &Arc<Shared>,
    request: &TokenizeRequest,
) -> Result<Vec<TokenPiece>, EngineError> {
    let tokens = match request {
        TokenizeRequest::Text { text, add_special, parse_special } => {
            shared.model.tokenize(text, *add_special, *parse_special)
        }
        TokenizeRequest::Chat(chat) => tokens_of_chat(shared, &render(shared, chat)?)?,
    };
    let piece = |id: u32| TokenPiece { id, bytes: shared.model.vocabulary().bytes(id).to_vec() };
    Ok(tokens.into_iter().map(piece).collect())
}

fn render(shared: &Shared, chat: &ChatPrompt) -> Result<Rendered, EngineError> {
    shared.template.render(chat).map_err(|error| invalid(error.to_string(), "messages"))
}

/// The text of tokens.
pub(super) fn detokenize(shared: &Shared, tokens: &[u32]) -> Result<String, EngineError> {
    let vocabulary = shared.model.vocabulary();
    let mut bytes = Vec::new();
    for token in tokens {
        if !vocabulary.contains(*token) {
            return Err(invalid(format!("token {token} is not in the model's vocabulary"), "tokens"));
        }
        bytes.extend_from_slice(vocabulary.bytes(*token));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
