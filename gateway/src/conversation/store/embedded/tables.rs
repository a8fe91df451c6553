//! The tables of the file, and how they are changed in one transaction.

use bytes::Bytes;
use redb::{Database, ReadableTable, Table, TableDefinition, WriteTransaction};

use super::Terms;
use crate::conversation::store::{Conversation, Entry, Kept, Response, StoreError, Turn};

/// Made, head, end, the next item's place, metadata, the last turns with spaces between them.
pub(super) type ConversationRow = (u64, u64, u64, u64, &'static [u8], &'static str);
/// Made, end, finished, the one before it or nothing, body, input.
pub(super) type ResponseRow = (u64, u64, bool, &'static str, &'static [u8], &'static [u8]);
pub(super) type Name = (&'static str, &'static str);

pub(super) const CONVERSATIONS: TableDefinition<'_, Name, ConversationRow> =
    TableDefinition::new("conversations");
pub(super) const ITEMS: TableDefinition<'_, (&str, &str, u64), (&str, &[u8])> = TableDefinition::new("items");
pub(super) const RESPONSES: TableDefinition<'_, Name, ResponseRow> = TableDefinition::new("responses");

/// Turns that a conversation remembers, so that one that is sent again is not kept again.
const REMEMBERED: usize = 8;

pub(super) fn failed(error: impl std::fmt::Display) -> StoreError {
    StoreError::of(error)
}

/// Makes the tables.
pub(super) fn initialize(database: &Database) -> Result<(), StoreError> {
    let transaction = database.begin_write().map_err(failed)?;
    transaction.open_table(CONVERSATIONS).map_err(failed)?;
    transaction.open_table(ITEMS).map_err(failed)?;
    transaction.open_table(RESPONSES).map_err(failed)?;
    transaction.commit().map_err(failed)
}

/// A conversation's row, owned.
pub(super) struct Record {
    pub(super) created_at: u64,
    pub(super) head: u64,
    pub(super) expires_at: u64,
    next: u64,
    pub(super) metadata: Vec<u8>,
    turns: String,
}

/// A conversation's row, unless its time is over.
pub(super) fn record(
    table: &impl ReadableTable<Name, ConversationRow>,
    owner: &str,
    id: &str,
    now: u64,
) -> Result<Option<Record>, StoreError> {
    let row = table.get((owner, id)).map_err(failed)?;
    let row = row.map(|row| {
        let (created_at, head, expires_at, next, metadata, turns) = row.value();
        let (metadata, turns) = (metadata.to_vec(), turns.to_owned());
        Record { created_at, head, expires_at, next, metadata, turns }
    });
    Ok(row.filter(|record| record.expires_at > now))
}

/// A response and its end, unless its time is over.
pub(super) fn response(
    table: &impl ReadableTable<Name, ResponseRow>,
    owner: &str,
    id: &str,
    now: u64,
) -> Result<Option<(Response, u64)>, StoreError> {
    let row = table.get((owner, id)).map_err(failed)?;
    let row = row.map(|row| {
        let (created_at, expires_at, finished, previous, body, input) = row.value();
        let response = Response {
            id: id.to_owned(),
            created_at,
            finished,
            previous: (!previous.is_empty()).then(|| previous.to_owned()),
            body: Bytes::copy_from_slice(body),
            input: Bytes::copy_from_slice(input),
        };
        (response, expires_at)
    });
    Ok(row.filter(|(_, expires_at)| *expires_at > now))
}

/// Changing the file.
pub(super) struct Writing<'a> {
    transaction: &'a WriteTransaction,
    terms: &'a Terms,
}

impl<'a> Writing<'a> {
    pub(super) fn new(transaction: &'a WriteTransaction, terms: &'a Terms) -> Self {
        Self { transaction, terms }
    }

    fn conversations(&self) -> Result<Table<'a, Name, ConversationRow>, StoreError> {
        self.transaction.open_table(CONVERSATIONS).map_err(failed)
    }

    fn responses(&self) -> Result<Table<'a, Name, ResponseRow>, StoreError> {
        self.transaction.open_table(RESPONSES).map_err(failed)
    }

    fn record(&self, owner: &str, id: &str) -> Result<Option<Record>, StoreError> {
        record(&self.conversations()?, owner, id, self.terms.now())
    }

    fn put(&self, owner: &str, id: &str, record: &Record) -> Result<(), StoreError> {
        let Record { created_at, head, expires_at, next, metadata, turns } = record;
        let row = (*created_at, *head, *expires_at, *next, metadata.as_slice(), turns.as_str());
        self.conversations()?.insert((owner, id), row).map_err(failed)?;
        Ok(())
    }

    pub(super) fn create(
        &self,
        owner: &str,
        conversation: &Conversation,
        items: &[Entry],
    ) -> Result<(), StoreError> {
        self.remove_conversation(owner, &conversation.id)?;
        let mut record = Record {
            created_at: conversation.created_at,
            head: conversation.head,
            expires_at: self.terms.expiry(),
            next: 0,
            metadata: conversation.metadata.to_vec(),
            turns: String::new(),
        };
        self.append(owner, &conversation.id, &mut record, items)
    }

    /// Adds items to a conversation that was read in this transaction, and writes it.
    fn append(&self, owner: &str, id: &str, record: &mut Record, items: &[Entry]) -> Result<(), StoreError> {
        let mut table = self.transaction.open_table(ITEMS).map_err(failed)?;
        for item in items {
            let content: &[u8] = &item.content;
            table.insert((owner, id, record.next), (item.id.as_str(), content)).map_err(failed)?;
            record.next += 1;
        }
        record.head += u64::from(!items.is_empty());
        record.expires_at = self.terms.expiry();
        self.put(owner, id, record)
    }

    fn is_full(&self, owner: &str, id: &str, more: usize) -> Result<bool, StoreError> {
        let table = self.transaction.open_table(ITEMS).map_err(failed)?;
        let held = table.range((owner, id, 0)..=(owner, id, u64::MAX)).map_err(failed)?.count();
        Ok(held + more > self.terms.most_items)
    }

    pub(super) fn use_conversation(&self, owner: &str, id: &str) -> Result<(), StoreError> {
        let Some(mut record) = self.record(owner, id)? else { return Ok(()) };
        record.expires_at = self.terms.expiry();
        self.put(owner, id, &record)
    }

    pub(super) fn set_metadata(&self, owner: &str, id: &str, metadata: &[u8]) -> Result<bool, StoreError> {
        let Some(mut record) = self.record(owner, id)? else { return Ok(false) };
        record.metadata = metadata.to_vec();
        record.expires_at = self.terms.expiry();
        self.put(owner, id, &record)?;
        Ok(true)
    }

    pub(super) fn add_items(&self, owner: &str, id: &str, items: &[Entry]) -> Result<Kept, StoreError> {
        let Some(mut record) = self.record(owner, id)? else { return Ok(Kept::NoConversation) };
        if self.is_full(owner, id, items.len())? {
            return Ok(Kept::Full);
        }
        self.append(owner, id, &mut record, items)?;
        Ok(Kept::Done)
    }

    pub(super) fn remove_item(&self, owner: &str, id: &str, item: &str) -> Result<bool, StoreError> {
        let Some(mut record) = self.record(owner, id)? else { return Ok(false) };
        let mut table = self.transaction.open_table(ITEMS).map_err(failed)?;
        let mut place = None;
        for row in table.range((owner, id, 0)..=(owner, id, u64::MAX)).map_err(failed)? {
            let (key, row) = row.map_err(failed)?;
            if row.value().0 == item {
                place = Some(key.value().2);
                break;
            }
        }
        let Some(place) = place else { return Ok(false) };
        table.remove((owner, id, place)).map_err(failed)?;
        record.head += 1;
        self.put(owner, id, &record)?;
        Ok(true)
    }

    pub(super) fn remove_conversation(&self, owner: &str, id: &str) -> Result<bool, StoreError> {
        let there = self.record(owner, id)?.is_some();
        self.conversations()?.remove((owner, id)).map_err(failed)?;
        let mut items = self.transaction.open_table(ITEMS).map_err(failed)?;
        items.retain_in((owner, id, 0)..=(owner, id, u64::MAX), |_, _| false).map_err(failed)?;
        Ok(there)
    }

    pub(super) fn keep(&self, owner: &str, turn: &Turn) -> Result<Kept, StoreError> {
        let before = response(&self.responses()?, owner, &turn.id, self.terms.now())?;
        if before.is_some_and(|(before, _)| before.finished) {
            return Ok(Kept::Done);
        }
        if let Some(append) = &turn.append {
            let id = append.conversation.as_str();
            let Some(mut record) = self.record(owner, id)? else { return Ok(Kept::NoConversation) };
            if record.turns.split(' ').any(|kept| kept == turn.id) {
                return Ok(Kept::Done);
            }
            if record.head != append.head {
                return Ok(Kept::Conflict { head: record.head });
            }
            if self.is_full(owner, id, append.items.len())? {
                return Ok(Kept::Full);
            }
            record.turns = remembering(&record.turns, &turn.id);
            self.append(owner, id, &mut record, &append.items)?;
        }
        if let Some(response) = &turn.response {
            let previous = response.previous.as_deref().unwrap_or_default();
            let row = (
                response.created_at,
                self.terms.expiry(),
                response.finished,
                previous,
                &*response.body,
                &*response.input,
            );
            self.responses()?.insert((owner, response.id.as_str()), row).map_err(failed)?;
        }
        Ok(Kept::Done)
    }

    pub(super) fn use_responses(&self, owner: &str, ids: &[String]) -> Result<(), StoreError> {
        let mut table = self.responses()?;
        for id in ids {
            let Some((found, _)) = response(&table, owner, id, self.terms.now())? else { continue };
            let previous = found.previous.as_deref().unwrap_or_default();
            let expiry = self.terms.expiry();
            let row = (found.created_at, expiry, found.finished, previous, &*found.body, &*found.input);
            table.insert((owner, id.as_str()), row).map_err(failed)?;
        }
        Ok(())
    }

    pub(super) fn remove_response(&self, owner: &str, id: &str) -> Result<bool, StoreError> {
        let mut table = self.responses()?;
        let there = response(&table, owner, id, self.terms.now())?.is_some();
        table.remove((owner, id)).map_err(failed)?;
        Ok(there)
    }

    pub(super) fn forget(&self, owner: &str) -> Result<u64, StoreError> {
        let now = self.terms.now();
        let mut gone = 0;
        let ids = self.owned(owner)?;
        for id in ids {
            gone += u64::from(self.remove_conversation(owner, &id)?);
        }
        let mut responses = self.responses()?;
        let mut names = Vec::new();
        for row in responses.range((owner, "")..).map_err(failed)? {
            let (name, row) = row.map_err(failed)?;
            if name.value().0 != owner {
                break;
            }
            gone += u64::from(row.value().1 > now);
            names.push(name.value().1.to_owned());
        }
        for id in names {
            responses.remove((owner, id.as_str())).map_err(failed)?;
        }
        Ok(gone)
    }

    /// The ids of an owner's conversations, ended ones too.
    fn owned(&self, owner: &str) -> Result<Vec<String>, StoreError> {
        let mut ids = Vec::new();
        for row in self.conversations()?.range((owner, "")..).map_err(failed)? {
            let (name, _) = row.map_err(failed)?;
            if name.value().0 != owner {
                break;
            }
            ids.push(name.value().1.to_owned());
        }
        Ok(ids)
    }

    pub(super) fn sweep(&self) -> Result<(), StoreError> {
        let now = self.terms.now();
        let mut ended = Vec::new();
        for row in self.conversations()?.iter().map_err(failed)? {
            let (name, row) = row.map_err(failed)?;
            if row.value().2 <= now {
                let (owner, id) = name.value();
                ended.push((owner.to_owned(), id.to_owned()));
            }
        }
        for (owner, id) in ended {
            self.remove_conversation(&owner, &id)?;
        }
        self.responses()?.retain(|_, row| row.1 > now).map_err(failed)
    }
}

/// The turns that a conversation remembers, with one more.
fn remembering(turns: &str, id: &str) -> String {
    let skipped = (turns.split(' ').count() + 1).saturating_sub(REMEMBERED);
    let kept = turns.split(' ').filter(|turn| !turn.is_empty()).skip(skipped);
    kept.chain(std::iter::once(id)).collect::<Vec<_>>().join(" ")
}
