//! Measures one cell against a server, with what it cost.

use std::sync::Arc;

use tokio::time::Instant;

use crate::cell::{Cell, Client, Settings};
use crate::error::BenchError;
use crate::server::Server;
use crate::summary::Measurement;
use crate::transcript::Transcript;
use crate::usage::{MachineSample, ProcessSample};
use crate::workload::Scenario;
use crate::{arrival, load, reuse, turns};

/// Measures one cell.
pub(crate) async fn measure(
    server: &Server,
    settings: &Settings,
    cell: Cell,
) -> Result<Measurement, BenchError> {
    let client = Arc::new(Client::new(server, settings));
    let seed = cell.seed(settings);
    client.warm_up(settings.warm_up, seed).await?;
    let process = server.pid.and_then(ProcessSample::read);
    let machine = MachineSample::read();
    let started = Instant::now();
    let ran = match cell.scenario {
        Scenario::LongArrival => arrival::run(&client, cell.concurrency, seed).await?,
        Scenario::PrefixReuse => reuse::run(&client, cell.concurrency, settings.requests, seed).await?,
        Scenario::Turns => turns::run(&client, cell.concurrency, false, seed).await?,
        Scenario::StoredTurns => turns::run(&client, cell.concurrency, true, seed).await?,
        _ => load::run(&client, settings, cell).await,
    };
    let wall = started.elapsed().as_secs_f64();
    let mut measurement = Measurement::new(&server.target.name, cell, &ran, wall);
    measurement.answers_cut_short(&ran, settings);
    measurement.cpu = process.zip(server.pid.and_then(ProcessSample::read)).map(|(before, after)| {
        after.since(&before, &settings.engine_threads, wall, measurement.completion_tokens)
    });
    measurement.machine = Some(MachineSample::read().since(&machine, measurement.cpu.as_ref(), wall));
    Ok(measurement)
}

/// One answer of each of so many streams that begin at once; a failure ends the measurement.
pub(crate) async fn measure_transcripts(
    server: &Server,
    settings: &Settings,
    cell: Cell,
) -> Result<Vec<Transcript>, BenchError> {
    let settings = Settings { requests: 1, ..settings.clone() };
    let client = Arc::new(Client::new(server, &settings));
    client.warm_up(settings.warm_up, cell.seed(&settings)).await?;
    let ran = load::run(&client, &settings, cell).await;
    let fail = |source| BenchError::Call { what: "decoding stream", source };
    ran.outcomes.into_iter().map(|outcome| outcome.result.map_err(fail)).collect()
}
