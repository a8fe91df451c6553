//! Load generator and side-by-side measurements for `OpenAI`-compatible servers on this machine.

mod arrival;
mod cell;
mod compare;
mod decode;
mod error;
mod http;
mod idle;
mod keep_alive;
mod load;
mod measure;
mod mock;
mod passages;
mod prompts;
mod proxy;
mod ran;
mod report;
mod reuse;
mod server;
mod sse;
mod start;
mod stats;
mod summary;
mod target;
mod terminal;
#[cfg(test)]
mod tests;
mod transcript;
mod turns;
mod usage;
mod workload;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

use cell::{Cell, Settings};
use error::BenchError;
use measure::measure;
use report::ResultFile;
use server::{Server, Spec};

#[derive(Debug, Parser)]
#[command(name = "bench", version, about)]
struct Line {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Put load on one server.
    Load(Box<LoadArgs>),
    /// Run two servers in turn and print the ratios.
    Compare(Box<compare::CompareArgs>),
    /// Compare the decode phase with llama.cpp's batched benchmark.
    Decode(Box<decode::DecodeArgs>),
    /// Time from a server's start until it is ready.
    Start(start::StartArgs),
    /// Hold many connections or streams open.
    Idle(Box<idle::IdleArgs>),
    /// What proxies cost before one upstream, several in turn.
    Proxy(Box<proxy::ProxyArgs>),
    /// Be that upstream.
    Mock(mock::MockArgs),
}

/// The command line of `load`.
#[derive(Debug, Args)]
struct LoadArgs {
    /// The server as KEY=VALUE (repeat): url, command, key, key-file, model, pid, name, ready, log, note.
    #[arg(long, value_name = "KEY=VALUE", required = true)]
    server: Vec<String>,
    /// Write all figures here as JSON.
    #[arg(long)]
    out: Option<PathBuf>,
    #[command(flatten)]
    settings: Settings,
}

// One thread: the tool runs beside what it measures and must take as little of the machine as it can.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let line = Line::parse();
    // Dropping the command kills the servers that it started.
    let ran = tokio::select! {
        ran = run(&line.command) => ran,
        error = interrupted() => Err(error),
    };
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            terminal::note(&format!("bench: {error}"));
            ExitCode::FAILURE
        }
    }
}

async fn run(command: &Command) -> Result<(), BenchError> {
    match command {
        Command::Load(args) => run_load(args).await,
        Command::Compare(args) => compare::run(args).await,
        Command::Decode(args) => decode::run(args).await,
        Command::Start(args) => start::run(args).await,
        Command::Idle(args) => idle::run(args).await,
        Command::Proxy(args) => proxy::run(args).await,
        Command::Mock(args) => mock::run(args).await,
    }
}

/// Waits for SIGINT or SIGTERM.
async fn interrupted() -> BenchError {
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        return BenchError::NoResult("signals cannot be heard".to_owned());
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    BenchError::NoResult("interrupted; nothing was written".to_owned())
}

async fn run_load(args: &LoadArgs) -> Result<(), BenchError> {
    let spec = Spec::parse("server", &args.server)?;
    let server = Server::open(&spec).await?;
    let mut cells = Vec::new();
    for scenario in &args.settings.scenario {
        for concurrency in &args.settings.concurrency {
            let cell = Cell { scenario: *scenario, concurrency: *concurrency, round: 0 };
            cells.push(measure(&server, &args.settings, cell).await?);
        }
    }
    server.stop().await;
    report::print(&cells);
    let servers = vec![(spec.name.as_str(), spec.note.as_deref())];
    ResultFile::new("load", servers, &args.settings, &cells).write(args.out.as_deref())
}
