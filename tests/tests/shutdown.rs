//! `TERM` drains: streams end well, new work is refused, and the exit code is 0.

use tests::{Folded, Gateway, eventually};

const PATH: &str = "/v1/chat/completions";

#[tokio::test]
async fn running_streams_finish_and_new_work_is_refused() {
    let mut gateway = Gateway::builder().parallel(4).context(1024).start().await;
    let request = gateway.endless("Count for ever.", 300);
    let mut streams = Vec::new();
    for _ in 0..3 {
        let mut stream = gateway.http().stream(PATH, &request).await;
        stream.chunk().await;
        streams.push(stream);
    }
    gateway.terminate();
    // Either the listener is closed, or it answers that it is going away.
    eventually!(
        gateway.http().try_get("/readyz").await.is_none_or(|answer| answer.status == 503),
        "readiness goes false"
    );
    if let Some(answer) = gateway.http().try_get("/v1/models").await {
        assert!([200, 503].contains(&answer.status), "{}", answer.text());
    }
    for stream in streams {
        let folded = rest_of(stream).await;
        assert!(folded, "a stream that ran ends with [DONE]");
    }
    assert_eq!(gateway.exited().await, Some(0));
}

/// Whether the stream ends with `[DONE]`.
async fn rest_of(stream: tests::EventStream) -> bool {
    stream.rest().await.last() == Some(&tests::Frame::Done)
}

#[tokio::test]
async fn streams_that_outlive_the_deadline_are_told_and_ended() {
    let mut gateway =
        Gateway::builder().parallel(1).context(4096).set("GATEWAY_DRAIN_TIMEOUT", "300ms").start().await;
    let stream = gateway.http().stream(PATH, &gateway.endless("Count for ever.", 3900)).await;
    eventually!(gateway.load().await.running == 1, "the stream runs");
    gateway.terminate();
    let folded = Folded::read(stream).await;
    assert!(folded.error.is_some() && !folded.done, "an error event and no [DONE]: {:?}", folded.error);
    assert_eq!(gateway.exited().await, Some(0));
}

#[tokio::test]
async fn an_idle_gateway_ends_at_once() {
    let mut gateway = Gateway::builder().parallel(1).context(256).start().await;
    gateway.http().get("/v1/models").await.ok();
    gateway.terminate();
    assert_eq!(gateway.exited().await, Some(0));
}
