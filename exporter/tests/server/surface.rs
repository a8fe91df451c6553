//! Paths, methods, health, and whatever else may come in.

use exporter::client::Link;
use http::{Method, Request};
use http_body_util::Full;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use crate::support::{Exporter, pack, refusal, request, snapshot, text};

#[tokio::test]
async fn unknown_paths_and_methods_are_answered_in_the_envelope() {
    let exporter = Exporter::start().await;
    for path in ["/", "/v1", "/v1/push/", "/metrics/x", "/v2/push"] {
        assert_eq!(refusal(&exporter.get(path).await), (404, "not_found".to_owned()), "{path}");
    }
    for (method, path, allowed) in [
        (Method::GET, "/v1/push", "POST"),
        (Method::OPTIONS, "/v1/push", "POST"),
        (Method::PUT, "/v1/records", "POST"),
        (Method::POST, "/metrics", "GET, HEAD"),
        (Method::DELETE, "/sd", "GET, HEAD"),
    ] {
        let request = Request::builder().method(method).uri(path).body(Full::default()).unwrap();
        let answer = exporter.send(request).await;
        assert_eq!(refusal(&answer), (405, "method_not_allowed".to_owned()), "{path}");
        assert_eq!(answer.headers()["allow"], allowed);
    }
}

#[tokio::test]
async fn it_is_healthy_and_ready_from_the_start() {
    let exporter = Exporter::start().await;
    for path in ["/healthz", "/readyz"] {
        let answer = exporter.get(path).await;
        assert_eq!((answer.status().as_u16(), &*text(&answer)), (200, "ok\n"), "{path}");
    }
}

#[tokio::test]
async fn head_is_get_without_the_body() {
    let exporter = Exporter::start().await;
    for path in ["/healthz", "/sd", "/nowhere"] {
        let (head, get) = (Request::head(path).body(Full::default()).unwrap(), exporter.get(path).await);
        let head = exporter.send(head).await;
        assert_eq!((head.status(), head.body().len()), (get.status(), 0), "{path}");
        assert_eq!(head.headers()["content-length"], get.body().len().to_string(), "{path}");
        assert_eq!(head.headers()["content-type"], get.headers()["content-type"], "{path}");
    }
}

/// Any bytes, any bytes compressed, and a real body with damage.
fn bodies() -> impl Strategy<Value = Vec<u8>> {
    let real = pack(&snapshot("a", (1, 1), 1.0)).to_vec();
    let damaged =
        (any::<prop::sample::Index>(), any::<u8>(), Just(real)).prop_map(|(place, byte, mut body)| {
            let place = place.index(body.len());
            body[place] ^= byte | 1;
            body
        });
    let packed =
        prop::collection::vec(any::<u8>(), 0..200).prop_map(|bytes| zstd::bulk::compress(&bytes, 1).unwrap());
    prop_oneof![prop::collection::vec(any::<u8>(), 0..200), packed, damaged]
}

#[test]
fn garbage_is_refused_and_nothing_breaks() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let exporter = runtime.block_on(Exporter::start());
    let link = std::cell::RefCell::new(Link::new(exporter.endpoint.clone()));
    let cases = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) };
    let outcome = TestRunner::new(cases).run(&(bodies(), any::<bool>()), |(body, is_push)| {
        let mut request = request(body.into());
        if !is_push {
            *request.uri_mut() = "/v1/records".parse().unwrap();
        }
        let answer = runtime.block_on(link.borrow_mut().send(request)).unwrap();
        // Damage may leave a body whole: then it is a snapshot like any other.
        prop_assert!(matches!(answer.status.as_u16(), 204 | 409 | 413 | 422), "{answer:?}");
        if answer.status != 204 {
            let told: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
            prop_assert!(told["error"]["code"].is_string(), "{told}");
        }
        Ok(())
    });
    outcome.unwrap();
    assert_eq!(runtime.block_on(exporter.get("/metrics")).status(), 200);
}

#[tokio::test]
async fn what_is_no_http_ends_its_own_connection_alone() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let exporter = Exporter::start().await;
    for garbage in [&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..], b"GET\r\n\r\n", b"\0\0\0\0\r\n\r\n"]
    {
        let mut socket = exporter.socket().await;
        socket.write_all(garbage).await.unwrap();
        socket.shutdown().await.unwrap();
        let mut answer = Vec::new();
        drop(crate::support::patiently("the end", socket.read_to_end(&mut answer)).await);
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 400 "), "{answer:?}");
    }
    assert_eq!(exporter.get("/healthz").await.status(), 200);
}
