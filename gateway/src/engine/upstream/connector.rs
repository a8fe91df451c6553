//! Opens connections to one server: TCP, TLS over it, or a Unix socket.

use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

/// What the pool asks for connections.
#[derive(Clone)]
pub(super) struct Connector(Arc<Way>);

/// The way to a server.
pub(super) struct Way {
    pub(super) place: Place,
    /// For all of it: name, connection and TLS.
    pub(super) timeout: Duration,
}

/// Where a server listens.
pub(super) enum Place {
    /// At host and port.
    Tcp { host: String, port: u16, tls: Option<TlsConnector> },
    /// At a socket of this machine.
    Unix(PathBuf),
}

impl Way {
    /// Opens a connection.
    pub(super) async fn connect(&self) -> io::Result<Stream> {
        timeout(self.timeout, self.place.connect()).await?
    }
}

impl Connector {
    pub(super) fn new(way: Arc<Way>) -> Self {
        Self(way)
    }
}

impl tower_service::Service<Uri> for Connector {
    type Response = Stream;
    type Error = io::Error;
    type Future = BoxFuture<'static, Result<Stream, io::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), io::Error>> {
        Poll::Ready(Ok(()))
    }

    /// The pool's address is that of the one server.
    fn call(&mut self, _: Uri) -> Self::Future {
        let way = Arc::clone(&self.0);
        async move { way.connect().await }.boxed()
    }
}

impl Place {
    async fn connect(&self) -> io::Result<Stream> {
        match self {
            Self::Unix(path) => Ok(Stream::new(UnixStream::connect(path).await?, false)),
            Self::Tcp { host, port, tls } => {
                let stream = TcpStream::connect((host.as_str(), *port)).await?;
                stream.set_nodelay(true)?;
                let Some(tls) = tls else { return Ok(Stream::new(stream, false)) };
                let name = ServerName::try_from(host.clone()).map_err(io::Error::other)?;
                let stream = tls.connect(name, stream).await?;
                let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                Ok(Stream::new(stream, http2))
            }
        }
    }
}

/// Bytes both ways.
pub(super) trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for T {}

/// An open connection.
pub(super) struct Stream {
    io: TokioIo<Box<dyn ByteStream>>,
    /// TLS has agreed on HTTP/2.
    http2: bool,
    used: Used,
}

/// Whether a connection has brought an answer: one that has may have been closed by the server since.
#[derive(Debug, Clone, Default)]
pub(super) struct Used(Arc<AtomicBool>);

impl Used {
    pub(super) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Stream {
    fn new(io: impl ByteStream + 'static, http2: bool) -> Self {
        Self { io: TokioIo::new(Box::new(io)), http2, used: Used::default() }
    }

    /// Its bytes, for who speaks a protocol over them without hyper.
    pub(super) fn into_bytes(self) -> Box<dyn ByteStream> {
        self.io.into_inner()
    }
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        let connected = Connected::new().extra(self.used.clone());
        if self.http2 { connected.negotiated_h2() } else { connected }
    }
}

impl Read for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(context, buffer)
    }
}

impl Write for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(context, slices)
    }
}
