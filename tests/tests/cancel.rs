//! Leaving is cancelling: wherever a request is, its sequence is free before the next step.

#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]

use serde_json::{Value, json};
use tests::requests::long_text;
use tests::{EventStream, Frame, Gateway, eventually};

const PATH: &str = "/v1/chat/completions";

async fn long_stream(gateway: &Gateway) -> EventStream {
    gateway.http().stream(PATH, &gateway.endless("Count for ever.", 1500)).await
}

/// Reads until the first text, so that the request is certainly being decoded.
async fn until_decoding(stream: &mut EventStream) {
    loop {
        let chunk = stream.chunk().await;
        if chunk["choices"][0]["delta"]["content"].as_str().is_some_and(|text| !text.is_empty()) {
            return;
        }
    }
}

#[tokio::test]
async fn leaving_while_decoding_frees_the_sequence() {
    let gateway = Gateway::builder().parallel(1).context(2048).start().await;
    let mut stream = long_stream(&gateway).await;
    until_decoding(&mut stream).await;
    assert_eq!(gateway.load().await.running, 1);
    drop(stream);
    gateway.idle().await;
    // Had it gone on, the only sequence would be busy for 1,500 tokens.
    gateway.http().chat(&gateway.ask("Hi")).await;
}

#[tokio::test]
async fn leaving_while_queued_leaves_the_queue() {
    let gateway = Gateway::builder().parallel(1).context(2048).start().await;
    let mut running = long_stream(&gateway).await;
    until_decoding(&mut running).await;
    let waiting = long_stream(&gateway).await;
    eventually!(gateway.load().await.waiting == 1, "the second request waits");
    drop(waiting);
    eventually!(gateway.load().await.waiting == 0, "the second request is gone");
    assert_eq!(gateway.load().await.running, 1, "the first one is not disturbed");
    until_decoding(&mut running).await;
}

#[tokio::test]
async fn leaving_in_prefill_stops_it() {
    let gateway = Gateway::builder().parallel(2).context(4096).set("GATEWAY_PREFILL_CHUNK", 32).start().await;
    // Someone decodes, so that the prefill goes by small chunks.
    let mut running = long_stream(&gateway).await;
    until_decoding(&mut running).await;
    let long = gateway.endless(&long_text(3500), 8);
    let stream = gateway.http().stream(PATH, &long).await;
    eventually!(gateway.load().await.running == 2, "the long prompt is in prefill");
    drop(stream);
    eventually!(gateway.load().await.running == 1, "its sequence is free");
    until_decoding(&mut running).await;
}

#[tokio::test]
async fn leaving_before_a_whole_answer_frees_the_sequence() {
    let gateway = Gateway::builder().parallel(1).context(2048).start().await;
    let request = gateway.endless("Count for ever.", 1500);
    {
        let call = gateway.http().post(PATH, &request);
        tokio::pin!(call);
        let running = async {
            eventually!(gateway.load().await.running == 1, "the request runs");
        };
        tokio::select! {
            answer = &mut call => panic!("the answer is long: {answer:?}"),
            () = running => {}
        }
    }
    gateway.idle().await;
}

#[tokio::test]
async fn leaving_frees_all_answers_of_one_request() {
    let gateway = Gateway::builder().parallel(4).context(1024).start().await;
    let mut request = gateway.endless("Count for ever.", 900);
    request["n"] = json!(3);
    let mut stream = gateway.http().stream(PATH, &request).await;
    until_decoding(&mut stream).await;
    eventually!(gateway.load().await.running == 3, "three answers run");
    drop(stream);
    gateway.idle().await;
}

#[tokio::test]
async fn one_who_leaves_does_not_disturb_the_others() {
    let gateway = Gateway::builder().parallel(4).context(1024).start().await;
    let request: Value = gateway.endless("Tell me about the sea.", 60);
    let mut leaving = long_stream_of(&gateway, 700).await;
    let staying = gateway.http().stream(PATH, &request).await;
    until_decoding(&mut leaving).await;
    drop(leaving);
    let frames = staying.rest().await;
    assert_eq!(frames.last(), Some(&Frame::Done));
    gateway.idle().await;
}

async fn long_stream_of(gateway: &Gateway, tokens: u32) -> EventStream {
    gateway.http().stream(PATH, &gateway.endless("Count for ever.", tokens)).await
}

#[tokio::test]
async fn fifty_who_leave_at_once_leave_nothing_behind() {
    let gateway = Gateway::builder().parallel(4).context(1024).start().await;
    for _ in 0..5 {
        let request = gateway.endless("Count for ever.", 500);
        let streams = (0..10).map(|_| gateway.http().stream(PATH, &request));
        drop(futures_util::future::join_all(streams).await);
    }
    gateway.idle().await;
    gateway.http().chat(&gateway.ask("Hi")).await;
}
