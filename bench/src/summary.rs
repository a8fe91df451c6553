//! A measured cell as numbers: what results hold and tables show.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::cell::{Cell, Settings};
use crate::ran::{Arrival, Ran, Reuse, Turns};
use crate::stats::Quantiles;
use crate::transcript::Transcript;
use crate::usage::{CpuUse, MachineUse};
use crate::workload::{Class, Scenario};

/// The numbers of one cell.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Measurement {
    /// The server's name.
    pub(crate) server: String,
    /// The pattern of requests.
    pub(crate) scenario: Scenario,
    /// Users at once.
    pub(crate) concurrency: u32,
    /// Which repeat.
    pub(crate) round: u32,
    /// Requests answered.
    pub(crate) answered: usize,
    /// Requests failed, by kind.
    pub(crate) errors: BTreeMap<String, usize>,
    /// The first failure's text.
    pub(crate) first_error: Option<String>,
    /// Requests that the time limit left undone.
    pub(crate) undone: usize,
    /// Answers shorter than asked for: then the servers did not do the same work.
    pub(crate) cut_short: usize,
    /// From the first request's begin to the last one's end.
    pub(crate) wall_seconds: f64,
    /// Tokens of all prompts, by the server's count.
    pub(crate) prompt_tokens: u64,
    /// Of these, tokens that the server says it did not compute again.
    pub(crate) cached_tokens: u64,
    /// Tokens of all answers, by the server's count (that of the events where it gave none).
    pub(crate) completion_tokens: u64,
    /// Events that carried output, counted here: the check on the server's count.
    pub(crate) output_events: usize,
    /// `completion_tokens / wall_seconds`.
    pub(crate) tokens_per_second: f64,
    /// From sending a request to its first output.
    pub(crate) time_to_first_token_ms: Option<Quantiles>,
    /// Pauses between a stream's events that carried output.
    pub(crate) inter_token_ms: Option<Quantiles>,
    /// Time to first token of each kind of request.
    pub(crate) first_token_by_class_ms: BTreeMap<Class, Quantiles>,
    /// What `long-arrival` saw.
    pub(crate) arrival: Option<Arrival>,
    /// What `prefix-reuse` saw.
    pub(crate) reuse: Option<Reuse>,
    /// What `turns` and `stored-turns` saw.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) turns: Option<Turns>,
    /// CPU time of the server, where its process is known.
    pub(crate) cpu: Option<CpuUse>,
    /// The machine around it.
    pub(crate) machine: Option<MachineUse>,
}

impl Measurement {
    /// Sums up a run.
    pub(crate) fn new(server: &str, cell: Cell, ran: &Ran, wall_seconds: f64) -> Self {
        let mut errors = BTreeMap::new();
        let mut first_error = None;
        let mut first_token: BTreeMap<Class, Vec<f64>> = BTreeMap::new();
        let mut good: Vec<&Transcript> = Vec::new();
        for outcome in &ran.outcomes {
            match &outcome.result {
                Ok(transcript) => {
                    if let Some(time) = transcript.time_to_first_token() {
                        first_token.entry(outcome.class).or_default().push(time.as_secs_f64() * 1e3);
                    }
                    good.push(transcript);
                }
                Err(error) => {
                    *errors.entry(error.kind()).or_default() += 1;
                    first_error.get_or_insert_with(|| error.to_string());
                }
            }
        }
        let gaps = good.iter().flat_map(|transcript| transcript.gaps());
        let gaps = gaps.map(|(from, to)| to.duration_since(from).as_secs_f64() * 1e3).collect();
        let usages = || good.iter().filter_map(|transcript| transcript.usage);
        let completion_tokens: u64 = good.iter().map(|transcript| transcript.tokens()).sum();
        let details = usages().filter_map(|usage| usage.prompt_tokens_details);
        Self {
            server: server.to_owned(),
            scenario: cell.scenario,
            concurrency: cell.concurrency,
            round: cell.round,
            answered: good.len(),
            errors,
            first_error,
            undone: ran.undone,
            cut_short: 0,
            wall_seconds,
            prompt_tokens: usages().map(|usage| usage.prompt_tokens).sum(),
            cached_tokens: details.map(|details| details.cached_tokens).sum(),
            completion_tokens,
            output_events: good.iter().map(|transcript| transcript.output_at.len()).sum(),
            tokens_per_second: completion_tokens as f64 / wall_seconds,
            time_to_first_token_ms: Quantiles::of(first_token.values().flatten().copied().collect()),
            inter_token_ms: Quantiles::of(gaps),
            first_token_by_class_ms: first_token
                .into_iter()
                .filter_map(|(class, times)| Some((class, Quantiles::of(times)?)))
                .collect(),
            arrival: ran.arrival.clone(),
            reuse: ran.reuse.clone(),
            turns: ran.turns.clone(),
            cpu: None,
            machine: None,
        }
    }

    /// Counts the answers that ended before the length asked for, where all are asked for the same.
    pub(crate) fn answers_cut_short(&mut self, ran: &Ran, settings: &Settings) {
        if self.arrival.is_some() || self.reuse.is_some() {
            return;
        }
        let wanted = u64::from(settings.shape.max_tokens);
        let good = ran.outcomes.iter().filter_map(|outcome| outcome.result.as_ref().ok());
        self.cut_short = good.filter(|transcript| transcript.tokens() < wanted).count();
    }

    /// Whether the scenario has figures of its own, which stand in the place of a load's.
    pub(crate) fn is_special(&self) -> bool {
        self.arrival.is_some() || self.reuse.is_some() || self.turns.is_some()
    }

    /// Requests that failed.
    pub(crate) fn failed(&self) -> usize {
        self.errors.values().sum()
    }

    /// The numbers that a comparison divides, in the order of its table.
    pub(crate) fn metrics(&self) -> Vec<(&'static str, f64)> {
        let mut list = Vec::new();
        if let Some(arrival) = &self.arrival {
            list.push(("long prompt, first token ms", arrival.first_token_ms));
            list.push(("inter-token p50 before ms", arrival.before_ms.p50));
            list.push(("inter-token p99 before ms", arrival.before_ms.p99));
            list.push(("inter-token p50 during ms", arrival.during_ms.p50));
            list.push(("inter-token p99 during ms", arrival.during_ms.p99));
            list.push(("inter-token max during ms", arrival.during_ms.max));
            list.push(("stretch of p99 ms", arrival.stretch_ms));
        } else if let Some(reuse) = &self.reuse {
            list.push(("first token cold ms", reuse.cold_ms));
            list.push(("first token warm ms", reuse.warm_ms));
            list.push(("warm / cold", reuse.warm_ratio));
            list.push(("followers' lag ms", reuse.follower_lag_ms));
            list.push(("lag / cold", reuse.follower_ratio));
        } else if let Some(turns) = &self.turns {
            list.push(("first turn, first token ms", turns.first_turn_ms));
            list.push(("last turn, first token ms", turns.last_turn_ms));
            list.push(("last turn, prompt tokens", turns.last_prompt_tokens));
            list.push(("last turn, cached tokens", turns.last_cached_tokens));
            list.push(("last turn / allowed", turns.of_allowed));
        } else {
            list.push(("tokens/s", self.tokens_per_second));
            self.push_latencies(&mut list);
        }
        if let Some(cpu) = &self.cpu {
            list.push(("CPU ms/token", cpu.milliseconds_per_token));
        }
        list
    }

    fn push_latencies(&self, list: &mut Vec<(&'static str, f64)>) {
        if let Some(first) = &self.time_to_first_token_ms {
            list.push(("first token p50 ms", first.p50));
            list.push(("first token p95 ms", first.p95));
        }
        if self.first_token_by_class_ms.len() > 1
            && let Some(short) = self.first_token_by_class_ms.get(&Class::Short)
        {
            list.push(("short's first token p50 ms", short.p50));
            list.push(("short's first token p95 ms", short.p95));
        }
        if let Some(inter) = &self.inter_token_ms {
            list.push(("inter-token p50 ms", inter.p50));
            list.push(("inter-token p95 ms", inter.p95));
            list.push(("inter-token p99 ms", inter.p99));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::*;
    use crate::error::CallError;
    use crate::ran::Outcome;

    fn transcript(first_ms: u64, count: u64) -> Transcript {
        let started = Instant::now();
        let at = |index| started + Duration::from_millis(first_ms + 10 * index);
        Transcript {
            started,
            output_at: (0..count).map(at).collect(),
            text: String::new(),
            finish: Some("length".to_owned()),
            usage: None,
            done: true,
        }
    }

    #[test]
    fn a_run_is_summed_up_by_class_and_failures_are_counted() {
        let outcomes = vec![
            Outcome { class: Class::Short, result: Ok(transcript(50, 11)) },
            Outcome { class: Class::Long, result: Ok(transcript(500, 11)) },
            Outcome { class: Class::Short, result: Err(CallError::TimedOut) },
        ];
        let ran = Ran { outcomes, ..Ran::default() };
        let cell = Cell { scenario: Scenario::Mixed, concurrency: 2, round: 0 };
        let measurement = Measurement::new("x", cell, &ran, 2.0);
        assert_eq!((measurement.answered, measurement.failed()), (2, 1));
        assert_eq!(measurement.errors["timed out"], 1);
        assert_eq!(measurement.completion_tokens, 22);
        assert!((measurement.tokens_per_second - 11.0).abs() < 1e-9);
        assert!((measurement.inter_token_ms.unwrap().p50 - 10.0).abs() < 1e-6);
        assert!((measurement.first_token_by_class_ms[&Class::Short].p95 - 50.0).abs() < 1e-6);
        let names: Vec<&str> = measurement.metrics().iter().map(|(name, _)| *name).collect();
        assert!(names.contains(&"short's first token p95 ms"));
    }
}
