//! What each model does: its handles are found once a request, and held by what observes tokens and steps.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::RwLock;
use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec,
};

use super::http::REQUEST_BUCKETS;
use super::{Declare, MOST_VALUES, OTHER};

/// From 5 ms to 60 s; 1 s is the objective's bound.
const FIRST_TOKEN_BUCKETS: [f64; 13] =
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0];
/// From 1 ms to 2 s.
const INTER_TOKEN_BUCKETS: [f64; 11] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0];
/// From 1 ms to 60 s.
const QUEUE_BUCKETS: [f64; 13] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];
/// Tokens of a step.
const BATCH_BUCKETS: [f64; 12] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0];

/// From 50 ms to 5 min.
const LOAD_BUCKETS: [f64; 11] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0];

/// What becomes of loads.
const LOAD_OUTCOMES: [&str; 3] = ["loaded", "failed", "cancelled"];

/// Why answers end.
const FINISH_REASONS: [&str; 6] = ["stop", "length", "tool_calls", "cancelled", "quota", "error"];

/// The families, and the models seen so far.
pub struct Models {
    families: Families,
    known: RwLock<HashMap<Box<str>, Arc<Model>>>,
}

struct Families {
    duration: HistogramVec,
    first_token: HistogramVec,
    inter_token: HistogramVec,
    queue: HistogramVec,
    tokens: IntCounterVec,
    running: IntGaugeVec,
    waiting: IntGaugeVec,
    kv_used: GaugeVec,
    batch: HistogramVec,
    drafts: IntCounterVec,
    loaded: IntGaugeVec,
    loads: IntCounterVec,
    load_seconds: HistogramVec,
    resident_bytes: IntGaugeVec,
    finish: IntCounterVec,
}

/// One model's handles.
#[derive(Debug)]
pub struct Model {
    /// `model_request_duration_seconds`: of requests that the engine began, to their end.
    pub duration: Histogram,
    /// `model_time_to_first_token_seconds`
    pub first_token: Histogram,
    /// `model_inter_token_seconds`
    pub inter_token: Histogram,
    /// `model_queue_seconds`
    pub queue: Histogram,
    /// `model_tokens_total{kind="prompt"}`, those found in the cache included.
    pub prompt_tokens: IntCounter,
    /// `model_tokens_total{kind="cached"}`
    pub cached_tokens: IntCounter,
    /// `model_tokens_total{kind="generated"}`
    pub generated_tokens: IntCounter,
    /// `model_requests_running`
    pub running: IntGauge,
    /// `model_requests_waiting`
    pub waiting: IntGauge,
    /// `model_kv_cells_used_ratio`
    pub kv_used: Gauge,
    /// `model_batch_tokens`: rows of a step.
    pub batch: Histogram,
    /// `model_draft_tokens_total{outcome="drafted"}`: computed ahead.
    pub drafted_tokens: IntCounter,
    /// `model_draft_tokens_total{outcome="accepted"}`: of these, those that were what was drawn.
    pub accepted_tokens: IntCounter,
    /// `model_loaded`
    pub loaded: IntGauge,
    /// `model_load_seconds`
    pub load_seconds: Histogram,
    /// `model_resident_bytes`
    pub resident_bytes: IntGauge,
    loads: IntCounterVec,
    finish: IntCounterVec,
    name: Box<str>,
}

impl Models {
    pub(super) fn new(declare: &Declare<'_>) -> Self {
        Self { families: Families::new(declare), known: RwLock::default() }
    }

    /// The handles of a model that is served here; all beyond a hundred are one.
    pub fn of(&self, name: &str) -> Arc<Model> {
        if let Some(model) = self.known.read().get(name) {
            return Arc::clone(model);
        }
        let mut known = self.known.write();
        let name = if known.len() >= MOST_VALUES { OTHER } else { name };
        Arc::clone(known.entry(name.into()).or_insert_with(|| Arc::new(self.families.model(name))))
    }
}

impl Model {
    /// `model_loads_total{outcome}`
    pub fn loads(&self, outcome: &str) {
        self.loads.with_label_values(&[&*self.name, outcome]).inc();
    }

    /// `model_finish_total{reason}`
    pub fn finished(&self, reason: &str) {
        self.finish.with_label_values(&[&*self.name, reason]).inc();
    }
}

impl Families {
    fn new(declare: &Declare<'_>) -> Self {
        let model = &["model"];
        let times = |name, help, buckets: &[f64]| declare.histograms((name, help), buckets, model);
        Self {
            duration: times(
                "model_request_duration_seconds",
                "From a request to the end of its answer, where an engine began it.",
                &REQUEST_BUCKETS,
            ),
            first_token: times(
                "model_time_to_first_token_seconds",
                "From a request to the first token of its answer.",
                &FIRST_TOKEN_BUCKETS,
            ),
            inter_token: times(
                "model_inter_token_seconds",
                "Between two tokens of an answer.",
                &INTER_TOKEN_BUCKETS,
            ),
            queue: times("model_queue_seconds", "In the engine's queue.", &QUEUE_BUCKETS),
            tokens: declare.counters(
                "model_tokens_total",
                "Tokens: of prompts, those of them found in the cache, and generated.",
                &["model", "kind"],
            ),
            running: declare.integers("model_requests_running", "Sequences being computed.", model),
            waiting: declare.integers("model_requests_waiting", "Sequences in the queue.", model),
            kv_used: declare.gauges(
                "model_kv_cells_used_ratio",
                "Share of the KV cells that hold something.",
                model,
            ),
            batch: times("model_batch_tokens", "Tokens of a step of the engine.", &BATCH_BUCKETS),
            drafts: declare.counters(
                "model_draft_tokens_total",
                "Tokens computed ahead by speculation, and those of them that were right.",
                &["model", "outcome"],
            ),
            loaded: declare.integers("model_loaded", "Whether the model can be used.", model),
            loads: declare.counters(
                "model_loads_total",
                "Loads of a model of this machine, by what became of them.",
                &["model", "outcome"],
            ),
            load_seconds: times("model_load_seconds", "Loads into memory that succeeded.", &LOAD_BUCKETS),
            resident_bytes: declare.integers(
                "model_resident_bytes",
                "Memory of a model of this machine, weights that it shares with its adapters included; 0 while it is \
                 not loaded.",
                model,
            ),
            finish: declare.counters(
                "model_finish_total",
                "Answers by why they ended.",
                &["model", "reason"],
            ),
        }
    }

    fn model(&self, name: &str) -> Model {
        // A counter's first value is no increase: every reason is there from the start.
        for reason in FINISH_REASONS {
            self.finish.with_label_values(&[name, reason]).reset();
        }
        for outcome in LOAD_OUTCOMES {
            self.loads.with_label_values(&[name, outcome]).reset();
        }
        let tokens = |kind| self.tokens.with_label_values(&[name, kind]);
        Model {
            duration: self.duration.with_label_values(&[name]),
            first_token: self.first_token.with_label_values(&[name]),
            inter_token: self.inter_token.with_label_values(&[name]),
            queue: self.queue.with_label_values(&[name]),
            prompt_tokens: tokens("prompt"),
            cached_tokens: tokens("cached"),
            generated_tokens: tokens("generated"),
            running: self.running.with_label_values(&[name]),
            waiting: self.waiting.with_label_values(&[name]),
            kv_used: self.kv_used.with_label_values(&[name]),
            batch: self.batch.with_label_values(&[name]),
            drafted_tokens: self.drafts.with_label_values(&[name, "drafted"]),
            accepted_tokens: self.drafts.with_label_values(&[name, "accepted"]),
            loaded: self.loaded.with_label_values(&[name]),
            load_seconds: self.load_seconds.with_label_values(&[name]),
            resident_bytes: self.resident_bytes.with_label_values(&[name]),
            loads: self.loads.clone(),
            finish: self.finish.clone(),
            name: name.into(),
        }
    }
}
