//! The accept loop: sockets in, requests out to the endpoint, nothing a client does holds or ends it.
//!
//! poem's own server does not notice a client that leaves and never times a request head out, so the loop is ours:
//! each connection is one tracked task with hyper's HTTP/1 or HTTP/2 state machine over a `guarded::Guarded`
//! socket. When the client goes, the pending handler or the answer's body is dropped at once, which cancels its
//! generation. While draining, the listener is closed, idle connections are too, and running answers finish.

mod activity;
mod canned;
mod connection;
mod guarded;
mod lines;
mod listener;
mod paced;
mod switch;
#[cfg(test)]
mod tests;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use poem::Response;
use poem::endpoint::DynEndpoint;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};

use self::connection::Connections;
pub use self::listener::Listener;
use self::listener::{Peer, Socket};
pub use self::switch::Switch;
pub use crate::config::ServerConfig as ServerSettings;
use crate::shutdown::Lifecycle;

/// What answers requests.
pub type SharedEndpoint = Arc<dyn DynEndpoint<Output = Response>>;

/// Connections over the limit that may wait for a place; more are closed unanswered.
const WAITING_ROOM: usize = 64;
/// How long they wait before their 503.
const WAIT_FOR_PLACE: Duration = Duration::from_millis(500);

/// Accepts connections until draining begins. Those accepted go on as tasks of `lifecycle`, which waits for them.
///
/// # Errors
/// None while it accepts; the signature leaves room for listeners that can fail for good.
pub async fn serve(
    mut listener: Listener,
    endpoint: SharedEndpoint,
    settings: ServerSettings,
    lifecycle: Lifecycle,
) -> io::Result<()> {
    let places = Arc::new(Semaphore::new(settings.max_connections));
    let waiting_room = Arc::new(Semaphore::new(WAITING_ROOM));
    let draining = lifecycle.draining_token();
    let connections = Arc::new(Connections::new(endpoint, settings, lifecycle.clone()));
    let mut backoff = Backoff::default();
    loop {
        let accepted = tokio::select! {
            biased;
            () = draining.cancelled() => return Ok(()),
            accepted = listener.accept() => accepted,
        };
        let (socket, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                backoff.wait(&error).await;
                continue;
            }
        };
        backoff = Backoff::default();
        match Arc::clone(&places).try_acquire_owned() {
            Ok(place) => {
                drop(lifecycle.spawn(Arc::clone(&connections).run(socket, peer, place)));
            }
            Err(TryAcquireError::NoPermits | TryAcquireError::Closed) => {
                let Ok(chair) = Arc::clone(&waiting_room).try_acquire_owned() else { continue };
                let waits =
                    wait_for_place(Arc::clone(&connections), (socket, peer), Arc::clone(&places), chair);
                drop(lifecycle.spawn(waits));
            }
        }
    }
}

/// Serves a connection over the limit if a place becomes free soon, else tells it to come back.
async fn wait_for_place(
    connections: Arc<Connections>,
    (socket, peer): (Socket, Peer),
    places: Arc<Semaphore>,
    chair: OwnedSemaphorePermit,
) {
    match tokio::time::timeout(WAIT_FOR_PLACE, places.acquire_owned()).await {
        Ok(Ok(place)) => {
            drop(chair);
            connections.run(socket, peer, place).await;
        }
        _ => connections.refuse(socket).await,
    }
}

/// Keeps a failing `accept` (no file descriptors left) from spinning, and its log short.
#[derive(Default)]
struct Backoff {
    failures: u32,
}

impl Backoff {
    async fn wait(&mut self, error: &io::Error) {
        use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
        // The one connection is gone; the next may come at once.
        if matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted) {
            return;
        }
        if self.failures == 0 {
            tracing::error!(%error, "cannot accept connections; trying on");
        }
        let pause = Duration::from_millis(10 << self.failures.min(6));
        self.failures += 1;
        tokio::time::sleep(pause).await;
    }
}
