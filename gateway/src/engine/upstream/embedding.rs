//! Embeddings of another server.

use std::sync::Arc;

use http_body_util::{BodyExt, Limited};
use serde::{Deserialize, Serialize};
use tokio::time::timeout_at;

use super::Remote;
use super::chunk::WireUsage;
use super::client::{failure, timed_out};
use crate::engine::{EmbeddingInput, EmbeddingRequest, Embeddings, EngineError, UpstreamErrorKind, estimate};

/// 2,048 vectors of 4,096 numbers as text.
const LONGEST_ANSWER: usize = 128 << 20;

#[derive(Serialize)]
struct Asked<'a> {
    model: &'a str,
    input: Inputs<'a>,
    encoding_format: &'static str,
}

/// Inputs of one request are all texts or all tokens.
#[derive(Serialize)]
#[serde(untagged)]
enum Inputs<'a> {
    Texts(Vec<&'a str>),
    Tokens(Vec<&'a [u32]>),
}

#[derive(Deserialize)]
struct Answer {
    data: Vec<Entry>,
    #[serde(default)]
    usage: Option<WireUsage>,
}

#[derive(Deserialize)]
struct Entry {
    index: usize,
    embedding: Vec<f32>,
}

/// Embeds each input.
pub(super) async fn embed(
    remote: &Arc<Remote>,
    request: EmbeddingRequest,
) -> Result<Embeddings, EngineError> {
    let inputs = &request.inputs;
    let asked = Asked { model: &remote.model, input: wire_inputs(inputs)?, encoding_format: "float" };
    let body = serde_json::to_vec(&asked).map_err(|error| EngineError::Failed(error.to_string()))?;
    let (times, _in_flight) = (remote.limits.ends(), remote.load.enter());
    let response =
        remote.client.post("embeddings", body.into(), remote.headers(&request.start)?, times.total).await?;
    let whole = Limited::new(response.into_body(), LONGEST_ANSWER).collect();
    let whole = timeout_at(times.total, whole).await.map_err(|_| timed_out("the answer has not come"))?;
    let whole = whole.map_err(|error| broken(&format!("the answer broke off: {error}")))?.to_bytes();
    let answer: Answer = serde_json::from_slice(&whole).map_err(|_| broken("the answer is none"))?;
    let estimated = || inputs.iter().map(estimate::input).fold(0, u32::saturating_add);
    let prompt_tokens = answer.usage.map_or_else(estimated, |usage| usage.prompt_tokens);
    let vectors = in_order(answer.data, inputs.len())?;
    Ok(Embeddings { vectors, prompt_tokens, target: Some(Arc::clone(&remote.target)) })
}

fn wire_inputs(inputs: &[EmbeddingInput]) -> Result<Inputs<'_>, EngineError> {
    let texts: Option<Vec<_>> = inputs
        .iter()
        .map(|input| match input {
            EmbeddingInput::Text(text) => Some(text.as_str()),
            EmbeddingInput::Tokens(_) => None,
        })
        .collect();
    let tokens: Option<Vec<_>> = inputs
        .iter()
        .map(|input| match input {
            EmbeddingInput::Text(_) => None,
            EmbeddingInput::Tokens(tokens) => Some(tokens.as_slice()),
        })
        .collect();
    texts.map(Inputs::Texts).or(tokens.map(Inputs::Tokens)).ok_or_else(|| {
        let message = "send either texts or tokens to embed, not both at once".to_owned();
        EngineError::Invalid { message, param: Some("input") }
    })
}

/// The vectors in the order of the inputs, each there once.
fn in_order(entries: Vec<Entry>, wanted: usize) -> Result<Vec<Vec<f32>>, EngineError> {
    let mut vectors = vec![Vec::new(); wanted];
    for entry in entries {
        match vectors.get_mut(entry.index) {
            Some(vector) if vector.is_empty() => *vector = entry.embedding,
            _ => return Err(broken("the answer has vectors that nobody asked for")),
        }
    }
    if vectors.iter().any(Vec::is_empty) {
        return Err(broken("the answer lacks a vector"));
    }
    Ok(vectors)
}

fn broken(message: &str) -> EngineError {
    failure(UpstreamErrorKind::Broken, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(index: usize) -> Entry {
        Entry { index, embedding: vec![1.0] }
    }

    #[test]
    fn vectors_come_in_the_order_of_the_inputs_and_none_is_missing() {
        assert_eq!(in_order(vec![entry(1), entry(0)], 2).unwrap().len(), 2);
        for wrong in [vec![entry(0)], vec![entry(0), entry(0)], vec![entry(0), entry(2)]] {
            assert!(in_order(wrong, 2).is_err());
        }
    }

    #[test]
    fn texts_and_tokens_are_not_mixed() {
        let (text, tokens) = (EmbeddingInput::Text("a".to_owned()), EmbeddingInput::Tokens(vec![1]));
        assert!(wire_inputs(&[text.clone(), text.clone()]).is_ok());
        assert!(wire_inputs(std::slice::from_ref(&tokens)).is_ok());
        assert!(wire_inputs(&[text, tokens]).is_err());
    }
}
