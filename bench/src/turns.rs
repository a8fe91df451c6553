//! Conversations that take turns: the time to first token of each turn, with the history stored or sent again.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;

use crate::cell::Client;
use crate::error::BenchError;
use crate::http::{self, Method, refusal};
use crate::prompts::Words;
use crate::ran::{Outcome, Ran, Turns};
use crate::stats::median;
use crate::transcript::Transcript;
use crate::workload::{Ask, Class, Messages};

/// How much slower than the first a turn may be, beside the prefill of what it adds: the rule of the table's `allowed`.
const SLACK: f64 = 1.3;
const MAKE_LIMIT: Duration = Duration::from_secs(10);

/// One conversation: what was said, or the id under which the server keeps it.
struct Talk {
    stored: Option<String>,
    history: Messages,
    words: Words,
}

#[derive(Deserialize)]
struct Made {
    id: String,
}

/// Runs the scenario: so many conversations, each turn of all of them before the next turn of any, one request at a time.
pub(crate) async fn run(
    client: &Arc<Client>,
    conversations: u32,
    stored: bool,
    seed: u64,
) -> Result<Ran, BenchError> {
    let mut talks = Vec::new();
    for index in 0..conversations {
        let stored = if stored { Some(make(client).await?) } else { None };
        talks.push(Talk {
            stored,
            history: Messages::new(),
            words: Words::new(seed, 100 + u64::from(index)),
        });
    }
    let (mut by_turn, mut outcomes) = (Vec::new(), Vec::new());
    for _ in 0..client.shape.turns {
        let mut turn = Vec::new();
        for talk in &mut talks {
            turn.push(take(client, talk).await?);
        }
        by_turn.push(first_tokens(&turn)?);
        outcomes.push(turn);
    }
    let turns = sum_up(&by_turn, &outcomes)?;
    let outcomes = outcomes.into_iter().flatten();
    let outcomes =
        outcomes.map(|transcript| Outcome { class: Class::Short, result: Ok(transcript) }).collect();
    Ok(Ran { outcomes, turns: Some(turns), ..Ran::default() })
}

async fn make(client: &Client) -> Result<String, BenchError> {
    let fail = |source| BenchError::Call { what: "a new conversation", source };
    let path = format!("{}/conversations", client.target.address.base);
    let body = Bytes::from_static(b"{}");
    let recording =
        http::exchange(&client.target, Method::POST, &path, body, MAKE_LIMIT).await.map_err(fail)?;
    if recording.status != 200 {
        return Err(fail(refusal(&recording)));
    }
    let made: Made = serde_json::from_slice(&recording.body)?;
    Ok(made.id)
}

async fn take(client: &Client, talk: &mut Talk) -> Result<Transcript, BenchError> {
    let question = ("user", talk.words.text(client.shape.prompt_tokens));
    let ask = Ask {
        max_tokens: client.shape.max_tokens,
        seed: 1,
        schema: false,
        conversation: talk.stored.as_deref(),
    };
    talk.history.push(question);
    let answer = client.ask(&talk.history, ask).await;
    let answer = answer.map_err(|source| BenchError::Call { what: "a turn", source })?;
    if talk.stored.is_some() {
        talk.history.clear();
    } else {
        talk.history.push(("assistant", answer.text.clone()));
    }
    Ok(answer)
}

fn first_tokens(turn: &[Transcript]) -> Result<f64, BenchError> {
    let times: Vec<f64> = turn
        .iter()
        .filter_map(Transcript::time_to_first_token)
        .map(|time| time.as_secs_f64() * 1e3)
        .collect();
    median(&times).ok_or_else(|| BenchError::NoResult("no turn had an answer".to_owned()))
}

fn sum_up(by_turn: &[f64], outcomes: &[Vec<Transcript>]) -> Result<Turns, BenchError> {
    let nothing = || BenchError::NoResult("no turns".to_owned());
    let first = outcomes.first().and_then(|turn| counts(turn)).ok_or_else(nothing)?;
    let last = outcomes.last().and_then(|turn| counts(turn)).ok_or_else(nothing)?;
    let (first_ms, last_ms) = by_turn.first().zip(by_turn.last()).ok_or_else(nothing)?;
    // The first turn's own speed stands for the prefill of a later one's new tokens: its prompt was computed whole.
    let new = last.0 - last.1;
    let allowed_ms = SLACK * first_ms + new * first_ms / (first.0 - first.1).max(1.0);
    Ok(Turns {
        first_token_by_turn_ms: by_turn.to_vec(),
        first_turn_ms: *first_ms,
        last_turn_ms: *last_ms,
        last_prompt_tokens: last.0,
        last_cached_tokens: last.1,
        allowed_ms,
        of_allowed: last_ms / allowed_ms,
    })
}

/// Medians of prompt and cached tokens, where the server counts them.
fn counts(turn: &[Transcript]) -> Option<(f64, f64)> {
    let usages = || turn.iter().filter_map(|transcript| transcript.usage);
    let prompt: Vec<f64> = usages().map(|usage| usage.prompt_tokens as f64).collect();
    let cached: Vec<f64> = usages()
        .map(|usage| usage.prompt_tokens_details.map_or(0.0, |details| details.cached_tokens as f64))
        .collect();
    median(&prompt).zip(median(&cached))
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;
    use crate::transcript::{PromptDetails, WireUsage};

    fn transcript(prompt_tokens: u64, cached_tokens: u64) -> Transcript {
        let details = Some(PromptDetails { cached_tokens });
        let usage = WireUsage { prompt_tokens, completion_tokens: 8, prompt_tokens_details: details };
        let started = Instant::now();
        let output_at = vec![started + Duration::from_millis(100)];
        Transcript { started, output_at, text: "x".to_owned(), finish: None, usage: Some(usage), done: true }
    }

    #[test]
    fn the_last_turn_is_allowed_the_first_and_its_own_new_tokens() {
        let outcomes = vec![vec![transcript(50, 0)], vec![transcript(500, 475)]];
        let turns = sum_up(&[100.0, 90.0], &outcomes).unwrap();
        assert!((turns.allowed_ms - (130.0 + 25.0 * 2.0)).abs() < 1e-9);
        assert!((turns.of_allowed - 0.5).abs() < 1e-9);
        assert!((turns.last_cached_tokens - 475.0).abs() < 1e-9);
    }
}
