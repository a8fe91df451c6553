//! What is fuzzed: each target takes any bytes, and must return.
//!
//! The same functions serve cargo-fuzz (`fuzz/fuzz_targets/`) and the driver of this crate, which `./test` runs.

pub mod mutate;
pub mod pushed;
pub mod targets;
