//! The accept loop: TCP or a Unix socket, bounded connections, each a task with deadlines of its own.

use std::convert::Infallible;
use std::fs::Permissions;
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::address::Address;
use super::http::App;
use super::stalling::Stalling;

/// How long a request's head may take, and a kept connection may be idle.
const HEAD_LIMIT: Duration = Duration::from_secs(75);
/// How long a client may take nothing of its answer.
const STALL_LIMIT: Duration = Duration::from_secs(30);
/// The longest head, and the most of a body that is read at once.
const BUFFER: usize = 64 << 10;
/// After `accept` failed, such as for want of file descriptors.
const PAUSE: Duration = Duration::from_millis(100);
/// Who may use the Unix socket: the owner and its group.
const SOCKET_MODE: u32 = 0o660;

/// A socket that accepts connections.
#[derive(Debug)]
pub enum Listener {
    /// Over the network.
    Tcp(TcpListener),
    /// On this machine.
    Unix(UnixListener, PathBuf),
}

impl Listener {
    /// Binds an address; the socket file of a process that is gone is replaced.
    ///
    /// # Errors
    /// It does not resolve, is in use, or is not permitted.
    pub async fn bind(address: &Address) -> io::Result<Self> {
        match address {
            Address::Tcp(address) => Ok(Self::Tcp(TcpListener::bind(address).await?)),
            Address::Unix(path) => {
                remove_stale(path)?;
                let listener = UnixListener::bind(path)?;
                std::fs::set_permissions(path, Permissions::from_mode(SOCKET_MODE))?;
                Ok(Self::Unix(listener, path.clone()))
            }
        }
    }

    /// The address in use, with the port that the system chose.
    ///
    /// # Errors
    /// The socket is gone.
    pub fn address(&self) -> io::Result<Address> {
        match self {
            Self::Tcp(listener) => Ok(Address::Tcp(listener.local_addr()?.to_string())),
            Self::Unix(_, path) => Ok(Address::Unix(path.clone())),
        }
    }

    /// Whether only this machine reaches it.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp(listener) => listener.local_addr().is_ok_and(|address| address.ip().is_loopback()),
            Self::Unix(..) => true,
        }
    }

    /// Accepts until `stop`; connections go on as tasks.
    pub(super) async fn accept(
        self,
        app: Arc<App>,
        most: usize,
        tasks: &TaskTracker,
        stop: CancellationToken,
    ) {
        let places = Arc::new(Semaphore::new(most));
        loop {
            // More than so many wait in the kernel's queue.
            let place = tokio::select! {
                () = stop.cancelled() => break,
                place = Arc::clone(&places).acquire_owned() => place,
            };
            let Ok(place) = place else { break };
            let (app, stop_one) = (Arc::clone(&app), stop.clone());
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                accepted = self.next() => accepted,
            };
            match accepted {
                Ok(Socket::Tcp(stream)) => {
                    tasks.spawn(async move {
                        serve(stream, app, stop_one).await;
                        drop(place);
                    });
                }
                Ok(Socket::Unix(stream)) => {
                    tasks.spawn(async move {
                        serve(stream, app, stop_one).await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    sleep(PAUSE).await;
                }
            }
        }
    }

    async fn next(&self) -> io::Result<Socket> {
        match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Ok(Socket::Tcp(stream))
            }
            Self::Unix(listener, _) => Ok(Socket::Unix(listener.accept().await?.0)),
        }
    }
}

enum Socket {
    Tcp(tokio::net::TcpStream),
    Unix(tokio::net::UnixStream),
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Self::Unix(_, path) = self {
            // It may be gone already; nobody listens there either way.
            drop(std::fs::remove_file(path));
        }
    }
}

/// A socket file that nobody answers at is left over; any other file is not ours to remove.
fn remove_stale(path: &Path) -> io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => match std::os::unix::net::UnixStream::connect(path) {
            Ok(_) => Err(io::Error::new(io::ErrorKind::AddrInUse, "another process listens there")),
            Err(_) => std::fs::remove_file(path),
        },
        Ok(_) => Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is a file that is no socket")),
        Err(_) => Ok(()),
    }
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    app: Arc<App>,
    stop: CancellationToken,
) {
    let service = service_fn(move |request| {
        let app = Arc::clone(&app);
        async move { Ok::<_, Infallible>(app.answer(request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_LIMIT)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(Stalling::new(stream, STALL_LIMIT)), service);
    let mut connection = std::pin::pin!(connection);
    // A connection's error is its client's affair.
    tokio::select! {
        _ = connection.as_mut() => return,
        () = stop.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    drop(connection.await);
}
