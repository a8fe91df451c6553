//! Side by side: two servers in turn, A B A B, on one machine, and the ratios of each pair.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use crate::cell::{Cell, Settings};
use crate::error::BenchError;
use crate::measure::measure;
use crate::report::{self, ResultFile};
use crate::server::{Server, Spec};
use crate::stats::median;
use crate::summary::Measurement;
use crate::terminal::{note, number, say, table};

/// The command line of `compare`.
#[derive(Debug, Args)]
pub(crate) struct CompareArgs {
    /// The first server as KEY=VALUE (repeat): name, url, command, key, key-file, model, pid, ready, log, note, scenario.
    #[arg(long = "a", value_name = "KEY=VALUE", required = true)]
    a: Vec<String>,
    /// The second server, likewise; `same-as=a` compares scenarios on one server.
    #[arg(long = "b", value_name = "KEY=VALUE", required = true)]
    b: Vec<String>,
    /// Pairs of runs for each cell.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Write all figures here as JSON.
    #[arg(long)]
    out: Option<PathBuf>,
    #[command(flatten)]
    settings: Settings,
}

/// One figure of one cell, compared.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Compared {
    cell: String,
    metric: &'static str,
    /// Median of the first server.
    a: f64,
    /// Median of the second server.
    b: f64,
    /// Median of the pairs' ratios, a / b.
    ratio: f64,
    /// The smallest of them.
    least: f64,
    /// The largest of them.
    most: f64,
}

#[derive(Debug, Serialize)]
struct Results<'a> {
    ratios: &'a [Compared],
    runs: &'a [(Measurement, Measurement)],
}

/// Runs the comparison, prints and writes it.
pub(crate) async fn run(args: &CompareArgs) -> Result<(), BenchError> {
    let spec_a = Spec::parse("a", &args.a)?;
    let spec_b = Spec::parse("b", &args.b)?;
    let server_a = Server::open(&spec_a).await?;
    let own_b = if spec_b.same { None } else { Some(Server::open(&spec_b).await?) };
    let server_b = own_b.as_ref().unwrap_or(&server_a);
    let mut runs = Vec::new();
    for scenario in &args.settings.scenario {
        for concurrency in &args.settings.concurrency {
            for round in 0..args.rounds {
                let cell = Cell { scenario: *scenario, concurrency: *concurrency, round };
                let run_a = side(&server_a, &spec_a, &args.settings, cell).await?;
                let run_b = side(server_b, &spec_b, &args.settings, cell).await?;
                runs.push((run_a, run_b));
            }
        }
    }
    server_a.stop().await;
    if let Some(server) = own_b {
        server.stop().await;
    }
    let ratios = ratios(&runs);
    print(&spec_a.name, &spec_b.name, &ratios);
    print_machine(&runs);
    for (a, b) in &runs {
        report::warn(a);
        report::warn(b);
    }
    let servers =
        vec![(spec_a.name.as_str(), spec_a.note.as_deref()), (&spec_b.name, spec_b.note.as_deref())];
    let results = Results { ratios: &ratios, runs: &runs };
    ResultFile::new("compare", servers, &args.settings, results).write(args.out.as_deref())
}

async fn side(
    server: &Server,
    spec: &Spec,
    settings: &Settings,
    cell: Cell,
) -> Result<Measurement, BenchError> {
    let cell = Cell { scenario: spec.scenario.unwrap_or(cell.scenario), ..cell };
    let mut measurement = measure(server, settings, cell).await?;
    measurement.server.clone_from(&spec.name);
    let speed = number(measurement.tokens_per_second);
    let Cell { scenario, concurrency, round } = cell;
    note(&format!("{:<14} {scenario} / {concurrency} round {round}: {speed} tokens/s", spec.name));
    Ok(measurement)
}

/// The figures of one cell and metric, a pair for each round.
type Pairs = (String, &'static str, Vec<(f64, f64)>);

/// Divides pair by pair: neighbours in time saw the same machine.
fn ratios(runs: &[(Measurement, Measurement)]) -> Vec<Compared> {
    let mut list: Vec<Pairs> = Vec::new();
    for (a, b) in runs {
        let cell = if a.scenario == b.scenario {
            format!("{} / {}", a.scenario, a.concurrency)
        } else {
            format!("{} to {} / {}", a.scenario, b.scenario, a.concurrency)
        };
        let others = b.metrics();
        for (metric, value) in a.metrics() {
            let Some((_, other)) = others.iter().find(|(name, _)| *name == metric) else { continue };
            let known = list.iter_mut().find(|(of, name, _)| *of == cell && *name == metric);
            match known {
                Some((_, _, pairs)) => pairs.push((value, *other)),
                None => list.push((cell.clone(), metric, vec![(value, *other)])),
            }
        }
    }
    list.into_iter().filter_map(|(cell, metric, pairs)| ratio(cell, metric, &pairs)).collect()
}

/// The ratio of pairs of figures; none without pairs.
pub(crate) fn ratio(cell: String, metric: &'static str, pairs: &[(f64, f64)]) -> Option<Compared> {
    let quotients: Vec<f64> = pairs.iter().map(|(a, b)| a / b).collect();
    Some(Compared {
        cell,
        metric,
        a: median(&pairs.iter().map(|(a, _)| *a).collect::<Vec<f64>>())?,
        b: median(&pairs.iter().map(|(_, b)| *b).collect::<Vec<f64>>())?,
        ratio: median(&quotients)?,
        least: quotients.iter().copied().reduce(f64::min)?,
        most: quotients.iter().copied().reduce(f64::max)?,
    })
}

/// Prints ratios as a table.
pub(crate) fn print(name_a: &str, name_b: &str, ratios: &[Compared]) {
    let rows: Vec<Vec<String>> = ratios
        .iter()
        .map(|ratio| {
            vec![
                ratio.cell.clone(),
                ratio.metric.to_owned(),
                number(ratio.a),
                number(ratio.b),
                format!("{:.3}", ratio.ratio),
                format!("{:.2}–{:.2}", ratio.least, ratio.most),
            ]
        })
        .collect();
    let quotient = format!("{name_a} / {name_b}");
    table(&["scenario / users", "metric", name_a, name_b, &quotient, "range"], &rows);
}

/// Says how calm the machine was: without that no figure means anything.
fn print_machine(runs: &[(Measurement, Measurement)]) {
    let all = || runs.iter().flat_map(|(a, b)| [a, b]);
    let loads: Vec<f64> = all().filter_map(|run| run.machine).map(|machine| machine.load_after).collect();
    let neighbours: Vec<f64> =
        all().filter_map(|run| run.machine).filter_map(|machine| machine.neighbour_cores).collect();
    let own: Vec<f64> = all().filter_map(|run| run.machine).map(|machine| machine.own_cores).collect();
    let most = |values: &[f64]| values.iter().copied().reduce(f64::max).unwrap_or_default();
    say(&format!(
        "machine: load average median {}, most {}; cores taken by neighbours median {}, most {}; by this tool {:.4}",
        number(median(&loads).unwrap_or_default()),
        number(most(&loads)),
        number(median(&neighbours).unwrap_or_default()),
        number(most(&neighbours)),
        median(&own).unwrap_or_default(),
    ));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ratio_is_the_median_of_the_pairs_ratios_not_the_ratio_of_medians() {
        let pairs = [(10.0, 20.0), (30.0, 20.0), (100.0, 90.0)];
        let ratio = ratio("c".to_owned(), "m", &pairs).unwrap();
        assert!((ratio.ratio - 100.0 / 90.0).abs() < 1e-9);
        assert!((ratio.a - 30.0).abs() < 1e-9 && (ratio.b - 20.0).abs() < 1e-9);
        assert!((ratio.least - 0.5).abs() < 1e-9 && (ratio.most - 1.5).abs() < 1e-9);
    }

    #[test]
    fn no_pairs_have_no_ratio() {
        assert!(ratio("c".to_owned(), "m", &[]).is_none());
    }
}
