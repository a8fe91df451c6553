//! The exporter as its users meet it: real sockets, the real client, and a clock that tests move.

#![cfg(feature = "server")]
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests end by a panic")]

mod discovery;
mod formats;
mod limits;
mod newest;
mod process;
mod pusher;
mod support;
mod surface;
