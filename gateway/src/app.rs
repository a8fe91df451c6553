//! The parts that every operation shares, built once. No logic.

use std::sync::Arc;
use std::time::Duration;

use crate::accounting::Books;
use crate::accounting::usage::Usage;
use crate::auth::Access;
use crate::conversation::Conversations;
use crate::limits::Limits;
use crate::residency::LocalModels;
use crate::routing::Catalog;
use crate::shutdown::Lifecycle;
use crate::telemetry::{LogControl, Metrics};

/// The shared parts.
#[derive(Debug)]
pub struct App {
    /// Which engine serves a model.
    pub catalog: Catalog,
    /// The models of this machine.
    pub local: Arc<LocalModels>,
    /// Who may do what.
    pub access: Arc<Access>,
    /// Who may spend how much.
    pub admission: Arc<Limits>,
    /// What every request used, and how it ended.
    pub books: Books,
    /// What every subject used.
    pub usage: Arc<Usage>,
    /// What is kept of conversations.
    pub conversations: Arc<Conversations>,
    /// Whether the process is about to end.
    pub lifecycle: Lifecycle,
    /// Every metric.
    pub metrics: Arc<Metrics>,
    /// What is logged.
    pub log: LogControl,
    /// Bounds of requests and answers.
    pub limits: HttpLimits,
    /// This serves a gateway, which counts prompts here before it sends them.
    pub is_worker: bool,
}

/// Bounds of requests and answers.
#[derive(Debug, Clone, Copy)]
pub struct HttpLimits {
    /// The longest request body.
    pub max_body_bytes: usize,
    /// How often a stream with nothing to say sends a comment.
    pub keep_alive: Duration,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self { max_body_bytes: 4 << 20, keep_alive: Duration::from_secs(15) }
    }
}
