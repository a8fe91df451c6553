//! `POST /v1/completions`: OpenAI's older interface, without messages.

use std::sync::Arc;

use openapi::completions::{Completion, CompletionRequest, PromptInput};
use openapi::message::ResponseFormat;
use poem::Request;
use poem_openapi::OpenApi;

use crate::api::generation::fields::{integer, invalid, missing, unsupported, unsupported_value};
use crate::api::generation::sampling::{self, MAX_CHOICES, SamplingFields};
use crate::api::generation::{Asked, Begun};
use crate::api::payload::{self, Events, JsonOrEvents, Limited, WithBytes};
use crate::api::{Tag, generation};
use crate::app::App;
use crate::auth::{Authorized, permission};
use crate::engine::{Engine, GenerationRequest, Operation, Prompt, Wire};
use crate::error::ApiError;
use crate::stream::completion::{CompletionWire, fold};
use crate::stream::{Frames, StreamShape};

const ROUTE: &str = "create_completion";
/// OpenAI's default, which surprises everybody.
const DEFAULT_MAX_TOKENS: u32 = 16;

/// The text completions resource.
#[derive(Debug)]
pub struct CompletionsApi {
    app: Arc<App>,
}

impl CompletionsApi {
    /// The resource.
    pub fn new(app: Arc<App>) -> Self {
        Self { app }
    }
}

#[OpenApi(tag = "Tag::Completions")]
impl CompletionsApi {
    /// Go on from a text
    ///
    /// As one object, or with `stream` as server-sent events while it is made.
    #[oai(path = "/v1/completions", method = "post", operation_id = "create_completion")]
    async fn create(
        &self,
        caller: Authorized<permission::Chat>,
        http: &Request,
        body: WithBytes<CompletionRequest>,
    ) -> Result<Limited<JsonOrEvents<Completion, Completion>>, ApiError> {
        let mut settlement = self.app.books.open(generation::origin(http), ROUTE, &caller);
        let WithBytes(body, bytes) = body;
        let mut plan = settlement.note(CompletionPlan::check(body))?;
        // Answers to several prompts are joined here.
        if let [only] = plan.requests.as_mut_slice() {
            let (stream, include_usage) = (plan.stream, plan.shape.include_usage);
            only.wire = Some(Wire { body: bytes, operation: Operation::Completion, stream, include_usage });
        }
        let engine = generation::route(&self.app, &caller, &plan.model, &mut settlement)?;
        let echoes = settlement.note(plan.echoes(&*engine).await)?;
        let Begun { events, headers, .. } =
            generation::begin(&self.app, &caller, &*engine, Asked::all(plan.requests), settlement).await?;
        let head = generation::head("cmpl", &*engine, None);
        if plan.stream {
            let wire = CompletionWire::new(&head, plan.shape, echoes);
            let frames = Frames::new(events, wire, self.app.limits.keep_alive);
            return Ok(Limited(JsonOrEvents::Events(Events::new(frames)), headers));
        }
        Ok(Limited(fold(head, plan.shape, echoes, events).await?.into(), headers))
    }
}

/// What a text completion request comes down to.
#[derive(Debug)]
pub struct CompletionPlan {
    /// The model asked for.
    pub model: String,
    /// For its engine, one a prompt.
    pub requests: Vec<GenerationRequest>,
    /// Answer as events.
    pub stream: bool,
    /// Put the prompts before the completions.
    pub echo: bool,
    /// What the answer looks like.
    pub shape: StreamShape,
}

/// Parses and checks the bytes of a body. Whatever they are, it returns.
pub fn parse(bytes: &[u8]) -> Result<CompletionPlan, ApiError> {
    CompletionPlan::check(payload::parse(bytes)?)
}

impl CompletionPlan {
    /// Checks a request.
    pub fn check(asked: CompletionRequest) -> Result<Self, ApiError> {
        if asked.model.is_empty() {
            return Err(missing("model"));
        }
        refuse_unsupported(&asked)?;
        let logprobs = integer("logprobs", asked.logprobs, 0..=5)?.and_then(|top| u8::try_from(top).ok());
        let echo = asked.echo == Some(true);
        if echo && logprobs.is_some() {
            return Err(unsupported(
                "echo",
                "is not supported together with 'logprobs': prompts are not scored.",
            ));
        }
        let sampling = SamplingFields::from(&asked).check()?;
        let choices = sampling::choices(asked.n)?;
        let include_usage = sampling::stream_options(asked.stream, asked.stream_options)?;
        let max_tokens = integer("max_tokens", asked.max_tokens, 1..=u32::MAX)?.unwrap_or(DEFAULT_MAX_TOKENS);
        let stop = sampling::stops(asked.stop)?;
        let prompts = prompts(asked.prompt, choices)?;
        let all = choices.saturating_mul(u32::try_from(prompts.len()).unwrap_or(u32::MAX));
        let request = |prompt| GenerationRequest {
            prompt,
            sampling: sampling.clone(),
            max_tokens: Some(max_tokens),
            stop: stop.clone(),
            choices,
            logprobs,
            format: ResponseFormat::Text,
            wire: None,
        };
        Ok(Self {
            model: asked.model,
            requests: prompts.into_iter().map(request).collect(),
            stream: asked.stream == Some(true),
            echo,
            shape: StreamShape { choices: all, logprobs: logprobs.is_some(), include_usage },
        })
    }

    /// The text that each choice begins with; none without `echo`.
    async fn echoes(&self, engine: &dyn Engine) -> Result<Vec<String>, ApiError> {
        let mut echoes = Vec::new();
        if !self.echo {
            return Ok(echoes);
        }
        for request in &self.requests {
            let text = match &request.prompt {
                Prompt::Text(text) => text.clone(),
                Prompt::Tokens(tokens) => engine.detokenize(tokens.clone()).await?,
                Prompt::Chat(_) => String::new(),
            };
            echoes.extend(std::iter::repeat_n(text, request.choices as usize));
        }
        Ok(echoes)
    }
}

fn refuse_unsupported(asked: &CompletionRequest) -> Result<(), ApiError> {
    if asked.suffix.as_ref().is_some_and(|suffix| !suffix.is_empty()) {
        return Err(unsupported("suffix", "is not supported with this model: it does not insert text."));
    }
    if asked.best_of.is_some_and(|best_of| best_of != asked.n.unwrap_or(1)) {
        let advice = "does only support the value of 'n': completions are not ranked here.";
        return Err(unsupported_value("best_of", advice));
    }
    Ok(())
}

fn prompts(input: PromptInput, choices: u32) -> Result<Vec<Prompt>, ApiError> {
    let prompts: Vec<Prompt> = match input {
        PromptInput::Text(text) => vec![Prompt::Text(text)],
        // An empty list is as much one of texts as one of tokens.
        PromptInput::Texts(texts) => texts.into_iter().map(Prompt::Text).collect(),
        PromptInput::Tokens(tokens) => vec![Prompt::Tokens(tokens)],
        PromptInput::TokenLists(lists) => lists.into_iter().map(Prompt::Tokens).collect(),
    };
    let is_empty = |prompt: &Prompt| matches!(prompt, Prompt::Tokens(tokens) if tokens.is_empty());
    if prompts.is_empty() || prompts.iter().any(is_empty) {
        return Err(invalid("prompt", "it must not be empty.").with_code("empty_array"));
    }
    let most = (MAX_CHOICES / choices).max(1) as usize;
    if prompts.len() > most {
        let problem = format!(
            "{} prompts with {choices} completions each are more than the {MAX_CHOICES} that one request may ask for.",
            prompts.len()
        );
        return Err(invalid("prompt", problem).with_code("array_above_max_length"));
    }
    Ok(prompts)
}

#[cfg(test)]
mod tests;
