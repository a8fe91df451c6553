//! Records as spans in a real OTLP receiver.

#![cfg(feature = "otlp")]

#[path = "support/service.rs"]
mod service;
mod support;

use exporter::server::records::Sink;
use exporter::server::records::otlp::Otlp;

#[tokio::test]
#[ignore = "needs a receiver of OTLP over HTTP: EXPORTER_TEST_OTLP=http://HOST:PORT"]
async fn every_record_is_a_span() {
    let address = service::address("EXPORTER_TEST_OTLP", "http://HOST:PORT");
    let mut sink = Otlp::new(address.parse().unwrap());
    // What became of them is for the receiver to show: 20 spans named create_chat_completion.
    sink.deliver(&support::batch(support::now_ns(), 20)).await.unwrap();
}
