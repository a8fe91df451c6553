//! `gateway serve`: builds the parts, joins them, and takes them down in order.

use std::io::IsTerminal;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use gateway::accounting::{Books, Ledger, LogLedger, Metered};
use gateway::app::{App, HttpLimits};
use gateway::auth::{Access, ensure_admin};
use gateway::config::{Config, ModelConfig};
use gateway::engine::llama::forget_unused_spills;
use gateway::model_store::ModelStore;
use gateway::residency::Residents;
use gateway::routes::routes;
use gateway::routing::{Catalog, Tools};
use gateway::server::{self, Listener, Switch};
use gateway::shutdown::{Lifecycle, Signals};
use gateway::telemetry::{self, LogControl, Metrics};
use tokio::runtime::Builder;

use super::address::AddressFile;
use super::background::Background;
use super::options::Options;
use super::stores::{self, Shelf};
use super::{Failure, engines, push};

/// Threads for files and prompts; each is short-lived work, and few keep the compute threads undisturbed.
const BLOCKING_THREADS: usize = 16;
/// How long work on blocking threads (a model being loaded) may hold the end of the process.
const LAST_WORK: Duration = Duration::from_secs(1);

/// Serves until a signal, then drains.
pub(super) fn run(options: &Options) -> Result<(), Failure> {
    super::spin::shorten();
    let loaded = options.load()?;
    let log = telemetry::init(&loaded.config.log);
    for variable in &loaded.unknown_variables {
        tracing::warn!(variable, "this variable is not an option of the gateway");
    }
    let mut config = loaded.config;
    config.models = models_to_serve(&config)?;
    block_on(config, log, Role::Gateway)
}

/// Serves one model to the gateway that started this process.
pub(super) fn run_worker(config: Config) -> Result<(), Failure> {
    super::spin::shorten();
    let log = telemetry::init(&config.log);
    block_on(config, log, Role::Worker)
}

/// Whom the process serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// Everybody with a credential, until a signal.
    Gateway,
    /// One gateway, until that ends.
    Worker,
}

fn block_on(config: Config, log: LogControl, role: Role) -> Result<(), Failure> {
    let runtime = Builder::new_multi_thread()
        // Few: llama.cpp's threads spin at barriers, and each thread of ours that preempts one stalls them all.
        .worker_threads(config.server.worker_threads)
        .max_blocking_threads(BLOCKING_THREADS)
        .thread_name("gateway")
        .enable_all()
        .build()
        .map_err(Failure::new)?;
    let outcome = runtime.block_on(until_the_end(config, log, role));
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

/// Runs beside what ends it, which it cannot outlive.
async fn until_the_end(config: Config, log: LogControl, role: Role) -> Result<(), Failure> {
    let lifecycle = Lifecycle::new();
    // A worker takes no notice of signals, which a terminal sends to all processes: its gateway drains first.
    let signals = Signals::install().map_err(Failure::new)?;
    let ending = lifecycle.clone();
    let driver = async {
        match role {
            Role::Gateway => signals.drive(ending).await,
            Role::Worker => {
                super::worker::until_alone(ending).await;
                std::future::pending::<()>().await;
            }
        }
    };
    tokio::select! {
        outcome = serve(config, log, lifecycle, role) => outcome,
        () = driver => Ok(()),
    }
}

async fn serve(config: Config, log: LogControl, lifecycle: Lifecycle, role: Role) -> Result<(), Failure> {
    let folder = config.data_dir.as_path();
    let failed = |error: std::io::Error| Failure::new(format!("{}: {error}", folder.display()));
    std::fs::create_dir_all(folder).map_err(failed)?;
    let link = stores::link(&config)?;
    let metrics = Arc::new(Metrics::default());
    let stored = Shelf { config: &config, link: link.as_ref(), metrics: &metrics };
    let mut background = Background::default();
    let access = open_access(&stored, &mut background, &lifecycle, role).await?;
    let listener = listen(&config).await?;
    let residents = engines::residents(&config, &metrics);
    background.run_beside(residents.clone().drive());
    let local = engines::local(&config, &residents);
    let address = listener.address();
    let recording = push::start(&config.telemetry, &address, &metrics, &mut background)?;
    // With no engine yet, the routes answer that the gateway is alive and not ready.
    let usage = Arc::new(stored.open_usage()?);
    background.run(|stop| Arc::clone(&usage).keep_flushing(stop));
    let conversations = Arc::new(stored.open_conversations()?);
    background.run(|stop| Arc::clone(&conversations).keep_sweeping(stop));
    let admission = Arc::new(stored.open_limits(&mut background));
    let app = |catalog: Catalog| {
        let counted: [Arc<dyn Ledger>; 3] =
            [Arc::new(LogLedger), Arc::new(Metered(Arc::clone(&metrics))), Arc::clone(&usage) as _];
        let ledgers: Vec<_> = counted.into_iter().chain(recording.clone()).collect();
        Arc::new(App {
            catalog,
            local: Arc::clone(&local),
            access: Arc::clone(&access),
            admission: Arc::clone(&admission),
            books: Books::new(Arc::new(ledgers), Arc::clone(&metrics)),
            usage: Arc::clone(&usage),
            conversations: Arc::clone(&conversations),
            lifecycle: lifecycle.clone(),
            metrics: Arc::clone(&metrics),
            log: log.clone(),
            limits: HttpLimits {
                max_body_bytes: config.server.max_body_bytes,
                keep_alive: config.server.keep_alive,
            },
            is_worker: role == Role::Worker,
        })
    };
    let endpoint = Arc::new(Switch::new(routes(app(Catalog::new(Vec::new())))));
    let accepting =
        server::serve(listener, Arc::clone(&endpoint) as _, config.server.clone(), lifecycle.clone());
    drop(lifecycle.spawn(accepting));
    let _address_file = AddressFile::write(folder, &address).map_err(failed)?;
    tracing::info!(listening = %address, "accepting connections");

    if let Some(catalog) = load(&config, &residents, &metrics, &lifecycle).await? {
        follow(&catalog, &access, &metrics, &mut background).await;
        endpoint.set(routes(app(catalog)));
        tracing::info!(listening = %address, "ready");
    }
    lifecycle.finished(config.server.drain_timeout).await;
    background.finish().await;
    // The engines go with the routes; each waits for the step that its threads are in.
    tokio::task::spawn_blocking(move || drop((endpoint, local, residents))).await.map_err(Failure::new)?;
    tracing::info!("every stream has ended; good-bye");
    Ok(())
}

/// The models and their routes; `None` when draining began before they were loaded. A failure ends what is already
/// served.
async fn load(
    config: &Config,
    residents: &Residents,
    metrics: &Arc<Metrics>,
    lifecycle: &Lifecycle,
) -> Result<Option<Catalog>, Failure> {
    let tools = Tools { lifecycle: lifecycle.clone(), metrics: metrics.routing.clone() };
    let loading = async {
        let (models, local, metrics) = (config.models.clone(), residents.clone(), Arc::clone(metrics));
        let described = tokio::task::spawn_blocking(move || engines::all(&models, &local, &metrics));
        let engines = described.await.unwrap_or_else(|error| Err(Failure::new(error)))?;
        let catalog = Catalog::with_routes(engines, &config.routes, tools).map_err(Failure::new)?;
        residents.load_first().await.map_err(Failure::new)?;
        // The files of a model that is loaded later wait for it.
        if !residents.has_unloaded_spills() {
            let data = config.data_dir.clone();
            drop(tokio::task::spawn_blocking(move || forget_unused_spills(&data)).await);
        }
        Ok(catalog)
    };
    let draining = lifecycle.draining_token();
    let outcome = tokio::select! {
        outcome = loading => outcome,
        () = draining.cancelled() => return Ok(None),
    };
    if outcome.is_err() {
        lifecycle.kill();
        lifecycle.finished(Duration::ZERO).await;
    }
    outcome.map(Some)
}

/// Keeps the catalog as it is changed, and tells how its targets are.
async fn follow(catalog: &Catalog, access: &Access, metrics: &Metrics, background: &mut Background) {
    catalog.publish(metrics);
    // From the first request on; where the store is away it is asked again beside them.
    if let Err(error) = catalog.take_over(&**access.store()).await {
        tracing::warn!(%error, "the routes could not be read");
    }
    background.run_beside(catalog.clone().follow(Arc::clone(access.store())));
    background.run_beside(catalog.clone().keep_probing());
}

/// Opens who may do what; the first start makes an admin and shows its key.
async fn open_access(
    stored: &Shelf<'_>,
    background: &mut Background,
    lifecycle: &Lifecycle,
    role: Role,
) -> Result<Arc<Access>, Failure> {
    let access = stored.open_access(background).await?;
    if role == Role::Worker {
        return Ok(Arc::new(access.of_worker()));
    }
    let folder = stored.config.data_dir.as_path();
    if let Some(key) = ensure_admin(&**access.store(), folder, access.now()).await.map_err(Failure::new)? {
        announce(&key, folder);
    }
    let access = Arc::new(access);
    background.run_beside(Arc::clone(&access).follow());
    drop(lifecycle.spawn(until_draining(lifecycle.clone(), Arc::clone(&access))));
    Ok(access)
}

async fn listen(config: &Config) -> Result<Listener, Failure> {
    let address = &config.server.listen;
    let bound = Listener::bind(address, config.server.write_timeout).await;
    bound.map_err(|error| Failure::new(format!("cannot listen on {address} (--listen): {error}")))
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
