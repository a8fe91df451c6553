//! Every request counted and timed, from its head to the last byte of its answer.

use std::collections::HashMap;
use std::sync::Arc;

use poem::http::Method;
use poem::{Endpoint, Request, Response, Result};

use super::allowed::Paths;
use crate::auth::AuthError;
use crate::error::ApiError;
use crate::telemetry::Metrics;
use crate::telemetry::metrics::OTHER;
use crate::telemetry::metrics::http::Route;

/// Wraps the whole surface, which never answers with `Err`.
pub(super) struct Observed<E> {
    inner: E,
    metrics: Arc<Metrics>,
    paths: Arc<Paths>,
    routes: HashMap<&'static str, Route>,
    /// What is no operation, by its method.
    others: HashMap<&'static str, Route>,
}

impl<E> Observed<E> {
    /// Wraps; the handles of every operation are made now.
    pub(super) fn new(inner: E, metrics: Arc<Metrics>, paths: Arc<Paths>) -> Self {
        let named =
            paths.operations().map(|(method, name)| (name, metrics.http.route(method_name(method), name)));
        let routes = named.collect();
        let others = METHODS.iter().chain(&[OTHER]);
        let others = others.map(|method| (*method, metrics.http.route(method, OTHER))).collect();
        Self { inner, metrics, paths, routes, others }
    }

    fn route(&self, request: &Request) -> Option<&Route> {
        let operation = self.paths.operation(request.method(), request.uri().path());
        let known = operation.and_then(|name| self.routes.get(name));
        known.or_else(|| self.others.get(method_name(request.method())))
    }
}

impl<E: Endpoint<Output = Response>> Endpoint for Observed<E> {
    type Output = Response;

    async fn call(&self, request: Request) -> Result<Response> {
        // Every method has a route; were there none, the request would be answered all the same.
        let Some(route) = self.route(&request) else { return self.inner.call(request).await };
        let mut open = route.begin();
        let mut response = self.inner.call(request).await?;
        let error = response.data::<ApiError>();
        let cause = error.and_then(ApiError::cause);
        if let Some(refused) = cause.and_then(|cause| cause.downcast_ref::<AuthError>()) {
            self.metrics.access.failed(refused.reason());
        }
        let reason = error.map(ApiError::reason);
        open.answered(response.status().as_u16(), reason);
        // What an answer carries lives as long as its body.
        response.set_data(open.shared());
        Ok(response)
    }
}

/// The methods of the surface, and those that clients try.
const METHODS: [&str; 7] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];

fn method_name(method: &Method) -> &'static str {
    METHODS.iter().find(|name| **name == method.as_str()).copied().unwrap_or(OTHER)
}
