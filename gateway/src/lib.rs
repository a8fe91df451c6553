//! The way of a request, and the map of the crate:
//!
//! socket → [`server`] → [`api`]: [`auth`] who calls → [`routing`] which engine → [`engine`] prepare (exact count) →
//! [`limits`] all or none → generate (queue, batch, event stream) → [`stream`] events to wire chunks → settled once at the end.
//!
//! A module imports only from lower ranks: 0 `clock config database error redis_link shutdown` · 1 `auth engine telemetry model_store` ·
//! 2 `limits conversation routing` · 3 `accounting` · 4 `stream` · 5 `app` · 6 `api` · 7 `routes server` ·
//! 8 `cli lib main` (`cargo xtask layers` reads this line).

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
pub mod routes;
pub mod routing;
pub mod server;
pub mod shutdown;
pub mod stream;
pub mod telemetry;
