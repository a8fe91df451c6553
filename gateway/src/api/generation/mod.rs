//! From a checked request to a running generation: the steps that chat and text completions share.

mod admission;
mod caps;
pub(crate) mod fields;
mod fitting;
pub(crate) mod keeping;
pub(crate) mod sampling;
pub(crate) mod tools;

pub(crate) use admission::{admit, allowance};

use std::sync::Arc;
use std::time::Duration;

use poem::Request;
use poem::http::{HeaderName, HeaderValue};
use rand::RngExt as _;
use sha2::{Digest, Sha256};

use self::fitting::Fitted;
use crate::accounting::{Origin, Settlement};
use crate::api::start_for;
use crate::app::App;
use crate::auth::Principal;
use crate::clock::Clock;
use crate::engine::{Engine, GenerationRequest, ModelCard, Prepared, TokenCount};
use crate::error::request_id::RequestId;
use crate::error::{ApiError, ErrorKind};
use crate::limits::Headers;
use crate::stream::{Head, Watched, merge};

/// Another replica, or this one restarted, may be there.
const RETRY_AFTER_DRAINING: Duration = Duration::from_secs(1);
/// Which model answers: another than was asked for, where a route stands before it.
const TARGET: HeaderName = HeaderName::from_static("x-sluice-target");

/// The request's id, as the access log has it, and its trace.
pub(crate) fn origin(request: &Request) -> Origin {
    let id = request.data::<RequestId>();
    let id = id.map_or_else(|| RequestId::generate().as_str().into(), |id| id.as_str().into());
    Origin::new(id, request.headers().get("traceparent").map(HeaderValue::as_bytes))
}

/// The engine of the model that is named, or the first one where none is. What the caller may not use is refused
/// before it is looked for: so nobody learns whether it exists.
pub(crate) fn named(app: &App, caller: &Principal, model: Option<&str>) -> Result<Arc<dyn Engine>, ApiError> {
    let first;
    let model = if let Some(model) = model {
        model
    } else {
        first = app.catalog.default_name()?;
        &*first
    };
    caller.require_model(model)?;
    app.catalog.resolve_for(model, &caller.subject)
}

/// The engine that serves the model, as long as new work is taken.
pub(crate) fn route(
    app: &App,
    caller: &Principal,
    model: &str,
    settlement: &mut Settlement,
) -> Result<Arc<dyn Engine>, ApiError> {
    settlement.note(caller.require_model(model))?;
    let engine = settlement.note(app.catalog.resolve_for(model, &caller.subject))?;
    settlement.routed(&engine.card().id);
    if app.lifecycle.is_draining() {
        let draining =
            ApiError::new(ErrorKind::Overloaded, "the server is shutting down; send the request again")
                .with_code("shutting_down")
                .with_retry_after(RETRY_AFTER_DRAINING);
        return settlement.note(Err(draining));
    }
    Ok(engine)
}

/// Prepares every prompt, then queues them all: a request whose last prompt is too long starts nothing.
pub(crate) async fn begin(
    app: &App,
    caller: &Principal,
    engine: &dyn Engine,
    asked: Asked,
    mut settlement: Settlement,
) -> Result<Begun, ApiError> {
    let Asked { requests, truncate } = asked;
    let live = settlement.note(app.access.begin(caller).await.map_err(ApiError::from))?;
    let start = start_for(caller);
    let choices = requests.first().map_or(1, |request| request.choices);
    let mut prepared = Vec::with_capacity(requests.len());
    let mut left_out = 0;
    for request in requests {
        let cap = caps::left_open(caller).filter(|_| request.max_tokens.is_none());
        let cap = cap.map(|cap| cap.saturating_mul(request.choices));
        let fitted = if truncate {
            fitting::prepare_some(caller, engine, request).await
        } else {
            fitting::prepare(caller, engine, request).await
        };
        let Fitted { ready, left_out: less } = settlement.note(fitted)?;
        left_out += less;
        settlement.prompt(ready.prompt_tokens());
        if cap == Some(ready.max_output_tokens()) {
            settlement.capped();
        }
        prepared.push(ready);
    }
    let prompt_tokens = prepared.iter().map(|ready| prompt_tokens(&**ready)).fold(0, u32::saturating_add);
    let tokens: u64 = prepared.iter().map(|ready| most_tokens(&**ready)).sum();
    let admission = settlement.note(admit(app, caller, tokens).await)?;
    let mut headers = admission.standing().headers();
    settlement.admitted(admission);
    // Who leaves while the answer is waited for pays the prompt; where it is refused after all, nobody does.
    settlement.started();
    let mut generations = Vec::with_capacity(prepared.len());
    for ready in prepared {
        // Dropped on an error, the generations before it are cancelled.
        generations.push(settlement.note(ready.start(start.clone()).await.map_err(ApiError::from))?);
    }
    let generation = merge(generations, choices);
    headers.extend(told_target(generation.target.as_deref(), engine.card()));
    let events = Watched::new(generation, settlement, app.lifecycle.killed_token(), live);
    Ok(Begun { events, headers, left_out, prompt_tokens })
}

/// Says which model answers.
pub(crate) fn told_target(target: Option<&str>, asked: &ModelCard) -> Option<(HeaderName, HeaderValue)> {
    HeaderValue::try_from(target.unwrap_or(&asked.id)).ok().map(|target| (TARGET, target))
}

/// What is to be generated.
pub(crate) struct Asked {
    requests: Vec<GenerationRequest>,
    /// Leave the oldest turns out where the prompt is longer than the window.
    truncate: bool,
}

impl Asked {
    /// An answer to each prompt, all of which must fit.
    pub(crate) fn all(requests: Vec<GenerationRequest>) -> Self {
        Self { requests, truncate: false }
    }

    /// An answer to a chat, of which the oldest turns may be left out.
    pub(crate) fn chat(request: GenerationRequest, truncate: bool) -> Self {
        Self { requests: vec![request], truncate }
    }
}

/// A generation that runs, and where its caller stands.
pub(crate) struct Begun {
    pub(crate) events: Watched,
    pub(crate) headers: Headers,
    /// Messages that were left out to fit the window.
    pub(crate) left_out: usize,
    /// Tokens of all prompts together.
    pub(crate) prompt_tokens: u32,
}

fn prompt_tokens(ready: &dyn Prepared) -> u32 {
    let (TokenCount::Exact(tokens) | TokenCount::Estimate(tokens)) = ready.prompt_tokens();
    tokens
}

/// The most tokens that a prepared request can use.
fn most_tokens(ready: &dyn Prepared) -> u64 {
    u64::from(prompt_tokens(ready)) + u64::from(ready.max_output_tokens())
}

/// What every chunk of the answer begins with.
pub(crate) fn head(prefix: &str, engine: &dyn Engine, service_tier: Option<String>) -> Head {
    let number: u128 = rand::rng().random();
    let card = engine.card();
    Head {
        id: format!("{prefix}-{number:032x}"),
        created: Clock::System.now_s(),
        model: card.id.clone(),
        fingerprint: fingerprint(&card.id, card.context_window),
        service_tier,
    }
}

/// The same for the same program, model and window: what must not change for a seed to give the same answer.
fn fingerprint(model: &str, window: u32) -> String {
    let digest = Sha256::new()
        .chain_update(env!("CARGO_PKG_VERSION"))
        .chain_update(model)
        .chain_update(window.to_le_bytes())
        .finalize();
    format!("fp_{:010x}", short(&digest) >> 24)
}

/// The first bytes of a digest, where few tell things apart well enough.
fn short(digest: &[u8]) -> u64 {
    digest.iter().take(8).fold(0_u64, |number, byte| number << 8 | u64::from(*byte))
}
