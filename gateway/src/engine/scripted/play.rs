//! Plays a script as a generation: steps to events, one choice beside the other.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::stream;

use super::script::{Script, Step};
use super::{Rehearsed, Stage};
use crate::engine::{
    Candidate, Delta, DeltaPart, EngineError, Event, FinishReason, Generation, TokenLogprob, Usage,
};

/// The generation of a request that was given its script.
pub(super) fn play(rehearsed: Rehearsed) -> Generation {
    let Rehearsed { request, script, prompt, limit, stage } = rehearsed;
    let usage = Usage {
        prompt_tokens: prompt,
        cached_tokens: script.cached,
        queued: script.queued,
        ..Usage::default()
    };
    let player = Player {
        presence: Presence::enter(stage),
        choices: request.choices,
        logprobs: request.logprobs,
        limit,
        produced: 0,
        next_step: 0,
        ready: VecDeque::new(),
        closed: false,
        usage,
        script,
    };
    Generation {
        events: Box::pin(stream::unfold(player, |mut player| async { Some((player.next().await?, player)) })),
        target: None,
    }
}

/// Counts the generation as running, and at its end as completed or cancelled.
struct Presence {
    stage: Arc<Stage>,
    complete: bool,
}

impl Presence {
    fn enter(stage: Arc<Stage>) -> Self {
        stage.running.fetch_add(1, Ordering::Relaxed);
        Self { stage, complete: false }
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.stage.running.fetch_sub(1, Ordering::Relaxed);
        let ended = if self.complete { &self.stage.completed } else { &self.stage.cancelled };
        ended.fetch_add(1, Ordering::Relaxed);
    }
}

struct Player {
    script: Script,
    presence: Presence,
    choices: u32,
    logprobs: Option<u8>,
    /// Tokens that each choice may have.
    limit: u32,
    /// Tokens that each choice has.
    produced: u32,
    next_step: usize,
    /// Events of the last step that were not taken yet.
    ready: VecDeque<Event>,
    /// Nothing comes after what is ready.
    closed: bool,
    usage: Usage,
}

impl Player {
    async fn next(&mut self) -> Option<Result<Event, EngineError>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                self.presence.complete = self.closed && self.ready.is_empty();
                return Some(Ok(event));
            }
            if self.closed {
                return None;
            }
            if self.produced >= self.limit {
                self.close(FinishReason::Length);
                continue;
            }
            let Some(step) = self.script.steps.get(self.next_step).cloned() else {
                self.close(self.script.finish_reason());
                continue;
            };
            self.next_step += 1;
            match step {
                Step::Token(part) => self.token(part.as_ref()).await,
                Step::Wait(pause) => tokio::time::sleep(pause).await,
                Step::Gate(gate) => gate.pass().await,
                Step::Fail(error) => {
                    self.closed = true;
                    self.presence.complete = true;
                    return Some(Err(error));
                }
            }
        }
    }

    async fn token(&mut self, part: Option<&DeltaPart>) {
        if let Some(pause) = self.script.pace {
            tokio::time::sleep(pause).await;
        }
        self.produced += 1;
        self.usage.completion_tokens += self.choices;
        if matches!(part, Some(DeltaPart::Reasoning(_))) {
            self.usage.reasoning_tokens += self.choices;
        }
        for choice in 0..self.choices {
            let logprobs = self.logprobs.map(|top| logprob(part, top)).into_iter().collect();
            self.ready.push_back(Event::Delta(Delta { choice, tokens: 1, part: part.cloned(), logprobs }));
        }
    }

    fn close(&mut self, reason: FinishReason) {
        self.closed = true;
        let stop = self.script.stop.as_deref().map(Arc::from).filter(|_| reason == FinishReason::Stop);
        self.ready.extend((0..self.choices).map(|choice| Event::Finished {
            choice,
            reason,
            stop: stop.clone(),
        }));
        self.ready.push_back(Event::Done(self.usage));
    }
}

/// A made-up probability: half for the token, the rest halved on and on over alternatives of its own text in marks.
fn logprob(part: Option<&DeltaPart>, top: u8) -> TokenLogprob {
    let text = part.map_or("", part_text);
    let halved = |times: u8| -std::f32::consts::LN_2 * f32::from(times);
    let token = Candidate { id: 0, bytes: text.as_bytes().to_vec(), logprob: halved(1) };
    let other = |rank: u8| Candidate {
        id: u32::from(rank),
        bytes: format!("{text}~{rank}").into_bytes(),
        logprob: halved(rank + 1),
    };
    let likeliest = std::iter::once(token.clone()).chain((1..=top).map(other));
    TokenLogprob { top: likeliest.take(usize::from(top)).collect(), token }
}

fn part_text(part: &DeltaPart) -> &str {
    match part {
        DeltaPart::Content(text) | DeltaPart::Reasoning(text) => text,
        DeltaPart::ToolCall { name, .. } => name,
        DeltaPart::ToolArguments { arguments, .. } => arguments,
    }
}
