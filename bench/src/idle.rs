//! Many connections that do nothing: what each costs in memory, and whether the server still answers.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use clap::{Args, ValueEnum};
use serde::Serialize;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::error::{BenchError, CallError};
use crate::http::{Exchange, Method};
use crate::prompts::Words;
use crate::report::ResultFile;
use crate::server::{Server, Spec};
use crate::terminal::{maybe, number, say, table};
use crate::usage::resident_bytes;
use crate::workload::{Ask, Shape};

/// Streams opened at once: more would only measure the listen queue.
const AT_ONCE: usize = 32;
/// Opened and closed before the first look at the server's memory, so that what is made once is not counted.
const WARM_UP: u32 = 64;
/// How long the server may take to answer each head, or to answer while the others idle.
const ANSWER_LIMIT: Duration = Duration::from_mins(1);

/// What is held open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    /// Connections on which nothing was asked yet.
    Connection,
    /// Streamed answers: those beyond the server's slots wait in its queue, and nobody reads any.
    Stream,
}

/// The command line of `idle`.
#[derive(Debug, Args, Serialize)]
pub(crate) struct IdleArgs {
    /// The server as KEY=VALUE, as in `compare`.
    #[arg(long, value_name = "KEY=VALUE", required = true)]
    #[serde(skip)]
    server: Vec<String>,
    /// What is held open.
    #[arg(long, value_enum, default_value_t = Kind::Stream)]
    kind: Kind,
    /// How many.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    count: u32,
    /// Seconds for which they are held.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(0..=600))]
    hold: u64,
    /// A path that must be answered while they are held.
    #[arg(long, default_value = "/health")]
    probe: String,
    /// Write all figures here as JSON.
    #[arg(long)]
    #[serde(skip)]
    out: Option<PathBuf>,
    #[command(flatten)]
    #[serde(flatten)]
    shape: Shape,
}

/// What was found.
#[derive(Debug, Serialize)]
struct Idle {
    opened: usize,
    refused: usize,
    first_refusal: Option<String>,
    resident_bytes_before: Option<u64>,
    resident_bytes_held: Option<u64>,
    resident_bytes_after: Option<u64>,
    kib_per_stream: Option<f64>,
    probe_ms: f64,
}

/// What keeps a connection open.
enum Held {
    Connection { _stream: TcpStream },
    Stream { _exchange: Exchange },
}

/// Opens, holds and closes them; prints and writes what it cost.
pub(crate) async fn run(args: &IdleArgs) -> Result<(), BenchError> {
    let spec = Spec::parse("server", &args.server)?;
    let server = Server::open(&spec).await?;
    drop(open_all(args, &server, WARM_UP.min(args.count)).await);
    tokio::time::sleep(Duration::from_secs(args.hold)).await;
    let before = server.pid.and_then(resident_bytes);
    let (held, refused) = open_all(args, &server, args.count).await;
    tokio::time::sleep(Duration::from_secs(args.hold)).await;
    let during = server.pid.and_then(resident_bytes);
    let asked = Instant::now();
    let probe = crate::http::get(&server.target, &args.probe, ANSWER_LIMIT).await;
    let probe_ms = asked.elapsed().as_secs_f64() * 1e3;
    let opened = held.len();
    drop(held);
    tokio::time::sleep(Duration::from_secs(args.hold)).await;
    let after = server.pid.and_then(resident_bytes);
    server.stop().await;
    probe.map_err(|source| BenchError::Call { what: "probe while streams are held", source })?;
    let grown = before.zip(during).map(|(before, during)| during.saturating_sub(before) as f64 / 1024.0);
    let idle = Idle {
        opened,
        refused: refused.len(),
        first_refusal: refused.first().map(ToString::to_string),
        resident_bytes_before: before,
        resident_bytes_held: during,
        resident_bytes_after: after,
        kib_per_stream: grown.map(|grown| grown / opened.max(1) as f64),
        probe_ms,
    };
    print(&spec.name, &idle);
    let servers = vec![(spec.name.as_str(), spec.note.as_deref())];
    ResultFile::new("idle", servers, args, &idle).write(args.out.as_deref())
}

async fn open_all(args: &IdleArgs, server: &Server, count: u32) -> (Vec<Held>, Vec<CallError>) {
    let (mut held, mut refused) = (Vec::new(), Vec::new());
    let mut opening: JoinSet<Result<Held, CallError>> = JoinSet::new();
    let mut words = Words::new(1, 5);
    for index in 0..count {
        if opening.len() >= AT_ONCE {
            collect(opening.join_next().await, &mut held, &mut refused);
        }
        let target = server.target.clone();
        if args.kind == Kind::Connection {
            opening.spawn(async move {
                let stream = TcpStream::connect(target.address.socket).await.map_err(CallError::Connect)?;
                Ok(Held::Connection { _stream: stream })
            });
            continue;
        }
        let messages = vec![("user", words.text(args.shape.prompt_tokens))];
        let ask = Ask {
            max_tokens: args.shape.max_tokens,
            seed: u64::from(index),
            schema: false,
            conversation: None,
        };
        let body = args.shape.body(&target.model, &messages, ask);
        let path = format!("{}{}", target.address.base, args.shape.path());
        opening.spawn(async move { stream(target, path, body).await });
    }
    while !opening.is_empty() {
        collect(opening.join_next().await, &mut held, &mut refused);
    }
    (held, refused)
}

async fn stream(target: crate::target::Target, path: String, body: Bytes) -> Result<Held, CallError> {
    let open = Exchange::open(&target, Method::POST, &path, body);
    let exchange = tokio::time::timeout(ANSWER_LIMIT, open).await.unwrap_or(Err(CallError::TimedOut))?;
    if exchange.status() == 200 {
        return Ok(Held::Stream { _exchange: exchange });
    }
    Err(crate::http::refusal(&exchange.into_recording()))
}

fn collect(
    ended: Option<Result<Result<Held, CallError>, tokio::task::JoinError>>,
    held: &mut Vec<Held>,
    refused: &mut Vec<CallError>,
) {
    match ended {
        Some(Ok(Ok(one))) => held.push(one),
        Some(Ok(Err(error))) => refused.push(error),
        Some(Err(error)) => refused.push(CallError::Stream(error.to_string())),
        None => {}
    }
}

fn print(name: &str, idle: &Idle) {
    let mib = |bytes: Option<u64>| maybe(bytes.map(|bytes| bytes as f64 / f64::from(1 << 20)));
    let row = vec![
        name.to_owned(),
        idle.opened.to_string(),
        idle.refused.to_string(),
        mib(idle.resident_bytes_before),
        mib(idle.resident_bytes_held),
        mib(idle.resident_bytes_after),
        maybe(idle.kib_per_stream),
        number(idle.probe_ms),
    ];
    let head = ["held open", "opened", "refused", "MiB before", "held", "closed", "KiB each", "probe ms"];
    table(&head, &[row]);
    if let Some(first) = &idle.first_refusal {
        say(&format!("the first refusal: {first}"));
    }
}
