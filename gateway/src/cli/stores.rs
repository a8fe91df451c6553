//! The stores that the configuration names, opened: the data folder's, or the Redis that replicas share.

use std::sync::Arc;
use std::time::Duration;

use gateway::accounting::usage::embedded::EmbeddedUsage;
use gateway::accounting::usage::redis::RedisUsage;
use gateway::accounting::usage::{Usage, UsageStore};
use gateway::auth::store::AuthStore;
use gateway::auth::store::embedded::EmbeddedStore;
use gateway::auth::store::redis::RedisStore;
use gateway::auth::throttle::Throttle;
use gateway::auth::{Access, RoleNames, issuers};
use gateway::clock::Clock;
use gateway::config::{Config, OutagePolicy, Partial};
use gateway::conversation::events::EventLog;
use gateway::conversation::events::memory::MemoryLog;
use gateway::conversation::events::redis::RedisLog;
use gateway::conversation::store::embedded::EmbeddedConversations;
use gateway::conversation::store::redis::RedisConversations;
use gateway::conversation::store::{ConversationStore, Retention};
use gateway::conversation::{Conversations, Seal};
use gateway::limits::Limits;
use gateway::limits::store::{Fallback, MemoryStore, Outage, Outages, Timing};
use gateway::redis_link::RedisLink;
use gateway::telemetry::Metrics;
use gateway::{auth, conversation, limits};

use super::Failure;
use super::background::Background;

/// Attempts to reach Redis at the start, which may come up beside us, and the time between them.
const ATTEMPTS: u32 = 40;
const BETWEEN: Duration = Duration::from_millis(250);

/// The way to the Redis that replicas share, if they do.
pub(super) fn link(config: &Config) -> Result<Option<RedisLink>, Failure> {
    let Some(url) = config.shared_store() else { return Ok(None) };
    let ca = match &config.store_ca {
        Some(path) => {
            let read = std::fs::read(path);
            Some(read.map_err(|error| Failure::new(format!("{} (--store-ca): {error}", path.display())))?)
        }
        None => None,
    };
    RedisLink::new(url, ca.as_deref()).map(Some).map_err(|error| Failure::new(format!("--store: {error}")))
}

/// Where everything is kept.
pub(super) struct Shelf<'a> {
    pub(super) config: &'a Config,
    /// The Redis that replicas share, if they do.
    pub(super) link: Option<&'a RedisLink>,
    pub(super) metrics: &'a Metrics,
}

impl Shelf<'_> {
    /// Who may do what. Needs a tokio runtime around it.
    pub(super) async fn open_access(&self, background: &mut Background) -> Result<Access, Failure> {
        let config = self.config;
        let store = match self.link {
            Some(link) => shared(link, background).await?,
            None => embedded(config)?,
        };
        let store: Arc<dyn AuthStore> =
            Arc::new(auth::store::metered::Metered::new(store, self.metrics.stores.of("auth")));
        let roles = Arc::new(RoleNames::default());
        roles.refresh(&*store).await.map_err(Failure::new)?;
        let access = Access::new(Arc::clone(&store), Clock::System);
        let (folder, settings, known) = (config.data_dir.clone(), config.access.clone(), Arc::clone(&roles));
        let open = move || {
            issuers::open(&folder, &settings.token_issuer, settings.issuers.as_deref(), &*store, known)
        };
        // Signing keys are read and made by calls that block.
        let tokens = tokio::task::spawn_blocking(open).await.map_err(Failure::new)?.map_err(Failure::new)?;
        let access = access.with_tokens(tokens, roles);
        Ok(match std::num::NonZeroU32::new(config.access.failed_logins) {
            Some(failures) => access.with_throttle(Throttle::per_minute(failures)),
            None => access,
        })
    }

    /// What every subject used.
    pub(super) fn open_usage(&self) -> Result<Usage, Failure> {
        let store: Arc<dyn UsageStore> = if let Some(link) = self.link {
            Arc::new(RedisUsage::new(link.clone()))
        } else {
            let path = self.config.data_dir.join("usage.redb");
            let opened = EmbeddedUsage::open(&path);
            Arc::new(opened.map_err(|error| Failure::new(format!("{}: {error}", path.display())))?)
        };
        Ok(Usage::new(store, Clock::System))
    }

    /// What is kept of conversations.
    pub(super) fn open_conversations(&self) -> Result<Conversations, Failure> {
        let (config, link, stores) = (self.config, self.link, &self.metrics.stores);
        let settings = &config.conversations;
        let retention = Retention {
            keep_for: settings.keep_for,
            most_items: usize::try_from(settings.max_items).unwrap_or(usize::MAX),
        };
        let events: Arc<dyn EventLog> = match link {
            Some(link) => Arc::new(RedisLog::new(link.clone())),
            None => Arc::new(MemoryLog::new(Clock::System)),
        };
        let store: Arc<dyn ConversationStore> = if let Some(link) = link {
            Arc::new(RedisConversations::new(link.clone(), retention))
        } else {
            let path = config.data_dir.join("conversations.redb");
            let opened = EmbeddedConversations::open(&path, retention, Clock::System);
            Arc::new(opened.map_err(|error| Failure::new(format!("{}: {error}", path.display())))?)
        };
        let events = Arc::new(conversation::events::metered::Metered::new(events, stores.of("events")));
        let store = Arc::new(conversation::store::metered::Metered::new(store, stores.of("conversations")));
        let seal = match &settings.key_file {
            Some(path) => Seal::from_file(path)
                .map_err(|error| Failure::new(format!("{} (--conversation-key): {error}", path.display())))?,
            None => Seal::default(),
        };
        Ok(Conversations::new(store, events, seal, Clock::System, settings.partial == Partial::Keep))
    }

    /// Opens where spending is counted.
    pub(super) fn open_limits(&self, background: &mut Background) -> Limits {
        let (config, handles) = (self.config.limits, self.metrics.stores.of("limits"));
        let Some(link) = self.link.cloned() else {
            return Limits::new(Arc::new(MemoryStore::new(Clock::System)));
        };
        let (redis, worker) = limits::store::RedisStore::new(link, Timing::default());
        background.run(|stop| worker.run(stop));
        let policy = |own: Option<OutagePolicy>| match own.unwrap_or(config.outage) {
            OutagePolicy::Open => Outage::Open,
            OutagePolicy::Closed => Outage::Closed,
            OutagePolicy::Share => Outage::Share,
        };
        let outage = Outages {
            requests: policy(config.outage_requests),
            tokens: policy(config.outage_tokens),
            tokens_per_day: policy(config.outage_budget),
            concurrency: policy(config.outage_concurrency),
        };
        let fleet = redis.fleet();
        // Below the fallback, which would hide that the store is away.
        let redis = limits::store::metered::Metered::new(Arc::new(redis), handles);
        Limits::new(Arc::new(Fallback::new(Arc::new(redis), outage, fleet, Clock::System)))
    }
}

fn embedded(config: &Config) -> Result<Arc<dyn AuthStore>, Failure> {
    let path = config.data_dir.join("access.redb");
    let store =
        EmbeddedStore::open(&path).map_err(|error| Failure::new(format!("{}: {error}", path.display())))?;
    Ok(Arc::new(store))
}

async fn shared(link: &RedisLink, background: &mut Background) -> Result<Arc<dyn AuthStore>, Failure> {
    let mut attempt = 1;
    let store = loop {
        match RedisStore::open(link.clone()).await {
            Ok(store) => break store,
            Err(error) if attempt == ATTEMPTS => return Err(Failure::new(format!("--store: {error}"))),
            Err(error) => tracing::warn!(%error, attempt, "the store cannot be used yet"),
        }
        attempt += 1;
        tokio::time::sleep(BETWEEN).await;
    };
    background.run_beside(store.clone().keep_looking());
    Ok(Arc::new(store))
}
