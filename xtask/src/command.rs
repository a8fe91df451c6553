//! Runs other commands from the workspace's root.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::report::Failure;

/// A command that starts at the root with the environment the caller had before cargo started this program.
///
/// Cargo sets variables such as `CARGO_MANIFEST_DIR` for what it runs; some build scripts watch them, and a nested
/// cargo that inherits them would build their crates again.
pub(crate) fn command(root: &Path, program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(root).stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let set_by_cargo = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_", "CARGO_PRIMARY_"];
        if set_by_cargo.iter().any(|prefix| text.starts_with(prefix)) || text == "OUT_DIR" {
            command.env_remove(&name);
        }
    }
    command
}

/// Runs a command to its end.
pub(crate) fn run(mut command: Command) -> Result<(), Failure> {
    let name = display(&command);
    let status = command.status().map_err(|error| Failure::Command(format!("{name}: {error}")))?;
    if status.success() { Ok(()) } else { Err(Failure::Command(format!("{name}: {status}"))) }
}

/// Runs a command to its end and returns what it wrote to its standard output.
pub(crate) fn output(mut command: Command) -> Result<Vec<u8>, Failure> {
    let name = display(&command);
    command.stderr(Stdio::inherit());
    let output = command.output().map_err(|error| Failure::Command(format!("{name}: {error}")))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    Err(Failure::Command(format!("{name}: {}", output.status)))
}

/// Where the release build puts a program.
pub(crate) fn built(root: &Path, program: &str) -> PathBuf {
    root.join("target/release").join(program)
}

fn display(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
