//! Fuzzes without a nightly toolchain: `fuzz SECONDS [TARGET…]`, or `fuzz replay TARGET FILE`.
//!
//! Each target runs in a child process, so that an abort or a stack overflow is seen like a panic. The input at work
//! is written to `fuzz/artifacts/TARGET.input` first, so that it is still there afterwards.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use fuzz::mutate::mutate;
use fuzz::targets::{ALL, Target};
use rand::SeedableRng;
use rand::rngs::SmallRng;

/// An input may take this long before it counts as a hang.
const LONGEST: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["child", target, seconds] => child(target, seconds.parse().unwrap_or(1)),
        ["replay", target, file] => replay(target, Path::new(file)),
        [seconds, targets @ ..] if seconds.parse::<u64>().is_ok() => parent(seconds, targets),
        _ => {
            say("usage: fuzz SECONDS [TARGET…] | fuzz replay TARGET FILE");
            ExitCode::from(2)
        }
    }
}

/// Runs each target in a child and tells what came of it.
fn parent(seconds: &str, wanted: &[&str]) -> ExitCode {
    let (mut passed, mut failed) = (0, 0);
    for (name, _) in ALL.iter().filter(|(name, _)| wanted.is_empty() || wanted.contains(name)) {
        let ended = std::env::current_exe()
            .and_then(|own| Command::new(own).args(["child", name, seconds]).status())
            .is_ok_and(|status| status.success());
        if ended {
            passed += 1;
        } else {
            failed += 1;
            say(&format!("{name} failed; the input is {}", artifact(name).display()));
        }
    }
    say(&format!("{passed} passed, {failed} failed"));
    if failed == 0 && passed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Fuzzes one target for a time; does not return well from a panic, an abort or a hang.
fn child(name: &str, seconds: u64) -> ExitCode {
    let Some(target) = target(name) else { return ExitCode::from(2) };
    let mut pool = seeds(name);
    let artifact = artifact(name);
    let mut seen = HashSet::new();
    for input in &pool {
        seen.insert(attempt(target, &artifact, input));
    }
    let origin = rand::random();
    let mut random = SmallRng::seed_from_u64(origin);
    let (began, mut runs) = (Instant::now(), pool.len());
    while began.elapsed() < Duration::from_secs(seconds) {
        let input = mutate(&mut random, &pool);
        if seen.insert(attempt(target, &artifact, &input)) && pool.len() < 10_000 {
            pool.push(input);
        }
        runs += 1;
    }
    // Nothing was found: the last input is of no use.
    drop(std::fs::remove_file(&artifact));
    say(&format!("{name}: {runs} inputs, {} behaviours, random seed {origin}", seen.len()));
    ExitCode::SUCCESS
}

fn attempt(target: Target, artifact: &Path, input: &[u8]) -> u64 {
    // Without the copy a failure is still a failure; it only is harder to replay.
    drop(std::fs::write(artifact, input));
    let began = Instant::now();
    let mark = target(input);
    assert!(began.elapsed() < LONGEST, "an input took {:?}", began.elapsed());
    mark
}

fn replay(name: &str, file: &Path) -> ExitCode {
    let (Some(target), Ok(input)) = (target(name), std::fs::read(file)) else { return ExitCode::from(2) };
    target(&input);
    ExitCode::SUCCESS
}

fn target(name: &str) -> Option<Target> {
    ALL.iter().find(|(each, _)| *each == name).map(|(_, target)| *target)
}

/// The checked-in inputs of a target; without any there would be nothing to damage.
fn seeds(name: &str) -> Vec<Vec<u8>> {
    let folder = folder().join("seeds").join(name);
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut seeds: Vec<Vec<u8>> = files.filter_map(|file| std::fs::read(file.path()).ok()).collect();
    seeds.sort();
    assert!(!seeds.is_empty(), "no seeds for {name}");
    seeds
}

fn artifact(name: &str) -> PathBuf {
    let folder = folder().join("artifacts");
    // A failure shows when the artifact is looked for.
    drop(std::fs::create_dir_all(&folder));
    folder.join(format!("{name}.input"))
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map_or_else(PathBuf::new, Path::to_owned)
}

#[expect(clippy::print_stdout, reason = "the one way this program tells anything")]
fn say(text: &str) {
    println!("{text}");
}
