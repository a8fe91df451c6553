//! The store in one transactional file: what is answered is on the disk, and a crash leaves no turn half kept.

mod reading;
mod tables;
mod writer;

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::ready;
use redb::{Database, ReadableDatabase};

use self::reading::Reading;
use self::tables::Writing;
use self::writer::Writer;
use super::{
    Answer, Conversation, ConversationStore, Entry, Kept, Listed, Response, Retention, StoreError, Turn,
};
use crate::clock::Clock;
use crate::database;

/// Uses are written down so exactly: a tenth of the time that a thing is kept.
const USES: u64 = 10;

/// A store in a file that this process alone has open.
pub struct EmbeddedConversations {
    database: Arc<Database>,
    writer: Writer,
    terms: Terms,
}

/// What the tables need to know.
#[derive(Debug, Clone)]
pub(super) struct Terms {
    clock: Clock,
    keep_for: u64,
    most_items: usize,
}

impl Terms {
    fn now(&self) -> u64 {
        self.clock.now_s()
    }

    fn expiry(&self) -> u64 {
        self.now().saturating_add(self.keep_for)
    }

    /// Whether a use is worth being written down.
    fn is_stale(&self, expires_at: u64) -> bool {
        self.expiry().saturating_sub(expires_at) > self.keep_for / USES
    }
}

impl EmbeddedConversations {
    /// Opens the file, or makes it.
    ///
    /// # Errors
    /// Another process has it open, or it is not readable: never a fresh store in the place of a broken one.
    pub fn open(path: &Path, retention: Retention, clock: Clock) -> Result<Self, StoreError> {
        Self::over(database::open(path).map_err(StoreError::of)?, retention, clock)
    }

    /// A store that is kept nowhere else.
    #[cfg(test)]
    pub(crate) fn in_memory(retention: Retention, clock: Clock) -> Self {
        let backend = redb::backends::InMemoryBackend::new();
        let database = Database::builder().create_with_backend(backend).expect("memory");
        Self::over(database, retention, clock).expect("a fresh store")
    }

    fn over(database: Database, retention: Retention, clock: Clock) -> Result<Self, StoreError> {
        let database = Arc::new(database);
        tables::initialize(&database)?;
        let writer = Writer::start(Arc::clone(&database))?;
        let Retention { keep_for, most_items } = retention;
        Ok(Self { database, writer, terms: Terms { clock, keep_for: keep_for.as_secs(), most_items } })
    }

    /// Reads cost microseconds: they run where they are asked for.
    fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Reading) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let transaction = self.database.begin_read().map_err(StoreError::of)?;
        read(&Reading::new(transaction, self.terms.now()))
    }

    /// Writes wait for the disk, many of them together.
    fn write<T: Send + 'static>(
        &self,
        write: impl FnOnce(&mut Writing<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Answer<'_, T> {
        let terms = self.terms.clone();
        self.writer.run(move |transaction| write(&mut Writing::new(transaction, &terms)))
    }
}

impl ConversationStore for EmbeddedConversations {
    fn create<'a>(
        &'a self,
        owner: &'a str,
        conversation: &'a Conversation,
        items: &'a [Entry],
    ) -> Answer<'a, ()> {
        let (owner, conversation, items) = (owner.to_owned(), conversation.clone(), items.to_vec());
        self.write(move |writing| writing.create(&owner, &conversation, &items))
    }

    fn conversation<'a>(&'a self, owner: &'a str, id: &'a str) -> Answer<'a, Option<Conversation>> {
        ready(self.read(|reading| Ok(reading.conversation(owner, id)?.map(|(found, _)| found)))).boxed()
    }

    fn load<'a>(&'a self, owner: &'a str, id: &'a str) -> Answer<'a, Option<(Conversation, Vec<Entry>)>> {
        async move {
            let found = self.read(|reading| {
                let Some((conversation, expires_at)) = reading.conversation(owner, id)? else {
                    return Ok(None);
                };
                Ok(Some((conversation, reading.items(owner, id)?, expires_at)))
            })?;
            let Some((conversation, items, expires_at)) = found else { return Ok(None) };
            if self.terms.is_stale(expires_at) {
                let (owner, id) = (owner.to_owned(), id.to_owned());
                self.write(move |writing| writing.use_conversation(&owner, &id)).await?;
            }
            Ok(Some((conversation, items)))
        }
        .boxed()
    }

    fn set_metadata<'a>(&'a self, owner: &'a str, id: &'a str, metadata: Bytes) -> Answer<'a, bool> {
        let (owner, id) = (owner.to_owned(), id.to_owned());
        self.write(move |writing| writing.set_metadata(&owner, &id, &metadata))
    }

    fn add_items<'a>(&'a self, owner: &'a str, id: &'a str, items: &'a [Entry]) -> Answer<'a, Kept> {
        let (owner, id, items) = (owner.to_owned(), id.to_owned(), items.to_vec());
        self.write(move |writing| writing.add_items(&owner, &id, &items))
    }

    fn remove_item<'a>(&'a self, owner: &'a str, id: &'a str, item: &'a str) -> Answer<'a, bool> {
        let (owner, id, item) = (owner.to_owned(), id.to_owned(), item.to_owned());
        self.write(move |writing| writing.remove_item(&owner, &id, &item))
    }

    fn remove_conversation<'a>(&'a self, owner: &'a str, id: &'a str) -> Answer<'a, bool> {
        let (owner, id) = (owner.to_owned(), id.to_owned());
        self.write(move |writing| writing.remove_conversation(&owner, &id))
    }

    fn keep<'a>(&'a self, owner: &'a str, turn: &'a Turn) -> Answer<'a, Kept> {
        let (owner, turn) = (owner.to_owned(), turn.clone());
        self.write(move |writing| writing.keep(&owner, &turn))
    }

    fn response<'a>(&'a self, owner: &'a str, id: &'a str) -> Answer<'a, Option<Response>> {
        ready(self.read(|reading| Ok(reading.response(owner, id)?.map(|(found, _)| found)))).boxed()
    }

    fn chain<'a>(&'a self, owner: &'a str, id: &'a str) -> Answer<'a, Option<Vec<Response>>> {
        async move {
            let Some(chain) = self.read(|reading| reading.chain(owner, id, self.terms.most_items))? else {
                return Ok(None);
            };
            let stale: Vec<String> = chain
                .iter()
                .filter(|(_, expires_at)| self.terms.is_stale(*expires_at))
                .map(|(response, _)| response.id.clone())
                .collect();
            if !stale.is_empty() {
                let owner = owner.to_owned();
                self.write(move |writing| writing.use_responses(&owner, &stale)).await?;
            }
            Ok(Some(chain.into_iter().map(|(response, _)| response).collect()))
        }
        .boxed()
    }

    fn remove_response<'a>(&'a self, owner: &'a str, id: &'a str) -> Answer<'a, bool> {
        let (owner, id) = (owner.to_owned(), id.to_owned());
        self.write(move |writing| writing.remove_response(&owner, &id))
    }

    fn list<'a>(&'a self, owner: &'a str, after: Option<&'a Listed>, most: usize) -> Answer<'a, Vec<Listed>> {
        ready(self.read(|reading| reading.list(owner, after, most))).boxed()
    }

    fn forget<'a>(&'a self, owner: &'a str) -> Answer<'a, u64> {
        let owner = owner.to_owned();
        self.write(move |writing| writing.forget(&owner))
    }

    fn sweep(&self) -> Answer<'_, ()> {
        self.write(|writing| writing.sweep())
    }
}

impl std::fmt::Debug for EmbeddedConversations {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EmbeddedConversations").finish_non_exhaustive()
    }
}
