//! Usage in the Redis that replicas share.
//!
//! A day's counts of a subject are one hash; which subjects a day has is a sorted set of its own. The set is written
//! first: a subject without counts shows nothing, counts without their subject would not be found.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::FutureExt;
use redis::{Script, cmd};

use super::{Answer, Batch, Counts, Day, KEPT_DAYS, Query, Spent, UsageError, UsageStore};
use crate::redis_link::{RedisLink, tag};

/// Between a model's name and the kind of count, in a field's name. No model has one: names are checked at load.
const BETWEEN: char = '\n';
/// The kinds of counts, in the order of [`Counts::to_array`].
const KINDS: [&str; 5] = ["requests", "failed", "prompt_tokens", "cached_tokens", "completion_tokens"];
/// Subjects of a day that are read in one go.
const PAGE: usize = 200;

/// A store that replicas share.
#[derive(Debug)]
pub struct RedisUsage {
    link: RedisLink,
    add: Script,
}

impl RedisUsage {
    /// A store behind a link.
    pub fn new(link: RedisLink) -> Self {
        Self { link, add: Script::new(include_str!("add.lua")) }
    }

    async fn add_batch(&self, batch: &Batch) -> Result<(), UsageError> {
        let mut by_subject: BTreeMap<(Day, &str), Vec<(&str, &Counts)>> = BTreeMap::new();
        for (row, counts) in &batch.rows {
            by_subject.entry((row.day, &row.subject)).or_default().push((&row.model, counts));
        }
        let kept = u64::from(KEPT_DAYS) * 86_400;
        for ((day, subject), models) in by_subject {
            let mut index = redis::pipe();
            index.zadd(subjects_of(day), subject, 0).ignore();
            index.cmd("EXPIRE").arg(subjects_of(day)).arg(kept).ignore();
            let () = self.link.pipeline(&index).await.map_err(UsageError::of)?;
            let mut call = self.add.key(counts_of(day, subject));
            call.key(format!("{}:batch:{}", counts_of(day, subject), batch.name)).arg(kept);
            for (model, counts) in models {
                for (kind, count) in KINDS.iter().zip(counts.to_array()).filter(|(_, count)| *count > 0) {
                    call.arg(format!("{model}{BETWEEN}{kind}")).arg(count);
                }
            }
            let _: i64 = self.link.run(&call).await.map_err(UsageError::of)?;
        }
        Ok(())
    }

    async fn find(&self, query: &Query) -> Result<Vec<(Spent, Counts)>, UsageError> {
        let mut found = Vec::new();
        let first = query.after.as_ref().map_or(query.from, |after| after.day.max(query.from));
        let mut day = first;
        while day <= query.to && found.len() < query.most {
            match &query.subject {
                Some(subject) => found.extend(self.of_subject(day, subject).await?),
                None => self.of_day(day, query, &mut found).await?,
            }
            found.retain(|(row, _)| query.wants(row));
            day = day.next();
        }
        found.truncate(query.most);
        Ok(found)
    }

    async fn of_day(
        &self,
        day: Day,
        query: &Query,
        found: &mut Vec<(Spent, Counts)>,
    ) -> Result<(), UsageError> {
        // The subject of `after` may have more models behind it.
        let mut start = match query.after.as_ref().filter(|after| after.day == day) {
            Some(after) => format!("[{}", after.subject),
            None => "-".to_owned(),
        };
        while found.len() < query.most {
            let mut range = cmd("ZRANGEBYLEX");
            range.arg(subjects_of(day)).arg(&start).arg("+").arg("LIMIT").arg(0).arg(PAGE);
            let subjects: Vec<String> = self.link.query(&range).await.map_err(UsageError::of)?;
            for subject in &subjects {
                let rows = self.of_subject(day, subject).await?;
                found.extend(rows.into_iter().filter(|(row, _)| query.wants(row)));
            }
            match subjects.last() {
                Some(last) if subjects.len() == PAGE => start = format!("({last}"),
                _ => break,
            }
        }
        Ok(())
    }

    async fn of_subject(&self, day: Day, subject: &str) -> Result<Vec<(Spent, Counts)>, UsageError> {
        let fields: Vec<(String, u64)> =
            self.link.query(cmd("HGETALL").arg(counts_of(day, subject))).await.map_err(UsageError::of)?;
        let subject: Arc<str> = subject.into();
        let mut rows: BTreeMap<Spent, [u64; 5]> = BTreeMap::new();
        for (field, count) in &fields {
            let Some((model, kind)) = field.rsplit_once(BETWEEN) else { continue };
            let row = Spent { day, subject: Arc::clone(&subject), model: model.into() };
            let counts = rows.entry(row).or_default();
            for (_, slot) in KINDS.iter().zip(counts).filter(|(known, _)| **known == kind) {
                *slot = *count;
            }
        }
        Ok(rows.into_iter().map(|(row, counts)| (row, Counts::from_array(counts))).collect())
    }
}

fn subjects_of(day: Day) -> String {
    format!("sluice:{{usage:{day}}}:subjects")
}

fn counts_of(day: Day, subject: &str) -> String {
    format!("sluice:usage:{}:{day}", tag(subject))
}

impl UsageStore for RedisUsage {
    /// Days expire by themselves.
    fn add<'a>(&'a self, batch: &'a Arc<Batch>, _oldest: Day) -> Answer<'a, ()> {
        self.add_batch(batch).boxed()
    }

    fn rows<'a>(&'a self, query: &'a Query) -> Answer<'a, Vec<(Spent, Counts)>> {
        self.find(query).boxed()
    }
}
