//! Request records: one short note a request, for those who ask later what happened.
//!
//! A gateway decides by [`sampling`] which it sends, gathers them in a [`batcher`], and never waits for either.

pub mod batcher;
pub mod sampling;
pub mod trace;
pub mod wire;
