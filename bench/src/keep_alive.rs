//! Requests one after the other on one connection, with as little of this tool's own work as can be.

use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::error::CallError;
use crate::target::Target;

/// The end of a chunked body.
const END: &[u8] = b"0\r\n\r\n";

/// A connection that is asked the same again and again.
#[derive(Debug)]
pub(crate) struct KeptConnection {
    socket: TcpStream,
    request: Bytes,
    seen: Vec<u8>,
}

/// How one answer came.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    /// From the request to the first byte of the answer.
    pub(crate) first: Duration,
    /// To its last.
    pub(crate) whole: Duration,
}

impl KeptConnection {
    /// Connects.
    pub(crate) async fn open(target: &Target, path: &str, body: &str) -> Result<Self, CallError> {
        let socket = TcpStream::connect(target.address.socket).await.map_err(CallError::Connect)?;
        socket.set_nodelay(true).map_err(CallError::Connect)?;
        let key =
            target.key.as_ref().map(|key| format!("authorization: Bearer {key}\r\n")).unwrap_or_default();
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: {}\r\n{key}content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            target.address.socket,
            body.len()
        );
        Ok(Self { socket, request: request.into(), seen: Vec::with_capacity(8192) })
    }

    /// One exchange. An answer that is not whole, or whose status is not 200, is an error.
    pub(crate) async fn ask(&mut self) -> Result<Times, CallError> {
        let broke = |error: std::io::Error| CallError::Stream(error.to_string());
        let start = Instant::now();
        self.socket.write_all(&self.request).await.map_err(broke)?;
        self.seen.clear();
        let mut first = None;
        let mut end = None;
        loop {
            if self.socket.read_buf(&mut self.seen).await.map_err(broke)? == 0 {
                return Err(CallError::Stream("the connection was closed".to_owned()));
            }
            let first = *first.get_or_insert_with(|| start.elapsed());
            if end.is_none() {
                end = self.end()?;
            }
            let is_whole = match end {
                Some(End::At(length)) => self.seen.len() >= length,
                Some(End::Marked) => self.seen.ends_with(END),
                None => false,
            };
            if is_whole {
                return Ok(Times { first, whole: start.elapsed() });
            }
        }
    }

    /// Where the answer ends, once its head is there.
    fn end(&self) -> Result<Option<End>, CallError> {
        let Some(head) = self.seen.windows(4).position(|bytes| bytes == b"\r\n\r\n") else { return Ok(None) };
        let text = String::from_utf8_lossy(self.seen.get(..head).unwrap_or_default());
        let status = text.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
        if status != 200 {
            let text = String::from_utf8_lossy(&self.seen).chars().take(400).collect();
            return Err(CallError::Status { status, text });
        }
        let length = text.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
        });
        Ok(Some(length.map_or(End::Marked, |length| End::At(head + 4 + length))))
    }
}

#[derive(Debug, Clone, Copy)]
enum End {
    /// So many bytes.
    At(usize),
    /// The last chunk says it.
    Marked,
}
