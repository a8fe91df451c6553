//! Registration at a Consul agent: a service with a TTL check, kept passing, and taken back at the end.
//!
//! The agent may restart and forget, or be away for hours: each step is tried again, later and later, for ever.

#[cfg(test)]
mod tests;

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, StatusCode};
use http_body_util::Full;
use rand::RngExt as _;
use serde_json::json;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::client::{Endpoint, Link, LinkError};

/// Without a sign of life for so long, the service counts as failed; there are three in that time.
const TTL: Duration = Duration::from_secs(30);
/// A failed service leaves Consul's list after so long.
const FORGOTTEN_AFTER: Duration = Duration::from_mins(10);
/// How long the agent may take to answer.
const ANSWER: Duration = Duration::from_secs(5);
/// The first pause after a failure, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
const TOKEN: HeaderName = HeaderName::from_static("x-consul-token");

/// Where and as what the exporter registers itself.
#[derive(Debug, Clone)]
pub struct ConsulSettings {
    /// The agent.
    pub agent: Endpoint,
    /// The service's name.
    pub service: String,
    /// What the agent asks for, where it asks.
    pub token: Option<HeaderValue>,
    /// The host that Consul tells others, and the port.
    pub host: String,
    /// The port that Consul tells others.
    pub port: u16,
}

/// The agent did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConsulError {
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error("no answer in time")]
    TimedOut,
    #[error("{path} was answered with {status}: {text}")]
    Refused { path: String, status: StatusCode, text: String },
    #[error("cannot be asked for: {0}")]
    Request(#[from] http::Error),
}

/// A service that is kept registered.
pub(super) struct Registration {
    link: Link,
    token: Option<HeaderValue>,
    id: String,
    service: Bytes,
    is_registered: bool,
    failures: u32,
}

impl Registration {
    /// Prepares; nothing is sent before [`Registration::run`].
    pub(super) fn new(settings: &ConsulSettings) -> Self {
        let ConsulSettings { agent, service, token, host, port } = settings;
        let id = format!("{service}-{host}-{port}").replace([':', '.'], "-");
        let registered = json!({
            "ID": id,
            "Name": service,
            "Address": host,
            "Port": port,
            "Tags": ["sluice", "metrics"],
            "Meta": { "metrics_path": "/metrics", "version": env!("CARGO_PKG_VERSION") },
            "Check": {
                "TTL": format!("{}s", TTL.as_secs()),
                "DeregisterCriticalServiceAfter": format!("{}s", FORGOTTEN_AFTER.as_secs()),
            },
        });
        Self {
            link: Link::new(agent.clone()),
            token: token.clone(),
            id,
            service: Bytes::from(registered.to_string()),
            is_registered: false,
            failures: 0,
        }
    }

    /// Keeps the service registered and passing until `stop`, then takes it back.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        while let Some(stepped) = stop.run_until_cancelled(self.step()).await {
            let pause = self.judge(stepped);
            if stop.run_until_cancelled(sleep(pause)).await.is_none() {
                break;
            }
        }
        let path = format!("/v1/agent/service/deregister/{}", self.id);
        match self.put(&path, Bytes::new()).await {
            Ok(()) => tracing::info!(service = self.id, "deregistered at consul"),
            Err(error) => {
                tracing::warn!(service = self.id, %error, "could not deregister at consul; it will notice");
            }
        }
    }

    /// Registers if need be, and gives a sign of life.
    async fn step(&mut self) -> Result<(), ConsulError> {
        if !self.is_registered {
            let service = self.service.clone();
            self.put("/v1/agent/service/register?replace-existing-checks=true", service).await?;
        }
        let path = format!("/v1/agent/check/pass/service:{}", self.id);
        self.put(&path, Bytes::new()).await
    }

    /// Notes what came of a step, tells it if it is news, and says when the next is due.
    fn judge(&mut self, stepped: Result<(), ConsulError>) -> Duration {
        match stepped {
            Ok(()) => {
                if !self.is_registered {
                    tracing::info!(service = self.id, "registered at consul");
                }
                (self.is_registered, self.failures) = (true, 0);
                TTL / 3
            }
            Err(error) => {
                if self.failures == 0 {
                    tracing::warn!(service = self.id, %error, "consul does not take the registration; trying on");
                }
                // An agent that restarted knows the service no more, so it is told anew.
                self.is_registered = false;
                let pause = PAUSES.0.saturating_mul(1 << self.failures.min(8)).min(PAUSES.1);
                self.failures = self.failures.saturating_add(1);
                pause.mul_f64(rand::rng().random_range(0.5..1.0))
            }
        }
    }

    async fn put(&mut self, path: &str, body: Bytes) -> Result<(), ConsulError> {
        let mut request = Request::put(path).body(Full::new(body))?;
        if let Some(token) = &self.token {
            request.headers_mut().insert(TOKEN, token.clone());
        }
        let answer = timeout(ANSWER, self.link.send(request)).await.map_err(|_| ConsulError::TimedOut)??;
        if answer.status.is_success() {
            return Ok(());
        }
        Err(ConsulError::Refused { path: path.to_owned(), status: answer.status, text: answer.quote(200) })
    }
}
