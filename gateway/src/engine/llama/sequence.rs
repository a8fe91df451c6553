//! One answer being generated: its tokens, how far they are computed, and how the next one is drawn.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use tokio::sync::mpsc::Sender;

use super::compute::Slot;
use super::constraint::{Constraint, Mask};
use super::sampler::{Sampler, token_logprobs};
use super::speculation::Drafter;
use super::vocabulary::Vocabulary;
use crate::engine::{EngineError, FinishReason, Sampling};

/// What the scheduler tells a stream.
#[derive(Debug)]
pub enum Output {
    /// The first sequence of the job left the queue.
    Started {
        /// When.
        at: Instant,
        /// Prompt tokens that need no prefill.
        cached: u32,
    },
    /// A token was drawn.
    Token {
        /// Which answer of the job.
        choice: u32,
        /// The token.
        token: u32,
        /// Its log-probability, where asked for.
        logprobs: Option<Box<Logprobs>>,
    },
    /// An answer is complete.
    Finished {
        /// Which answer of the job.
        choice: u32,
        /// Why.
        reason: FinishReason,
    },
    /// The job cannot go on; nothing follows.
    Failed(EngineError),
}

/// Log-probabilities at one position.
#[derive(Debug, Clone, PartialEq)]
pub struct Logprobs {
    /// Of the token drawn.
    pub logprob: f32,
    /// Of the likeliest, likeliest first.
    pub top: Vec<(u32, f32)>,
}

/// A request as the scheduler takes it: everything that its answers share.
#[derive(Debug)]
pub struct Job {
    /// For fair queueing.
    pub tenant: Arc<str>,
    /// For prefix reuse.
    pub salt: Arc<str>,
    /// Higher goes first.
    pub priority: u8,
    /// The prompt's tokens, at least one.
    pub prompt: Arc<[u32]>,
    /// How tokens are drawn.
    pub sampling: Arc<Sampling>,
    /// The first answer's seed; the others follow from it.
    pub seed: u64,
    /// Most tokens an answer.
    pub max_tokens: u32,
    /// `Some(k)`: report log-probabilities with `k` alternatives.
    pub logprobs: Option<u8>,
    /// The grammar that answers keep to.
    pub constraint: Option<Constraint>,
    /// Where outputs go. Its other end being gone is what cancels the job.
    pub outputs: Sender<Output>,
    /// Set by the stream for an answer it needs no more of (a stop string came).
    pub stopped: Arc<[AtomicBool]>,
}

/// One answer of a job.
#[derive(Debug)]
pub struct Sequence<S> {
    /// What all answers of the request share.
    pub job: Arc<Job>,
    /// Which answer this is.
    pub choice: u32,
    /// Prompt and answer so far.
    pub tokens: Vec<u32>,
    /// How many of them are in the KV cache.
    pub computed: usize,
    /// Where its KV is, while it runs.
    pub slot: Slot,
    /// Its KV while it is preempted.
    pub parked: Option<S>,
    /// Since when its reader has had no room.
    pub stalled: Option<Instant>,
    sampler: Sampler,
    constraint: Option<Constraint>,
    /// Made when the first draft is asked for.
    drafter: Option<Drafter>,
}

/// What became of a sequence when it drew a token.
#[derive(Debug)]
pub enum Drawn {
    /// It goes on.
    More,
    /// It is complete.
    Finished(FinishReason),
    /// It cannot go on.
    Failed(EngineError),
}

impl<S> Sequence<S> {
    /// The `choice`th answer of a job.
    pub fn new(job: Arc<Job>, choice: u32) -> Self {
        let mut sampler = Sampler::new(&job.sampling, job.seed.wrapping_add(u64::from(choice)));
        sampler.accept_prompt(&job.prompt);
        Self {
            choice,
            tokens: job.prompt.to_vec(),
            computed: 0,
            slot: Slot(0),
            parked: None,
            stalled: None,
            sampler,
            constraint: job.constraint.clone(),
            drafter: None,
            job,
        }
    }

    /// Whether nobody waits for this answer any more.
    pub fn is_cancelled(&self) -> bool {
        let stopped = self.job.stopped.get(self.choice as usize);
        self.job.outputs.is_closed() || stopped.is_some_and(|stopped| stopped.load(Ordering::Relaxed))
    }

    /// Tokens not in the KV cache yet.
    pub fn pending(&self) -> usize {
        self.tokens.len() - self.computed
    }

    /// Whether it computes prompt tokens, and not one token at a time.
    pub fn is_prefilling(&self) -> bool {
        self.computed < self.job.prompt.len()
    }

    /// Tokens generated so far.
    pub fn generated(&self) -> usize {
        self.tokens.len() - self.job.prompt.len()
    }

    /// The KV-computed part of the tokens.
    pub fn computed_tokens(&self) -> &[u32] {
        self.tokens.get(..self.computed).unwrap_or_default()
    }

    /// Most tokens that may still be generated.
    pub fn left(&self, window: u32) -> usize {
        let asked = (self.job.max_tokens as usize).saturating_sub(self.generated());
        asked.min((window as usize).saturating_sub(self.tokens.len()))
    }

    /// Tokens that the next step computes ahead.
    pub fn draft(&self) -> &[u32] {
        self.drafter.as_ref().map(Drafter::draft).unwrap_or_default()
    }

    /// Computes nothing ahead in the next step.
    pub fn forget_draft(&mut self) {
        if let Some(drafter) = &mut self.drafter {
            drafter.clear();
        }
    }

    /// Drafts up to `most` tokens that are as likely as `least`; no draft is ever longer than `longest`. Returns how
    /// many of them are expected to be right.
    pub fn draw_up(&mut self, most: usize, longest: usize, least: f32) -> f32 {
        let tokens = self.job.prompt.len() + self.job.max_tokens as usize;
        let drafter = self.drafter.get_or_insert_with(|| Drafter::new(tokens, longest));
        drafter.draw_up(&self.tokens, most.min(longest), least)
    }

    /// Whether the token just drawn is the draft's at `index`; then its KV is computed already.
    pub fn accept_draft(&mut self, index: usize) -> bool {
        let drafted = self.draft().get(index);
        let accepted = drafted.is_some() && drafted == self.tokens.get(self.computed);
        self.computed += usize::from(accepted);
        accepted
    }

    /// Draws the next token from the logits and tells the stream.
    pub fn draw(&mut self, logits: &[f32], vocabulary: &Vocabulary, window: u32) -> Drawn {
        let token = match self.next_token(logits) {
            Ok(token) => token,
            Err(message) => return Drawn::Failed(EngineError::Failed(message)),
        };
        if vocabulary.is_end_of_generation(token) {
            return Drawn::Finished(FinishReason::Stop);
        }
        let logprobs = self.job.logprobs.map(|top| {
            let (logprob, top) = token_logprobs(logits, token, top);
            Box::new(Logprobs { logprob, top })
        });
        self.tokens.push(token);
        self.sampler.accept(token);
        // The sequence was only computed because its channel had room, and nobody else sends on it.
        let sent = self.job.outputs.try_send(Output::Token { choice: self.choice, token, logprobs });
        if sent.is_err() && !self.job.outputs.is_closed() {
            return Drawn::Failed(EngineError::SlowReader);
        }
        self.after(token, window)
    }

    fn next_token(&mut self, logits: &[f32]) -> Result<u32, String> {
        let Some(constraint) = &mut self.constraint else { return Ok(self.sampler.sample(logits, None)) };
        match constraint.mask().map_err(|error| error.to_string())? {
            Mask::Free => Ok(self.sampler.sample(logits, None)),
            Mask::Allowed(words) => Ok(self.sampler.sample(logits, Some(words))),
        }
    }

    fn after(&mut self, token: u32, window: u32) -> Drawn {
        if let Some(constraint) = &mut self.constraint {
            if let Err(error) = constraint.accept(token) {
                return Drawn::Failed(EngineError::Failed(error.to_string()));
            }
            if constraint.is_complete() {
                return Drawn::Finished(FinishReason::Stop);
            }
        }
        if self.generated() >= self.job.max_tokens as usize || self.tokens.len() >= window as usize {
            return Drawn::Finished(FinishReason::Length);
        }
        Drawn::More
    }
}
