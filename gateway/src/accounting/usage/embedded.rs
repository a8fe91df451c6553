//! Usage in one transactional file.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use futures_util::FutureExt;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};

use super::{Answer, Batch, Counts, Day, Query, Spent, UsageError, UsageStore};
use crate::database;

type Key = (u32, &'static str, &'static str);

const USAGE: TableDefinition<'static, Key, [u64; 5]> = TableDefinition::new("usage");

/// A store in a file that this process alone has open.
pub struct EmbeddedUsage(Arc<Database>);

impl EmbeddedUsage {
    /// Opens the file, or makes it.
    ///
    /// # Errors
    /// Another process has it open, or it is not readable.
    pub fn open(path: &Path) -> Result<Self, UsageError> {
        Self::with(database::open(path).map_err(UsageError::of)?)
    }

    #[cfg(test)]
    pub(crate) fn in_memory() -> Self {
        let backend = redb::backends::InMemoryBackend::new();
        Self::with(Database::builder().create_with_backend(backend).expect("memory")).expect("a fresh store")
    }

    fn with(database: Database) -> Result<Self, UsageError> {
        let writing = database.begin_write().map_err(UsageError::of)?;
        writing.open_table(USAGE).map_err(UsageError::of)?;
        writing.commit().map_err(UsageError::of)?;
        Ok(Self(Arc::new(database)))
    }
}

/// A batch is one transaction: either answered and added, or neither, so its name is not needed.
fn add(database: &Database, batch: &Batch, oldest: Day) -> Result<(), UsageError> {
    let writing = database.begin_write().map_err(UsageError::of)?;
    {
        let mut table = writing.open_table(USAGE).map_err(UsageError::of)?;
        for (row, counts) in &batch.rows {
            let key = (row.day.0, &*row.subject, &*row.model);
            let old = table.get(key).map_err(UsageError::of)?.map(|value| value.value());
            let mut sum = Counts::from_array(old.unwrap_or_default());
            sum.add(counts);
            table.insert(key, sum.to_array()).map_err(UsageError::of)?;
        }
        table.retain_in((0, "", "")..(oldest.0, "", ""), |_, _| false).map_err(UsageError::of)?;
    }
    writing.commit().map_err(UsageError::of)
}

/// All rows of a range of days, or of one subject day by day: so nobody's own rows are looked for among all others'.
fn rows(database: &Database, query: &Query) -> Result<Vec<(Spent, Counts)>, UsageError> {
    let reading = database.begin_read().map_err(UsageError::of)?;
    let table = reading.open_table(USAGE).map_err(UsageError::of)?;
    let mut found = Vec::new();
    match &query.subject {
        None => read(&table, (query.from.0, "", "")..(query.to.next().0, "", ""), query, &mut found)?,
        Some(subject) => {
            let behind = format!("{subject}\0");
            for day in query.from.0..=query.to.0 {
                read(&table, (day, subject.as_str(), "")..(day, behind.as_str(), ""), query, &mut found)?;
            }
        }
    }
    Ok(found)
}

fn read(
    table: &impl ReadableTable<Key, [u64; 5]>,
    range: Range<(u32, &str, &str)>,
    query: &Query,
    found: &mut Vec<(Spent, Counts)>,
) -> Result<(), UsageError> {
    for entry in table.range(range).map_err(UsageError::of)? {
        if found.len() == query.most {
            break;
        }
        let (key, counts) = entry.map_err(UsageError::of)?;
        let (day, subject, model) = key.value();
        let row = Spent { day: Day(day), subject: subject.into(), model: model.into() };
        if query.wants(&row) {
            found.push((row, Counts::from_array(counts.value())));
        }
    }
    Ok(())
}

impl UsageStore for EmbeddedUsage {
    fn add<'a>(&'a self, batch: &'a Arc<Batch>, oldest: Day) -> Answer<'a, ()> {
        let (database, batch) = (Arc::clone(&self.0), Arc::clone(batch));
        let added = tokio::task::spawn_blocking(move || add(&database, &batch, oldest));
        async move { added.await.map_err(UsageError::of)? }.boxed()
    }

    fn rows<'a>(&'a self, query: &'a Query) -> Answer<'a, Vec<(Spent, Counts)>> {
        let (database, query) = (Arc::clone(&self.0), query.clone());
        let found = tokio::task::spawn_blocking(move || rows(&database, &query));
        async move { found.await.map_err(UsageError::of)? }.boxed()
    }
}

impl std::fmt::Debug for EmbeddedUsage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EmbeddedUsage").finish_non_exhaustive()
    }
}
