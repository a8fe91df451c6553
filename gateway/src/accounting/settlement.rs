//! The guard of a request: whichever way it ends, its record is settled exactly once, from `Drop`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use prometheus::local::LocalHistogram;

use super::{Ledger, Origin, Outcome, Record};
use crate::auth::Principal;
use crate::engine::{Event, FinishReason, TokenCount, Usage};
use crate::error::{ApiError, ErrorKind};
use crate::limits::Admission;
use crate::telemetry::Metrics;
use crate::telemetry::metrics::OTHER;

/// The open account of one request. Dropped before it was told of an end, the client has left: cancelled.
pub struct Settlement {
    ledger: Arc<dyn Ledger>,
    metrics: Arc<Metrics>,
    origin: Origin,
    stream: bool,
    route: &'static str,
    subject: Arc<str>,
    role: Arc<str>,
    model: Arc<str>,
    opened: Instant,
    status: u16,
    end: Option<(Outcome, Option<&'static str>)>,
    finish: Option<FinishReason>,
    usage: Usage,
    first_token: Option<Duration>,
    /// Gaps between tokens, told to the model's histogram at the end.
    gaps: Option<LocalHistogram>,
    last_token: Option<Instant>,
    refused: Option<&'static str>,
    capped: bool,
    admission: Option<Admission>,
    started: bool,
}

impl Settlement {
    pub(super) fn open(
        (ledger, metrics): (Arc<dyn Ledger>, Arc<Metrics>),
        origin: Origin,
        route: &'static str,
        caller: &Principal,
    ) -> Self {
        Self {
            ledger,
            metrics,
            origin,
            stream: false,
            route,
            subject: Arc::clone(&caller.subject),
            role: Arc::clone(&caller.role),
            model: OTHER.into(),
            opened: Instant::now(),
            status: 200,
            end: None,
            finish: None,
            usage: Usage::default(),
            first_token: None,
            gaps: None,
            last_token: None,
            refused: None,
            capped: false,
            admission: None,
            started: false,
        }
    }

    /// The model that serves the request.
    pub fn routed(&mut self, model: &str) {
        self.model = model.into();
        self.gaps = Some(self.metrics.models.of(model).inter_token.local());
    }

    /// Whether the answer is told as it is made.
    pub fn streams(&mut self, stream: bool) {
        self.stream = stream;
    }

    /// What the request took from its caller's limits; what it does not use is given back at its end.
    pub fn admitted(&mut self, admission: Admission) {
        if let Some(budget) = admission.standing().tokens_per_day {
            let used = budget.limit.saturating_sub(budget.remaining) as f64 / budget.limit.max(1) as f64;
            self.metrics.access.spent(&self.role, used, budget.reset);
        }
        self.admission = Some(admission);
    }

    /// The caller's limits bound the answer, which the request left open.
    pub fn capped(&mut self) {
        self.capped = true;
    }

    /// The engine has the request: from here on it costs its prompt, however it ends, unless it is refused.
    pub fn started(&mut self) {
        self.started = true;
    }

    /// One of the request's prompts was counted.
    pub fn prompt(&mut self, tokens: TokenCount) {
        let (TokenCount::Exact(count) | TokenCount::Estimate(count)) = tokens;
        self.usage.prompt_tokens = self.usage.prompt_tokens.saturating_add(count);
    }

    /// An event of the generation, on its way to the client.
    pub fn observe(&mut self, event: &Event) {
        match event {
            Event::Delta(delta) => {
                self.note_tokens(delta.tokens);
                self.usage.completion_tokens = self.usage.completion_tokens.saturating_add(delta.tokens);
            }
            Event::Finished { reason, .. } => self.finish = Some(*reason),
            Event::Wire(wired) => {
                self.note_tokens(wired.tokens);
                self.usage.completion_tokens = self.usage.completion_tokens.saturating_add(wired.tokens);
                self.finish = wired.finish.or(self.finish);
            }
            Event::Done(usage) => {
                self.usage = *usage;
                self.end.get_or_insert((Outcome::Completed, None));
            }
        }
    }

    fn note_tokens(&mut self, tokens: u32) {
        let now = Instant::now();
        self.first_token.get_or_insert_with(|| now.saturating_duration_since(self.opened));
        if let (Some(gaps), Some(last)) = (&self.gaps, self.last_token)
            && tokens > 0
        {
            // Tokens that came together share the time that they took.
            let gap = now.saturating_duration_since(last).as_secs_f64() / f64::from(tokens);
            for _ in 0..tokens {
                gaps.observe(gap);
            }
        }
        self.last_token = Some(now);
    }

    /// The request failed before its answer began: the response is the error's.
    pub fn refuse(&mut self, error: &ApiError) {
        self.started = false;
        self.status = error.status().as_u16();
        self.refused = error.code().filter(|_| error.kind() == ErrorKind::RateLimit);
        self.fail(error);
    }

    /// The request failed. The first end counts.
    pub fn fail(&mut self, error: &ApiError) {
        self.end.get_or_insert((Outcome::Failed, Some(error.reason())));
    }

    /// Passes a step's result on; an error is the request's end.
    pub fn note<T>(&mut self, step: Result<T, ApiError>) -> Result<T, ApiError> {
        step.inspect_err(|error| self.refuse(error))
    }
}

impl Drop for Settlement {
    fn drop(&mut self) {
        if let Some(admission) = self.admission.as_ref().filter(|_| self.started) {
            let used = u64::from(self.usage.prompt_tokens) + u64::from(self.usage.completion_tokens);
            admission.use_tokens(used);
        }
        if let Some(gaps) = &self.gaps {
            gaps.flush();
        }
        let (outcome, reason) = self.end.unwrap_or((Outcome::Cancelled, None));
        self.ledger.settle(&Record {
            id: Arc::clone(&self.origin.id),
            trace: self.origin.trace,
            stream: self.stream,
            route: self.route,
            subject: Arc::clone(&self.subject),
            role: Arc::clone(&self.role),
            started: self.started,
            model: Arc::clone(&self.model),
            status: self.status,
            outcome,
            reason,
            refused: self.refused,
            capped: self.capped,
            finish: self.finish,
            usage: self.usage,
            first_token: self.first_token,
            duration: self.opened.elapsed(),
        });
    }
}

impl std::fmt::Debug for Settlement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settlement")
            .field("id", &self.origin.id)
            .field("route", &self.route)
            .finish_non_exhaustive()
    }
}
