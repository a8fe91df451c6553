//! Sends records to a topic of Kafka: one JSON object a record, its key the trace's id.
//!
//! The records of one trace share a partition. A batch that was taken by some partitions only comes again whole.

use std::collections::BTreeMap;
use std::time::Duration;

use rskafka::BackoffConfig;
use rskafka::chrono::DateTime;
use rskafka::client::ClientBuilder;
use rskafka::client::error::{Error, ProtocolError};
use rskafka::client::partition::{Compression, PartitionClient, UnknownTopicHandling};
use rskafka::record::Record as Message;

use super::row::{Hex, Row};
use super::sink::{Sink, SinkError};
use crate::records::wire::RecordBatch;

/// Brokers take a megabyte at once, unless they are told otherwise.
const LARGEST_REQUEST: usize = 512 << 10;
/// The client's own tries; the delivery has its own pauses, and another address may answer then.
const TRIES: Duration = Duration::from_secs(5);

/// Which topic.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Brokers to begin with, each `host:port`.
    pub brokers: Vec<String>,
    /// The topic; it must be there.
    pub topic: String,
}

/// Messages in a topic.
pub struct Kafka {
    settings: Settings,
    /// One for each partition; none until they were found.
    partitions: Vec<PartitionClient>,
    /// Messages larger than the broker takes.
    refused: u64,
}

impl Kafka {
    /// Opens nothing yet.
    pub fn new(settings: Settings) -> Self {
        Self { settings, partitions: Vec::new(), refused: 0 }
    }

    async fn connect(&mut self) -> Result<(), SinkError> {
        let patience = BackoffConfig { deadline: Some(TRIES), ..BackoffConfig::default() };
        let client = ClientBuilder::new(self.settings.brokers.clone()).client_id("sluice-exporter");
        let client = client.backoff_config(patience).build().await.map_err(SinkError::later)?;
        let topics = client.list_topics().await.map_err(SinkError::later)?;
        let topic = topics.into_iter().find(|topic| topic.name == self.settings.topic);
        let topic = topic.ok_or_else(|| SinkError::later("there is no such topic"))?;
        let mut found = Vec::new();
        for partition in topic.partitions {
            let client = client.partition_client(&topic.name, partition, UnknownTopicHandling::Error);
            found.push(client.await.map_err(SinkError::later)?);
        }
        if found.is_empty() {
            return Err(SinkError::later("the topic has no partition yet"));
        }
        self.partitions = found;
        Ok(())
    }

    /// How many messages are larger than the broker takes.
    async fn send(&self, batch: &RecordBatch) -> Result<u64, SinkError> {
        let mut refused = 0;
        for (partition, messages) in self.partitions.iter().zip(share(batch, self.partitions.len())?) {
            for some in cut(messages) {
                refused += produce(partition, some).await?;
            }
        }
        Ok(refused)
    }
}

/// Sends messages together, or by halves where they are more than the broker takes at once; how many it never takes.
async fn produce(partition: &PartitionClient, messages: Vec<Message>) -> Result<u64, SinkError> {
    let (mut left, mut refused) = (vec![messages], 0);
    while let Some(mut some) = left.pop() {
        match partition.produce(some.clone(), Compression::NoCompression).await {
            Ok(_) => {}
            Err(error) if is_too_large(&error) && some.len() > 1 => {
                left.push(some.split_off(some.len() / 2));
                left.push(some);
            }
            Err(error) if is_too_large(&error) => {
                tracing::warn!(%error, "a request record is larger than the broker takes");
                refused += 1;
            }
            Err(error) => return Err(SinkError::later(error)),
        }
    }
    Ok(refused)
}

fn is_too_large(error: &Error) -> bool {
    matches!(
        error,
        Error::ServerError {
            protocol_error: ProtocolError::MessageTooLarge | ProtocolError::RecordListTooLarge,
            ..
        }
    )
}

impl Sink for Kafka {
    fn name(&self) -> &'static str {
        "kafka"
    }

    async fn deliver(&mut self, batch: &RecordBatch) -> Result<(), SinkError> {
        if self.partitions.is_empty() {
            self.connect().await?;
        }
        let sent = self.send(batch).await;
        if sent.is_err() {
            // Leaders and partitions may have changed.
            self.partitions.clear();
        }
        self.refused += sent?;
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), SinkError> {
        Ok(())
    }

    fn take_refused(&mut self) -> u64 {
        std::mem::take(&mut self.refused)
    }
}

/// The messages of a batch, by partition.
fn share(batch: &RecordBatch, partitions: usize) -> Result<Vec<Vec<Message>>, SinkError> {
    let mut shares = vec![Vec::new(); partitions];
    for record in &batch.records {
        let value = serde_json::to_vec(&Row::new(&batch.instance, record));
        let value = value.map_err(|error| SinkError::Never(error.to_string()))?;
        let place =
            usize::try_from(crc32fast::hash(&record.trace_id)).unwrap_or_default() % partitions.max(1);
        let time = i64::try_from(record.time_unix_ns).unwrap_or(i64::MAX);
        let message = Message {
            key: (!record.trace_id.is_empty()).then(|| Hex(&record.trace_id).to_string().into_bytes()),
            value: Some(value),
            headers: BTreeMap::new(),
            timestamp: DateTime::from_timestamp_nanos(time),
        };
        if let Some(share) = shares.get_mut(place) {
            share.push(message);
        }
    }
    Ok(shares)
}

/// Requests that brokers take.
fn cut(messages: Vec<Message>) -> Vec<Vec<Message>> {
    let mut requests: Vec<Vec<Message>> = Vec::new();
    let mut room = 0;
    for message in messages {
        let size = message.approximate_size();
        match requests.last_mut() {
            Some(last) if size <= room => last.push(message),
            _ => {
                room = LARGEST_REQUEST.max(size);
                requests.push(vec![message]);
            }
        }
        room -= size;
    }
    requests
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::wire::Record;
    use crate::server::records::row;

    fn batch(count: u8) -> RecordBatch {
        let record = |number| Record { trace_id: vec![number; 16], ..row::for_tests() };
        RecordBatch { records: (0..count).map(record).collect(), ..RecordBatch::default() }
    }

    #[test]
    fn every_record_has_one_partition_by_its_trace() {
        let shares = share(&batch(100), 3).unwrap();
        assert_eq!(shares.iter().map(Vec::len).sum::<usize>(), 100);
        assert!(shares.iter().all(|share| !share.is_empty()));
        assert_eq!(shares, share(&batch(100), 3).unwrap());
        let keys: Vec<_> = shares.iter().flatten().filter_map(|message| message.key.clone()).collect();
        assert!(keys.contains(&b"01010101010101010101010101010101".to_vec()));
    }

    #[test]
    fn no_request_is_larger_than_a_broker_takes() {
        let mut large = batch(20);
        for record in &mut large.records {
            record.id = "x".repeat(LARGEST_REQUEST / 5);
        }
        large.records[0].id = "x".repeat(LARGEST_REQUEST * 2);
        let requests = cut(share(&large, 1).unwrap().remove(0));
        assert_eq!(requests.iter().map(Vec::len).collect::<Vec<_>>(), [1, 4, 4, 4, 4, 3]);
    }
}
