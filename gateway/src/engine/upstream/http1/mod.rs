//! HTTP/1.1 connections that the request drives which uses them: they have no task of their own.
//!
//! With a task between the socket and the reader, each chunk of a stream is handed over once, mostly to another thread,
//! and chunks that came together are passed on one by one. Here the reader's own poll reads the socket, and takes all
//! that one read brought. What waits for bytes holds no buffer for them: they are read onto the stack.

mod body;
mod connection;
mod framing;
mod head;

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};
use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio::time::Instant;

pub(super) use self::body::Http1Body;
use self::connection::Connection;
use self::framing::{BadFraming, Content, Framing};
use self::head::{BadHead, HeadReader};
use super::connector::Way;

/// Idle connections that are kept for one server.
const MOST_IDLE: usize = 1024;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoAnswer {
    /// The server cannot be reached.
    #[error("{0}")]
    Connect(#[source] io::Error),
    /// The connection broke before an answer, or what came is none.
    #[error("{0}")]
    Broken(#[source] Broken),
}

/// Why an answer cannot be read on.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// The connection failed.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The connection was closed before a byte of the answer.
    #[error("the connection was closed before an answer")]
    Closed,
    /// The connection was closed within the answer.
    #[error("the connection was closed before the end of the answer")]
    Incomplete,
    /// The answer's head is none.
    #[error("{0}")]
    Head(#[from] BadHead),
    /// The answer's body is none.
    #[error("{0}")]
    Framing(#[from] BadFraming),
}

/// A request as it is sent.
#[derive(Debug, Clone)]
pub(super) struct Outgoing {
    /// Its line and all of its header fields, with the empty line.
    pub(super) head: Bytes,
    /// Its body.
    pub(super) body: Bytes,
}

/// The connections to one server.
pub(super) struct Pool {
    way: Arc<Way>,
    /// The last one that was used at the back. An idle one is not watched: it shows when it is taken whether it lives.
    idle: Mutex<Idlers>,
    keep: Duration,
}

#[derive(Default)]
struct Idlers {
    connections: VecDeque<(Connection, Instant)>,
    /// There is a task that closes those that are idle for too long.
    swept: bool,
    /// That task; it ends with the pool.
    sweeper: JoinSet<()>,
}

impl Pool {
    /// No connection yet; idle ones are kept for so long.
    pub(super) fn new(way: Arc<Way>, keep: Duration) -> Arc<Self> {
        Arc::new(Self { way, idle: Mutex::default(), keep })
    }

    /// Sends a request, on a kept connection if there is one. Says whether it was kept: its server may have closed it.
    pub(super) async fn send(
        self: &Arc<Self>,
        request: Outgoing,
    ) -> (bool, Result<Response<Http1Body>, NoAnswer>) {
        match self.take() {
            Some(connection) => (true, self.send_on(connection, request).await),
            None => (false, self.send_anew(request).await),
        }
    }

    /// Sends a request on a new connection.
    pub(super) async fn send_anew(
        self: &Arc<Self>,
        request: Outgoing,
    ) -> Result<Response<Http1Body>, NoAnswer> {
        let stream = self.way.connect().await.map_err(NoAnswer::Connect)?;
        self.send_on(Connection::new(stream.into_bytes()), request).await
    }

    async fn send_on(
        self: &Arc<Self>,
        mut connection: Connection,
        request: Outgoing,
    ) -> Result<Response<Http1Body>, NoAnswer> {
        let answer = connection.exchange(request).await.map_err(NoAnswer::Broken)?;
        let (head, first, framing) = (answer.head, answer.first, answer.framing);
        let body = Http1Body::new(connection, framing, first, Arc::clone(self));
        let mut response = Response::new(body);
        (*response.status_mut(), *response.headers_mut()) = (head.status, head.headers);
        Ok(response)
    }

    /// A kept connection that is not known to be closed.
    fn take(&self) -> Option<Connection> {
        loop {
            let (mut connection, since) = self.idle.lock().connections.pop_back()?;
            if since.elapsed() < self.keep && connection.lives() {
                return Some(connection);
            }
        }
    }

    fn keep(self: &Arc<Self>, connection: Connection) {
        let mut idle = self.idle.lock();
        idle.connections.push_back((connection, Instant::now()));
        if idle.connections.len() > MOST_IDLE {
            drop(idle.connections.pop_front());
        }
        if !std::mem::replace(&mut idle.swept, true) {
            while idle.sweeper.try_join_next().is_some() {}
            idle.sweeper.spawn(sweep(Arc::downgrade(self), self.keep));
        }
    }

    /// Closes what has been idle for too long. Whether something is left.
    fn close_old(&self) -> bool {
        let mut idle = self.idle.lock();
        while idle.connections.front().is_some_and(|(_, since)| since.elapsed() >= self.keep) {
            drop(idle.connections.pop_front());
        }
        idle.swept = !idle.connections.is_empty();
        idle.swept
    }
}

/// Closes idle connections as they get too old, until there is none. Does not keep the pool.
async fn sweep(pool: Weak<Pool>, every: Duration) {
    loop {
        tokio::time::sleep(every).await;
        if !pool.upgrade().is_some_and(|pool| pool.close_old()) {
            return;
        }
    }
}

/// An answer that was read as a whole, for fuzzing.
#[derive(Debug, PartialEq, Eq)]
pub struct WholeAnswer {
    /// Its status.
    pub status: StatusCode,
    /// Its header fields.
    pub headers: HeaderMap,
    /// Its content, without the framing.
    pub content: Vec<u8>,
    /// Bytes behind its end.
    pub left: usize,
}

/// Reads an answer out of pieces as a connection may bring them, closed behind the last one.
///
/// # Errors
/// They are no answer, or not a whole one.
pub fn read_in_pieces<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<WholeAnswer, Broken> {
    let (mut reader, mut head) = (HeadReader::default(), None);
    let (mut content, mut left) = (Content::new(), 0);
    for piece in pieces {
        let mut rest = piece;
        if head.is_none() {
            head = reader.push(piece)?.map(|(head, used)| {
                rest = piece.get(used..).unwrap_or_default();
                let framing = Framing::of(&head);
                (head, framing)
            });
        }
        if let Some((_, Ok(framing))) = &mut head {
            left += rest.len() - framing.decode(rest, &mut content)?;
        }
    }
    let (head, framing) = head.ok_or(if reader.has_begun() { Broken::Incomplete } else { Broken::Closed })?;
    if !framing?.may_end() {
        return Err(Broken::Incomplete);
    }
    Ok(WholeAnswer { status: head.status, headers: head.headers, content, left })
}

#[cfg(test)]
mod tests;
