//! `/sd`, as Prometheus reads it.

use std::time::Duration;

use http::Request;
use http_body_util::Full;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{Exporter, pass, patiently, refusal, snapshot};

async fn targets(exporter: &Exporter, path: &str) -> Value {
    let answer = exporter.get(path).await;
    assert_eq!(answer.headers()["content-type"], "application/json");
    serde_json::from_slice(answer.body()).unwrap()
}

fn advertising(address: &str) -> impl FnOnce(&mut exporter::server::Options) + '_ {
    move |options| options.advertise = Some(address.to_owned())
}

#[tokio::test]
async fn the_target_is_the_address_that_was_asked_unless_another_is_advertised() {
    let exporter = Exporter::start().await;
    assert_eq!(targets(&exporter, "/sd").await, json!([{ "targets": [exporter.address], "labels": {} }]));
    let exporter = Exporter::with(advertising("exporter:9464")).await;
    assert_eq!(targets(&exporter, "/sd").await, json!([{ "targets": ["exporter:9464"], "labels": {} }]));
}

#[tokio::test]
async fn split_there_is_a_target_for_each_live_gateway() {
    let exporter = Exporter::with(advertising("exporter:9464")).await;
    exporter.push(&snapshot("gone", (1, 1), 1.0)).await;
    pass(Duration::from_secs(15)).await;
    exporter.push(&snapshot("a", (1, 1), 1.0)).await;
    exporter.push(&snapshot("b \"c\"", (1, 1), 1.0)).await;
    let gateway = |name: &str| {
        let labels = json!({ "__param_instance": name, "gateway": name });
        json!({ "targets": ["exporter:9464"], "labels": labels })
    };
    assert_eq!(targets(&exporter, "/sd?split=instance").await, json!([gateway("a"), gateway("b \"c\"")]));
}

#[tokio::test]
async fn a_host_that_is_none_is_not_passed_on() {
    let exporter = Exporter::start().await;
    for host in ["user@evil", "", "evil/path", "a b", "\"],\"labels\":{\"x\":\"y"] {
        let request = Request::get("/sd").header("host", host).body(Full::default()).unwrap();
        assert_eq!(refusal(&exporter.send(request).await), (400, "host".to_owned()), "{host}");
    }
    // Of old, there need not be one.
    let mut socket = exporter.socket().await;
    socket.write_all(b"GET /sd HTTP/1.0\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    patiently("an answer", socket.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.0 400 "), "{answer}");
    for host in ["exporter", "exporter.example:9464", "[::1]:9464", "127.0.0.1"] {
        let request = Request::get("/sd").header("host", host).body(Full::default()).unwrap();
        let answer = exporter.send(request).await;
        let expected = json!([{ "targets": [host], "labels": {} }]);
        assert_eq!(serde_json::from_slice::<Value>(answer.body()).unwrap(), expected);
    }
    let exporter = Exporter::with(advertising("exporter:9464")).await;
    let request = Request::get("/sd").header("host", "user@evil").body(Full::default()).unwrap();
    assert_eq!(exporter.send(request).await.status(), 200, "what is advertised needs no host");
}
