//! `GET /.well-known/jwks.json`: the public keys by which others can verify our tokens.

use std::sync::Arc;

use poem::endpoint::make_sync;
use poem::http::header;
use poem::{Response, Route, get};

use crate::auth::Access;

/// The path and its name, for those who list all paths.
pub const PATH: (&str, &str) = ("/.well-known/jwks.json", "jwks");

/// Adds the route.
pub fn add(routes: Route, access: Arc<Access>) -> Route {
    routes.at(
        PATH.0,
        get(make_sync(move |_| {
            Response::builder()
                .content_type("application/json")
                // A rotated key must be known before the tokens that it signs are old.
                .header(header::CACHE_CONTROL, "public, max-age=300")
                .body(access.jwks().to_string())
        })),
    )
}
