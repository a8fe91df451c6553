//! One connection: a request goes out while its answer's head is awaited, then the body is read as it comes.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use bytes::Buf;
use bytes::buf::Chain;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::framing::{Content, Framing};
use super::head::{Head, HeadReader};
use super::{Broken, Outgoing};
use crate::engine::upstream::connector::ByteStream;

/// How much is read at once.
const READ: usize = 16 << 10;
/// A head and a body are written in pieces of the two at most.
const PIECES: usize = 2;

/// A connection to a server.
pub(super) struct Connection {
    stream: Box<dyn ByteStream>,
    /// It may carry another request.
    keeps: bool,
}

/// An answer whose head has come.
pub(super) struct Answer {
    pub(super) head: Head,
    pub(super) framing: Framing,
    /// What came of the body with the head.
    pub(super) first: Content,
}

impl Connection {
    pub(super) fn new(stream: Box<dyn ByteStream>) -> Self {
        Self { stream, keeps: true }
    }

    /// Sends a request and awaits the head of its answer, which may come before all of the request is sent.
    pub(super) async fn exchange(&mut self, request: Outgoing) -> Result<Answer, Broken> {
        let mut sending = Sending { rest: request.head.chain(request.body), flushed: false, failed: None };
        let mut reader = HeadReader::default();
        let exchange = std::future::poll_fn(|context| {
            sending.poll(&mut self.stream, context);
            self.poll_answer(context, &mut reader)
        });
        let outcome = exchange.await;
        self.keeps &= sending.flushed && sending.failed.is_none();
        match (outcome, sending.failed) {
            // The server closed because of what it was sent, or before: what was written says more than what was read.
            (Err(Broken::Io(_) | Broken::Closed), Some(error)) if !reader.has_begun() => {
                Err(Broken::Io(error))
            }
            (Err(Broken::Io(_)), _) if reader.has_begun() => Err(Broken::Incomplete),
            (outcome, _) => outcome,
        }
    }

    fn poll_answer(
        &mut self,
        context: &mut Context<'_>,
        reader: &mut HeadReader,
    ) -> Poll<Result<Answer, Broken>> {
        loop {
            let (mut came, mut answer) = (0, None);
            ready!(poll_read(&mut self.stream, context, |bytes| {
                came = bytes.len();
                answer =
                    reader.push(bytes)?.map(|(head, used)| begin(head, bytes.get(used..))).transpose()?;
                Ok(())
            }))?;
            if came == 0 {
                let closed = if reader.has_begun() { Broken::Incomplete } else { Broken::Closed };
                return Poll::Ready(Err(closed));
            }
            if let Some((answer, left)) = answer {
                let ambiguous = answer.head.headers.contains_key(http::header::CONTENT_LENGTH)
                    && matches!(answer.framing, Framing::Chunked(_));
                self.keeps &= answer.head.keeps() && left == 0 && !ambiguous;
                return Poll::Ready(Ok(answer));
            }
        }
    }

    /// Reads on in a body; empty if the connection was closed where the body may end.
    pub(super) fn poll_body(
        &mut self,
        context: &mut Context<'_>,
        framing: &mut Framing,
    ) -> Poll<Result<Content, Broken>> {
        loop {
            let (mut came, mut piece, mut left) = (0, Content::new(), 0);
            ready!(poll_read(&mut self.stream, context, |bytes| {
                came = bytes.len();
                piece.reserve_exact(came);
                left = came - framing.decode(bytes, &mut piece)?;
                Ok(())
            }))?;
            self.keeps &= left == 0 && came > 0;
            if came == 0 && !framing.may_end() {
                return Poll::Ready(Err(Broken::Incomplete));
            }
            if came == 0 || !piece.is_empty() || framing.has_ended() {
                return Poll::Ready(Ok(piece));
            }
        }
    }

    /// Whether it may carry another request once the body has ended.
    pub(super) fn keeps(&self) -> bool {
        self.keeps
    }

    /// Whether an idle connection has not been closed by its server, as far as is known here.
    pub(super) fn lives(&mut self) -> bool {
        let mut nobody = Context::from_waker(Waker::noop());
        poll_read(&mut self.stream, &mut nobody, |_| Ok(())).is_pending()
    }
}

/// The answer that begins, and how many bytes are behind its end.
fn begin(head: Head, rest: Option<&[u8]>) -> Result<(Answer, usize), Broken> {
    let (mut framing, mut first, rest) = (Framing::of(&head)?, Content::new(), rest.unwrap_or_default());
    first.reserve_exact(rest.len());
    let left = rest.len() - framing.decode(rest, &mut first)?;
    Ok((Answer { head, framing, first }, left))
}

/// Reads once, onto the stack: what waits for bytes needs no room for them. None are the end.
fn poll_read(
    stream: &mut Box<dyn ByteStream>,
    context: &mut Context<'_>,
    take: impl FnOnce(&[u8]) -> Result<(), Broken>,
) -> Poll<Result<(), Broken>> {
    let mut space = [MaybeUninit::<u8>::uninit(); READ];
    let mut buffer = ReadBuf::uninit(&mut space);
    ready!(Pin::new(stream).poll_read(context, &mut buffer))?;
    Poll::Ready(take(buffer.filled()))
}

/// A request that is being sent.
struct Sending {
    rest: Chain<bytes::Bytes, bytes::Bytes>,
    flushed: bool,
    failed: Option<io::Error>,
}

impl Sending {
    /// Goes on with it.
    fn poll(&mut self, stream: &mut Box<dyn ByteStream>, context: &mut Context<'_>) {
        if !self.flushed
            && self.failed.is_none()
            && let Poll::Ready(sent) = self.poll_send(stream, context)
        {
            self.flushed = true;
            self.failed = sent.err();
        }
    }

    fn poll_send(
        &mut self,
        stream: &mut Box<dyn ByteStream>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while self.rest.has_remaining() {
            let mut pieces = [io::IoSlice::new(&[]); PIECES];
            let count = self.rest.chunks_vectored(&mut pieces);
            let pieces = pieces.get(..count).unwrap_or_default();
            let written = ready!(Pin::new(&mut *stream).poll_write_vectored(context, pieces))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.rest.advance(written);
        }
        Pin::new(stream).poll_flush(context)
    }
}
