//! Time to first token with a prefix that is cold, that was computed, or that is being computed at the moment.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::cell::Client;
use crate::error::{BenchError, CallError};
use crate::prompts::Words;
use crate::ran::{Outcome, Ran, Reuse};
use crate::stats::median;
use crate::transcript::Transcript;
use crate::workload::{Ask, Class, Messages};

/// Long enough to see a stream start, short enough not to matter.
const ANSWER_TOKENS: u32 = 8;
/// The followers come this much after the leader, while its prefix is being computed.
const HEAD_START: Duration = Duration::from_millis(50);

/// Runs the scenario: so many requests at once where several meet, at least one follower.
pub(crate) async fn run(
    client: &Arc<Client>,
    concurrency: u32,
    repeats: u32,
    seed: u64,
) -> Result<Ran, BenchError> {
    let followers = concurrency.saturating_sub(1).max(1);
    let mut words = Words::new(seed, 4);
    let (mut cold, mut warm, mut lag) = (Vec::new(), Vec::new(), Vec::new());
    let mut last_warm = None;
    let mut outcomes = Vec::new();
    for _ in 0..repeats {
        let prefix = words.text(client.shape.prefix_tokens);
        let first = one(client, request(&prefix, &mut words, client)).await?;
        let second = one(client, request(&prefix, &mut words, client)).await?;
        cold.push(first_token_ms(&first)?);
        warm.push(first_token_ms(&second)?);
        last_warm = second.usage;
        outcomes.extend([(Class::Long, first), (Class::Long, second)]);

        let prefix = words.text(client.shape.prefix_tokens);
        let requests = (0..=followers).map(|_| request(&prefix, &mut words, client)).collect();
        let met = meet(client, requests).await?;
        lag.push(lag_ms(&met)?);
        outcomes.extend(met.into_iter().map(|transcript| (Class::Long, transcript)));
    }
    let nothing = || BenchError::NoResult("no repeats".to_owned());
    let cold_ms = median(&cold).ok_or_else(nothing)?;
    let warm_ms = median(&warm).ok_or_else(nothing)?;
    let follower_lag_ms = median(&lag).ok_or_else(nothing)?;
    let details = last_warm.and_then(|usage| usage.prompt_tokens_details);
    let reuse = Reuse {
        cold_ms,
        warm_ms,
        warm_ratio: warm_ms / cold_ms,
        follower_lag_ms,
        follower_ratio: follower_lag_ms / cold_ms,
        followers,
        prompt_tokens: last_warm.map_or(0, |usage| usage.prompt_tokens),
        cached_tokens: details.map_or(0, |details| details.cached_tokens),
    };
    let outcomes =
        outcomes.into_iter().map(|(class, transcript)| Outcome { class, result: Ok(transcript) }).collect();
    Ok(Ran { outcomes, reuse: Some(reuse), ..Ran::default() })
}

fn request(prefix: &str, words: &mut Words, client: &Client) -> Messages {
    vec![("system", prefix.to_owned()), ("user", words.text(client.shape.prompt_tokens))]
}

async fn one(client: &Client, messages: Messages) -> Result<Transcript, BenchError> {
    let ask = Ask { max_tokens: ANSWER_TOKENS, seed: 1, schema: false, conversation: None };
    client.ask(&messages, ask).await.map_err(|source| BenchError::Call { what: "prefix request", source })
}

/// The leader's request, then the followers' all at once; the leader's transcript comes first.
async fn meet(client: &Arc<Client>, requests: Vec<Messages>) -> Result<Vec<Transcript>, BenchError> {
    let mut tasks = JoinSet::new();
    for (index, messages) in requests.into_iter().enumerate() {
        let client = Arc::clone(client);
        tasks.spawn(async move { (index, one(&client, messages).await) });
        if index == 0 {
            tokio::time::sleep(HEAD_START).await;
        }
    }
    let mut met = Vec::new();
    while let Some(ended) = tasks.join_next().await {
        let (index, result) = ended.map_err(|error| BenchError::Call {
            what: "prefix request",
            source: CallError::Stream(error.to_string()),
        })?;
        met.push((index, result?));
    }
    met.sort_by_key(|(index, _)| *index);
    Ok(met.into_iter().map(|(_, transcript)| transcript).collect())
}

fn first_token_ms(transcript: &Transcript) -> Result<f64, BenchError> {
    let time = transcript.time_to_first_token();
    Ok(time.ok_or_else(|| BenchError::NoResult("an answer was empty".to_owned()))?.as_secs_f64() * 1e3)
}

/// How long after the leader the last follower had its first token; 0 where all were before it.
fn lag_ms(met: &[Transcript]) -> Result<f64, BenchError> {
    let empty = || BenchError::NoResult("an answer was empty".to_owned());
    let (leader, followers) = met.split_first().ok_or_else(empty)?;
    let leader = *leader.output_at.first().ok_or_else(empty)?;
    let mut lag = Duration::ZERO;
    for follower in followers {
        let first = *follower.output_at.first().ok_or_else(empty)?;
        lag = lag.max(first.saturating_duration_since(leader));
    }
    Ok(lag.as_secs_f64() * 1e3)
}
