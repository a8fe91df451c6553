//! The command line: what is asked for, what is printed, and the exit code (0 fine, 1 failed, 2 wrong usage).

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the one place that talks to the terminal")]

mod address;
mod background;
mod config;
mod engines;
mod folder;
mod key;
mod live;
mod model;
mod office;
mod options;
mod push;
mod serve;
mod spin;
mod stores;
mod token;
mod worker;

use std::fmt;
use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use gateway::config::{ConfigError, Source};

use self::options::Options;

/// An OpenAI-compatible streaming gateway with the model inside it.
#[derive(Parser)]
#[command(name = "gateway", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the API.
    Serve(Options),
    /// Check or show the configuration.
    #[command(subcommand)]
    Config(config::Command),
    /// List or fetch models; load, unload, pin and name those of the running gateway.
    #[command(subcommand)]
    Model(model::Command),
    /// Make, list or revoke keys.
    #[command(subcommand)]
    Key(key::Command),
    /// Issue, inspect or revoke tokens.
    #[command(subcommand)]
    Token(token::Command),
    /// Print the OpenAPI document.
    Openapi,
    /// Serve one model to the gateway that started this.
    #[command(hide = true)]
    Worker(worker::Worker),
}

/// Runs what the command line asks for.
pub(crate) fn run() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Serve(options) => serve::run(&options),
        Command::Config(command) => config::run(&command),
        Command::Model(command) => model::run(&command),
        Command::Key(command) => key::run(&command),
        Command::Token(command) => token::run(&command),
        Command::Worker(worker) => worker::run(&worker),
        Command::Openapi => show(&gateway::routes::document()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("gateway: {}", failure.message);
            ExitCode::from(failure.code)
        }
    }
}

/// Writes a long text to standard output; a reader that closes early (`| head`) is no failure.
fn show(text: &str) -> Result<(), Failure> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Failure::new(error)),
        _ => Ok(()),
    }
}

/// Why a command failed, for people.
#[derive(Debug)]
struct Failure {
    message: String,
    code: u8,
}

impl Failure {
    /// What was asked for did not work.
    fn new(message: impl fmt::Display) -> Self {
        Self { message: message.to_string(), code: 1 }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        let wrong_usage = matches!(&error, ConfigError::Value { source_of: Source::Flag(_), .. });
        Self { message: error.to_string(), code: if wrong_usage { 2 } else { 1 } }
    }
}
