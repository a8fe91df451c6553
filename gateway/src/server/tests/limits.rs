//! Bad heads, too many connections, bodies nobody reads.

use super::*;

#[tokio::test]
async fn bad_heads_are_answered_with_the_envelope_and_end_nothing_else() {
    let server = Running::start(patient()).await;
    let many = (0..200).map(|n| format!("x-{n}: a\r\n")).collect::<Vec<_>>().concat();
    let long = "a".repeat(200_000);
    for (head, status) in [
        ("\0\0\0\0\r\n\r\n".to_owned(), "400"),
        ("GET / HTTP/1.1\r\nbad header\r\n\r\n".to_owned(), "400"),
        ("GET / HTTP/9.9\r\n\r\n".to_owned(), "400"),
        (format!("GET / HTTP/1.1\r\n{many}\r\n"), "431"),
        (format!("GET / HTTP/1.1\r\nx: {long}\r\n\r\n"), "431"),
    ] {
        let mut client = server.connect().await;
        drop(client.0.write_all(head.as_bytes()).await);
        let answer = client.read_to_end().await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{head:.40}: {answer}");
        let body = answer.split_once("\r\n\r\n").unwrap().1;
        let error: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(error["error"]["type"], "invalid_request_error");
        assert!(answer.contains("x-request-id: req_"), "{answer}");
    }
    let mut client = server.connect().await;
    client.get("/").await;
    client.read_until("hello").await;
}

#[tokio::test]
async fn one_connection_too_many_is_told_to_come_back() {
    let server = Running::start(ServerSettings { max_connections: 1, ..patient() }).await;
    let mut first = server.connect().await;
    first.get("/").await;
    first.read_until("hello").await;
    let mut second = server.connect().await;
    second.get("/").await;
    let answer = second.read_to_end().await;
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("retry-after: 1\r\n"), "{answer}");
    assert!(answer.contains("\"type\":\"overloaded_error\""), "{answer}");
    first.get("/").await;
    first.read_until("hello").await;
}

#[tokio::test]
async fn a_place_that_becomes_free_soon_goes_to_the_one_that_waits() {
    let server = Running::start(ServerSettings { max_connections: 1, ..patient() }).await;
    let mut first = server.connect().await;
    first.get("/stream").await;
    first.read_until("first").await;
    let mut second = server.connect().await;
    second.get("/").await;
    drop(first);
    second.read_until("hello").await;
}

#[tokio::test]
async fn an_answer_before_the_end_of_a_large_body_still_arrives() {
    let server = Running::start(patient()).await;
    let (mut reader, mut writer) = server.connect().await.0.into_split();
    let upload = async {
        let head = "POST /unread HTTP/1.1\r\nhost: a\r\ncontent-length: 10000000\r\n\r\n";
        drop(writer.write_all(head.as_bytes()).await);
        drop(writer.write_all(&vec![b'x'; 10_000_000]).await);
    };
    let mut answer = Vec::new();
    let ((), read) = within(async { tokio::join!(upload, reader.read_to_end(&mut answer)) }).await;
    read.unwrap();
    assert!(String::from_utf8(answer).unwrap().ends_with("hello"));
}

#[tokio::test]
async fn idle_connections_by_the_hundred_are_held() {
    let server = Running::start(patient()).await;
    let mut clients = Vec::new();
    for _ in 0..200 {
        let mut client = server.connect().await;
        client.get("/").await;
        clients.push(client);
    }
    for client in &mut clients {
        client.read_until("hello").await;
    }
    for client in &mut clients {
        client.get("/").await;
        client.read_until("hello").await;
    }
}
