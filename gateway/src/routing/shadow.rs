//! Copies of requests for a model on trial: its answers are discarded, and only how much later they came is kept.
//!
//! Nothing waits for a copy and nobody pays for it. It runs for a tenant of its own, so that it takes no turn of the
//! caller's, and ends with the process at once.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use openapi::admin::models::Shadow;
use parking_lot::Mutex;
use rand::RngExt as _;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::Tools;
use super::target::Target;
use crate::engine::{EngineError, Event, GenerationRequest, Start};
use crate::shutdown::Lifecycle;
use crate::telemetry::metrics::routing::Routing;

/// A copy that takes longer is given up.
const LONGEST: Duration = Duration::from_mins(5);

/// The shadow of a route.
pub(super) struct Shade {
    target: Arc<Target>,
    percent: u32,
    room: Arc<Semaphore>,
    lifecycle: Lifecycle,
    metrics: Routing,
}

impl Shade {
    /// A shadow with a share of the requests.
    pub(super) fn new(spec: &Shadow, target: Arc<Target>, tools: &Tools) -> Self {
        Self {
            target,
            percent: spec.percent,
            room: Arc::new(Semaphore::new(usize::try_from(spec.at_once).unwrap_or(1))),
            lifecycle: tools.lifecycle.clone(),
            metrics: tools.metrics.clone(),
        }
    }

    pub(super) fn target(&self) -> &Arc<Target> {
        &self.target
    }

    /// Copies the request, if it is drawn and there is room. What comes back is for its own answer to tell its times.
    pub(super) fn cast(&self, request: &GenerationRequest, start: &Start) -> Option<Side> {
        if self.lifecycle.is_draining() || rand::rng().random_range(0..100) >= self.percent {
            return None;
        }
        let Ok(permit) = Arc::clone(&self.room).try_acquire_owned() else {
            self.count("skipped");
            return None;
        };
        let pair = Arc::new(Pair {
            began: Instant::now(),
            times: Mutex::default(),
            target: Arc::clone(self.target.name()),
            metrics: self.metrics.clone(),
        });
        let own = Side::new(Arc::clone(&pair), Who::Answer);
        let copy = Copied {
            target: Arc::clone(&self.target),
            request: request.clone(),
            // No subject's name has a line's end.
            start: Start { tenant: format!("shadow\n{}", start.tenant).into(), priority: 0 },
            side: Side::new(pair, Who::Shadow),
        };
        let (draining, metrics) = (self.lifecycle.draining_token(), self.metrics.clone());
        let name = Arc::clone(self.target.name());
        drop(self.lifecycle.spawn(async move {
            let _permit = permit;
            let outcome = tokio::select! {
                outcome = tokio::time::timeout(LONGEST, copy.run()) => outcome,
                () = draining.cancelled() => return,
            };
            let outcome = if matches!(outcome, Ok(Ok(()))) { "answered" } else { "failed" };
            metrics.shadows.with_label_values(&[&*name, outcome]).inc();
        }));
        Some(own)
    }

    fn count(&self, outcome: &str) {
        self.metrics.shadows.with_label_values(&[&**self.target.name(), outcome]).inc();
    }
}

/// A copied request.
struct Copied {
    target: Arc<Target>,
    request: GenerationRequest,
    start: Start,
    side: Side,
}

impl Copied {
    async fn run(mut self) -> Result<(), EngineError> {
        let _place = self.target.enter_freely();
        let ready = self.target.engine().prepare(self.request).await?;
        let mut generation = ready.start(self.start).await?;
        while let Some(event) = generation.events.next().await {
            self.side.came(&event?);
        }
        Ok(())
    }
}

/// Whose times they are.
#[derive(Debug, Clone, Copy)]
enum Who {
    Answer,
    Shadow,
}

/// One of the two that answer the same request.
pub(super) struct Side {
    pair: Arc<Pair>,
    who: Who,
    began: bool,
}

impl Side {
    fn new(pair: Arc<Pair>, who: Who) -> Self {
        Self { pair, who, began: false }
    }

    /// An event of its answer came.
    pub(super) fn came(&mut self, event: &Event) {
        if !self.began {
            self.began = true;
            self.pair.tell(self.who, Stage::First);
        }
        if matches!(event, Event::Done(_)) {
            self.pair.tell(self.who, Stage::Last);
        }
    }
}

/// What is compared.
#[derive(Debug, Clone, Copy)]
enum Stage {
    First,
    Last,
}

/// When both answers came. The one that comes second tells the difference; where one never does, nothing is told.
struct Pair {
    began: Instant,
    times: Mutex<Times>,
    target: Arc<str>,
    metrics: Routing,
}

/// Seconds to the answer's event, and to the shadow's.
#[derive(Debug, Default)]
struct Times {
    first: (Option<f64>, Option<f64>),
    last: (Option<f64>, Option<f64>),
}

impl Pair {
    fn tell(&self, who: Who, stage: Stage) {
        let seconds = self.began.elapsed().as_secs_f64();
        let mut times = self.times.lock();
        let (times, stage) = match stage {
            Stage::First => (&mut times.first, "first_token"),
            Stage::Last => (&mut times.last, "whole"),
        };
        match who {
            Who::Answer => times.0 = Some(seconds),
            Who::Shadow => times.1 = Some(seconds),
        }
        if let (Some(answer), Some(shadow)) = *times {
            self.metrics.difference.with_label_values(&[&*self.target, stage]).observe(shadow - answer);
        }
    }
}
