//! `gateway worker FOLDER`: a model in a process of its own, started by a gateway and ending with it.

use std::path::PathBuf;

use gateway::config::{Config, Environment, Flags};
use gateway::engine::child::config_file;
use gateway::shutdown::Lifecycle;
use tokio::io::AsyncReadExt as _;

use super::{Failure, serve};

/// Where the worker's configuration is.
#[derive(clap::Args)]
pub(super) struct Worker {
    /// Its own folder
    folder: PathBuf,
}

pub(super) fn run(worker: &Worker) -> Result<(), Failure> {
    let loaded =
        Config::load(Some(&config_file(&worker.folder)), &Environment::default(), &Flags::default())?;
    let outcome = serve::run_worker(loaded.config);
    // A gateway that was killed cannot tidy up.
    drop(std::fs::remove_dir_all(&worker.folder));
    outcome
}

/// Ends the process when the gateway that started it has ended, however that was: then its end of the pipe is closed.
pub(super) async fn until_alone(lifecycle: Lifecycle) {
    let mut input = tokio::io::stdin();
    let mut nothing = [0; 64];
    while matches!(input.read(&mut nothing).await, Ok(read) if read > 0) {}
    lifecycle.kill();
}
