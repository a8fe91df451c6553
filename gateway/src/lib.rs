//! The way of a request, and the map of the crate:
//!
//! socket → [`server`] → [`api`]: [`auth`] who calls → [`conversation`] what was said before → [`routing`] which engine ([`residency`]: in memory or on its way there) →
//! [`engine`] prepare (exact count) → [`limits`] all or none → generate (queue, batch, event stream) → [`stream`] events to
//! wire chunks, the turn kept before its end is told → settled once at the end.
//!
//! A module imports only from lower ranks: 0 `clock config database error redis_link shutdown` · 1 `telemetry` ·
//! 2 `auth engine model_store` · 3 `limits conversation residency routing` · 4 `accounting` · 5 `stream` · 6 `app` · 7 `api` ·
//! 8 `routes server` · 9 `cli lib main` (`cargo xtask layers` reads this line).

pub mod accounting;
pub mod api;
pub mod app;
pub mod auth;
pub mod clock;
pub mod config;
pub mod conversation;
pub mod database;
pub mod engine;
pub mod error;
pub mod limits;
pub mod model_store;
pub mod redis_link;
pub mod residency;
pub mod routes;
pub mod routing;
pub mod server;
pub mod shutdown;
pub mod stream;
pub mod telemetry;
