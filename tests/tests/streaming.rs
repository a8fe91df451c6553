//! What comes over the wire of a chat stream: order, usage, the end, and the connection afterwards.

use serde_json::json;
use tests::raw::Raw;
use tests::{Frame, Gateway};

const PATH: &str = "/v1/chat/completions";

#[tokio::test]
async fn a_stream_says_the_same_as_the_whole_answer() {
    let gateway = Gateway::start().await;
    let request = gateway.endless("Tell me about the sea.", 32);
    gateway.http().warm(&request).await;
    let whole = gateway.http().chat(&request).await;
    let streamed = gateway.http().chat_stream(&request).await;
    let choice = streamed.only();
    assert_eq!(choice.role, "assistant");
    assert_eq!(choice.content, whole["choices"][0]["message"]["content"].as_str().expect("content"));
    assert_eq!(choice.finish_reason.as_deref(), whole["choices"][0]["finish_reason"].as_str());
    assert_eq!(streamed.usage, None, "usage comes only when asked for");
    assert!(streamed.chunks > 8, "it is a stream, not one piece: {} chunks", streamed.chunks);
}

#[tokio::test]
async fn the_usage_chunk_comes_last_and_only_when_asked() {
    let gateway = Gateway::start().await;
    let mut request = gateway.endless("Tell me about the sea.", 12);
    request["stream_options"] = json!({"include_usage": true});
    let frames = gateway.http().stream(PATH, &request).await.rest().await;
    let [.., Frame::Data(usage), Frame::Done] = frames.as_slice() else {
        panic!("no usage before the end: {frames:?}")
    };
    assert_eq!(usage["choices"], json!([]));
    assert_eq!(usage["usage"]["completion_tokens"], 12);
    for frame in &frames[..frames.len() - 2] {
        let Frame::Data(chunk) = frame else { panic!("{frame:?}") };
        assert!(chunk["usage"].is_null(), "usage is null before: {chunk}");
        assert_eq!(chunk["choices"].as_array().map(Vec::len), Some(1), "{chunk}");
    }
}

#[tokio::test]
async fn the_first_delta_has_the_role_and_the_last_the_reason() {
    let gateway = Gateway::start().await;
    let frames = gateway.http().stream(PATH, &gateway.endless("Hello", 6)).await.rest().await;
    let chunks: Vec<_> = frames
        .iter()
        .filter_map(|frame| if let Frame::Data(chunk) = frame { Some(chunk) } else { None })
        .collect();
    assert_eq!(chunks[0]["choices"][0]["delta"]["role"], "assistant");
    let (last, before) = chunks.split_last().expect("chunks");
    assert_eq!(last["choices"][0]["finish_reason"], "length");
    assert!(before.iter().all(|chunk| chunk["choices"][0]["finish_reason"].is_null()));
    assert_eq!(frames.last(), Some(&Frame::Done));
}

#[tokio::test]
async fn the_connection_lives_on_after_a_stream() {
    let gateway = Gateway::start().await;
    let mut socket = Raw::connect(gateway.address()).await;
    let mut request = gateway.endless("Hello", 6);
    request["stream"] = json!(true);
    for round in 0..3 {
        socket.post(gateway.http(), PATH, &request).await;
        let seen = socket.read_until("\r\n0\r\n\r\n").await;
        assert!(seen.starts_with("HTTP/1.1 200"), "round {round}: {seen}");
        assert!(seen.contains("data: [DONE]"), "round {round}: {seen}");
        assert!(!seen.to_lowercase().contains("connection: close"), "round {round}: {seen}");
    }
}

#[tokio::test]
async fn streams_are_not_cached_or_buffered_by_proxies() {
    let gateway = Gateway::start().await;
    let stream = gateway.http().stream(PATH, &gateway.endless("Hello", 2)).await;
    assert!(stream.headers["cache-control"].to_str().expect("text").contains("no-cache"));
    stream.rest().await;
}

#[tokio::test]
async fn a_silent_stream_sends_comments() {
    let gateway =
        Gateway::builder().parallel(1).context(2048).set("GATEWAY_KEEP_ALIVE", "50ms").start().await;
    // The second stream waits for the first one's only sequence, and has nothing else to say meanwhile.
    let first = gateway.http().stream(PATH, &gateway.endless("Count.", 600)).await;
    let mut second = gateway.http().stream(PATH, &gateway.endless("Hello", 2)).await;
    assert!(matches!(second.next().await, Some(Frame::Comment(_))), "a comment comes before anything else");
    drop(first);
    let frames = second.rest().await;
    assert_eq!(frames.last(), Some(&Frame::Done));
}

#[tokio::test]
async fn a_refused_stream_is_an_ordinary_error() {
    let gateway = Gateway::start().await;
    let mut request = gateway.ask("Hi");
    request["model"] = json!("no-such-model");
    let answer = gateway.http().try_stream(PATH, &request).await.expect_err("refused");
    let error = answer.refused(404, "not_found_error");
    assert_eq!(error["code"], "model_not_found");
}
