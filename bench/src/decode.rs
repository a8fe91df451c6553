//! The decode phase through a server against llama.cpp's own batched benchmark, in turns.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde::{Deserialize, Serialize};
use tokio::process::Command;
use tokio::time::Instant;

use crate::cell::{Cell, Settings};
use crate::compare::{self, Compared};
use crate::error::BenchError;
use crate::measure::measure_transcripts;
use crate::report::ResultFile;
use crate::server::{Server, Spec};
use crate::terminal::{note, number};
use crate::transcript::Transcript;
use crate::workload::Scenario;

/// The longest that the batched benchmark may run.
const BENCHMARK_LIMIT: Duration = Duration::from_mins(10);

/// The command line of `decode`.
#[derive(Debug, Args)]
pub(crate) struct DecodeArgs {
    /// The server as KEY=VALUE, as in `compare`.
    #[arg(long, value_name = "KEY=VALUE", required = true)]
    server: Vec<String>,
    /// The program `llama-batched-bench`.
    #[arg(long)]
    batched_bench: PathBuf,
    /// The model that the server runs.
    #[arg(long)]
    gguf: PathBuf,
    /// Threads of the batched benchmark: as many as the server's.
    #[arg(long, default_value_t = 2)]
    threads: u32,
    /// Further arguments of the batched benchmark, separated by spaces (`-kvu`, `-ctk q8_0`).
    #[arg(long, default_value = "", allow_hyphen_values = true)]
    extra: String,
    /// Pairs of runs at each number of sequences.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Write all figures here as JSON.
    #[arg(long)]
    out: Option<PathBuf>,
    #[command(flatten)]
    settings: Settings,
}

/// A line of the batched benchmark.
#[derive(Debug, Clone, Deserialize, Serialize)]
struct Batched {
    pp: u32,
    tg: u32,
    pl: u32,
    speed_pp: f64,
    speed_tg: f64,
}

/// Runs the comparison, prints and writes it.
pub(crate) async fn run(args: &DecodeArgs) -> Result<(), BenchError> {
    let spec = Spec::parse("server", &args.server)?;
    let server = Server::open(&spec).await?;
    let mut ratios: Vec<Compared> = Vec::new();
    for sequences in &args.settings.concurrency {
        let mut pairs = Vec::new();
        for round in 0..args.rounds {
            let cell = Cell { scenario: Scenario::Short, concurrency: *sequences, round };
            let transcripts = measure_transcripts(&server, &args.settings, cell).await?;
            let ours = together(&transcripts).ok_or_else(|| {
                BenchError::NoResult("the streams never all ran at once: raise --max-tokens".to_owned())
            })?;
            let theirs = batched(args, *sequences, &ours).await?.speed_tg;
            note(&format!(
                "{sequences} sequences, round {round}, from {} tokens on: {} and {}",
                ours.before,
                number(ours.speed),
                number(theirs)
            ));
            pairs.push((ours.speed, theirs));
        }
        ratios.extend(compare::ratio(format!("decode / {sequences}"), "tokens/s", &pairs));
    }
    server.stop().await;
    compare::print(&spec.name, "batched-bench", &ratios);
    let servers =
        vec![(spec.name.as_str(), spec.note.as_deref()), ("batched-bench", Some(args.extra.as_str()))];
    ResultFile::new("decode", servers, &args.settings, &ratios).write(args.out.as_deref())
}

/// The time in which all streams of a run decode: from the last one's first token to the first one's last.
#[derive(Debug, PartialEq)]
struct Together {
    /// Tokens a second, of all streams.
    speed: f64,
    /// Tokens of a stream, prompt included, when it begins; the mean.
    before: u32,
    /// Tokens that a stream generates in it; the mean.
    inside: u32,
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "means of token counts, rounded: positive and far below the bound"
)]
fn together(transcripts: &[Transcript]) -> Option<Together> {
    let from = transcripts.iter().map(|t| t.output_at.first().copied()).collect::<Option<Vec<_>>>()?;
    let to = transcripts.iter().map(|t| t.output_at.last().copied()).collect::<Option<Vec<_>>>()?;
    let (from, to) = (from.into_iter().max()?, to.into_iter().min()?);
    let window = to.checked_duration_since(from)?.as_secs_f64();
    let (mut before, mut inside) = (0.0, 0.0);
    for transcript in transcripts {
        // A token whose bytes are held back makes no event: scale by what the server counted.
        let scale = transcript.tokens() as f64 / transcript.output_at.len().max(1) as f64;
        let events = |counts: &dyn Fn(&Instant) -> bool| {
            transcript.output_at.iter().filter(|at| counts(at)).count() as f64 * scale
        };
        before += transcript.prompt_tokens() as f64 + events(&|at| *at <= from);
        inside += events(&|at| *at > from && *at <= to);
    }
    let streams = transcripts.len().max(1) as f64;
    (window > 0.0 && inside > 0.0).then(|| Together {
        speed: inside / window,
        before: (before / streams).round() as u32,
        inside: (inside / streams).round().max(1.0) as u32,
    })
}

/// The batched benchmark over the same context lengths: attention costs more the longer the sequences are.
async fn batched(args: &DecodeArgs, sequences: u32, ours: &Together) -> Result<Batched, BenchError> {
    let window = (ours.before + ours.inside).next_multiple_of(256);
    let mut command = Command::new(&args.batched_bench);
    command.arg("-m").arg(&args.gguf).args(["-fa", "on", "--output-format", "jsonl"]);
    for (flag, value) in [
        ("-t", args.threads),
        ("-tb", args.threads),
        ("-c", window * sequences),
        ("-npp", ours.before),
        ("-ntg", ours.inside),
        ("-npl", sequences),
    ] {
        command.arg(flag).arg(value.to_string());
    }
    command.args(args.extra.split_ascii_whitespace()).kill_on_drop(true);
    let fail = |source| BenchError::Process { what: "batched benchmark".to_owned(), source };
    let output = tokio::time::timeout(BENCHMARK_LIMIT, command.output());
    let output = output.await.map_err(|_| BenchError::NoResult("the batched benchmark hangs".to_owned()))?;
    let output = output.map_err(fail)?;
    // Which of the two the figures go to depends on the benchmark's log settings.
    let (text, log) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    parse(&text).or_else(|| parse(&log)).ok_or_else(|| {
        let tail: Vec<&str> = log.lines().rev().take(3).collect();
        BenchError::NoResult(format!("the batched benchmark gave no figure; it said: {tail:?}"))
    })
}

/// The first line of figures in the benchmark's output.
fn parse(output: &str) -> Option<Batched> {
    output.lines().filter(|line| line.starts_with('{')).find_map(|line| serde_json::from_str(line).ok())
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;
    use crate::transcript::WireUsage;

    fn transcript(started: Instant, at_ms: impl Iterator<Item = u64> + Clone) -> Transcript {
        let usage = WireUsage { prompt_tokens: 30, completion_tokens: 0, prompt_tokens_details: None };
        let usage = Some(WireUsage { completion_tokens: at_ms.clone().count() as u64, ..usage });
        let output_at = at_ms.map(|ms| started + Duration::from_millis(ms)).collect();
        Transcript { started, output_at, text: String::new(), finish: None, usage, done: true }
    }

    #[test]
    fn only_the_time_in_which_all_streams_decode_counts() {
        let start = Instant::now();
        let early = transcript(start, (0..=100).map(|i| i * 10));
        let late = transcript(start, (50..=150).map(|i| i * 10));
        let found = together(&[early, late]).unwrap();
        assert!((found.speed - 200.0).abs() < 1e-6, "{found:?}");
        // At 500 ms the early one has 51 tokens and the late one its first; both make 50 more.
        assert_eq!((found.before, found.inside), (56, 50));
    }

    #[test]
    fn streams_that_never_run_together_have_no_decode_speed() {
        let start = Instant::now();
        let (one, two) = (transcript(start, 0..10), transcript(start, 20..30));
        assert_eq!(together(&[one, two]), None);
        assert_eq!(together(&[transcript(start, 0..0)]), None);
    }

    #[test]
    fn the_batched_benchmarks_figures_are_found_among_its_words() {
        let line = r#"{"n_kv_max": 4096, "pp": 128, "tg": 64, "pl": 4, "speed_pp": 330.5, "speed_tg": 140.25, "t": 1.0}"#;
        let found = parse(&format!("loading\n\n{line}\n")).unwrap();
        assert_eq!((found.pl, found.speed_tg), (4, 140.25));
        assert!(parse("main: failed").is_none());
    }
}
