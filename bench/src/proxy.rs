//! What a proxy costs: CPU time a request, latency, and memory, over connections that are kept; several servers in turn.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::error::{BenchError, CallError};
use crate::keep_alive::{KeptConnection, Times};
use crate::report::ResultFile;
use crate::server::{Server, Spec};
use crate::stats::{Quantiles, median};
use crate::terminal::{maybe, note, number, say, table};
use crate::usage::{MachineSample, ProcessSample, resident_bytes};

/// Asked before anything is measured, on each connection.
const WARM_UP: u32 = 3;
/// From one look at the server's memory to the next.
const LOOK: Duration = Duration::from_millis(200);

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    /// Whole answers.
    Json,
    /// Streamed ones.
    Stream,
}

/// The command line of `proxy`.
#[derive(Debug, Args, Serialize)]
pub(crate) struct ProxyArgs {
    /// A server as KEY=VALUE pairs divided by commas (repeat); the first is compared with each of the others.
    #[arg(long = "server", value_name = "KEY=VALUE,…", required = true)]
    #[serde(skip)]
    servers: Vec<String>,
    /// What is asked for.
    #[arg(long, value_enum, default_value_t = Kind::Json)]
    kind: Kind,
    /// Connections at once.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    connections: u32,
    /// Requests of all connections together in a round.
    #[arg(long, default_value_t = 2000)]
    requests: u32,
    /// Requests a second of all connections together; as fast as they come where absent.
    #[arg(long)]
    rate: Option<f64>,
    /// Rounds; in each, every server once.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Write all figures here as JSON.
    #[arg(long)]
    #[serde(skip)]
    out: Option<PathBuf>,
}

/// One server in one round.
#[derive(Debug, Clone, Serialize)]
struct Run {
    server: String,
    round: u32,
    requests: usize,
    failed: usize,
    first_failure: Option<String>,
    per_second: f64,
    cpu_us: Option<f64>,
    first_us: Option<Quantiles>,
    whole_us: Option<Quantiles>,
    resident_mib: Option<f64>,
    neighbour_cores: Option<f64>,
}

/// Runs all rounds, prints and writes them.
pub(crate) async fn run(args: &ProxyArgs) -> Result<(), BenchError> {
    let mut servers = Vec::new();
    for (index, pairs) in args.servers.iter().enumerate() {
        let pairs: Vec<String> = pairs.split(',').map(str::to_owned).collect();
        let spec = Spec::parse(&format!("server {}", index + 1), &pairs)?;
        servers.push((Server::open(&spec).await?, spec));
    }
    let mut runs = Vec::new();
    for round in 0..args.rounds {
        for (server, spec) in &servers {
            let run = measure(args, server, &spec.name, round).await?;
            note(&format!("{:<12} round {round}: {} µs CPU", run.server, maybe(run.cpu_us)));
            runs.push(run);
        }
    }
    let names: Vec<_> = servers.iter().map(|(_, spec)| (spec.name.clone(), spec.note.clone())).collect();
    for (server, _) in servers {
        server.stop().await;
    }
    print(&runs, &names);
    let names = names.iter().map(|(name, note)| (name.as_str(), note.as_deref())).collect();
    ResultFile::new("proxy", names, args, &runs).write(args.out.as_deref())
}

fn body(args: &ProxyArgs, model: &str) -> String {
    let stream = if args.kind == Kind::Stream { r#","stream":true"# } else { "" };
    format!(
        r#"{{"model":"{model}","messages":[{{"role":"system","content":"You are helpful."}},{{"role":"user","content":"What does the fox do?"}}],"max_tokens":64{stream}}}"#
    )
}

async fn measure(args: &ProxyArgs, server: &Server, name: &str, round: u32) -> Result<Run, BenchError> {
    let path = format!("{}/chat/completions", server.target.address.base);
    let body = body(args, &server.target.model);
    let mut connections = Vec::new();
    for _ in 0..args.connections {
        let opened = KeptConnection::open(&server.target, &path, &body).await;
        connections.push(opened.map_err(|source| BenchError::Call { what: "connection", source })?);
    }
    // Many long streams would be warmed up one after the other.
    if args.connections <= 64 {
        for connection in &mut connections {
            for _ in 0..WARM_UP {
                connection.ask().await.map_err(|source| BenchError::Call { what: "warm-up", source })?;
            }
        }
    }
    let before = server.pid.and_then(ProcessSample::read);
    let machine = MachineSample::read();
    let start = Instant::now();
    let ((times, failures), resident) = beside(all(args, connections, start), server.pid).await;
    let wall = start.elapsed().as_secs_f64();
    let used = before
        .zip(server.pid.and_then(ProcessSample::read))
        .map(|(before, after)| after.since(&before, &[], wall, 1));
    let machine = MachineSample::read().since(&machine, used.as_ref(), wall);
    // Threads that live, exactly: the total of the process counts in steps of 10 ms.
    let exact = used.map(|used| used.other_seconds);
    let micros = |of: fn(&Times) -> Duration| {
        Quantiles::of(times.iter().map(|times| of(times).as_secs_f64() * 1e6).collect())
    };
    Ok(Run {
        server: name.to_owned(),
        round,
        requests: times.len(),
        failed: failures.len(),
        first_failure: failures.first().map(ToString::to_string),
        per_second: times.len() as f64 / wall,
        cpu_us: exact.map(|seconds| seconds * 1e6 / times.len().max(1) as f64),
        first_us: micros(|times| times.first),
        whole_us: micros(|times| times.whole),
        resident_mib: resident.map(|bytes| bytes as f64 / f64::from(1 << 20)),
        neighbour_cores: machine.neighbour_cores,
    })
}

/// Runs it, and looks now and then at the server's memory: the most that was seen.
async fn beside<T>(asking: impl Future<Output = T>, pid: Option<u32>) -> (T, Option<u64>) {
    let mut most = None;
    let mut looking = tokio::time::interval(LOOK);
    tokio::pin!(asking);
    loop {
        tokio::select! {
            answers = &mut asking => return (answers, most),
            _ = looking.tick() => most = most.max(pid.and_then(resident_bytes)),
        }
    }
}

/// Every connection asks its share.
async fn all(
    args: &ProxyArgs,
    connections: Vec<KeptConnection>,
    start: Instant,
) -> (Vec<Times>, Vec<CallError>) {
    let count = args.connections;
    let pause = args.rate.map(|rate| Duration::from_secs_f64(f64::from(count) / rate));
    let share = args.requests.div_ceil(count);
    let mut asking = JoinSet::new();
    for (index, mut connection) in connections.into_iter().enumerate() {
        // Spread over the pause, so that they do not come together.
        let begin = pause.map(|pause| start + pause.mul_f64(index as f64 / f64::from(count)));
        asking.spawn(async move {
            let mut all = Vec::with_capacity(share as usize);
            for turn in 0..share {
                if let (Some(begin), Some(pause)) = (begin, pause) {
                    tokio::time::sleep_until(begin + pause * turn).await;
                }
                let answer = connection.ask().await;
                let failed = answer.is_err();
                all.push(answer);
                if failed {
                    break;
                }
            }
            all
        });
    }
    let answers = asking.join_all().await.into_iter().flatten();
    let (mut times, mut failures) = (Vec::new(), Vec::new());
    for answer in answers {
        match answer {
            Ok(one) => times.push(one),
            Err(error) => failures.push(error),
        }
    }
    (times, failures)
}

fn print(runs: &[Run], names: &[(String, Option<String>)]) {
    let of = |name: &str, figure: fn(&Run) -> Option<f64>| -> Vec<f64> {
        runs.iter().filter(|run| run.server == *name).filter_map(figure).collect()
    };
    let middle = |name: &str, figure: fn(&Run) -> Option<f64>| maybe(median(&of(name, figure)));
    let first = names.first().map(|(name, _)| name.as_str()).unwrap_or_default();
    let rows: Vec<Vec<String>> = names
        .iter()
        .map(|(name, _)| {
            let (ours, theirs) = (of(first, |run| run.cpu_us), of(name, |run| run.cpu_us));
            let ratios: Vec<f64> = ours.iter().zip(&theirs).map(|(a, b)| a / b).collect();
            let failed: usize = runs.iter().filter(|run| run.server == *name).map(|run| run.failed).sum();
            vec![
                name.clone(),
                middle(name, |run| run.cpu_us),
                maybe(median(&ratios)),
                middle(name, |run| Some(run.per_second)),
                middle(name, |run| run.first_us.map(|times| times.p50)),
                middle(name, |run| run.whole_us.map(|times| times.p50)),
                middle(name, |run| run.whole_us.map(|times| times.p99)),
                middle(name, |run| run.resident_mib),
                failed.to_string(),
                middle(name, |run| run.neighbour_cores),
            ]
        })
        .collect();
    let head = [
        "server",
        "CPU µs/request",
        "first / this",
        "requests/s",
        "first byte p50 µs",
        "whole p50 µs",
        "p99 µs",
        "MiB",
        "failed",
        "neighbours",
    ];
    table(&head, &rows);
    if let Some(failure) = runs.iter().find_map(|run| run.first_failure.as_ref()) {
        say(&format!("the first failure: {failure}; {} runs", number(runs.len() as f64)));
    }
}
