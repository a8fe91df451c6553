//! What is seen from outside: the log, and every metric.

pub mod log;
pub mod metrics;

pub use self::log::{LogControl, init};
pub use self::metrics::Metrics;
