//! An upstream that costs next to nothing: fixed answers of OpenAI's form, so that what stands before it is measured.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::error::BenchError;
use crate::terminal::note;

/// The longest request that is read.
const MAX_REQUEST: usize = 1 << 20;
const MODELS: &str =
    r#"{"object":"list","data":[{"id":"mock","object":"model","created":1,"owned_by":"bench"}]}"#;
const ANSWER: &str = r#"{"id":"chatcmpl-mock","object":"chat.completion","created":1750000000,"model":"mock","choices":[{"index":0,"message":{"role":"assistant","content":"The quick brown fox jumps over the lazy dog, and the dog does not mind at all."},"finish_reason":"stop"}],"usage":{"prompt_tokens":24,"completion_tokens":20,"total_tokens":44}}"#;
const LAST: &str = r#"data: {"id":"chatcmpl-mock","object":"chat.completion.chunk","created":1750000000,"model":"mock","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;
const USAGE: &str = r#"data: {"id":"chatcmpl-mock","object":"chat.completion.chunk","created":1750000000,"model":"mock","choices":[],"usage":{"prompt_tokens":24,"completion_tokens":20,"total_tokens":44}}"#;
const STREAM_HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n";

/// The command line of `mock`.
#[derive(Debug, Clone, Args)]
pub(crate) struct MockArgs {
    /// Where it listens.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: std::net::SocketAddr,
    /// A file for the address, once it listens.
    #[arg(long)]
    address_file: Option<PathBuf>,
    /// Chunks of a streamed answer that have text.
    #[arg(long, default_value_t = 20)]
    chunks: u32,
    /// Milliseconds from one chunk to the next.
    #[arg(long, default_value_t = 0)]
    every_ms: u64,
}

/// Serves until the process is ended.
pub(crate) async fn run(args: &MockArgs) -> Result<(), BenchError> {
    let failed = |source| BenchError::Process { what: "mock".to_owned(), source };
    let listener = TcpListener::bind(args.listen).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    if let Some(path) = &args.address_file {
        let file = |source| BenchError::File { path: path.clone(), source };
        std::fs::write(path, address.to_string()).map_err(file)?;
    }
    note(&format!("mock upstream at http://{address}/v1"));
    let mut connections = JoinSet::new();
    loop {
        let (socket, _) = listener.accept().await.map_err(failed)?;
        while connections.try_join_next().is_some() {}
        let args = args.clone();
        // A client may leave at any moment.
        connections.spawn(async move { drop(serve(socket, &args).await) });
    }
}

async fn serve(mut socket: TcpStream, args: &MockArgs) -> std::io::Result<()> {
    socket.set_nodelay(true)?;
    let mut seen = Vec::with_capacity(2048);
    loop {
        let Some(length) = request(&mut socket, &mut seen).await? else { return Ok(()) };
        let request = seen.get(..length).unwrap_or_default();
        let streamed = holds(request, br#""stream":true"#) || holds(request, br#""stream": true"#);
        let usage = holds(request, b"include_usage");
        let is_list = request.starts_with(b"GET ");
        seen.drain(..length);
        if is_list {
            socket.write_all(whole(MODELS).as_bytes()).await?;
        } else if streamed {
            stream(&mut socket, args, usage).await?;
        } else {
            socket.write_all(whole(ANSWER).as_bytes()).await?;
        }
    }
}

/// Reads until a whole request is there; its length, none at the end of the connection.
async fn request(socket: &mut TcpStream, seen: &mut Vec<u8>) -> std::io::Result<Option<usize>> {
    loop {
        if let Some(length) = request_length(seen) {
            return Ok(Some(length));
        }
        if seen.len() > MAX_REQUEST || socket.read_buf(seen).await? == 0 {
            return Ok(None);
        }
    }
}

fn request_length(seen: &[u8]) -> Option<usize> {
    let head = seen.windows(4).position(|bytes| bytes == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(seen.get(..head)?).ok()?;
    let field = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    let length = head + field.unwrap_or_default();
    (seen.len() >= length).then_some(length)
}

fn holds(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

fn whole(body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Each chunk in a write of its own, as servers do that generate.
async fn stream(socket: &mut TcpStream, args: &MockArgs, usage: bool) -> std::io::Result<()> {
    socket.write_all(STREAM_HEAD.as_bytes()).await?;
    let mut next = Instant::now();
    for index in 0..args.chunks {
        if args.every_ms > 0 {
            next += Duration::from_millis(args.every_ms);
            tokio::time::sleep_until(next).await;
        } else {
            tokio::task::yield_now().await;
        }
        socket.write_all(framed(&delta(index)).as_bytes()).await?;
    }
    let end = [LAST, if usage { USAGE } else { "" }, "data: [DONE]"];
    let mut rest: String = end.iter().filter(|event| !event.is_empty()).map(|event| framed(event)).collect();
    rest.push_str("0\r\n\r\n");
    socket.write_all(rest.as_bytes()).await
}

fn delta(index: u32) -> String {
    format!(
        r#"data: {{"id":"chatcmpl-mock","object":"chat.completion.chunk","created":1750000000,"model":"mock","choices":[{{"index":0,"delta":{{"content":" word{index}"}},"finish_reason":null}}]}}"#
    )
}

fn framed(event: &str) -> String {
    format!("{:x}\r\n{event}\n\n\r\n", event.len() + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_whole_once_its_body_is() {
        let head = "POST /v1/chat/completions HTTP/1.1\r\nContent-Length: 2\r\n\r\n";
        assert_eq!(request_length(head.as_bytes()), None);
        assert_eq!(request_length(format!("{head}{{}}more").as_bytes()), Some(head.len() + 2));
        assert_eq!(request_length(b"GET / HTTP/1.1\r\n\r\n"), Some(18));
    }
}
