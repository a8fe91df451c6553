//! The loop that owns the context: sequences join and leave between decode steps.
//!
//! A step is: take in commands, drop what nobody waits for, admit from the queue, plan rows, decode, draw tokens.
//! It never waits for a client: a sequence whose reader has no room is left out of the step.

mod admit;
mod draft;
mod plan;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::compute::{Compute, ComputeError, Row, Slot};
use super::gauges::Gauges;
use super::kv::KvCache;
use super::queue::FairQueue;
use super::sequence::{Drawn, Job, Output, Sequence};
use super::speculation::cost::StepCost;
use super::vocabulary::Vocabulary;
use crate::engine::{EngineError, FinishReason};

/// What the scheduler is told.
pub enum Command {
    /// Queue a request's answers.
    Generate(Box<Job>),
    /// Embed inputs, one batch between two steps.
    Embed(EmbedJob),
}

/// A batch of inputs to embed.
pub struct EmbedJob {
    /// Tokens of each input; together they fit one embedding batch.
    pub inputs: Vec<Vec<u32>>,
    /// Where the vectors go. Its other end being gone cancels.
    pub reply: oneshot::Sender<Result<Vec<Vec<f32>>, ComputeError>>,
}

/// Computes a batch of embeddings; has a context of its own.
pub type Embedder<'a> = dyn FnMut(&[Vec<u32>]) -> Result<Vec<Vec<f32>>, ComputeError> + 'a;

/// How the scheduler decides.
#[derive(Debug, Clone)]
pub struct Policy {
    /// Most prefill tokens of a step in which others decode.
    pub prefill_chunk: usize,
    /// How long a reader may have no room before its stream is ended.
    pub slow_reader: Duration,
    /// Sequences that may wait.
    pub queue: usize,
    /// Most tokens of a draft; 0 drafts none.
    pub draft: usize,
}

/// The state of the loop.
pub struct Scheduler<C: Compute> {
    kv: KvCache<C>,
    policy: Policy,
    vocabulary: Arc<Vocabulary>,
    gauges: Arc<Gauges>,
    queue: FairQueue<Sequence<C::Snapshot>>,
    /// Out of the queue, but waiting for a prefix that another sequence is computing.
    held: Vec<Sequence<C::Snapshot>>,
    running: Vec<Sequence<C::Snapshot>>,
    rows: Vec<Row>,
    planned: Vec<Planned>,
    cost: StepCost,
    /// Rows of each pass over the weights in the step being planned, where it only decodes.
    passes: Vec<usize>,
    by_slot: Vec<(Slot, usize)>,
    /// Steps still to go without drafts.
    resting: u32,
    embeddings: VecDeque<EmbedJob>,
    /// When to look again for retained sequences that were not used for long.
    next_spill: Option<Instant>,
}

/// A running sequence's part of a step.
#[derive(Debug, Clone, Copy)]
struct Planned {
    /// Which of the running sequences.
    index: usize,
    /// How many tokens it computes, at least one.
    take: usize,
    /// The row of the last of them; those of the draft follow it.
    last_row: usize,
    /// How many tokens it computes ahead.
    drafted: usize,
}

/// How long to wait when every reader is full: a reader that makes room does not wake this thread.
const STALL_POLL: Duration = Duration::from_millis(5);

/// How long to wait when all that is left to do comes from disk, whose thread does not wake this one.
const FETCH_POLL: Duration = Duration::from_millis(1);

/// How often idle sequences are copied to disk beside running streams: each waits for one copy, now and then.
const SPILL_INTERVAL: Duration = Duration::from_secs(1);

/// How long the end of the process may wait for what is retained to be on disk.
const LAST_SPILL: Duration = Duration::from_secs(2);

impl<C: Compute> Scheduler<C> {
    /// Takes over a context.
    pub fn new(kv: KvCache<C>, policy: Policy, vocabulary: Arc<Vocabulary>, gauges: Arc<Gauges>) -> Self {
        let queue = FairQueue::new(policy.queue);
        Self {
            kv,
            policy,
            vocabulary,
            gauges,
            queue,
            held: Vec::new(),
            running: Vec::new(),
            rows: Vec::new(),
            planned: Vec::new(),
            cost: StepCost::default(),
            passes: Vec::new(),
            by_slot: Vec::new(),
            resting: 0,
            embeddings: VecDeque::new(),
            next_spill: None,
        }
    }

    /// Runs until every sender of commands is gone and all work is done.
    pub fn run(&mut self, commands: &Receiver<Command>, embedder: &mut Embedder<'_>) {
        while self.take_commands(commands) {
            self.embed(embedder);
            self.step(Instant::now());
        }
        self.kv.spill_rest(Instant::now() + LAST_SPILL);
    }

    /// One batch of embeddings a step, so that running streams wait for no more than that.
    fn embed(&mut self, embedder: &mut Embedder<'_>) {
        while let Some(job) = self.embeddings.pop_front() {
            if job.reply.is_closed() {
                continue;
            }
            let _receiver_gone = job.reply.send(embedder(&job.inputs));
            return;
        }
    }

    /// Takes in what has come; waits for something when there is nothing to compute. `false` ends the loop.
    fn take_commands(&mut self, commands: &Receiver<Command>) -> bool {
        if self.is_idle() {
            match self.next_command(commands) {
                Ok(command) => self.obey(command),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return false,
            }
        } else if let Some(poll) = self.poll() {
            match commands.recv_timeout(poll) {
                Ok(command) => self.obey(command),
                Err(RecvTimeoutError::Timeout) => {}
                // Readers that are alive still get what is left; the loop ends once they are done.
                Err(RecvTimeoutError::Disconnected) => std::thread::sleep(poll),
            }
        }
        while let Ok(command) = commands.try_recv() {
            self.obey(command);
        }
        true
    }

    /// Waits for work, and copies what is not used to disk while none comes.
    fn next_command(&mut self, commands: &Receiver<Command>) -> Result<Command, RecvTimeoutError> {
        let now = Instant::now();
        match self.kv.spill_idle(now) {
            Some(due) => commands.recv_timeout(due.saturating_duration_since(now)),
            None => commands.recv().map_err(|_| RecvTimeoutError::Disconnected),
        }
    }

    /// How long to wait before looking again, where there is nothing to compute at this moment.
    fn poll(&self) -> Option<Duration> {
        if !self.embeddings.is_empty() {
            return None;
        }
        if self.running.is_empty() {
            return self.kv.is_fetching().then_some(FETCH_POLL);
        }
        self.only_waits_for_readers().then_some(STALL_POLL)
    }

    fn is_idle(&self) -> bool {
        self.running.is_empty() && self.held.is_empty() && self.queue.is_empty() && self.embeddings.is_empty()
    }

    fn only_waits_for_readers(&self) -> bool {
        self.running.iter().all(|sequence| sequence.stalled.is_some())
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Embed(job) => self.embeddings.push_back(job),
            Command::Generate(job) => self.enqueue(&Arc::from(job)),
        }
    }

    fn enqueue(&mut self, job: &Arc<Job>) {
        let choices = u32::try_from(job.stopped.len()).unwrap_or(u32::MAX);
        for choice in 0..choices {
            let cost = u32::try_from(job.prompt.len()).unwrap_or(u32::MAX).saturating_add(job.max_tokens);
            let sequence = Sequence::new(Arc::clone(job), choice);
            if self.queue.push(Arc::clone(&job.tenant), job.priority, cost, sequence).is_err() {
                // The bound is checked where requests come in; this is a request that slipped past it.
                let _receiver_gone = job.outputs.try_send(Output::Failed(self.gauges.queue_full()));
                self.gauges.leave_queue(choices - choice);
                return;
            }
        }
    }

    /// One pass of the loop.
    fn step(&mut self, now: Instant) {
        self.drop_cancelled();
        self.tend_disk(now);
        self.admit(now);
        self.close_hole();
        self.plan(now);
        if !self.rows.is_empty() {
            self.gauges.stepped(self.rows.len());
            let started = Instant::now();
            match self.kv.decode(&self.rows) {
                Ok(()) => {
                    self.note_time(started);
                    self.draw();
                }
                Err(ComputeError::KvFull) if self.rest_from_drafts() => {}
                Err(ComputeError::KvFull) => self.make_room(),
                Err(error) => self.fail_batch(&error),
            }
        }
        self.publish_load();
    }

    fn tend_disk(&mut self, now: Instant) {
        self.kv.settle();
        if self.next_spill.is_none_or(|due| due <= now) {
            self.next_spill = Some(now + SPILL_INTERVAL);
            self.kv.spill_idle(now);
        }
    }

    fn drop_cancelled(&mut self) {
        let before = self.queue.len();
        self.queue.retain(|sequence| !sequence.is_cancelled());
        self.gauges.leave_queue(u32::try_from(before - self.queue.len()).unwrap_or(u32::MAX));
        let held = self.held.len();
        self.held.retain(|sequence| !sequence.is_cancelled());
        self.gauges.leave_queue(u32::try_from(held - self.held.len()).unwrap_or(u32::MAX));
        for index in (0..self.running.len()).rev() {
            if self.running.get(index).is_some_and(Sequence::is_cancelled) {
                self.end(index);
            }
        }
    }

    /// Draws tokens for every sequence whose tokens are all computed now: one, and as many more as were drafted right.
    fn draw(&mut self) {
        let mut ended = Vec::new();
        for place in 0..self.planned.len() {
            let Some(planned) = self.planned.get(place).copied() else { continue };
            let Some(sequence) = self.running.get_mut(planned.index) else { continue };
            sequence.computed += planned.take;
            let (accepted, drawn) = draft::draw_rows(&self.kv, sequence, planned, &self.vocabulary);
            if planned.drafted > 0 {
                self.settle_draft(planned, accepted);
            }
            match drawn {
                Drawn::More => {}
                Drawn::Finished(reason) => ended.push((planned.index, Ok(reason))),
                Drawn::Failed(error) => ended.push((planned.index, Err(error))),
            }
        }
        // Backwards, so that those still to end keep their places.
        ended.sort_unstable_by_key(|(index, _)| Reverse(*index));
        for (index, outcome) in ended {
            match outcome {
                Ok(reason) => self.finish(index, reason),
                Err(error) => self.fail(index, error),
            }
        }
    }

    fn finish(&mut self, index: usize, reason: FinishReason) {
        if let Some(sequence) = self.running.get(index) {
            // Room for the end is kept beside the room for the token (plan.rs).
            let _receiver_gone =
                sequence.job.outputs.try_send(Output::Finished { choice: sequence.choice, reason });
        }
        self.end(index);
    }

    fn fail(&mut self, index: usize, error: EngineError) {
        if let Some(sequence) = self.running.get(index) {
            let _receiver_gone = sequence.job.outputs.try_send(Output::Failed(error));
        }
        self.end(index);
    }

    /// Frees a running sequence's slot and retains its KV.
    fn end(&mut self, index: usize) {
        let sequence = self.running.remove(index);
        self.kv.finish(sequence.slot, &sequence.job.salt, sequence.computed_tokens());
        self.gauges.finished();
    }

    /// The engine broke on a batch: its sequences end, the loop goes on.
    fn fail_batch(&mut self, error: &ComputeError) {
        tracing::error!(%error, rows = self.rows.len(), "decode failed");
        for index in (0..self.running.len()).rev() {
            let Some(sequence) = self.running.get(index) else { continue };
            if self.planned.iter().any(|planned| planned.index == index) {
                let failure = EngineError::Failed("the model could not compute this request".to_owned());
                let _receiver_gone = sequence.job.outputs.try_send(Output::Failed(failure));
                let sequence = self.running.remove(index);
                self.kv.discard(sequence.slot);
                self.gauges.finished();
            }
        }
    }

    /// The KV cache is full: retained sequences leave it first, then the least important running one is preempted.
    fn make_room(&mut self) {
        if self.kv.relieve() {
            return;
        }
        let victim = (0..self.running.len()).min_by_key(|index| {
            let sequence = self.running.get(*index);
            // The last to have begun, within the lowest priority, loses the least.
            (sequence.map(|s| s.job.priority), Reverse(*index))
        });
        match victim {
            Some(index) if self.running.len() > 1 => self.preempt(index),
            Some(index) => self.finish(index, FinishReason::Length),
            None => {}
        }
    }

    fn preempt(&mut self, index: usize) {
        let mut sequence = self.running.remove(index);
        match self.kv.park(sequence.slot) {
            Ok(snapshot) => sequence.parked = Some(snapshot),
            Err(error) => {
                tracing::warn!(%error, "a preempted sequence will be computed again");
                self.kv.discard(sequence.slot);
                sequence.computed = 0;
            }
        }
        let job = Arc::clone(&sequence.job);
        let cost = u32::try_from(sequence.tokens.len()).unwrap_or(u32::MAX);
        self.gauges.preempted();
        self.gauges.rejoin_queue();
        self.queue.put_back(Arc::clone(&job.tenant), job.priority, cost, sequence);
    }

    fn close_hole(&mut self) {
        let Some((from, to)) = self.kv.hole() else { return };
        if let Err(error) = self.kv.relocate(from, to) {
            tracing::warn!(%error, "a sequence could not be moved");
            return;
        }
        if let Some(sequence) = self.running.iter_mut().find(|sequence| sequence.slot == from) {
            sequence.slot = to;
        }
    }

    /// A sequence joins the running ones. It is counted there before it leaves the queue, so that it is never seen in
    /// neither.
    fn join(&mut self, sequence: Sequence<C::Snapshot>) {
        self.running.push(sequence);
        self.publish_load();
        self.gauges.leave_queue(1);
    }

    fn publish_load(&self) {
        let used: usize = self.running.iter().map(|sequence| sequence.computed).sum();
        self.gauges.set_load(self.running.len(), used, self.kv.limits().cells);
    }
}

#[cfg(test)]
impl<C: Compute> Scheduler<C> {
    fn kv_for_tests(&self) -> &C {
        self.kv.compute()
    }
}
