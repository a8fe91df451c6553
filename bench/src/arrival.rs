//! A long prompt arrives while streams run: how long the running streams have to wait for their tokens.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::cell::Client;
use crate::error::{BenchError, CallError};
use crate::http::{Exchange, Method};
use crate::prompts::Words;
use crate::ran::{Arrival, Outcome, Ran};
use crate::stats::Quantiles;
use crate::transcript::Transcript;
use crate::workload::{Ask, Class, Messages};

/// The running streams' length: long enough to outlast the prefill, short enough for the window.
const STREAM_TOKENS: u32 = 1000;
/// Reads after which a stream counts as running: head, role and some tokens.
const RUNNING_READS: u32 = 8;
/// How long the streams are watched before the long prompt comes.
const CALM: Duration = Duration::from_secs(3);

/// Runs the scenario with so many streams.
pub(crate) async fn run(client: &Arc<Client>, streams: u32, seed: u64) -> Result<Ran, BenchError> {
    let (stop, stopped) = watch::channel(false);
    let (running, mut count) = watch::channel(0);
    let mut tasks = JoinSet::new();
    let mut words = Words::new(seed, 3);
    for index in 0..streams {
        let messages: Messages = vec![("user", words.text(client.shape.prompt_tokens))];
        let mark = running.clone();
        tasks.spawn(stream(Arc::clone(client), messages, u64::from(index), (mark, stopped.clone())));
    }
    drop(running);
    // Fails where a stream could not start: then its task shows why below.
    let _ = tokio::time::timeout(client.request_limit, count.wait_for(|count| *count >= streams)).await;
    tokio::time::sleep(CALM).await;
    let arrived = Instant::now();
    let long: Messages = vec![("user", words.text(client.shape.arrival_tokens))];
    let answer = client.ask(&long, Ask { max_tokens: 8, seed, schema: false, conversation: None }).await;
    stop.send_replace(true);
    let mut transcripts = Vec::new();
    while let Some(ended) = tasks.join_next().await {
        let result = ended.unwrap_or_else(|error| Err(CallError::Stream(error.to_string())));
        transcripts.push(result.map_err(|source| BenchError::Call { what: "running stream", source })?);
    }
    let answer = answer.map_err(|source| BenchError::Call { what: "arriving prompt", source })?;
    let arrival = judge(&transcripts, &answer, arrived)?;
    let running = transcripts.into_iter().map(|transcript| (Class::Short, transcript));
    let outcomes = running.chain([(Class::Long, answer)]);
    let outcomes = outcomes.map(|(class, transcript)| Outcome { class, result: Ok(transcript) }).collect();
    Ok(Ran { outcomes, arrival: Some(arrival), ..Ran::default() })
}

/// One running stream, read until the signal or its end.
async fn stream(
    client: Arc<Client>,
    messages: Messages,
    seed: u64,
    (running, mut stopped): (watch::Sender<u32>, watch::Receiver<bool>),
) -> Result<Transcript, CallError> {
    let body = client.shape.body(
        &client.target.model,
        &messages,
        Ask { max_tokens: STREAM_TOKENS, seed, schema: false, conversation: None },
    );
    let mut exchange = Exchange::open(&client.target, Method::POST, &client.path(), body).await?;
    let mut reads = 0;
    loop {
        tokio::select! {
            read = exchange.read() => if !read? { break },
            _ = stopped.wait_for(|stopped| *stopped) => break,
            () = tokio::time::sleep_until(client.deadline) => return Err(CallError::TimedOut),
        }
        reads += 1;
        if reads == RUNNING_READS {
            running.send_modify(|count| *count += 1);
        }
    }
    Transcript::read(&exchange.into_recording())
}

/// Sorts the running streams' pauses into those before the prompt came and those while it was worked off.
fn judge(running: &[Transcript], long: &Transcript, arrived: Instant) -> Result<Arrival, BenchError> {
    let nothing = || BenchError::NoResult("the running streams gave no tokens to judge by".to_owned());
    let first = long.output_at.first().copied().ok_or_else(nothing)?;
    let mut before = Vec::new();
    let mut during = Vec::new();
    for (from, to) in running.iter().flat_map(Transcript::gaps) {
        let pause = to.duration_since(from).as_secs_f64() * 1e3;
        if from >= arrived - CALM && to <= arrived {
            before.push(pause);
        } else if to > arrived && from < first {
            during.push(pause);
        }
    }
    let before_ms = Quantiles::of(before).ok_or_else(nothing)?;
    let during_ms = Quantiles::of(during).ok_or_else(nothing)?;
    let ended = |transcript: &&Transcript| transcript.output_at.last().is_none_or(|last| *last < first);
    Ok(Arrival {
        prompt_tokens: long.usage.map_or(0, |usage| usage.prompt_tokens),
        first_token_ms: first.duration_since(long.started).as_secs_f64() * 1e3,
        before_ms,
        during_ms,
        stretch_ms: during_ms.p99 - before_ms.p99,
        chunk_ms: during_ms.p50 - before_ms.p50,
        ended_early: running.iter().filter(|transcript| transcript.finish.is_some()).filter(ended).count(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transcript(started: Instant, at_ms: &[u64]) -> Transcript {
        Transcript {
            started,
            output_at: at_ms.iter().map(|ms| started + Duration::from_millis(*ms)).collect(),
            text: String::new(),
            finish: None,
            usage: None,
            done: false,
        }
    }

    #[test]
    fn pauses_are_split_at_the_arrival_and_the_first_token() {
        let start = Instant::now();
        let running = [transcript(start, &[0, 5000, 5010, 5020, 5090, 5160, 5170, 5180])];
        let arrived = start + Duration::from_millis(5025);
        let long = transcript(arrived, &[140, 145]);
        let arrival = judge(&running, &long, arrived).unwrap();
        assert_eq!(arrival.before_ms.count, 2);
        assert!((arrival.before_ms.max - 10.0).abs() < 0.5);
        assert_eq!(arrival.during_ms.count, 3);
        assert!((arrival.during_ms.max - 70.0).abs() < 0.5);
        assert!((arrival.chunk_ms - 60.0).abs() < 0.5);
        assert!((arrival.first_token_ms - 140.0).abs() < 0.5);
    }

    #[test]
    fn silence_is_no_result() {
        let start = Instant::now();
        assert!(judge(&[transcript(start, &[])], &transcript(start, &[1]), start).is_err());
    }
}
