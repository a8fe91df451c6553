//! The guard of a request: whichever way it ends, its record is settled exactly once, from `Drop`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Ledger, Outcome, Record};
use crate::engine::{Event, FinishReason, TokenCount, Usage};
use crate::error::ApiError;
use crate::limits::Admission;

/// The model's name in the record of a request that named none that is served.
const UNKNOWN_MODEL: &str = "other";

/// The open account of one request. Dropped before it was told of an end, the client has left: cancelled.
pub struct Settlement {
    ledger: Arc<dyn Ledger>,
    id: Arc<str>,
    route: &'static str,
    subject: Arc<str>,
    model: Arc<str>,
    opened: Instant,
    status: u16,
    end: Option<(Outcome, Option<&'static str>)>,
    finish: Option<FinishReason>,
    usage: Usage,
    first_token: Option<Duration>,
    admission: Option<Admission>,
    started: bool,
}

impl Settlement {
    pub(super) fn open(
        ledger: Arc<dyn Ledger>,
        id: Arc<str>,
        route: &'static str,
        subject: Arc<str>,
    ) -> Self {
        Self {
            ledger,
            id,
            route,
            subject,
            model: UNKNOWN_MODEL.into(),
            opened: Instant::now(),
            status: 200,
            end: None,
            finish: None,
            usage: Usage::default(),
            first_token: None,
            admission: None,
            started: false,
        }
    }

    /// The model that serves the request.
    pub fn routed(&mut self, model: &str) {
        self.model = model.into();
    }

    /// What the request took from its caller's limits; what it does not use is given back at its end.
    pub fn admitted(&mut self, admission: Admission) {
        self.admission = Some(admission);
    }

    /// The engine has the request: from here on it costs its prompt, however it ends.
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
                self.first_token.get_or_insert_with(|| self.opened.elapsed());
                self.usage.completion_tokens = self.usage.completion_tokens.saturating_add(delta.tokens);
            }
            Event::Finished { reason, .. } => self.finish = Some(*reason),
            Event::Done(usage) => {
                self.usage = *usage;
                self.end.get_or_insert((Outcome::Completed, None));
            }
        }
    }

    /// The request failed before its answer began: the response is the error's.
    pub fn refuse(&mut self, error: &ApiError) {
        self.status = error.status().as_u16();
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
        let (outcome, reason) = self.end.unwrap_or((Outcome::Cancelled, None));
        self.ledger.settle(&Record {
            id: Arc::clone(&self.id),
            route: self.route,
            subject: Arc::clone(&self.subject),
            started: self.started,
            model: Arc::clone(&self.model),
            status: self.status,
            outcome,
            reason,
            finish: self.finish,
            usage: self.usage,
            first_token: self.first_token,
            duration: self.opened.elapsed(),
        });
    }
}

impl std::fmt::Debug for Settlement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settlement").field("id", &self.id).field("route", &self.route).finish_non_exhaustive()
    }
}
