//! Where conversations and responses are kept: what every store must do, whatever it is made of.
//!
//! Everything belongs to an owner, and nothing is found without naming it. Content is opaque here: bytes that were
//! sealed or not before they came. A thing that was not used for the time of [`Retention`] is gone, whether or not
//! it has been swept out yet.

#[cfg(test)]
mod conformance;
pub mod embedded;
pub mod metered;
pub mod redis;

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;

/// The store could not be used. Its text is for the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the store of conversations failed: {0}")]
pub struct StoreError(pub String);

impl StoreError {
    /// Of whatever it was that failed.
    pub fn of(error: impl std::fmt::Display) -> Self {
        Self(error.to_string())
    }
}

/// What a store answers, in its time.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

/// How long and how much is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// How long a thing is kept after it was last used.
    pub keep_for: Duration,
    /// Items of one conversation at most, and responses of one chain.
    pub most_items: usize,
}

/// One item of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// `msg_…` and the like: unique in its conversation.
    pub id: String,
    /// The item.
    pub content: Bytes,
}

/// A conversation, without its items.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conversation {
    /// `conv_…`.
    pub id: String,
    /// Unix seconds.
    pub created_at: u64,
    /// Counts the changes of its items: who appends says which state it went on from.
    pub head: u64,
    /// The client's notes.
    pub metadata: Bytes,
}

/// A response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// `resp_…`.
    pub id: String,
    /// Unix seconds.
    pub created_at: u64,
    /// Nothing will change it any more. While it is not, it may be written again.
    pub finished: bool,
    /// The response that it goes on from.
    pub previous: Option<String>,
    /// The answer, output included.
    pub body: Bytes,
    /// The input items of this response alone.
    pub input: Bytes,
}

/// What a conversation gains by a turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Append {
    /// Which conversation.
    pub conversation: String,
    /// The state that the turn went on from.
    pub head: u64,
    /// Its new items, in order.
    pub items: Vec<Entry>,
}

/// One request and its answer, kept wholly or not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// The answer's id: a turn that was kept is not kept again.
    pub id: String,
    /// For its conversation, if it has one.
    pub append: Option<Append>,
    /// The response, where it is stored.
    pub response: Option<Response>,
}

/// What came of keeping a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// It is kept, or was before.
    Done,
    /// Its conversation is gone; nothing was kept.
    NoConversation,
    /// Another turn was faster; nothing was kept.
    Conflict {
        /// The state that the conversation is in now.
        head: u64,
    },
    /// The conversation has no room for it; nothing was kept.
    Full,
}

/// What kind of thing it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A conversation.
    Conversation,
    /// A response.
    Response,
}

/// One of an owner's things.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listed {
    /// What it is.
    pub kind: Kind,
    /// Its id.
    pub id: String,
}

/// Keeps conversations and responses of many owners.
pub trait ConversationStore: Send + Sync + 'static {
    /// Makes a conversation with its first items. Its id is new.
    fn create<'a>(
        &'a self,
        owner: &'a str,
        conversation: &'a Conversation,
        items: &'a [Entry],
    ) -> Answer<'a, ()>;

    /// A conversation without its items.
    fn conversation<'a>(&'a self, owner: &'a str, id: &'a str) -> Answer<'a, Option<Conversation>>;

    /// A conversation and all its items, in order. Counts as a use.
    fn load<'a>(&'a self, owner: &'a str, id: &'a str) -> Answer<'a, Option<(Conversation, Vec<Entry>)>>;

    /// Replaces a conversation's metadata. `false` where there is none.
    fn set_metadata<'a>(&'a self, owner: &'a str, id: &'a str, metadata: Bytes) -> Answer<'a, bool>;

    /// Adds items that belong to no turn, whatever state the conversation is in.
    fn add_items<'a>(&'a self, owner: &'a str, id: &'a str, items: &'a [Entry]) -> Answer<'a, Kept>;

    /// Removes an item. `false` where there is none.
    fn remove_item<'a>(&'a self, owner: &'a str, id: &'a str, item: &'a str) -> Answer<'a, bool>;

    /// Removes a conversation with its items; responses made in it stay. `false` where there is none.
    fn remove_conversation<'a>(&'a self, owner: &'a str, id: &'a str) -> Answer<'a, bool>;

    /// Keeps a turn: all of it, or nothing.
    fn keep<'a>(&'a self, owner: &'a str, turn: &'a Turn) -> Answer<'a, Kept>;

    /// A response.
    fn response<'a>(&'a self, owner: &'a str, id: &'a str) -> Answer<'a, Option<Response>>;

    /// A response and those it goes on from, the oldest first. `None` where one of them is gone, or there are more
    /// than the retention allows. Counts as a use of each.
    fn chain<'a>(&'a self, owner: &'a str, id: &'a str) -> Answer<'a, Option<Vec<Response>>>;

    /// Removes a response. `false` where there is none.
    fn remove_response<'a>(&'a self, owner: &'a str, id: &'a str) -> Answer<'a, bool>;

    /// What an owner has, in order, behind `after`.
    fn list<'a>(&'a self, owner: &'a str, after: Option<&'a Listed>, most: usize) -> Answer<'a, Vec<Listed>>;

    /// Removes all that an owner has; says how many things that were.
    fn forget<'a>(&'a self, owner: &'a str) -> Answer<'a, u64>;

    /// Frees the place of what is gone.
    fn sweep(&self) -> Answer<'_, ()>;
}
