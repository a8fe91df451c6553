//! Everything that must hold before a change lands, in one command: the cheap checks first, none left out.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use crate::command::{command, run};
use crate::report::{self, Failure};
use crate::{layers, openapi, size};

/// A named check.
struct Step {
    name: &'static str,
    check: fn(&Path) -> Result<(), Failure>,
}

/// One selection of packages and one profile everywhere, so that nothing is compiled twice for another combination
/// of features.
const STEPS: [Step; 12] = [
    Step { name: "fmt", check: |root| run(cargo(root, "fmt --all --check")) },
    Step { name: "size", check: size::check },
    Step { name: "layers", check: layers::check },
    Step { name: "typos", check: |root| run(command(root, "typos", &[])) },
    // By folder: in fuzz/ it takes cargo-fuzz's own workspace for the driver's and fails.
    Step { name: "machete", check: |root| run(cargo(root, "machete openapi gateway bench tests xtask")) },
    // Advisories need a database from outside the package registries: `cargo deny check advisories` by hand.
    Step {
        name: "deny",
        check: |root| run(cargo(root, "deny --locked check --hide-inclusion-graph bans licenses sources")),
    },
    Step { name: "build", check: |root| run(cargo(root, "build --release --workspace --locked")) },
    Step {
        name: "clippy",
        check: |root| run(cargo(root, "clippy --release --workspace --all-targets --locked -- -D warnings")),
    },
    Step { name: "doc", check: doc },
    Step { name: "openapi", check: openapi::check },
    Step {
        name: "nextest",
        check: |root| run(cargo(root, "nextest run --release --workspace --locked --no-fail-fast")),
    },
    Step {
        name: "doctest",
        check: |root| run(cargo(root, "test --release --workspace --locked --doc --quiet")),
    },
];

/// Runs every step, goes on after a failure, and names at the end what failed.
fn run_steps(root: &Path, steps: &[Step]) -> Result<(), Failure> {
    let mut failed = Vec::new();
    for step in steps {
        let began = Instant::now();
        report::line(&format!("── ci: {}", step.name));
        let outcome = (step.check)(root);
        let took = began.elapsed().as_secs_f64();
        match outcome {
            Ok(()) => report::line(&format!("── ci: {} passed in {took:.1} s", step.name)),
            Err(failure) => {
                report::failure(&failure);
                report::line(&format!("── ci: {} FAILED after {took:.1} s", step.name));
                failed.push(step.name);
            }
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(Failure::Steps(failed)) }
}

/// Runs everything.
pub(crate) fn run_everything(root: &Path) -> Result<(), Failure> {
    run_steps(root, &STEPS)
}

fn doc(root: &Path) -> Result<(), Failure> {
    let mut command = cargo(root, "doc --release --workspace --no-deps --locked");
    command.env("RUSTDOCFLAGS", "-D warnings");
    run(command)
}

fn cargo(root: &Path, line: &str) -> Command {
    command(root, "cargo", &line.split(' ').collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_step_does_not_hide_the_ones_after_it() {
        let steps = [
            Step { name: "first", check: |_| Err(Failure::Command("no".to_owned())) },
            Step { name: "second", check: |_| Ok(()) },
            Step { name: "third", check: |_| Err(Failure::Command("no".to_owned())) },
        ];
        let failure = run_steps(Path::new("."), &steps).unwrap_err();
        assert_eq!(failure.to_string(), "ci failed: first, third");
    }
}
