//! How metrics leave a gateway, and the process that shows them.
//!
//! A gateway pushes its whole registry each second as one [`protocol::Snapshot`] with its [`client`]; the `exporter`
//! process keeps the newest of each gateway apart, never sums, and answers Prometheus. Neither waits for the other: a
//! lost or repeated snapshot loses nothing, an older one is refused.

pub mod client;
pub mod protocol;
pub mod records;
#[cfg(feature = "server")]
pub mod server;
