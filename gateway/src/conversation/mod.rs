//! Conversations and responses that are kept, so that clients need not send their history again.
//!
//! A turn is kept wholly or not at all, before its client is told of its end. Two requests that go on from one state of
//! a conversation do not both win: the second is told so, and nothing of it is kept. Responses that go on from one
//! response are branches, and all are kept.

mod error;
pub mod events;
pub mod fit;
pub mod ids;
pub mod item;
mod replay;
mod seal;
pub mod store;
mod turn;

use std::sync::Arc;

use bytes::Bytes;
use openapi::conversations::{Conversation as WireConversation, Metadata};
use openapi::responses::{Item, Response as WireResponse};
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use self::error::ConversationError;
use self::events::EventLog;
pub use self::seal::{Seal, SealError};
use self::store::{Conversation, ConversationStore, Entry, Kept, Kind, Listed, Response};
pub use self::turn::{Context, Link, NewTurn};
use crate::clock::Clock;

/// From one sweep to the next.
const SWEEP_EVERY: std::time::Duration = std::time::Duration::from_mins(10);

/// What is kept, opened and sealed where it passes.
pub struct Conversations {
    store: Arc<dyn ConversationStore>,
    seal: Seal,
    events: Arc<dyn EventLog>,
    clock: Clock,
    keep_partial: bool,
}

impl Conversations {
    /// Over a store. `keep_partial`: what was made before a client left is kept, marked incomplete.
    pub fn new(
        store: Arc<dyn ConversationStore>,
        events: Arc<dyn EventLog>,
        seal: Seal,
        clock: Clock,
        keep_partial: bool,
    ) -> Self {
        Self { store, seal, events, clock, keep_partial }
    }

    /// Over a store in memory, which is kept nowhere else.
    #[cfg(test)]
    pub(crate) fn in_memory() -> Self {
        let retention = store::Retention { keep_for: std::time::Duration::from_hours(1), most_items: 100 };
        let store = store::embedded::EmbeddedConversations::in_memory(retention, Clock::System);
        let events = Arc::new(events::memory::MemoryLog::new(Clock::System));
        Self::new(Arc::new(store), events, Seal::default(), Clock::System, true)
    }

    /// Whether what was made before a client left is kept.
    pub fn keeps_partial(&self) -> bool {
        self.keep_partial
    }

    /// Unix seconds.
    pub fn now(&self) -> u64 {
        self.clock.now_s()
    }

    /// Makes a conversation; gives its items their ids.
    pub async fn create(
        &self,
        owner: &str,
        items: Vec<Item>,
        metadata: &Metadata,
    ) -> Result<WireConversation, ConversationError> {
        let id = ids::fresh("conv");
        let conversation =
            Conversation { created_at: self.now(), head: 0, metadata: self.close(owner, &id, metadata), id };
        let entries = self.entries(owner, &named(items));
        self.store.create(owner, &conversation, &entries).await?;
        self.shown(owner, conversation)
    }

    /// A conversation.
    pub async fn conversation(&self, owner: &str, id: &str) -> Result<WireConversation, ConversationError> {
        let found = if ids::is_id(id) { self.store.conversation(owner, id).await? } else { None };
        self.shown(owner, found.ok_or_else(|| no_conversation(id))?)
    }

    /// Replaces a conversation's metadata.
    pub async fn set_metadata(
        &self,
        owner: &str,
        id: &str,
        metadata: &Metadata,
    ) -> Result<WireConversation, ConversationError> {
        let sealed = self.close(owner, id, metadata);
        if !ids::is_id(id) || !self.store.set_metadata(owner, id, sealed).await? {
            return Err(no_conversation(id));
        }
        self.conversation(owner, id).await
    }

    /// Removes a conversation and its items.
    pub async fn remove(&self, owner: &str, id: &str) -> Result<(), ConversationError> {
        let removed = ids::is_id(id) && self.store.remove_conversation(owner, id).await?;
        if removed { Ok(()) } else { Err(no_conversation(id)) }
    }

    /// All items of a conversation, in order.
    pub async fn items(&self, owner: &str, id: &str) -> Result<Vec<Item>, ConversationError> {
        Ok(self.load(owner, id).await?.1)
    }

    /// A conversation with its items.
    pub async fn whole(
        &self,
        owner: &str,
        id: &str,
    ) -> Result<(WireConversation, Vec<Item>), ConversationError> {
        let (stored, items) = self.load(owner, id).await?;
        Ok((self.shown(owner, stored)?, items))
    }

    /// Adds items; gives them with their ids.
    pub async fn add_items(
        &self,
        owner: &str,
        id: &str,
        items: Vec<Item>,
    ) -> Result<Vec<Item>, ConversationError> {
        let items = named(items);
        if !ids::is_id(id) {
            return Err(no_conversation(id));
        }
        outcome(self.store.add_items(owner, id, &self.entries(owner, &items)).await?, id)?;
        Ok(items)
    }

    /// Removes an item.
    pub async fn remove_item(&self, owner: &str, id: &str, item: &str) -> Result<(), ConversationError> {
        let removed = ids::is_id(id) && ids::is_id(item) && self.store.remove_item(owner, id, item).await?;
        if removed { Ok(()) } else { Err(not_found("item", item)) }
    }

    /// A response as it is stored.
    pub async fn response(&self, owner: &str, id: &str) -> Result<WireResponse, ConversationError> {
        self.open(owner, id, &self.stored(owner, id).await?.body)
    }

    /// The input items of a response.
    pub async fn input_items(&self, owner: &str, id: &str) -> Result<Vec<Item>, ConversationError> {
        self.open(owner, id, &self.stored(owner, id).await?.input)
    }

    /// A response with its input items.
    pub async fn whole_response(
        &self,
        owner: &str,
        id: &str,
    ) -> Result<(WireResponse, Vec<Item>), ConversationError> {
        let stored = self.stored(owner, id).await?;
        Ok((self.open(owner, id, &stored.body)?, self.open(owner, id, &stored.input)?))
    }

    /// Removes a response.
    pub async fn remove_response(&self, owner: &str, id: &str) -> Result<(), ConversationError> {
        if !ids::is_id(id) || !self.store.remove_response(owner, id).await? {
            return Err(not_found("response", id));
        }
        Ok(self.events.remove(owner, id).await?)
    }

    /// What a request goes on from.
    pub async fn context(&self, owner: &str, link: &Link) -> Result<Context, ConversationError> {
        match link {
            Link::None => Ok(Context::default()),
            Link::Conversation(id) => {
                let (Conversation { head, .. }, items) = self.load(owner, id).await?;
                Ok(Context { items, head, origin: Some(id.clone()) })
            }
            Link::Previous(id) => self.chain(owner, id).await,
        }
    }

    /// Keeps a turn. Where this fails, nothing of it is kept.
    pub async fn keep(&self, owner: &str, turn: NewTurn) -> Result<(), ConversationError> {
        let conversation = match &turn.link {
            Link::Conversation(id) => Some(id.clone()),
            Link::None | Link::Previous(_) => None,
        };
        let stored = turn.stored(owner, self);
        if stored.append.is_none() && stored.response.is_none() {
            return Ok(());
        }
        let kept = self.store.keep(owner, &stored).await?;
        outcome(kept, conversation.as_deref().unwrap_or(&stored.id))
    }

    /// What an owner has: the ids, in order, behind one of them.
    pub async fn list(
        &self,
        owner: &str,
        after: Option<&Listed>,
        most: usize,
    ) -> Result<Vec<Listed>, ConversationError> {
        Ok(self.store.list(owner, after, most).await?)
    }

    /// Removes all that an owner has; says how many things that were.
    pub async fn forget(&self, owner: &str) -> Result<u64, ConversationError> {
        Ok(self.store.forget(owner).await?)
    }

    /// Frees the place of what was not used for too long, until `stop`.
    pub async fn keep_sweeping(self: Arc<Self>, stop: impl Future<Output = ()> + Send) {
        let mut stop = std::pin::pin!(stop);
        let mut beat = tokio::time::interval(SWEEP_EVERY);
        loop {
            tokio::select! {
                () = &mut stop => return,
                _ = beat.tick() => {}
            }
            if let Err(error) = self.store.sweep().await {
                tracing::warn!(%error, "conversations that ended could not be swept out");
            }
        }
    }

    async fn stored(&self, owner: &str, id: &str) -> Result<Response, ConversationError> {
        let found = if ids::is_id(id) { self.store.response(owner, id).await? } else { None };
        found.ok_or_else(|| not_found("response", id))
    }

    async fn load(&self, owner: &str, id: &str) -> Result<(Conversation, Vec<Item>), ConversationError> {
        let found = if ids::is_id(id) { self.store.load(owner, id).await? } else { None };
        let (conversation, entries) = found.ok_or_else(|| no_conversation(id))?;
        let items: Result<Vec<Item>, _> =
            entries.iter().map(|entry| self.open(owner, &entry.id, &entry.content)).collect();
        Ok((conversation, items?))
    }

    async fn chain(&self, owner: &str, id: &str) -> Result<Context, ConversationError> {
        let found = if ids::is_id(id) { self.store.chain(owner, id).await? } else { None };
        let chain = found.ok_or_else(|| not_found("response", id))?;
        if let Some(open) = chain.iter().find(|response| !response.finished) {
            return Err(ConversationError::Unfinished(open.id.clone()));
        }
        let mut items = Vec::new();
        for Response { id, body, input, .. } in &chain {
            items.append(&mut self.open::<Vec<Item>>(owner, id, input)?);
            items.append(&mut self.open::<WireResponse>(owner, id, body)?.output);
        }
        Ok(Context { items, head: 0, origin: chain.into_iter().next().map(|first| first.id) })
    }

    fn shown(&self, owner: &str, stored: Conversation) -> Result<WireConversation, ConversationError> {
        let metadata = self.open(owner, &stored.id, &stored.metadata)?;
        Ok(WireConversation {
            id: stored.id,
            object: "conversation".to_owned(),
            created_at: stored.created_at,
            metadata,
        })
    }

    fn entries(&self, owner: &str, items: &[Item]) -> Vec<Entry> {
        let entry =
            |item: &Item| Entry { id: item.id().to_owned(), content: self.close(owner, item.id(), item) };
        items.iter().map(entry).collect()
    }

    fn close(&self, owner: &str, id: &str, content: &impl Serialize) -> Bytes {
        // Wire types have string keys and finite numbers: they always serialise.
        let json = serde_json::to_vec(content).unwrap_or_default();
        self.seal.close(owner, id, &json)
    }

    fn open<T: DeserializeOwned>(
        &self,
        owner: &str,
        id: &str,
        stored: &Bytes,
    ) -> Result<T, ConversationError> {
        let unreadable = || ConversationError::Unreadable(id.to_owned());
        let json = self.seal.open(owner, id, stored).ok_or_else(unreadable)?;
        serde_json::from_slice(&json).map_err(|_| unreadable())
    }
}

/// What is stored under an id, for a list.
pub fn kind_of(id: &str) -> Option<Kind> {
    match id.split_once('_')?.0 {
        "conv" => Some(Kind::Conversation),
        "resp" => Some(Kind::Response),
        _ => None,
    }
}

/// Items with ids of their own: those that clients send may be somebody else's.
fn named(mut items: Vec<Item>) -> Vec<Item> {
    for item in &mut items {
        item.set_id(ids::fresh(item.prefix()));
    }
    items
}

fn not_found(kind: &'static str, id: &str) -> ConversationError {
    ConversationError::NotFound { kind, id: id.chars().take(128).collect() }
}

fn no_conversation(id: &str) -> ConversationError {
    not_found("conversation", id)
}

fn outcome(kept: Kept, id: &str) -> Result<(), ConversationError> {
    match kept {
        Kept::Done => Ok(()),
        Kept::NoConversation => Err(no_conversation(id)),
        Kept::Conflict { head } => Err(ConversationError::Conflict { head }),
        Kept::Full => Err(ConversationError::Full),
    }
}

impl std::fmt::Debug for Conversations {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Conversations").finish_non_exhaustive()
    }
}
