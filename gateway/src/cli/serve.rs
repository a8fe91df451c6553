//! `gateway serve`: builds the parts, joins them, and takes them down in order.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use gateway::accounting::{Books, Ledger, LogLedger};
use gateway::app::{App, HttpLimits};
use gateway::auth::{Access, ensure_admin};
use gateway::clock::Clock;
use gateway::config::{Config, LimitsConfig, ModelConfig, OutagePolicy};
use gateway::engine::Engine;
use gateway::limits::Limits;
use gateway::limits::store::{Fallback, MemoryStore, Outage, Outages, RedisStore, Timing};
use gateway::model_store::ModelStore;
use gateway::redis_link::RedisLink;
use gateway::routes::routes;
use gateway::routing::Catalog;
use gateway::server::{self, Listener, Switch};
use gateway::shutdown::{Lifecycle, Signals};
use gateway::telemetry;
use tokio::runtime::Builder;

use super::address::AddressFile;
use super::background::Background;
use super::options::Options;
use super::{Failure, engines, stores};

/// Threads for files and prompts; each is short-lived work, and few keep the compute threads undisturbed.
const BLOCKING_THREADS: usize = 16;
/// How long work on blocking threads (a model being loaded) may hold the end of the process.
const LAST_WORK: Duration = Duration::from_secs(1);

/// Serves until a signal, then drains.
pub(super) fn run(options: &Options) -> Result<(), Failure> {
    super::spin::shorten();
    let loaded = options.load()?;
    telemetry::init(&loaded.config.log);
    for variable in &loaded.unknown_variables {
        tracing::warn!(variable, "this variable is not an option of the gateway");
    }
    let mut config = loaded.config;
    config.models = models_to_serve(&config)?;
    let runtime = Builder::new_multi_thread()
        // Few: llama.cpp's threads spin at barriers, and each thread of ours that preempts one stalls them all.
        .worker_threads(config.server.worker_threads)
        .max_blocking_threads(BLOCKING_THREADS)
        .thread_name("gateway")
        .enable_all()
        .build()
        .map_err(Failure::new)?;
    let outcome = runtime.block_on(until_signal(config));
    runtime.shutdown_timeout(LAST_WORK);
    outcome
}

/// The configured models, or the default one of the data folder.
fn models_to_serve(config: &Config) -> Result<Vec<ModelConfig>, Failure> {
    if !config.models.is_empty() {
        return Ok(config.models.clone());
    }
    let store = ModelStore::new(&config.data_dir);
    match store.default_model() {
        Ok(Some(path)) => Ok(vec![ModelConfig { path, ..config.model_defaults.clone() }]),
        Ok(None) => Err(Failure::new(format!(
            "no model is configured and {} holds no default one; fetch it by `gateway model pull default` \
             (or by ./run), or name a GGUF file by --model",
            config.data_dir.join("models").display()
        ))),
        Err(error) => Err(Failure::new(format!("{}: {error}", config.data_dir.display()))),
    }
}

/// Runs the gateway beside the signals, which it cannot outlive.
async fn until_signal(config: Config) -> Result<(), Failure> {
    let lifecycle = Lifecycle::new();
    let signals = Signals::install().map_err(Failure::new)?;
    let driver = signals.drive(lifecycle.clone());
    tokio::select! {
        outcome = serve(config, lifecycle) => outcome,
        () = driver => Ok(()),
    }
}

async fn serve(config: Config, lifecycle: Lifecycle) -> Result<(), Failure> {
    let folder = config.data_dir.as_path();
    let failed = |error: std::io::Error| Failure::new(format!("{}: {error}", folder.display()));
    std::fs::create_dir_all(folder).map_err(failed)?;
    let link = stores::link(&config)?;
    let mut background = Background::default();
    let access = open_access(&config, link.as_ref(), &mut background).await?;
    background.run_beside(Arc::clone(&access).follow());
    drop(lifecycle.spawn(until_draining(lifecycle.clone(), Arc::clone(&access))));
    let listener =
        Listener::bind(&config.server.listen, config.server.write_timeout).await.map_err(|error| {
            Failure::new(format!("cannot listen on {} (--listen): {error}", config.server.listen))
        })?;
    let address = listener.address();
    // With no engine yet, the routes answer that the gateway is alive and not ready.
    let usage = Arc::new(stores::open_usage(&config, link.as_ref())?);
    background.run(|stop| Arc::clone(&usage).keep_flushing(stop));
    let conversations = Arc::new(stores::open_conversations(&config, link.as_ref())?);
    background.run(|stop| Arc::clone(&conversations).keep_sweeping(stop));
    let admission = Arc::new(open_limits(config.limits, link.clone(), &mut background));
    let app = |engines| {
        let ledgers: Vec<Arc<dyn Ledger>> = vec![Arc::new(LogLedger), Arc::clone(&usage) as _];
        Arc::new(App {
            catalog: Catalog::new(engines),
            access: Arc::clone(&access),
            admission: Arc::clone(&admission),
            books: Books::new(Arc::new(ledgers)),
            usage: Arc::clone(&usage),
            conversations: Arc::clone(&conversations),
            lifecycle: lifecycle.clone(),
            limits: HttpLimits {
                max_body_bytes: config.server.max_body_bytes,
                keep_alive: config.server.keep_alive,
            },
        })
    };
    let endpoint = Arc::new(Switch::new(routes(app(Vec::new()))));
    let accepting =
        server::serve(listener, Arc::clone(&endpoint) as _, config.server.clone(), lifecycle.clone());
    drop(lifecycle.spawn(accepting));
    let _address_file = AddressFile::write(folder, &address).map_err(failed)?;
    tracing::info!(listening = %address, "accepting connections");

    if let Some(engines) = load(config.models.clone(), folder.to_owned(), &lifecycle).await? {
        endpoint.set(routes(app(engines)));
        tracing::info!(listening = %address, "ready");
    }
    lifecycle.finished(config.server.drain_timeout).await;
    background.finish().await;
    // The engines go with the routes; each waits for the step that its threads are in.
    tokio::task::spawn_blocking(move || drop(endpoint)).await.map_err(Failure::new)?;
    tracing::info!("every stream has ended; good-bye");
    Ok(())
}

/// The engines; `None` when draining began before they were loaded. A failure ends what is already served.
async fn load(
    models: Vec<ModelConfig>,
    data: PathBuf,
    lifecycle: &Lifecycle,
) -> Result<Option<Vec<Arc<dyn Engine>>>, Failure> {
    let loading = tokio::task::spawn_blocking(move || engines::load(&models, &data));
    let draining = lifecycle.draining_token();
    let outcome = tokio::select! {
        outcome = loading => outcome.unwrap_or_else(|error| Err(Failure::new(error))),
        () = draining.cancelled() => return Ok(None),
    };
    if outcome.is_err() {
        lifecycle.kill();
        lifecycle.finished(Duration::ZERO).await;
    }
    outcome.map(Some)
}

/// Opens who may do what; the first start makes an admin and shows its key.
async fn open_access(
    config: &Config,
    link: Option<&RedisLink>,
    background: &mut Background,
) -> Result<Arc<Access>, Failure> {
    let access = stores::open_access(config, link, background).await?;
    let folder = config.data_dir.as_path();
    if let Some(key) = ensure_admin(&**access.store(), folder, access.now()).await.map_err(Failure::new)? {
        announce(&key, folder);
    }
    Ok(Arc::new(access))
}

/// Opens where spending is counted.
fn open_limits(config: LimitsConfig, link: Option<RedisLink>, background: &mut Background) -> Limits {
    let Some(link) = link else {
        return Limits::new(Arc::new(MemoryStore::new(Clock::System)));
    };
    let (redis, worker) = RedisStore::new(link, Timing::default());
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
    Limits::new(Arc::new(Fallback::new(Arc::new(redis), outage, fleet, Clock::System)))
}

/// Writes the uses of keys down now and then, and a last time when draining begins.
async fn until_draining(lifecycle: Lifecycle, access: Arc<Access>) {
    tokio::select! {
        () = Arc::clone(&access).keep_flushing() => {}
        () = lifecycle.draining_token().cancelled_owned() => {}
    }
    if let Err(error) = access.flush_uses().await {
        tracing::warn!(%error, "the last use of keys could not be written");
    }
}

/// Shown once, on a terminal and not in the log; what collects the output of a service keeps no key.
fn announce(key: &str, folder: &Path) {
    let file = folder.join("admin.key");
    if std::io::stdout().is_terminal() {
        println!("A new admin key was made, and is shown this once:\n\n    {key}\n");
        println!("It is also in {} (readable by you alone).", file.display());
    } else {
        tracing::info!(file = %file.display(), "a new admin key was made; it is in this file, readable by its owner alone");
    }
}
