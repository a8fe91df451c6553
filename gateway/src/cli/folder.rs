//! `--config` and `--data-dir` of the commands that work on the data folder.

use std::path::PathBuf;

use clap::Args;
use gateway::config::{Config, Environment, Flags};

use super::Failure;

/// Where the data folder is.
#[derive(Args)]
pub(super) struct Folder {
    /// Configuration file (TOML) [env: `GATEWAY_CONFIG`]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Folder of models, keys and state [env: `GATEWAY_DATA_DIR`]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
}

impl Folder {
    /// The configuration, with the folder.
    pub(super) fn config(&self) -> Result<Config, Failure> {
        let flags: Flags = self.data_dir.iter().map(|folder| ("data-dir", folder.clone())).collect();
        Ok(Config::load(self.config.as_deref(), &Environment::of_process(), &flags)?.config)
    }
}
