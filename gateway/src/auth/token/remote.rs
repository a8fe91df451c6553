//! An external issuer's keys: fetched when first needed, again when old or when one is missing, never more often
//! than bounded, and kept while the issuer is away.

use std::sync::Arc;

use jsonwebtoken::Algorithm;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::spawn_blocking;

use super::claims::KnownRoles;
use super::error::TokenError;
use super::issuer::{IssuerConfig, IssuerError};
use super::jwks::{FetchJwks, JwksError, parse};
use super::verify::{Rules, Verifier};
use crate::clock::Clock;

/// From this age on keys are fetched anew, in milliseconds.
const FRESH: u64 = 10 * 60 * 1000;
/// The least time between two fetches, in milliseconds: tokens with invented keys cause no more.
const PAUSE: u64 = 30 * 1000;
/// The same while the issuer has never answered and all its tokens are refused.
const FIRST_PAUSE: u64 = 5 * 1000;

/// An external issuer.
#[derive(Debug)]
pub(super) struct RemoteIssuer {
    name: String,
    jwks_url: String,
    algorithms: Vec<Algorithm>,
    rules: Arc<Rules>,
    fetch: Arc<dyn FetchJwks>,
    clock: Clock,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// With the last good keys.
    verifier: Option<Arc<Verifier>>,
    /// When those came, in milliseconds.
    fetched_at: u64,
    /// When the last fetch began, in milliseconds.
    tried_at: Option<u64>,
    /// Of the fetch that runs: its other end is dropped when that ends, however it does.
    running: Option<watch::Receiver<()>>,
}

impl RemoteIssuer {
    /// An issuer of which nothing is fetched yet.
    pub(super) fn new(
        config: &IssuerConfig,
        known: &Arc<dyn KnownRoles>,
        fetch: Arc<dyn FetchJwks>,
        clock: Clock,
    ) -> Result<Self, IssuerError> {
        Ok(Self {
            name: config.name.clone(),
            jwks_url: config.jwks_url.clone(),
            algorithms: config.algorithms.clone(),
            rules: Arc::new(config.rules(known)?),
            fetch,
            clock,
            state: Mutex::default(),
        })
    }

    /// What verifies the issuer's tokens, with the key `kid` if the issuer has it.
    pub(super) async fn verifier(self: &Arc<Self>, kid: &str) -> Result<Arc<Verifier>, TokenError> {
        if let Some(verifier) = self.kept(kid) {
            return Ok(verifier);
        }
        if let Some(mut running) = self.refresh() {
            // Nothing is ever sent: the error that the other end is gone is the news.
            running.changed().await.ok();
        }
        self.state.lock().verifier.clone().ok_or(TokenError::IssuerAway)
    }

    /// What is there, if it has the key. Where it is old new keys are fetched, but nobody waits for them.
    fn kept(self: &Arc<Self>, kid: &str) -> Option<Arc<Verifier>> {
        let (verifier, fetched_at) = {
            let state = self.state.lock();
            (state.verifier.clone()?, state.fetched_at)
        };
        if self.clock.now_ms().saturating_sub(fetched_at) >= FRESH {
            self.refresh();
        }
        verifier.has(kid).then_some(verifier)
    }

    /// Begins a fetch, or joins the one that runs; `None` if it is too early for another. It ends even if everybody
    /// who waits for it leaves.
    fn refresh(self: &Arc<Self>) -> Option<watch::Receiver<()>> {
        let now = self.clock.now_ms();
        let mut state = self.state.lock();
        if let Some(running) = &state.running
            && running.has_changed().is_ok()
        {
            return Some(running.clone());
        }
        let pause = if state.verifier.is_some() { PAUSE } else { FIRST_PAUSE };
        if state.tried_at.is_some_and(|tried_at| now.saturating_sub(tried_at) < pause) {
            return None;
        }
        state.tried_at = Some(now);
        let (running, receiver) = watch::channel(());
        state.running = Some(receiver.clone());
        let issuer = Arc::clone(self);
        // Nobody waits for the task itself: whoever needs its end waits for `running` to be dropped.
        drop(spawn_blocking(move || {
            issuer.fetch();
            drop(running);
        }));
        Some(receiver)
    }

    /// Blocks.
    fn fetch(&self) {
        match self.fetch_keys() {
            Ok(verifier) => {
                let mut state = self.state.lock();
                state.verifier = Some(Arc::new(verifier));
                state.fetched_at = self.clock.now_ms();
            }
            Err(error) => {
                tracing::warn!(issuer = %self.name, %error, "cannot fetch the issuer's keys; the last ones stay");
            }
        }
    }

    fn fetch_keys(&self) -> Result<Verifier, JwksError> {
        let body = self.fetch.fetch(&self.jwks_url)?;
        Ok(Verifier::new(Arc::clone(&self.rules), parse(&body, &self.algorithms)?))
    }
}
