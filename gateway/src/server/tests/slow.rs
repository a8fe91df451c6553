//! Clients that are slow to send, or to read.

use super::*;

const SHORT: Duration = Duration::from_millis(300);

#[tokio::test]
async fn a_silent_client_is_closed_at_the_header_time_out() {
    let server = Running::start(ServerSettings { header_timeout: SHORT, ..patient() }).await;
    let start = std::time::Instant::now();
    let mut client = server.connect().await;
    assert_eq!(client.read_to_end().await, "");
    assert!(start.elapsed() >= SHORT);
}

#[tokio::test]
async fn a_dribbled_head_is_answered_408_at_the_time_out_of_its_beginning() {
    let server = Running::start(ServerSettings { header_timeout: SHORT, ..patient() }).await;
    let (mut reader, mut writer) = server.connect().await.0.into_split();
    let dribble = async {
        // Each byte alone is in time; the head as a whole never is.
        while writer.write_all(b"G").await.is_ok() {
            tokio::time::sleep(SHORT / 10).await;
        }
    };
    let mut answer = Vec::new();
    tokio::select! {
        () = dribble => {}
        read = within(reader.read_to_end(&mut answer)) => drop(read),
    }
    let mut rest = Vec::new();
    drop(within(reader.read_to_end(&mut rest)).await);
    answer.extend(rest);
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("{\"error\":{\"message\":"), "{answer}");
}

#[tokio::test]
async fn between_requests_the_idle_time_out_rules_and_not_the_header_one() {
    let settings = ServerSettings { header_timeout: SHORT, idle_timeout: SHORT * 4, ..patient() };
    let server = Running::start(settings).await;
    let mut client = server.connect().await;
    client.get("/").await;
    client.read_until("hello").await;
    tokio::time::sleep(SHORT * 2).await;
    client.get("/").await;
    client.read_until("hello").await;
    let start = std::time::Instant::now();
    assert_eq!(client.read_to_end().await, "", "an idle connection is closed without a word");
    assert!(start.elapsed() >= SHORT * 3);
}

#[tokio::test]
async fn time_outs_for_the_client_do_not_run_while_it_waits_for_us() {
    let settings = ServerSettings { header_timeout: SHORT, idle_timeout: SHORT, ..patient() };
    let server = Running::start(settings).await;
    let mut client = server.connect().await;
    client.get("/stream").await;
    client.read_until("first").await;
    tokio::time::sleep(SHORT * 3).await;
    server.finish.notify_one();
    client.read_until("last").await;
}

#[tokio::test]
async fn a_body_that_stops_coming_fails_its_request() {
    let server = Running::start(ServerSettings { body_timeout: SHORT, ..patient() }).await;
    let mut client = server.connect().await;
    client.send("POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\n12").await;
    let answer = client.read_until("too slowly").await;
    assert!(answer.contains("failed: "), "{answer}");
}

#[tokio::test]
async fn a_dribbled_body_does_not_extend_its_time_out_byte_by_byte() {
    let server = Running::start(ServerSettings { body_timeout: SHORT, ..patient() }).await;
    let (mut reader, mut writer) = server.connect().await.0.into_split();
    writer.write_all(b"POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 999999\r\n\r\n").await.unwrap();
    let dribble = async {
        while writer.write_all(b"x").await.is_ok() {
            tokio::time::sleep(SHORT / 10).await;
        }
    };
    let mut answer = [0_u8; 1024];
    let read = tokio::select! {
        () = dribble => 0,
        read = within(reader.read(&mut answer)) => read.unwrap(),
    };
    let answer = String::from_utf8_lossy(&answer[..read]);
    assert!(answer.contains("200 OK"), "the endpoint was told and answered: {answer}");
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut_and_others_go_on() {
    let mut server = Running::start(ServerSettings { write_timeout: SHORT, ..patient() }).await;
    let mut stuck = server.connect().await;
    stuck.get("/flood").await;
    let mut other = server.connect().await;
    other.get("/").await;
    other.read_until("hello").await;
    assert_eq!(server.next_drop().await, "flood");
    other.get("/").await;
    other.read_until("hello").await;
}
