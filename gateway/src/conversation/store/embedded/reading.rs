//! Looking into the file.

use bytes::Bytes;
use redb::ReadTransaction;

use super::tables::{CONVERSATIONS, ITEMS, RESPONSES, Record, failed, record, response};
use crate::conversation::store::{Conversation, Entry, Kind, Listed, Response, StoreError};

/// A look into the file.
pub(super) struct Reading {
    transaction: ReadTransaction,
    now: u64,
}

impl Reading {
    pub(super) fn new(transaction: ReadTransaction, now: u64) -> Self {
        Self { transaction, now }
    }

    /// A conversation, and when it ends.
    pub(super) fn conversation(
        &self,
        owner: &str,
        id: &str,
    ) -> Result<Option<(Conversation, u64)>, StoreError> {
        let table = self.transaction.open_table(CONVERSATIONS).map_err(failed)?;
        let found = record(&table, owner, id, self.now)?;
        Ok(found.map(|Record { created_at, head, expires_at, metadata, .. }| {
            (Conversation { id: id.to_owned(), created_at, head, metadata: metadata.into() }, expires_at)
        }))
    }

    pub(super) fn items(&self, owner: &str, id: &str) -> Result<Vec<Entry>, StoreError> {
        let table = self.transaction.open_table(ITEMS).map_err(failed)?;
        let rows = table.range((owner, id, 0)..=(owner, id, u64::MAX)).map_err(failed)?;
        rows.map(|row| {
            let row = row.map_err(failed)?.1;
            let (id, content) = row.value();
            Ok(Entry { id: id.to_owned(), content: Bytes::copy_from_slice(content) })
        })
        .collect()
    }

    /// A response, and when it ends.
    pub(super) fn response(&self, owner: &str, id: &str) -> Result<Option<(Response, u64)>, StoreError> {
        response(&self.transaction.open_table(RESPONSES).map_err(failed)?, owner, id, self.now)
    }

    pub(super) fn chain(
        &self,
        owner: &str,
        id: &str,
        most: usize,
    ) -> Result<Option<Vec<(Response, u64)>>, StoreError> {
        let table = self.transaction.open_table(RESPONSES).map_err(failed)?;
        let mut chain = Vec::new();
        let mut next = Some(id.to_owned());
        while let Some(id) = next.take() {
            let Some(found) = response(&table, owner, &id, self.now)? else { return Ok(None) };
            next.clone_from(&found.0.previous);
            chain.push(found);
            if chain.len() > most {
                return Ok(None);
            }
        }
        chain.reverse();
        Ok(Some(chain))
    }

    pub(super) fn list(
        &self,
        owner: &str,
        after: Option<&Listed>,
        most: usize,
    ) -> Result<Vec<Listed>, StoreError> {
        let conversations = self.transaction.open_table(CONVERSATIONS).map_err(failed)?;
        let responses = self.transaction.open_table(RESPONSES).map_err(failed)?;
        let mut listed = Vec::new();
        let behind = |listed: &Listed| after.is_none_or(|after| listed > after);
        for row in conversations.range((owner, "")..).map_err(failed)? {
            let (name, row) = row.map_err(failed)?;
            if name.value().0 != owner || listed.len() == most {
                break;
            }
            let one = Listed { kind: Kind::Conversation, id: name.value().1.to_owned() };
            if row.value().2 > self.now && behind(&one) {
                listed.push(one);
            }
        }
        for row in responses.range((owner, "")..).map_err(failed)? {
            let (name, row) = row.map_err(failed)?;
            if name.value().0 != owner || listed.len() == most {
                break;
            }
            let one = Listed { kind: Kind::Response, id: name.value().1.to_owned() };
            if row.value().1 > self.now && behind(&one) {
                listed.push(one);
            }
        }
        Ok(listed)
    }
}
