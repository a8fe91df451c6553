//! Clients that do not behave: they never read, dribble, stay silent or send garbage.

use serde_json::json;
use tests::raw::Raw;
use tests::{Frame, Gateway, eventually};

const PATH: &str = "/v1/chat/completions";

#[tokio::test]
async fn a_client_that_never_reads_is_cut_without_slowing_others() {
    let gateway = Gateway::builder()
        .parallel(4)
        .context(4096)
        .set("GATEWAY_SLOW_READER_TIMEOUT", "500ms")
        .set("GATEWAY_WRITE_TIMEOUT", "1s")
        .start()
        .await;
    let mut request = gateway.endless("Count for ever.", 3900);
    // Alternatives make each token's chunk large, so that the socket is full soon.
    request["logprobs"] = json!(true);
    request["top_logprobs"] = json!(20);
    request["stream"] = json!(true);
    let mut stuck = Raw::connect_narrow(gateway.address()).await;
    stuck.post(gateway.http(), PATH, &request).await;
    eventually!(gateway.load().await.running == 1, "the stuck client's request runs");
    let other = gateway.http().chat_stream(&gateway.endless("Tell me about the sea.", 64)).await;
    assert!(other.done, "the others go on");
    gateway.idle().await;
    eventually!(stuck.is_closed(), "the connection is cut");
    let seen = stuck.read_to_end().await;
    assert!(!seen.contains("[DONE]"), "it did not get to the end");
}

#[tokio::test]
async fn heads_that_never_end_are_cut() {
    let gateway =
        Gateway::builder().parallel(1).context(256).set("GATEWAY_HEADER_TIMEOUT", "300ms").start().await;
    let mut silent = Raw::connect(gateway.address()).await;
    let mut half = Raw::connect(gateway.address()).await;
    half.send("POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nx-a").await.expect("sent");
    let mut dribble = Raw::connect(gateway.address()).await;
    eventually!(dribble.send("G").await.is_err() || dribble.is_closed(), "a dribbled head is cut");
    half.read_to_end().await;
    silent.read_to_end().await;
    gateway.http().get("/v1/models").await.ok();
}

#[tokio::test]
async fn bodies_that_never_end_are_cut() {
    let gateway =
        Gateway::builder().parallel(1).context(256).set("GATEWAY_BODY_TIMEOUT", "300ms").start().await;
    let mut half = Raw::connect(gateway.address()).await;
    let head = format!(
        "POST {PATH} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
         content-length: 1000\r\n\r\n{{\"model\"",
        gateway.http().key()
    );
    half.send(head).await.expect("sent");
    let seen = half.read_to_end().await;
    assert!(seen.starts_with("HTTP/1.1 408") || seen.is_empty(), "{seen}");
}

#[tokio::test]
async fn what_is_not_http_is_refused_and_forgotten() {
    let gateway = Gateway::builder().parallel(1).context(256).start().await;
    for garbage in [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".as_slice(),
        b"\r\n\r\n\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: -5\r\n\r\n",
        b"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello",
    ] {
        let mut socket = Raw::connect(gateway.address()).await;
        // The gateway may close while we write.
        drop(socket.send(garbage).await);
        drop(socket.send(b"\r\n\r\n").await);
        let seen = socket.read_until("\r\n\r\n").await;
        assert!(!seen.starts_with("HTTP/1.1 200"), "{seen}");
    }
    gateway.http().get("/v1/models").await.ok();
}

#[tokio::test]
async fn too_many_or_too_long_headers_are_refused() {
    let gateway = Gateway::builder().parallel(1).context(256).start().await;
    let mut many = gateway.http().request(http::Method::GET, "/v1/models");
    for number in 0..300 {
        many = many.header(&format!("x-number-{number}"), "1");
    }
    assert_eq!(many.send().await.status, 431);
    let long =
        gateway.http().request(http::Method::GET, "/v1/models").header("x-long", "a".repeat(200 << 10));
    // Cut in the middle of the head, or answered: never served.
    if let Ok(opened) = long.open().await {
        assert_eq!(opened.response.status().as_u16(), 431);
    }
    gateway.http().get("/v1/models").await.ok();
}

#[tokio::test]
async fn two_hundred_open_streams_are_held_and_served_in_turn() {
    let gateway = Gateway::builder().parallel(16).context(256).start().await;
    let request = gateway.endless("Hello", 2);
    let streams = (0..200).map(|_| gateway.http().stream(PATH, &request));
    let streams = futures_util::future::join_all(streams).await;
    let ends = futures_util::future::join_all(streams.into_iter().map(tests::EventStream::rest)).await;
    assert!(ends.iter().all(|frames| frames.last() == Some(&Frame::Done)));
}
