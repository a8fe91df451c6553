//! Request records on their way to where they are kept.
//!
//! `intake` tells repeated batches and hands the others to every sink's queue → `delivery` carries them, one task a
//! sink → a [`Sink`] keeps them. What a queue has no place for, and what is left at the end, waits in a `spool`.
//!
//! What is promised: a batch that was taken is delivered at least once while the process lives or ends in order, and
//! the spool has room. It may be delivered twice where a sink took it and the answer was lost. Batches that only wait
//! in memory are lost with a process that is killed.

pub mod config;
pub mod counters;
pub mod delivery;
#[cfg(feature = "influx")]
pub mod influx;
pub mod intake;
#[cfg(feature = "kafka")]
pub mod kafka;
pub mod ndjson;
#[cfg(feature = "otlp")]
pub mod otlp;
mod overflow;
#[cfg(feature = "parquet")]
pub mod parquet;
#[cfg(any(feature = "influx", feature = "otlp"))]
mod post;
mod rolling;
pub mod row;
pub mod sink;
pub mod sinks;
pub mod spool;

use std::time::SystemTime;

pub use self::counters::Counters;
pub use self::delivery::Delivery;
pub use self::intake::{Intake, Taken};
pub use self::sink::{Sink, SinkError};

/// Tells the time: files are named by it. A parameter, so that tests drive it.
pub type Clock = fn() -> SystemTime;

/// The clock of the machine.
#[expect(clippy::disallowed_methods, reason = "the one place where the clock of the machine is handed out")]
pub fn wall_clock() -> SystemTime {
    SystemTime::now()
}
