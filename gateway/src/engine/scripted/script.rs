//! What a scripted engine plays: pieces of output, pauses, gates and failures.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::engine::{DeltaPart, EngineError, FinishReason};

/// The course of one generation. Every choice of a request plays the same script, one step after the other.
#[derive(Debug, Clone, Default)]
pub struct Script {
    pub(super) steps: Vec<Step>,
    pub(super) refusal: Option<EngineError>,
    pub(super) finish: Option<FinishReason>,
    pub(super) stop: Option<String>,
    pub(super) pace: Option<Duration>,
    pub(super) cached: u32,
    pub(super) queued: Duration,
    pub(super) calls: u32,
}

/// One thing that happens in a script.
#[derive(Debug, Clone)]
pub(super) enum Step {
    /// A token, with the output that it completes, if any.
    Token(Option<DeltaPart>),
    /// Nothing, for a while.
    Wait(Duration),
    /// Nothing, until let through.
    Gate(Gate),
    /// The engine breaks.
    Fail(EngineError),
}

impl Script {
    /// A script in which nothing is said.
    pub fn new() -> Self {
        Self::default()
    }

    /// An answer of these pieces, a token each.
    pub fn text<'a>(pieces: impl IntoIterator<Item = &'a str>) -> Self {
        pieces.into_iter().fold(Self::new(), Self::say)
    }

    /// An answer of `count` tokens, as fast as they are taken or one every `pace`.
    pub fn tokens(count: u32, pace: Option<Duration>) -> Self {
        let steps = (0..count).map(|_| Step::Token(Some(DeltaPart::Content("word ".to_owned())))).collect();
        Self { steps, pace, ..Self::default() }
    }

    /// A request that is refused when it asks to be queued.
    pub fn refused(error: EngineError) -> Self {
        Self { refusal: Some(error), ..Self::default() }
    }

    /// A token of the answer.
    #[must_use]
    pub fn say(self, piece: &str) -> Self {
        self.step(Step::Token(Some(DeltaPart::Content(piece.to_owned()))))
    }

    /// A token of reasoning.
    #[must_use]
    pub fn think(self, piece: &str) -> Self {
        self.step(Step::Token(Some(DeltaPart::Reasoning(piece.to_owned()))))
    }

    /// A token whose text is held back.
    #[must_use]
    pub fn hold_back(self) -> Self {
        self.step(Step::Token(None))
    }

    /// A call of a tool, its arguments in these pieces; the answer then ends with `tool_calls`.
    #[must_use]
    pub fn call<'a>(mut self, id: &str, name: &str, arguments: impl IntoIterator<Item = &'a str>) -> Self {
        let index = self.calls;
        self.calls += 1;
        let opening = DeltaPart::ToolCall { index, id: id.to_owned(), name: name.to_owned() };
        let begun = self.step(Step::Token(Some(opening)));
        arguments.into_iter().fold(begun, |script, piece| {
            let more = DeltaPart::ToolArguments { index, arguments: piece.to_owned() };
            script.step(Step::Token(Some(more)))
        })
    }

    /// Silence for a while.
    #[must_use]
    pub fn wait(self, pause: Duration) -> Self {
        self.step(Step::Wait(pause))
    }

    /// Silence until the gate lets it through.
    #[must_use]
    pub fn gate(self, gate: &Gate) -> Self {
        self.step(Step::Gate(gate.clone()))
    }

    /// The engine breaks here: one error, and the stream is over.
    #[must_use]
    pub fn fail(self, error: EngineError) -> Self {
        self.step(Step::Fail(error))
    }

    /// Why the answer ends, where not `stop` (or `tool_calls` after a call, or `length` at the limit).
    #[must_use]
    pub fn finish(mut self, reason: FinishReason) -> Self {
        self.finish = Some(reason);
        self
    }

    /// A stop string that the answer ends at.
    #[must_use]
    pub fn stop(mut self, string: &str) -> Self {
        self.stop = Some(string.to_owned());
        self
    }

    /// A pause before each token.
    #[must_use]
    pub fn pace(mut self, pause: Duration) -> Self {
        self.pace = Some(pause);
        self
    }

    /// What the usage says of the prompt's cached tokens and of the time in the queue.
    #[must_use]
    pub fn usage(mut self, cached: u32, queued: Duration) -> Self {
        self.cached = cached;
        self.queued = queued;
        self
    }

    pub(super) fn finish_reason(&self) -> FinishReason {
        let natural = if self.calls > 0 { FinishReason::ToolCalls } else { FinishReason::Stop };
        self.finish.unwrap_or(natural)
    }

    fn step(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }
}

/// Holds a script back until its owner lets it through; clones are one gate.
#[derive(Debug, Clone)]
pub struct Gate(Arc<Semaphore>);

impl Gate {
    /// A gate that lets nothing through.
    pub fn closed() -> Self {
        Self(Arc::new(Semaphore::new(0)))
    }

    /// Lets `count` passages through.
    pub fn let_through(&self, count: usize) {
        self.0.add_permits(count);
    }

    /// Lets everything through from now on.
    pub fn open(&self) {
        self.0.close();
    }

    pub(super) async fn pass(&self) {
        // An error means that the semaphore was closed, which is how an open gate is written.
        if let Ok(permit) = self.0.acquire().await {
            permit.forget();
        }
    }
}
