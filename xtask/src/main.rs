//! The checks that `cargo xtask` runs.
fn main() {}
