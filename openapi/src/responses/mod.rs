//! Responses: a conversation's turn as items, kept on the server so that the next one need not send them again.

mod event;
mod item;
mod request;
mod response;

pub use event::*;
pub use item::*;
pub use request::*;
pub use response::*;
