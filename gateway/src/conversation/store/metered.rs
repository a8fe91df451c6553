//! A store of conversations whose operations are timed.

use std::sync::Arc;

use bytes::Bytes;

use super::{Answer, Conversation, ConversationStore, Entry, Kept, Listed, Response, Turn};
use crate::telemetry::metrics::store::Store;

/// Times what it hands on.
pub struct Metered {
    inner: Arc<dyn ConversationStore>,
    handles: Store,
}

impl Metered {
    /// Over a store.
    pub fn new(inner: Arc<dyn ConversationStore>, handles: Store) -> Self {
        Self { inner, handles }
    }

    fn time<'a, T: Send + 'a>(&'a self, operation: &'static str, answer: Answer<'a, T>) -> Answer<'a, T> {
        Box::pin(self.handles.time(operation, |_| true, answer))
    }
}

impl ConversationStore for Metered {
    fn create<'a>(
        &'a self,
        owner: &'a str,
        conversation: &'a Conversation,
        items: &'a [Entry],
    ) -> Answer<'a, ()> {
        self.time("create", self.inner.create(owner, conversation, items))
    }

    fn conversation<'a>(&'a self, owner: &'a str, id: &'a str) -> Answer<'a, Option<Conversation>> {
        self.time("conversation", self.inner.conversation(owner, id))
    }

    fn load<'a>(&'a self, owner: &'a str, id: &'a str) -> Answer<'a, Option<(Conversation, Vec<Entry>)>> {
        self.time("load", self.inner.load(owner, id))
    }

    fn set_metadata<'a>(&'a self, owner: &'a str, id: &'a str, metadata: Bytes) -> Answer<'a, bool> {
        self.time("set_metadata", self.inner.set_metadata(owner, id, metadata))
    }

    fn add_items<'a>(&'a self, owner: &'a str, id: &'a str, items: &'a [Entry]) -> Answer<'a, Kept> {
        self.time("add_items", self.inner.add_items(owner, id, items))
    }

    fn remove_item<'a>(&'a self, owner: &'a str, id: &'a str, item: &'a str) -> Answer<'a, bool> {
        self.time("remove_item", self.inner.remove_item(owner, id, item))
    }

    fn remove_conversation<'a>(&'a self, owner: &'a str, id: &'a str) -> Answer<'a, bool> {
        self.time("remove_conversation", self.inner.remove_conversation(owner, id))
    }

    fn keep<'a>(&'a self, owner: &'a str, turn: &'a Turn) -> Answer<'a, Kept> {
        self.time("keep", self.inner.keep(owner, turn))
    }

    fn response<'a>(&'a self, owner: &'a str, id: &'a str) -> Answer<'a, Option<Response>> {
        self.time("response", self.inner.response(owner, id))
    }

    fn chain<'a>(&'a self, owner: &'a str, id: &'a str) -> Answer<'a, Option<Vec<Response>>> {
        self.time("chain", self.inner.chain(owner, id))
    }

    fn remove_response<'a>(&'a self, owner: &'a str, id: &'a str) -> Answer<'a, bool> {
        self.time("remove_response", self.inner.remove_response(owner, id))
    }

    fn list<'a>(&'a self, owner: &'a str, after: Option<&'a Listed>, most: usize) -> Answer<'a, Vec<Listed>> {
        self.time("list", self.inner.list(owner, after, most))
    }

    fn forget<'a>(&'a self, owner: &'a str) -> Answer<'a, u64> {
        self.time("forget", self.inner.forget(owner))
    }

    fn sweep(&self) -> Answer<'_, ()> {
        self.time("sweep", self.inner.sweep())
    }
}
