//! Harness of the integration tests: the real binary with the real model, real sockets, waiting without sleeping.
//!
//! A test starts a gateway of its own with [`Gateway::builder`], talks to it over HTTP, and drops it; the drop ends
//! the process and fails the test if the gateway had died or panicked. Nothing here is mocked.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    clippy::indexing_slicing,
    reason = "a harness fails by panicking"
)]

pub mod answer;
pub mod builder;
pub mod exporter;
pub mod fold;
pub mod golden;
pub mod http;
pub mod jwt;
pub mod lora;
pub mod metrics;
pub mod model;
pub mod patience;
pub mod process;
pub mod prometheus;
pub mod raw;
pub mod redis;
pub mod requests;
pub mod rights;
pub mod sse;
pub mod upstream;

pub use answer::Answer;
pub use builder::Builder;
pub use fold::Folded;
pub use process::Gateway;
pub use sse::{EventStream, Frame};
