//! Records in a real `InfluxDB`.

#![cfg(feature = "influx")]
#![expect(clippy::unwrap_used, reason = "a test ends by panicking")]

#[path = "support/service.rs"]
mod service;
mod support;

use std::io::{Read, Write};
use std::net::TcpStream;

use exporter::server::records::influx::{Influx, Settings};
use exporter::server::records::{Sink, SinkError};

fn sink(address: &str, database: &str) -> Influx {
    let (endpoint, database) = (address.parse().unwrap(), database.to_owned());
    Influx::new(Settings { endpoint, database, token: None }).unwrap()
}

#[tokio::test]
#[ignore = "needs InfluxDB 1.x: EXPORTER_TEST_INFLUX=http://HOST:PORT"]
async fn every_record_is_a_point() {
    let address = service::address("EXPORTER_TEST_INFLUX", "http://HOST:PORT");
    let start = support::now_ns();
    let database = format!("records_{start}");
    let mut sink = sink(&address, &database);
    let batch = support::batch(start, 500);
    // The database is not there yet: that can be set right.
    assert!(matches!(sink.deliver(&batch).await, Err(SinkError::Later { .. })));
    ask("POST", &address, &format!("/query?q=CREATE+DATABASE+{database}"));
    sink.deliver(&batch).await.unwrap();
    // Again, as after a lost answer: the same points.
    sink.deliver(&batch).await.unwrap();
    let query = "SELECT+count(weight),sum(completion_tokens)+FROM+requests+GROUP+BY+model,status";
    let found = ask("GET", &address, &format!("/query?db={database}&q={query}"));
    let body = found.split_once("\r\n\r\n").unwrap().1;
    let found: serde_json::Value = serde_json::from_str(body).unwrap();
    let series = found["results"][0]["series"].as_array().unwrap();
    let rows: Vec<_> = series
        .iter()
        .map(|of| {
            (of["tags"]["model"].as_str().unwrap(), of["tags"]["status"].as_str().unwrap(), &of["values"][0])
        })
        .map(|(model, status, row)| (model, status, row[1].as_u64().unwrap(), row[2].as_u64().unwrap()))
        .collect();
    let model = "small, \"fast\"=yes ä";
    let failed: u64 = (0..500).filter(|number| number % 10 == 9).sum();
    let all: u64 = (0..500).sum();
    assert_eq!(rows, [(model, "200", 450, all - failed), (model, "503", 50, failed)]);
    ask("POST", &address, &format!("/query?q=DROP+DATABASE+{database}"));
}

/// What a service answers, head and body.
fn ask(method: &str, address: &str, path: &str) -> String {
    let address = address.strip_prefix("http://").unwrap_or(address);
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "{method} {path} HTTP/1.0\r\nhost: {address}\r\ncontent-length: 0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}
