//! From drawn tokens to events: bytes to text, stop strings, reasoning and tool marks, usage.
//!
//! This runs where the stream is read, not on the scheduler's thread. Dropping it closes the channel, which the
//! scheduler sees before its next decode.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use futures_util::Stream;
use tokio::sync::mpsc::Receiver;

use super::output::{Flow, OutputParser, OutputStyle};
use super::sequence::{Logprobs, Output};
use super::vocabulary::Vocabulary;
use crate::engine::{Candidate, Delta, DeltaPart, EngineError, Event, FinishReason, TokenLogprob, Usage};

/// The events of one job.
pub struct OutputStream {
    outputs: Receiver<Output>,
    vocabulary: Arc<Vocabulary>,
    style: OutputStyle,
    answers: Vec<Answer>,
    stopped: Arc<[AtomicBool]>,
    submitted: Instant,
    usage: Usage,
    ready: VecDeque<Event>,
    /// Reused for what a token completes.
    parts: Vec<DeltaPart>,
    ended: bool,
}

struct Answer {
    parser: OutputParser,
    open: bool,
}

impl OutputStream {
    /// Reads the outputs of a job with `stopped.len()` answers.
    pub fn new(
        outputs: Receiver<Output>,
        vocabulary: Arc<Vocabulary>,
        style: OutputStyle,
        stop: &[String],
        stopped: Arc<[AtomicBool]>,
    ) -> Self {
        let answers =
            stopped.iter().map(|_| Answer { parser: OutputParser::new(&style, stop), open: true }).collect();
        Self {
            outputs,
            vocabulary,
            style,
            answers,
            stopped,
            submitted: Instant::now(),
            usage: Usage::default(),
            ready: VecDeque::new(),
            parts: Vec::new(),
            ended: false,
        }
    }

    /// Counts the prompt into the usage.
    #[must_use]
    pub fn with_prompt_tokens(mut self, tokens: u32) -> Self {
        self.usage.prompt_tokens = tokens;
        self
    }

    fn take(&mut self, output: Output) -> Result<(), EngineError> {
        match output {
            Output::Started { at, cached } => {
                self.usage.queued = at.saturating_duration_since(self.submitted);
                self.usage.cached_tokens = cached;
            }
            Output::Token { choice, token, logprobs } => self.token(choice, token, logprobs),
            Output::Finished { choice, reason } => self.finish(choice, reason),
            Output::Failed(error) => return Err(error),
        }
        Ok(())
    }

    fn token(&mut self, choice: u32, token: u32, logprobs: Option<Box<Logprobs>>) {
        let logprobs = logprobs.map(|logprobs| self.logprob(token, &logprobs));
        let Some(answer) = self.answers.get_mut(choice as usize).filter(|answer| answer.open) else { return };
        self.usage.completion_tokens += 1;
        self.usage.reasoning_tokens += u32::from(answer.parser.in_reasoning());
        let mut bytes = self.vocabulary.bytes(token);
        if self.vocabulary.is_special(token) && !self.style.reads_mark(bytes) {
            bytes = &[];
        }
        let flow = answer.parser.push(bytes, &mut self.parts);
        self.release(choice, 1, logprobs);
        if matches!(flow, Flow::Stopped) {
            if let Some(stopped) = self.stopped.get(choice as usize) {
                stopped.store(true, Ordering::Relaxed);
            }
            self.finish(choice, FinishReason::Stop);
        }
    }

    fn finish(&mut self, choice: u32, reason: FinishReason) {
        let Some(answer) = self.answers.get_mut(choice as usize).filter(|answer| answer.open) else { return };
        answer.open = false;
        answer.parser.finish(&mut self.parts);
        let reason = match reason {
            FinishReason::Stop if answer.parser.called_tools() => FinishReason::ToolCalls,
            other => other,
        };
        let stop = answer.parser.stopped_by().map(Arc::from);
        if !self.parts.is_empty() {
            self.release(choice, 0, None);
        }
        self.ready.push_back(Event::Finished { choice, reason, stop });
        if self.answers.iter().all(|answer| !answer.open) {
            self.ready.push_back(Event::Done(self.usage));
            self.ended = true;
            self.outputs.close();
        }
    }

    /// Makes deltas of what the parser released; the first accounts for the tokens.
    fn release(&mut self, choice: u32, tokens: u32, logprob: Option<TokenLogprob>) {
        let mut parts = self.parts.drain(..);
        let first = Delta { choice, tokens, part: parts.next(), logprobs: logprob.into_iter().collect() };
        self.ready.push_back(Event::Delta(first));
        self.ready.extend(
            parts.map(|part| {
                Event::Delta(Delta { choice, tokens: 0, part: Some(part), logprobs: Vec::new() })
            }),
        );
    }

    fn logprob(&self, token: u32, logprobs: &Logprobs) -> TokenLogprob {
        let candidate =
            |id: u32, logprob: f32| Candidate { id, bytes: self.vocabulary.bytes(id).to_vec(), logprob };
        TokenLogprob {
            token: candidate(token, logprobs.logprob),
            top: logprobs.top.iter().map(|(id, logprob)| candidate(*id, *logprob)).collect(),
        }
    }
}

impl Stream for OutputStream {
    type Item = Result<Event, EngineError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            if let Some(event) = this.ready.pop_front() {
                return Poll::Ready(Some(Ok(event)));
            }
            if this.ended {
                return Poll::Ready(None);
            }
            let taken = match ready!(this.outputs.poll_recv(context)) {
                Some(output) => this.take(output),
                None => Err(EngineError::Failed("the engine stopped".to_owned())),
            };
            if let Err(error) = taken {
                this.ended = true;
                this.outputs.close();
                return Poll::Ready(Some(Err(error)));
            }
        }
    }
}
