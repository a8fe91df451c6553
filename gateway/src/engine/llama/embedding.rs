//! Embeds texts in batches that the scheduler fits between its steps.

use std::sync::Arc;
use std::sync::mpsc::TrySendError;

use tokio::sync::oneshot;

use super::Shared;
use super::scheduler::{Command, EmbedJob};
use crate::engine::{EmbeddingInput, EmbeddingRequest, Embeddings, EngineError};

/// Inputs of one batch: running streams wait for it, so it stays about as long as a step's prefill.
const BATCH_TOKENS: usize = 512;
const BATCH_INPUTS: usize = 16;

/// Each input's tokens, checked against the embedding window.
pub(super) fn tokenize(
    shared: &Arc<Shared>,
    request: &EmbeddingRequest,
) -> Result<Vec<Vec<u32>>, EngineError> {
    request.inputs.iter().map(|input| tokens_of(shared, input)).collect()
}

fn tokens_of(shared: &Shared, input: &EmbeddingInput) -> Result<Vec<u32>, EngineError> {
    let window = shared.embedding_window;
    let invalid = |message: &str| EngineError::Invalid { message: message.to_owned(), param: Some("input") };
    let tokens = match input {
        EmbeddingInput::Text(text) => {
            let fewest = shared.model.fewest_tokens(text.len());
            if fewest > window {
                return Err(EngineError::ContextLength { prompt: fewest, output: None, window });
            }
            shared.model.tokenize(text, true, false)
        }
        EmbeddingInput::Tokens(tokens) => tokens.clone(),
    };
    if tokens.is_empty() {
        return Err(invalid("an input to embed is empty"));
    }
    if tokens.iter().any(|token| !shared.model.vocabulary().contains(*token)) {
        return Err(invalid("a token of the input is not in the model's vocabulary"));
    }
    let length = u32::try_from(tokens.len()).unwrap_or(u32::MAX);
    if length > window {
        return Err(EngineError::ContextLength { prompt: length, output: None, window });
    }
    Ok(tokens)
}

/// Embeds all inputs, a batch after another.
pub(super) async fn embed(shared: &Shared, inputs: Vec<Vec<u32>>) -> Result<Embeddings, EngineError> {
    let prompt_tokens = inputs.iter().map(Vec::len).sum::<usize>();
    let mut vectors = Vec::with_capacity(inputs.len());
    for batch in batches(inputs) {
        let (reply, answer) = oneshot::channel();
        shared.worker.send(Command::Embed(EmbedJob { inputs: batch, reply })).map_err(
            |error| match error {
                TrySendError::Full(_) => shared.gauges.queue_full(),
                TrySendError::Disconnected(_) => EngineError::NotReady("its engine has stopped"),
            },
        )?;
        let embedded = answer.await.map_err(|_| EngineError::Failed("the engine stopped".to_owned()))?;
        vectors.extend(embedded.map_err(|error| {
            tracing::error!(%error, "embedding failed");
            EngineError::Failed("the model could not embed this input".to_owned())
        })?);
    }
    let prompt_tokens = u32::try_from(prompt_tokens).unwrap_or(u32::MAX);
    Ok(Embeddings { vectors, prompt_tokens, target: None })
}

fn batches(inputs: Vec<Vec<u32>>) -> Vec<Vec<Vec<u32>>> {
    let mut batches: Vec<Vec<Vec<u32>>> = Vec::new();
    let mut tokens = 0;
    for input in inputs {
        let joins = tokens + input.len() <= BATCH_TOKENS;
        tokens = if joins { tokens + input.len() } else { input.len() };
        match batches.last_mut() {
            Some(batch) if joins && batch.len() < BATCH_INPUTS => batch.push(input),
            _ => {
                tokens = input.len();
                batches.push(vec![input]);
            }
        }
    }
    batches
}
