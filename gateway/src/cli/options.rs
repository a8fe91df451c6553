//! The flags of the configuration, made from its table of options.

use std::path::PathBuf;

use clap::builder::ValueParser;
use clap::error::ErrorKind;
use clap::{Arg, ArgMatches, Args, FromArgMatches};
use gateway::config::options::{SETTINGS, Setting};
use gateway::config::{Config, Environment, Flags, Loaded};

use super::Failure;

/// `--config` and one flag an option.
#[derive(Debug, Default)]
pub(super) struct Options {
    /// The configuration file.
    pub(super) file: Option<PathBuf>,
    /// The options given as flags.
    pub(super) flags: Flags,
}

impl Options {
    /// The configuration from all sources.
    pub(super) fn load(&self) -> Result<Loaded, Failure> {
        Ok(Config::load(self.file.as_deref(), &Environment::of_process(), &self.flags)?)
    }
}

impl FromArgMatches for Options {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut options = Self::default();
        options.update_from_arg_matches(matches)?;
        Ok(options)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        let internal = |error| clap::Error::raw(ErrorKind::InvalidValue, error);
        self.file = matches.try_get_one::<PathBuf>("config").map_err(internal)?.cloned();
        for setting in &SETTINGS {
            if let Some(text) = matches.try_get_one::<String>(setting.name).map_err(internal)? {
                self.flags.insert(setting.name, text.clone());
            }
        }
        Ok(())
    }
}

impl Args for Options {
    fn augment_args(command: clap::Command) -> clap::Command {
        let file = Arg::new("config")
            .long("config")
            .value_name("FILE")
            .value_parser(ValueParser::path_buf())
            .help("Configuration file (TOML); keys as `config print` shows them [env: GATEWAY_CONFIG]");
        SETTINGS.iter().fold(command.arg(file), |command, setting| command.arg(flag(setting)))
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

fn flag(setting: &'static Setting) -> Arg {
    let default = setting.default_value().map(|value| format!(" [default: {value}]")).unwrap_or_default();
    let heading = match setting.key.split_once('.') {
        Some(("server", _)) => "Server",
        Some(("model", _)) => "Model (for every model that does not set it itself)",
        Some(("log", _)) => "Log",
        _ => "General",
    };
    Arg::new(setting.name).long(setting.name).value_name(setting.value).help_heading(heading).help(format!(
        "{}{default} [env: {}]",
        setting.help,
        setting.variable()
    ))
}
