//! An endpoint that can be replaced while it serves: the routes before the models are loaded, and after.

use futures_util::future::BoxFuture;
use parking_lot::RwLock;
use poem::endpoint::DynEndpoint;
use poem::{Request, Response};

use super::SharedEndpoint;

/// Passes every request to the endpoint of the moment; requests that run stay with theirs.
pub struct Switch(RwLock<SharedEndpoint>);

impl Switch {
    /// Begins with one endpoint.
    pub fn new(first: SharedEndpoint) -> Self {
        Self(RwLock::new(first))
    }

    /// Goes on with another.
    pub fn set(&self, next: SharedEndpoint) {
        *self.0.write() = next;
    }
}

impl DynEndpoint for Switch {
    type Output = Response;

    fn call(&self, request: Request) -> BoxFuture<'_, poem::Result<Response>> {
        let endpoint = SharedEndpoint::clone(&self.0.read());
        Box::pin(async move { endpoint.call(request).await })
    }
}
