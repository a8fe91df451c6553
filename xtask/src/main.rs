//! `cargo xtask ci|size|layers|openapi`: the checks of the house.

mod ci;
mod command;
mod files;
mod layers;
mod openapi;
mod report;
mod size;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

const USAGE: &str = "usage: cargo xtask ci             everything below, and cargo's own checks
       cargo xtask size           length and first line of each Rust file
       cargo xtask layers         modules of the gateway import only from lower ranks
       cargo xtask openapi        writes openapi/openapi.json
       cargo xtask openapi --check  compares it instead";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let root = root();
    let outcome = match arguments.as_slice() {
        ["ci"] => ci::run_everything(&root),
        ["size"] => size::check(&root),
        ["layers"] => layers::check(&root),
        ["openapi"] => openapi::write(&root),
        ["openapi", "--check"] => openapi::check(&root),
        ["help" | "--help" | "-h"] => {
            report::line(USAGE);
            return ExitCode::SUCCESS;
        }
        _ => {
            report::line(USAGE);
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            report::failure(&failure);
            ExitCode::FAILURE
        }
    }
}

/// The workspace, which is where this crate's folder lies.
fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}
