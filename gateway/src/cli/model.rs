//! `gateway model …`: files of the data folder, and the models of the running gateway.

use clap::{Args, Subcommand};
use gateway::config::Environment;
use gateway::model_store::{HubAccess, ModelStore, PullRequest, StoredModel};
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};

use super::Failure;
use super::folder::Folder;
use super::live;

/// What to do with the models of the data folder.
#[derive(Subcommand)]
pub(super) enum Command {
    /// List the models of the data folder; the one marked * is served when none is configured.
    List(Folder),
    /// Fetch a model into the data folder. A pull that was cut goes on where it stopped.
    Pull(Pull),
    /// Show the models of the running gateway: state, memory, use.
    Status(Folder),
    /// Have the running gateway load a model.
    Load(live::Load),
    /// Have the running gateway unload a model; refused while it answers, but for --wait.
    Unload(live::Unload),
    /// Keep a model in memory.
    Pin(live::Named),
    /// No longer keep a model in memory.
    Unpin(live::Named),
    /// Give a model another name, or a name another model.
    Alias(live::Alias),
}

/// What to fetch.
#[derive(Args)]
pub(super) struct Pull {
    /// A path, an https address, a Hugging Face `owner/repo[@revision]:file.gguf` (`HF_TOKEN` and `HF_ENDPOINT` are
    /// heeded), or `default` for the model that is served when none is configured
    source: String,
    /// What the file's SHA-256 must be, in hex
    #[arg(long, value_name = "HEX", value_parser = sha256)]
    sha256: Option<String>,
    /// Its file name in the data folder, if not as at the source
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    #[command(flatten)]
    folder: Folder,
}

pub(super) fn run(command: &Command) -> Result<(), Failure> {
    match command {
        Command::List(folder) => list(&store(folder)?),
        Command::Pull(request) => pull(request),
        Command::Status(folder) => live::status(folder),
        Command::Load(load) => live::load(load),
        Command::Unload(unload) => live::unload(unload),
        Command::Pin(named) => live::pin(named, "pin"),
        Command::Unpin(named) => live::pin(named, "unpin"),
        Command::Alias(alias) => live::alias(alias),
    }
}

fn store(folder: &Folder) -> Result<ModelStore, Failure> {
    Ok(ModelStore::new(&folder.config()?.data_dir))
}

fn list(store: &ModelStore) -> Result<(), Failure> {
    let models = store.list().map_err(Failure::new)?;
    if models.is_empty() {
        eprintln!("no models yet; fetch one: gateway model pull default");
    }
    for model in &models {
        print_model(model);
    }
    Ok(())
}

fn print_model(model: &StoredModel) {
    let mark = if model.is_default { '*' } else { ' ' };
    let hash = model.sha256.as_deref().unwrap_or("-");
    println!("{mark} {:<44} {:>10}  sha256 {hash}", model.name, HumanBytes(model.bytes).to_string());
}

fn pull(request: &Pull) -> Result<(), Failure> {
    let environment = Environment::of_process();
    let store = store(&request.folder)?;
    let known = |name: &str| environment.get(name).map(str::to_owned);
    let request = PullRequest {
        source: request.source.parse().map_err(Failure::new)?,
        sha256: request.sha256.clone(),
        name: request.name.clone(),
        hub: HubAccess { endpoint: known("HF_ENDPOINT"), token: known("HF_TOKEN") },
    };
    // Draws on standard error, and only on a terminal.
    let bar = ProgressBar::no_length().with_style(style());
    let pulled = store.pull(&request, &|done, total| {
        if let Some(total) = total {
            bar.set_length(total);
        }
        bar.set_position(done);
    });
    bar.finish_and_clear();
    print_model(&pulled.map_err(Failure::new)?);
    Ok(())
}

fn style() -> ProgressStyle {
    let template = "{bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta} left";
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

fn sha256(text: &str) -> Result<String, String> {
    let hash = text.to_ascii_lowercase();
    let is_hash = hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_hash { Ok(hash) } else { Err("a SHA-256 is 64 hexadecimal digits".to_owned()) }
}
