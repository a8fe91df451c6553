//! A file server that can be told to misbehave.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use parking_lot::Mutex;

/// What the server serves, and how.
#[derive(Debug, Clone, Default)]
pub(super) struct Behaviour {
    pub(super) content: Vec<u8>,
    pub(super) etag: Option<&'static str>,
    /// Each entry ends one answer after so many bytes of its body.
    pub(super) cuts: Vec<usize>,
    /// It answers ranges with the whole.
    pub(super) ignores_ranges: bool,
}

/// The server; requests' heads are kept for the test to read.
pub(super) struct FileServer {
    pub(super) url: String,
    pub(super) behaviour: Arc<Mutex<Behaviour>>,
    pub(super) heads: Arc<Mutex<Vec<String>>>,
}

impl FileServer {
    pub(super) fn start(behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let behaviour = Arc::new(Mutex::new(behaviour));
        let heads = Arc::new(Mutex::new(Vec::new()));
        let (shared, log) = (Arc::clone(&behaviour), Arc::clone(&heads));
        std::thread::spawn(move || {
            for socket in listener.incoming() {
                // A client that has what it wants may leave at any moment.
                drop(answer(&socket.unwrap(), &shared, &log));
            }
        });
        Self { url, behaviour, heads }
    }
}

fn answer(
    mut socket: &TcpStream,
    behaviour: &Mutex<Behaviour>,
    heads: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let head = read_head(socket)?;
    heads.lock().push(head.clone());
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut answer = behaviour.lock().clone();
    if path == "/moved.gguf" {
        return write!(
            socket,
            "HTTP/1.1 302 Found\r\nlocation: /model.gguf\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        );
    }
    if !path.split('?').any(|part| part.ends_with("model.gguf")) {
        return write!(socket, "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    }
    let whole = answer.content.len();
    let (start, end) = range(&head, &answer);
    let part = answer.content.drain(..).skip(start).take(end - start).collect::<Vec<u8>>();
    let status = if start > 0 || end < whole { "206 Partial Content" } else { "200 OK" };
    write!(socket, "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n", part.len())?;
    write!(socket, "x-repo-commit: abc123\r\ncontent-range: bytes {start}-{}/{whole}\r\n", end - 1)?;
    if let Some(etag) = answer.etag {
        write!(socket, "etag: {etag}\r\n")?;
    }
    write!(socket, "\r\n")?;
    let cut = (part.len() > 1).then(|| behaviour.lock().cuts.pop()).flatten().unwrap_or(part.len());
    socket.write_all(&part[..cut])
}

fn read_head(socket: &TcpStream) -> std::io::Result<String> {
    let mut head = String::new();
    let mut lines = BufReader::new(socket);
    while !head.ends_with("\r\n\r\n") {
        if lines.read_line(&mut head)? == 0 {
            break;
        }
    }
    Ok(head.to_ascii_lowercase())
}

/// The part asked for, unless a condition says that it is of another version.
fn range(head: &str, behaviour: &Behaviour) -> (usize, usize) {
    let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let whole = (0, behaviour.content.len());
    let same = field("if-range:").is_none_or(|version| Some(version) == behaviour.etag);
    let Some(range) = field("range:").filter(|_| same && !behaviour.ignores_ranges) else { return whole };
    let (start, end) = range.trim_start_matches("bytes=").split_once('-').unwrap();
    (start.parse().unwrap(), end.parse::<usize>().map_or(whole.1, |last| last + 1))
}
