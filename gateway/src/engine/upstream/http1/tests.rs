//! Answers as servers write them, cut as networks cut them, and as nobody should write them.

use proptest::prelude::*;

use super::*;

fn read(answer: &str) -> Result<WholeAnswer, Broken> {
    read_in_pieces([answer.as_bytes()])
}

fn content(answer: &str) -> String {
    String::from_utf8(read(answer).unwrap().content).unwrap()
}

const CHUNKED: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";

#[test]
fn a_body_ends_by_its_length() {
    let answer = read("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX: y\r\n\r\nHi!").unwrap();
    assert_eq!((answer.status, answer.content.as_slice(), answer.left), (StatusCode::OK, &b"Hi"[..], 1));
    assert_eq!(answer.headers["x"], "y");
}

#[test]
fn a_body_ends_by_its_last_chunk() {
    let chunks = "2\r\nHi\r\nA;name=\"v\"\r\n, everyone\r\n1 \r\n!\r\n0\r\n";
    assert_eq!(content(&format!("{CHUNKED}{chunks}\r\n")), "Hi, everyone!");
    assert_eq!(content(&format!("{CHUNKED}{chunks}checksum: 1\r\nother: 2\r\n\r\n")), "Hi, everyone!");
}

#[test]
fn a_body_without_either_ends_with_the_connection() {
    assert_eq!(content("HTTP/1.0 200 OK\r\n\r\nHi"), "Hi");
}

#[test]
fn a_status_that_has_no_body_has_none() {
    assert_eq!(read("HTTP/1.1 204 No Content\r\n\r\nHi").unwrap().left, 2);
}

#[test]
fn what_comes_before_the_answer_is_passed_over() {
    let early = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n";
    assert_eq!(content(&format!("{early}HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nHi")), "Hi");
    assert!(matches!(read("HTTP/1.1 101 Switching\r\n\r\n"), Err(Broken::Head(BadHead::Status(101)))));
}

#[test]
fn an_answer_that_breaks_off_is_told_from_none() {
    assert!(matches!(read(""), Err(Broken::Closed)));
    for broken in ["HTTP/1.1 2", "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nHi"] {
        assert!(matches!(read(broken), Err(Broken::Incomplete)), "{broken}");
    }
    for broken in ["", "2", "2\r\nH", "2\r\nHi\r\n", "0\r\n"] {
        assert!(matches!(read(&format!("{CHUNKED}{broken}")), Err(Broken::Incomplete)), "{broken}");
    }
}

#[test]
fn a_length_that_servers_could_disagree_on_is_refused() {
    assert_eq!(content("HTTP/1.1 200 OK\r\ncontent-length: 2, 2\r\ncontent-length: 2\r\n\r\nHi"), "Hi");
    for length in ["-1", "+2", "", "2,3", "0x2", "2 2", "99999999999999999999"] {
        let refused = read(&format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\nHi"));
        assert!(matches!(refused, Err(Broken::Framing(BadFraming::Length))), "{length}");
    }
    let twice = read("HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nHi");
    assert!(matches!(twice, Err(Broken::Framing(BadFraming::Length))));
}

#[test]
fn an_encoding_that_was_not_offered_is_refused() {
    for encoding in ["gzip, chunked", "gzip", "identity", "chunked\r\ntransfer-encoding: chunked"] {
        let refused = read(&format!("HTTP/1.1 200 OK\r\ntransfer-encoding: {encoding}\r\n\r\n0\r\n\r\n"));
        assert!(matches!(refused, Err(Broken::Framing(BadFraming::Encoding))), "{encoding}");
    }
}

#[test]
fn chunks_that_are_none_are_refused() {
    let long = format!("2;{}\r\nHi\r\n0\r\n\r\n", "x".repeat(5000));
    let trailer = format!("0\r\n{}\r\n\r\n", "x".repeat(20_000));
    let chunks = [
        "\r\n",
        "x\r\n",
        "-2\r\nHi",
        "2\nHi\r\n",
        "2\r\nHi!\r\n",
        "11111111111111111\r\n",
        "2\rHi",
        "0\r\n\n",
    ];
    for bad in chunks.into_iter().chain([long.as_str(), trailer.as_str()]) {
        let refused = read(&format!("{CHUNKED}{bad}"));
        assert!(matches!(refused, Err(Broken::Framing(BadFraming::Chunk))), "{bad:.40}");
    }
}

#[test]
fn a_head_has_an_end() {
    let fields = "x: y\r\n".repeat(20_000);
    for endless in
        [format!("HTTP/1.1 200 OK\r\nx: {}", "y".repeat(80_000)), format!("HTTP/1.1 200 OK\r\n{fields}")]
    {
        assert!(matches!(read(&endless), Err(Broken::Head(_))));
    }
}

#[test]
fn a_connection_is_kept_as_its_version_and_fields_say() {
    let keeps = |head: &str| HeadReader::default().push(head.as_bytes()).unwrap().unwrap().0.keeps();
    assert!(keeps("HTTP/1.1 200 OK\r\n\r\n"));
    assert!(!keeps("HTTP/1.1 200 OK\r\nconnection: x, Close\r\n\r\n"));
    assert!(!keeps("HTTP/1.0 200 OK\r\n\r\n"));
    assert!(keeps("HTTP/1.0 200 OK\r\nconnection: Keep-Alive\r\n\r\n"));
}

/// A body in chunks.
fn in_chunks(pieces: &[Vec<u8>]) -> Vec<u8> {
    let mut body = CHUNKED.as_bytes().to_vec();
    for piece in pieces.iter().filter(|piece| !piece.is_empty()) {
        body.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        body.extend_from_slice(piece);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"0\r\n\r\n");
    body
}

proptest! {
    #[test]
    fn an_answer_is_the_same_however_it_is_cut(
        pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..8),
        size in 1_usize..50,
    ) {
        let answer = in_chunks(&pieces);
        let cut = read_in_pieces(answer.chunks(size)).unwrap();
        prop_assert_eq!(&cut.content, &pieces.concat());
        prop_assert_eq!(cut, read_in_pieces([answer.as_slice()]).unwrap());
    }
}

/// A server's end of a connection, and ours.
fn ends() -> (tokio::io::DuplexStream, Connection) {
    let (theirs, ours) = tokio::io::duplex(64);
    (theirs, Connection::new(Box::new(ours)))
}

fn request(body: &'static str) -> Outgoing {
    let head = format!("POST / HTTP/1.1\r\ncontent-length: {}\r\n\r\n", body.len());
    Outgoing { head: head.into(), body: Bytes::from_static(body.as_bytes()) }
}

#[tokio::test]
async fn a_request_goes_out_head_and_body_through_a_narrow_pipe() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let (mut theirs, mut ours) = ends();
    let body = "x".repeat(1000);
    let sent = Outgoing { head: Bytes::from_static(b"POST / HTTP/1.1\r\n\r\n"), body: body.clone().into() };
    let expected = format!("POST / HTTP/1.1\r\n\r\n{body}");
    let serve = async {
        let mut seen = vec![0; expected.len()];
        theirs.read_exact(&mut seen).await.unwrap();
        theirs.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        String::from_utf8(seen).unwrap()
    };
    let (seen, answer) = tokio::join!(serve, ours.exchange(sent));
    assert_eq!(seen, expected);
    assert!(answer.unwrap().framing.has_ended() && ours.keeps());
}

#[tokio::test]
async fn an_answer_may_come_before_the_request_is_sent_and_ends_the_connection() {
    use tokio::io::AsyncWriteExt;
    let (mut theirs, mut ours) = ends();
    theirs.write_all(b"HTTP/1.1 413 No\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    let sent =
        Outgoing { head: Bytes::from_static(b"POST / HTTP/1.1\r\n\r\n"), body: "x".repeat(1000).into() };
    let answer = ours.exchange(sent).await.unwrap();
    assert_eq!(answer.head.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(!ours.keeps(), "the rest of the request was not sent");
}

#[tokio::test]
async fn a_connection_that_brought_more_than_its_answer_is_not_kept() {
    use tokio::io::AsyncWriteExt;
    let (mut theirs, mut ours) = ends();
    theirs.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nHi!").await.unwrap();
    let answer = ours.exchange(request("")).await.unwrap();
    assert_eq!(answer.first, b"Hi");
    assert!(!ours.keeps());
}

#[tokio::test]
async fn a_connection_that_is_closed_at_once_has_no_answer() {
    let (theirs, mut ours) = ends();
    assert!(ours.lives());
    drop(theirs);
    assert!(!ours.lives());
    let refused = ours.exchange(request("Hi")).await;
    assert!(matches!(refused, Err(Broken::Closed | Broken::Io(_))));
}
