//! `gateway config check|print`.

use clap::Subcommand;
use gateway::config::Loaded;

use super::options::Options;
use super::{Failure, show};

/// What to do with the configuration.
#[derive(Subcommand)]
pub(super) enum Command {
    /// Check the configuration from all sources, and say what is wrong with it.
    Check(Options),
    /// Print the effective configuration as TOML, each line with its source. It holds no secrets.
    Print(Options),
}

pub(super) fn run(command: &Command) -> Result<(), Failure> {
    match command {
        Command::Check(options) => {
            check(&options.load()?);
            println!("the configuration is valid");
            Ok(())
        }
        Command::Print(options) => show(&options.load()?.to_toml()),
    }
}

/// Beyond the values: whether the files that they name are there.
fn check(loaded: &Loaded) {
    for variable in &loaded.unknown_variables {
        eprintln!("warning: {variable} is not an option of the gateway");
    }
    for (index, model) in loaded.config.models.iter().enumerate() {
        let path = |key: &str, path: &std::path::Path| match std::fs::metadata(path) {
            Ok(metadata) if metadata.is_file() => {}
            Ok(_) => eprintln!("warning: models.{index}.{key}: {} is not a file", path.display()),
            Err(error) => eprintln!("warning: models.{index}.{key}: {}: {error}", path.display()),
        };
        path("path", &model.path);
        if let Some(template) = &model.chat_template {
            path("chat_template", template);
        }
    }
}
