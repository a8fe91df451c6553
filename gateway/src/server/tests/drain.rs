//! The end of the process: running answers finish, idle connections close, new ones are refused.

use super::*;

#[tokio::test]
async fn a_drain_finishes_running_streams_and_refuses_new_connections() {
    let server = Running::start(patient()).await;
    let mut streaming = server.connect().await;
    streaming.get("/stream").await;
    streaming.read_until("first").await;
    let mut idle = server.connect().await;
    idle.get("/").await;
    idle.read_until("hello").await;
    let mut silent = server.connect().await;

    server.lifecycle.drain();
    assert_eq!(idle.read_to_end().await, "", "an idle connection closes");
    assert_eq!(silent.read_to_end().await, "", "so does one that never spoke");
    let refused = async {
        while TcpStream::connect(&server.address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    within(refused).await;

    server.finish.notify_one();
    let rest = streaming.read_to_end().await;
    assert!(rest.contains("last\n") && rest.ends_with("0\r\n\r\n"), "the stream ends whole: {rest}");
    within(server.lifecycle.finished(NEVER)).await;
}

#[tokio::test]
async fn past_the_deadline_running_streams_are_dropped() {
    let mut server = Running::start(patient()).await;
    let mut streaming = server.connect().await;
    streaming.get("/stream").await;
    streaming.read_until("first").await;
    server.lifecycle.drain();
    within(server.lifecycle.finished(Duration::from_millis(100))).await;
    assert_eq!(server.next_drop().await, "stream");
    assert!(!streaming.read_to_end().await.ends_with("0\r\n\r\n"), "a cut stream does not look whole");
}

#[tokio::test]
async fn the_process_ends_when_its_last_connection_does() {
    let server = Running::start(patient()).await;
    let mut client = server.connect().await;
    client.get("/").await;
    client.read_until("hello").await;
    server.lifecycle.drain();
    // The client keeps its end open: that must not hold the process.
    within(server.lifecycle.finished(NEVER)).await;
    drop(client);
}
