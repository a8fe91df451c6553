//! Listening sockets: TCP and Unix, one type for both.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use poem::Addr;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener, UnixStream};
use tokio_util::either::Either;

use crate::config::ListenAddress;

/// An accepted connection.
pub(super) type Socket = Either<TcpStream, UnixStream>;

/// What the kernel buffers for a reader that does not read. Small, so that a slow reader is felt early; ample for
/// text at the speed of a model.
const SEND_BUFFER: u32 = 64 << 10;
/// Connections the kernel completes before they are accepted.
const BACKLOG: u32 = 1024;

/// Who is at the two ends of a connection.
#[derive(Debug, Clone)]
pub(super) struct Peer {
    pub(super) local: Addr,
    pub(super) remote: Addr,
}

/// A socket that accepts connections.
#[derive(Debug)]
pub struct Listener {
    kind: Kind,
    user_timeout: Duration,
}

#[derive(Debug)]
enum Kind {
    Tcp(TcpListener, SocketAddr),
    Unix(UnixListener, PathBuf),
}

impl Listener {
    /// Binds an address. The socket file of a process that is gone is replaced. `write_timeout` is when the kernel
    /// gives a silent peer up.
    ///
    /// # Errors
    /// The address does not resolve, is in use, or is not permitted.
    pub async fn bind(address: &ListenAddress, write_timeout: Duration) -> io::Result<Self> {
        let kind = match address {
            ListenAddress::Tcp(address) => {
                let listener = bind_tcp(address).await?;
                let address = listener.local_addr()?;
                Kind::Tcp(listener, address)
            }
            ListenAddress::Unix(path) => {
                remove_stale(path).await?;
                Kind::Unix(UnixListener::bind(path)?, path.clone())
            }
        };
        Ok(Self { kind, user_timeout: write_timeout })
    }

    /// The address in use: with the port the system chose, where that was left to it.
    pub fn address(&self) -> ListenAddress {
        match &self.kind {
            Kind::Tcp(_, address) => ListenAddress::Tcp(address.to_string()),
            Kind::Unix(_, path) => ListenAddress::Unix(path.clone()),
        }
    }

    pub(super) async fn accept(&mut self) -> io::Result<(Socket, Peer)> {
        match &self.kind {
            Kind::Tcp(listener, local) => {
                let (stream, remote) = listener.accept().await?;
                stream.set_nodelay(true)?;
                // A peer that vanished without a word is given up after this long, instead of a quarter of an hour.
                SockRef::from(&stream).set_tcp_user_timeout(Some(self.user_timeout))?;
                Ok((Either::Left(stream), Peer { local: (*local).into(), remote: remote.into() }))
            }
            Kind::Unix(listener, path) => {
                let (stream, _) = listener.accept().await?;
                let local = Addr::custom("unix", path.display().to_string());
                Ok((Either::Right(stream), Peer { local: local.clone(), remote: local }))
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Kind::Unix(_, path) = &self.kind {
            // It may be gone already; nobody listens there either way.
            drop(std::fs::remove_file(path));
        }
    }
}

async fn bind_tcp(address: &str) -> io::Result<TcpListener> {
    let mut failure = io::Error::new(io::ErrorKind::AddrNotAvailable, "the name resolves to no address");
    for address in tokio::net::lookup_host(address).await? {
        match bind_one(address) {
            Ok(listener) => return Ok(listener),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

fn bind_one(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    // Accepted sockets inherit it.
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Removes the socket file that a killed process left; never a socket that answers, never another kind of file.
async fn remove_stale(path: &Path) -> io::Result<()> {
    let Ok(metadata) = std::fs::symlink_metadata(path) else { return Ok(()) };
    if metadata.file_type().is_socket() && UnixStream::connect(path).await.is_err() {
        return std::fs::remove_file(path);
    }
    Err(io::Error::new(io::ErrorKind::AddrInUse, "the path exists and is not a socket left behind"))
}
