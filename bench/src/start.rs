//! Cold start: from the start of a server's process until it says that it is ready.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use crate::error::BenchError;
use crate::report::ResultFile;
use crate::server::{Server, Spec};
use crate::stats::Quantiles;
use crate::terminal::{note, number, table};

/// The command line of `start`.
#[derive(Debug, Args, Serialize)]
pub(crate) struct StartArgs {
    /// The server as KEY=VALUE, as in `compare`; needs command=…
    #[arg(long, value_name = "KEY=VALUE", required = true)]
    #[serde(skip)]
    server: Vec<String>,
    /// Starts that count; one more comes before them, so that the page cache is warm.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Write all figures here as JSON.
    #[arg(long)]
    #[serde(skip)]
    out: Option<PathBuf>,
}

/// Starts and stops the server, prints and writes how long it took.
pub(crate) async fn run(args: &StartArgs) -> Result<(), BenchError> {
    let spec = Spec::parse("server", &args.server)?;
    if spec.command.is_none() {
        return Err(BenchError::Spec("a start needs command=…".to_owned()));
    }
    let mut times = Vec::new();
    for round in 0..=args.rounds {
        let server = Server::open(&spec).await?;
        let milliseconds = server.start_time.as_secs_f64() * 1e3;
        server.stop().await;
        note(&format!("start {round}: {} ms", number(milliseconds)));
        if round > 0 {
            times.push(milliseconds);
        }
    }
    let quantiles =
        Quantiles::of(times).ok_or_else(|| BenchError::NoResult("no start was measured".to_owned()))?;
    let row = vec![spec.name.clone(), number(quantiles.p50), number(quantiles.p95), number(quantiles.max)];
    table(&["start to ready, warm page cache", "p50 ms", "p95 ms", "max ms"], &[row]);
    let servers = vec![(spec.name.as_str(), spec.note.as_deref())];
    ResultFile::new("start", servers, args, quantiles).write(args.out.as_deref())
}
