//! The body of an answer, which reads its connection. Dropped before its end it closes that, else it gives it back.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame};

use super::connection::Connection;
use super::framing::{Content, Framing};
use super::{Broken, Pool};

/// The body of an answer.
pub(in crate::engine::upstream) struct Http1Body {
    /// Until the body has ended.
    connection: Option<Connection>,
    framing: Framing,
    /// What came with the head.
    first: Content,
    pool: Arc<Pool>,
}

impl Http1Body {
    pub(super) fn new(connection: Connection, framing: Framing, first: Content, pool: Arc<Pool>) -> Self {
        let mut body = Self { connection: Some(connection), framing, first, pool };
        body.give_back_at_end();
        body
    }

    /// The last byte has been read: the connection is free, before what came with it is looked at.
    fn give_back_at_end(&mut self) {
        if self.framing.has_ended()
            && let Some(connection) = self.connection.take_if(|connection| connection.keeps())
        {
            self.pool.keep(connection);
        }
        if self.framing.has_ended() {
            self.connection = None;
        }
    }
}

impl Body for Http1Body {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let this = &mut *self;
        if !this.first.is_empty() {
            let first = std::mem::take(&mut this.first);
            return Poll::Ready(Some(Ok(Frame::data(first.into()))));
        }
        let Some(connection) = &mut this.connection else { return Poll::Ready(None) };
        let piece = match ready!(connection.poll_body(context, &mut this.framing)) {
            Ok(piece) => piece,
            Err(error) => {
                this.connection = None;
                return Poll::Ready(Some(Err(error)));
            }
        };
        this.give_back_at_end();
        if piece.is_empty() {
            this.connection = None;
            return Poll::Ready(None);
        }
        Poll::Ready(Some(Ok(Frame::data(piece.into()))))
    }
}
