//! `GET /.well-known/jwks.json`: the public keys by which others can verify our tokens.

use std::sync::Arc;

use poem::endpoint::make_sync;
use poem::http::header;
use poem::{Response, Route, get};
use poem_openapi::OperationId;

use crate::auth::Access;

/// The path, for those who list all paths.
pub const PATH: &str = "/.well-known/jwks.json";

/// Adds the route.
pub fn add(routes: Route, access: Arc<Access>) -> Route {
    routes.at(
        PATH,
        get(make_sync(move |_| {
            let mut response = Response::builder()
                .content_type("application/json")
                // A rotated key must be known before the tokens that it signs are old.
                .header(header::CACHE_CONTROL, "public, max-age=300")
                .body(access.jwks().to_string());
            response.set_data(OperationId("jwks"));
            response
        })),
    )
}
