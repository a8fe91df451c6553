//! Chat answers: as chunks, and folded.

mod chunks;
mod fold;

pub use chunks::ChatWire;
pub use fold::fold;
