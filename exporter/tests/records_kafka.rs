//! Records in a topic of a real Kafka broker.

#![cfg(feature = "kafka")]

#[path = "support/service.rs"]
mod service;
mod support;

use std::collections::BTreeMap;

use exporter::server::records::kafka::{Kafka, Settings};
use exporter::server::records::{Sink, SinkError};
use rskafka::client::ClientBuilder;
use rskafka::client::partition::UnknownTopicHandling;

#[tokio::test]
#[ignore = "needs a Kafka broker: EXPORTER_TEST_KAFKA=HOST:PORT"]
async fn every_record_is_a_message() {
    let address = service::address("EXPORTER_TEST_KAFKA", "HOST:PORT");
    let start = support::now_ns();
    let topic = format!("records-{start}");
    let mut sink = Kafka::new(Settings { brokers: vec![address.clone()], topic: topic.clone() });
    let batch = support::batch(start, 500);
    // The topic is not there yet: that can be set right.
    assert!(matches!(sink.deliver(&batch).await, Err(SinkError::Later { .. })));
    let client = ClientBuilder::new(vec![address]).build().await.unwrap();
    client.controller_client().unwrap().create_topic(&topic, 3, 1, 5_000).await.unwrap();
    sink.deliver(&batch).await.unwrap();
    sink.deliver(&support::batch(start + 1_000_000_000, 1)).await.unwrap();
    sink.flush().await.unwrap();
    let mut found = BTreeMap::new();
    for partition in 0..3 {
        let from = client.partition_client(&*topic, partition, UnknownTopicHandling::Error).await.unwrap();
        let mut offset = 0;
        loop {
            let (records, end) = from.fetch_records(offset, 1..1_000_000, 1_000).await.unwrap();
            for record in records.into_iter().map(|record| record.record) {
                let key = String::from_utf8(record.key.unwrap()).unwrap();
                let row: serde_json::Value = serde_json::from_slice(&record.value.unwrap()).unwrap();
                assert_eq!(row["trace_id"], key);
                found.insert(key, row["id"].as_str().unwrap().to_owned());
                offset += 1;
            }
            if offset >= end {
                break;
            }
        }
        assert!(offset > 0, "every partition has its share");
    }
    assert_eq!(found.len(), 501);
    assert_eq!(found.values().next_back().unwrap(), "req-0");
}
