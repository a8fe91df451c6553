//! `exporter serve`: the process that gateways push to and Prometheus scrapes.

#![expect(clippy::print_stderr, reason = "a failed start is told to the terminal")]

use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand};
use exporter::server::config::Settings;
use exporter::server::{App, Listener, Options, serve};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

/// Keeps the newest metrics of every gateway, and shows them to Prometheus.
#[derive(Parser)]
#[command(name = "exporter", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Take snapshots in, answer scrapes.
    Serve(Box<Options>),
}

fn main() -> ExitCode {
    let Command::Serve(options) = Arguments::parse().command;
    match run(*options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("exporter: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: Options) -> Result<(), Box<dyn std::error::Error>> {
    let settings = options.resolve()?;
    start_log(&settings.log)?;
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?
        .block_on(until_signal(settings))
}

fn start_log(filter: &str) -> Result<(), Box<dyn std::error::Error>> {
    let filter = EnvFilter::builder().parse(filter)?;
    let terminal = io::stderr().is_terminal();
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(terminal)
        .with_writer(io::stderr)
        .log_internal_errors(false);
    if terminal {
        lines.with_target(false).init();
    } else {
        lines.json().flatten_event(true).with_current_span(false).with_span_list(false).init();
    }
    Ok(())
}

async fn until_signal(settings: Settings) -> Result<(), Box<dyn std::error::Error>> {
    // As process 1 of a container there is no default action, so both are always handled.
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let listener = Listener::bind(&settings.listen)
        .await
        .map_err(|error| format!("cannot listen on {} (--listen): {error}", settings.listen))?;
    if settings.secrets.is_empty() && !listener.is_local() {
        return Err(format!(
            "{} is reached from other machines: name a file with a secret by --secret-file",
            settings.listen
        )
        .into());
    }
    let address = listener.address()?;
    if let Some(path) = &settings.address_file {
        std::fs::write(path, format!("{address}\n"))
            .map_err(|error| format!("{}: {error}", path.display()))?;
    }
    tracing::info!(listening = %address, "ready");
    let stop = CancellationToken::new();
    let serving = serve(listener, Arc::new(App::new(&settings)), &settings, stop.clone());
    let mut serving = std::pin::pin!(serving);
    tokio::select! {
        ended = serving.as_mut() => return Ok(ended?),
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    stop.cancel();
    serving.await?;
    tracing::info!("good-bye");
    Ok(())
}
