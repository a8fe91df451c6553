//! Result files and the table of a plain load run.

use std::path::Path;

use serde::Serialize;

use crate::error::BenchError;
use crate::summary::Measurement;
use crate::terminal::{maybe, note, number, say, table};
use crate::usage;

/// What every result file begins with.
#[derive(Debug, Serialize)]
pub(crate) struct ResultFile<'a, S: Serialize, R: Serialize> {
    /// What was run: `load`, `compare`, …
    pub(crate) command: &'a str,
    /// Seconds since the Unix epoch.
    pub(crate) recorded_at: u64,
    /// The machine's CPU and cores.
    pub(crate) machine: String,
    /// Servers and their notes.
    pub(crate) servers: Vec<(&'a str, Option<&'a str>)>,
    /// The settings, complete.
    pub(crate) settings: &'a S,
    /// The figures.
    pub(crate) results: R,
}

impl<'a, S: Serialize, R: Serialize> ResultFile<'a, S, R> {
    /// A file for the results of a command.
    pub(crate) fn new(
        command: &'a str,
        servers: Vec<(&'a str, Option<&'a str>)>,
        settings: &'a S,
        results: R,
    ) -> Self {
        #[expect(clippy::disallowed_methods, reason = "a result is stamped with the real time")]
        let now = std::time::SystemTime::now();
        let recorded_at = now.duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs());
        Self { command, recorded_at, machine: usage::machine(), servers, settings, results }
    }

    /// Writes the file, where one was asked for; its folders are made.
    pub(crate) fn write(&self, path: Option<&Path>) -> Result<(), BenchError> {
        let Some(path) = path else { return Ok(()) };
        let fail = |source| BenchError::File { path: path.to_owned(), source };
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(fail)?;
        }
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        std::fs::write(path, text).map_err(fail)?;
        note(&format!("written: {}", path.display()));
        Ok(())
    }
}

/// Prints cells as the tables that fit their scenarios.
pub(crate) fn print(cells: &[Measurement]) {
    let loads: Vec<&Measurement> = cells.iter().filter(|cell| !cell.is_special()).collect();
    if !loads.is_empty() {
        print_loads(&loads);
    }
    for cell in cells.iter().filter(|cell| cell.is_special()) {
        say(&format!("\n{} {}, {} streams", cell.server, cell.scenario, cell.concurrency));
        let metrics = cell.metrics();
        let rows: Vec<Vec<String>> =
            metrics.iter().map(|(name, value)| vec![(*name).to_owned(), number(*value)]).collect();
        table(&["what", "value"], &rows);
    }
    for cell in cells {
        warn(cell);
    }
}

const HEAD: [&str; 14] = [
    "scenario / users",
    "tokens/s",
    "first p50",
    "p95",
    "p99 ms",
    "inter p50",
    "p95",
    "p99 ms",
    "prompt",
    "cached",
    "CPU ms/token",
    "own CPU %",
    "load",
    "neighbours",
];

fn print_loads(cells: &[&Measurement]) {
    let rows: Vec<Vec<String>> = cells
        .iter()
        .map(|cell| {
            let first = cell.time_to_first_token_ms;
            let inter = cell.inter_token_ms;
            let each = |tokens: u64| number(tokens as f64 / cell.answered.max(1) as f64);
            vec![
                format!("{} / {}", cell.scenario, cell.concurrency),
                number(cell.tokens_per_second),
                maybe(first.map(|q| q.p50)),
                maybe(first.map(|q| q.p95)),
                maybe(first.map(|q| q.p99)),
                maybe(inter.map(|q| q.p50)),
                maybe(inter.map(|q| q.p95)),
                maybe(inter.map(|q| q.p99)),
                each(cell.prompt_tokens),
                each(cell.cached_tokens),
                maybe(cell.cpu.as_ref().map(|cpu| cpu.milliseconds_per_token)),
                maybe(cell.cpu.as_ref().map(|cpu| cpu.other_percent_of_core)),
                maybe(cell.machine.map(|machine| machine.load_after)),
                maybe(cell.machine.and_then(|machine| machine.neighbour_cores)),
            ]
        })
        .collect();
    table(&HEAD, &rows);
}

/// Says what makes a cell worth less than it looks.
pub(crate) fn warn(cell: &Measurement) {
    let place = format!("{} {} / {} (round {})", cell.server, cell.scenario, cell.concurrency, cell.round);
    if cell.failed() > 0 {
        let first = cell.first_error.as_deref().unwrap_or_default();
        note(&format!("{place}: {} failed: {:?}; the first: {first}", cell.failed(), cell.errors));
    }
    if cell.undone > 0 {
        note(&format!("{place}: {} left undone by the time limit", cell.undone));
    }
    if cell.cut_short > 0 {
        note(&format!("{place}: {} answers ended early; is --forbid right for this model?", cell.cut_short));
    }
    if let Some(arrival) = &cell.arrival
        && arrival.ended_early > 0
    {
        note(&format!("{place}: {} running streams ended before the prompt was done", arrival.ended_early));
    }
}
