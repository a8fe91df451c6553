//! One cell of a measurement: a scenario at a concurrency, its bounds, and the client that asks.

use std::time::Duration;

use clap::Args;
use serde::Serialize;
use tokio::time::Instant;

use crate::error::{BenchError, CallError};
use crate::http;
use crate::prompts::Words;
use crate::server::Server;
use crate::target::Target;
use crate::transcript::Transcript;
use crate::workload::{Ask, Messages, Scenario, Shape};

/// What is run, and its bounds.
#[derive(Debug, Clone, Args, Serialize)]
pub(crate) struct Settings {
    /// Scenarios, separated by commas.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "short")]
    pub(crate) scenario: Vec<Scenario>,
    /// Users at once, separated by commas.
    #[arg(long, value_delimiter = ',', default_value = "1,4,16,32",
        value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub(crate) concurrency: Vec<u32>,
    /// Requests for each user (turns for `conversation`, repeats for `prefix-reuse`).
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) requests: u32,
    /// Seconds after which a cell begins no more requests and cuts those that run.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) time_limit: u64,
    /// Seconds that one request may take.
    #[arg(long, default_value_t = 180, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) request_limit: u64,
    /// Short requests before each cell that are not counted.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(0..=100))]
    pub(crate) warm_up: u32,
    /// Seed of prompts and draws. A server that is kept running remembers the prompts of an earlier seed.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Names with which the threads of the server that compute begin; all others are its own work.
    #[arg(long, value_delimiter = ',', default_value = "llama,ggml")]
    pub(crate) engine_threads: Vec<String>,
    #[command(flatten)]
    #[serde(flatten)]
    pub(crate) shape: Shape,
}

/// Which measurement.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cell {
    /// The pattern of requests.
    pub(crate) scenario: Scenario,
    /// Users at once.
    pub(crate) concurrency: u32,
    /// Counts repeats, so that each has its own prompts.
    pub(crate) round: u32,
}

impl Cell {
    /// Prompts differ between all cells and rounds, and are the same for the two sides of a comparison.
    pub(crate) fn seed(self, settings: &Settings) -> u64 {
        let mut mix = settings.seed;
        // The two sides of one comparison.
        let scenario = match self.scenario {
            Scenario::StoredTurns => Scenario::Turns,
            other => other,
        };
        for part in [u64::from(self.round), u64::from(self.concurrency), scenario as u64] {
            mix = Words::new(mix, part).next();
        }
        mix
    }
}

/// Everything that a request needs, shared by the tasks of a run.
#[derive(Debug)]
pub(crate) struct Client {
    /// Whom to ask.
    pub(crate) target: Target,
    /// How to ask.
    pub(crate) shape: Shape,
    /// When the run must be over.
    pub(crate) deadline: Instant,
    /// The longest that one request may take.
    pub(crate) request_limit: Duration,
}

impl Client {
    /// A client whose time runs from now.
    pub(crate) fn new(server: &Server, settings: &Settings) -> Self {
        Self {
            target: server.target.clone(),
            shape: settings.shape.clone(),
            deadline: Instant::now() + Duration::from_secs(settings.time_limit),
            request_limit: Duration::from_secs(settings.request_limit),
        }
    }

    /// The path of the operation.
    pub(crate) fn path(&self) -> String {
        format!("{}{}", self.target.address.base, self.shape.path())
    }

    /// Makes one request and reads its answer to the end.
    pub(crate) async fn ask(&self, messages: &Messages, ask: Ask<'_>) -> Result<Transcript, CallError> {
        let body = self.shape.body(&self.target.model, messages, ask);
        let left = self.deadline.saturating_duration_since(Instant::now());
        let limit = left.min(self.request_limit);
        let recording = http::exchange(&self.target, http::Method::POST, &self.path(), body, limit).await?;
        Transcript::whole(&recording)
    }

    /// Warms the server: connections, thread pools, pages.
    pub(crate) async fn warm_up(&self, count: u32, seed: u64) -> Result<(), BenchError> {
        for index in 0..count {
            let text = Words::new(seed, 1000 + u64::from(index)).text(8);
            let ask = Ask { max_tokens: 4, seed, schema: false, conversation: None };
            self.ask(&vec![("user", text)], ask)
                .await
                .map_err(|source| BenchError::Call { what: "warm-up", source })?;
        }
        Ok(())
    }
}
