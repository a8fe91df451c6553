//! Two requests in one: whatever frames a body wrongly gets one answer, and what hides behind it gets none.

use tests::Gateway;
use tests::raw::Raw;

use super::{WHOAMI, gateway};

const POST: &str = "POST /v1/tokenize HTTP/1.1\r\nhost: gateway\r\ncontent-type: application/json\r\n";

/// A whole request with the admin's key, as an attacker would like to have it answered.
fn hidden(gateway: &Gateway) -> String {
    format!(
        "GET {WHOAMI} HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer {}\r\n\r\n",
        gateway.http().key()
    )
}

/// Sends all of it on one connection and reads until the gateway closes.
async fn answers(gateway: &Gateway, bytes: &[u8]) -> String {
    let mut raw = Raw::connect(gateway.address()).await;
    // An attacker's own half: it waits for nothing more.
    drop(raw.send(bytes).await);
    raw.read_to_end().await
}

/// Panics unless there was one refusal at most, and the hidden request was not answered.
fn assert_one_refusal(answers: &str, what: &str) {
    let statuses: Vec<&str> =
        answers.match_indices("HTTP/1.1 ").map(|(at, _)| &answers[at + 9..at + 12]).collect();
    assert!(statuses.len() <= 1, "{what:?} was answered {statuses:?}");
    assert!(statuses.iter().all(|status| status.starts_with('4')), "{what:?} was answered {statuses:?}");
    assert!(!answers.contains("\"subject\""), "{what:?} let a hidden request through");
    assert!(answers.is_empty() || answers.contains("\"error\":{"), "{what:?}: no envelope in {answers}");
}

/// Heads and bodies that frame their body wrongly, each followed by a hidden request.
async fn try_all(framings: &[(&str, &str)]) {
    let gateway = gateway().await;
    let hidden = hidden(&gateway);
    for (head, body) in framings {
        for credential in [String::new(), format!("authorization: Bearer {}\r\n", gateway.http().key())] {
            let request = format!("{POST}{credential}{head}\r\n{body}{hidden}");
            assert_one_refusal(&answers(&gateway, request.as_bytes()).await, head);
        }
    }
    gateway.http().get(WHOAMI).await.ok();
}

#[tokio::test]
async fn several_lengths_are_one_refusal() {
    try_all(&[
        ("content-length: 2\r\ncontent-length: 7\r\n", "{}"),
        ("content-length: 7\r\ncontent-length: 2\r\n", "{}"),
        ("content-length: 2, 7\r\n", "{}"),
        ("content-length: 2,2\r\n", "{}"),
        ("content-length: 2\r\nContent-Length: 0\r\n", "{}"),
    ])
    .await;
}

#[tokio::test]
async fn a_length_that_is_no_number_is_one_refusal() {
    try_all(&[
        ("content-length: -1\r\n", ""),
        ("content-length: +2\r\n", "{}"),
        ("content-length: 0x2\r\n", "{}"),
        ("content-length: 2 2\r\n", "{}"),
        ("content-length: 2e0\r\n", "{}"),
        ("content-length: \r\n", "{}"),
        ("content-length: 99999999999999999999999\r\n", "{}"),
        ("content-length : 2\r\n", "{}"),
        ("content-length\0: 2\r\n", "{}"),
    ])
    .await;
}

#[tokio::test]
async fn an_encoding_that_is_not_chunked_is_one_refusal() {
    try_all(&[
        ("transfer-encoding: identity\r\n", "{}"),
        ("transfer-encoding: xchunked\r\n", "0\r\n\r\n"),
        ("transfer-encoding: chunked, identity\r\n", "0\r\n\r\n"),
        ("transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n", "0\r\n\r\n"),
        ("transfer-encoding: \x0bchunked\r\n", "0\r\n\r\n"),
        ("transfer-encoding : chunked\r\n", "0\r\n\r\n"),
        ("transfer-encoding:\r\n chunked\r\n", "0\r\n\r\n"),
        ("transfer-encoding: chunked\0\r\n", "0\r\n\r\n"),
    ])
    .await;
}

#[tokio::test]
async fn a_chunk_of_garbage_size_is_one_refusal() {
    let chunked = "transfer-encoding: chunked\r\n";
    try_all(&[
        (chunked, "zz\r\n{}\r\n0\r\n\r\n"),
        (chunked, "-1\r\n{}\r\n0\r\n\r\n"),
        (chunked, "+2\r\n{}\r\n0\r\n\r\n"),
        (chunked, "0x2\r\n{}\r\n0\r\n\r\n"),
        (chunked, "\r\n{}\r\n0\r\n\r\n"),
        (chunked, "ffffffffffffffffff\r\n{}\r\n0\r\n\r\n"),
        (chunked, "2\r\n{}XX0\r\n\r\n"),
        (chunked, "2\n{}\n0\n\n"),
        (chunked, "2 2\r\n{}\r\n0\r\n\r\n"),
        (chunked, "1\r\n{}\r\n0\r\n\r\n"),
    ])
    .await;
}

#[tokio::test]
async fn of_a_length_and_chunks_the_chunks_count_and_the_connection_ends() {
    let gateway = gateway().await;
    let hidden = hidden(&gateway);
    for head in [
        "content-length: 4\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: chunked\r\ncontent-length: 4\r\n",
        "transfer-encoding: chunked\r\ncontent-length: 9999\r\n",
        "Transfer-Encoding: Chunked\r\ncontent-length: 0\r\n",
    ] {
        // By the length the body is cut in it or goes on behind it; by the chunks it ends before what is hidden.
        for body in ["0\r\n\r\n", "2\r\n{}\r\n0\r\n\r\n"] {
            let request = format!("{POST}authorization: Bearer sk-wrong\r\n{head}\r\n{body}{hidden}");
            assert_one_refusal(&answers(&gateway, request.as_bytes()).await, head);
            let known =
                format!("{POST}authorization: Bearer {}\r\n{head}\r\n{body}{hidden}", gateway.http().key());
            assert_one_refusal(&answers(&gateway, known.as_bytes()).await, head);
        }
    }
}

#[tokio::test]
async fn a_bare_line_feed_hides_no_header() {
    let gateway = gateway().await;
    let key = gateway.http().key();
    // For who ends lines at CR LF only, the second line is part of the first one's value.
    for head in [
        format!("x-a: b\nauthorization: Bearer {key}\r\n"),
        format!("authorization: Bearer sk-wrong\nauthorization: Bearer {key}\r\n"),
        format!("authorization: Bearer {key}\r\nx-a: b\ntransfer-encoding: chunked\r\n"),
        format!("authorization: Bearer {key}\r\nx-a: b\ncontent-length: 7\r\n"),
        format!("authorization: Bearer {key}\r\nx-a: b\n\r\n{}", hidden(&gateway)),
        format!("authorization: Bearer {key}\r\nx-a: b\r\rcontent-length: 7\r\n"),
    ] {
        let request = format!("{POST}{head}content-length: 2\r\n\r\n{{}}");
        assert_one_refusal(&answers(&gateway, request.as_bytes()).await, &head);
    }
}

#[tokio::test]
async fn a_refused_callers_body_is_not_taken_for_its_next_request() {
    let gateway = gateway().await;
    let hidden = hidden(&gateway);
    let request = format!(
        "{POST}authorization: Bearer sk-wrong\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{hidden}",
        hidden.len()
    );
    assert_one_refusal(&answers(&gateway, request.as_bytes()).await, "a body that looks like a request");
    // As HTTP/1.0 has no chunks, what claims them frames nothing.
    let old = format!(
        "POST /v1/tokenize HTTP/1.0\r\nhost: gateway\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n{hidden}"
    );
    assert_one_refusal(&answers(&gateway, old.as_bytes()).await, "chunks of HTTP/1.0");
}
