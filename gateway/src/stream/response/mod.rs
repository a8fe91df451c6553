//! Answers of the Responses API: as events, and folded.

mod answer;
mod draft;
mod fold;
mod wire;

pub use answer::{Answer, Change};
pub use draft::{Draft, Ending};
pub use fold::fold;
pub(in crate::stream) use fold::status_of;
pub use wire::ResponseWire;
