//! `POST /v1/embeddings`: texts as vectors.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use openapi::embeddings::{
    Embedding, EmbeddingObject, EmbeddingsInput, EmbeddingsRequest, EmbeddingsResponse, EmbeddingsUsage,
    EncodingFormat, Vector,
};
use openapi::models::ListObject;
use poem::Request;
use poem_openapi::OpenApi;

use crate::api::payload::{Limited, SerdeJson};
use crate::api::{Tag, generation, start_for};
use crate::app::App;
use crate::auth::{Authorized, Principal, permission};
use crate::engine::{
    EmbeddingInput, EmbeddingRequest, Engine, EngineError, Event, ModelCard, TokenizeRequest, Usage, estimate,
};
use crate::error::ApiError;

const ROUTE: &str = "create_embeddings";

/// The most inputs of one request, as OpenAI has it.
const MOST_INPUTS: usize = 2048;

/// The embeddings resource.
pub struct EmbeddingsApi {
    /// The shared parts.
    pub app: Arc<App>,
}

#[OpenApi(tag = "Tag::Embeddings")]
impl EmbeddingsApi {
    /// Embed texts
    #[oai(path = "/v1/embeddings", method = "post", operation_id = "create_embeddings")]
    async fn create(
        &self,
        caller: Authorized<permission::Embeddings>,
        http: &Request,
        request: SerdeJson<EmbeddingsRequest>,
    ) -> Result<Limited<SerdeJson<EmbeddingsResponse>>, ApiError> {
        let mut settlement = self.app.books.open(generation::origin(http), ROUTE, &caller);
        let SerdeJson(request) = request;
        let engine = generation::route(&self.app, &caller, &request.model, &mut settlement)?;
        settlement.note(check_dimensions(request.dimensions, engine.card()))?;
        let inputs = settlement.note(inputs(request.input))?;
        let tokens = settlement.note(count(&*engine, &caller, &inputs).await)?;
        let admission = settlement.note(generation::admit(&self.app, &caller, tokens).await)?;
        let mut headers = admission.standing().headers();
        settlement.admitted(admission);
        let asked = EmbeddingRequest { inputs, start: start_for(&caller) };
        let embeddings = settlement.note(engine.embed(asked).await.map_err(ApiError::from))?;
        settlement.started();
        headers.extend(generation::told_target(embeddings.target.as_deref(), engine.card()));
        let tokens = embeddings.prompt_tokens;
        settlement.observe(&Event::Done(Usage { prompt_tokens: tokens, ..Usage::default() }));
        let format = request.encoding_format.unwrap_or_default();
        let entry = |(index, vector)| Embedding {
            object: EmbeddingObject::Embedding,
            index,
            embedding: encode(vector, format),
        };
        let answer = EmbeddingsResponse {
            object: ListObject::List,
            data: (0..).zip(embeddings.vectors).map(entry).collect(),
            model: engine.card().id.clone(),
            usage: EmbeddingsUsage { prompt_tokens: tokens, total_tokens: tokens },
        };
        Ok(Limited(SerdeJson(answer), headers))
    }
}

/// The inputs' tokens, counted before any work; only where the caller's tokens are limited.
async fn count(engine: &dyn Engine, caller: &Principal, inputs: &[EmbeddingInput]) -> Result<u64, ApiError> {
    let mut total = 0;
    if caller.policy.tokens_per_minute.is_none() && caller.policy.tokens_per_day.is_none() {
        return Ok(total);
    }
    for input in inputs {
        total += match input {
            EmbeddingInput::Tokens(tokens) => tokens.len() as u64,
            EmbeddingInput::Text(text) => {
                let request =
                    TokenizeRequest::Text { text: text.clone(), add_special: true, parse_special: false };
                match engine.tokenize(request).await {
                    Ok(tokens) => tokens.len() as u64,
                    // The tokenizer is elsewhere.
                    Err(EngineError::Unsupported(_)) => estimate::input(input).into(),
                    Err(error) => return Err(error.into()),
                }
            }
        };
    }
    Ok(total)
}

/// Shortening a vector only makes sense for models trained for it.
fn check_dimensions(asked: Option<u32>, card: &ModelCard) -> Result<(), ApiError> {
    match (asked, card.embedding_dimensions) {
        (Some(asked), Some(own)) if asked != own => Err(ApiError::invalid(format!(
            "embeddings of this model have {own} dimensions and cannot be shortened; leave `dimensions` out"
        ))
        .with_param("dimensions")),
        _ => Ok(()),
    }
}

fn inputs(input: EmbeddingsInput) -> Result<Vec<EmbeddingInput>, ApiError> {
    let inputs: Vec<_> = match input {
        EmbeddingsInput::Text(text) => vec![EmbeddingInput::Text(text)],
        EmbeddingsInput::Texts(texts) => texts.into_iter().map(EmbeddingInput::Text).collect(),
        EmbeddingsInput::Tokens(tokens) => vec![EmbeddingInput::Tokens(tokens)],
        EmbeddingsInput::TokenLists(lists) => lists.into_iter().map(EmbeddingInput::Tokens).collect(),
    };
    if inputs.is_empty() || inputs.iter().any(is_empty) {
        return Err(
            ApiError::invalid("`input` must not be empty, nor hold an empty text").with_param("input")
        );
    }
    if inputs.len() > MOST_INPUTS {
        let message = format!("`input` has {} entries; send at most {MOST_INPUTS} at once", inputs.len());
        return Err(ApiError::invalid(message).with_param("input"));
    }
    Ok(inputs)
}

fn is_empty(input: &EmbeddingInput) -> bool {
    match input {
        EmbeddingInput::Text(text) => text.is_empty(),
        EmbeddingInput::Tokens(tokens) => tokens.is_empty(),
    }
}

fn encode(vector: Vec<f32>, format: EncodingFormat) -> Vector {
    match format {
        EncodingFormat::Float => Vector::Float(vector),
        EncodingFormat::Base64 => {
            let bytes: Vec<u8> = vector.into_iter().flat_map(f32::to_le_bytes).collect();
            Vector::Base64(STANDARD.encode(bytes))
        }
    }
}
