//! `/metrics` and `/admin/v1/log`: the gateway's own diagnostics, for who scrapes it without an exporter or looks for a fault.

use std::sync::Arc;

use openapi::admin::log::LogFilter;
use poem_openapi::OpenApi;
use poem_openapi::payload::{PlainText, Response};
use prometheus::{TEXT_FORMAT, TextEncoder};
use serde_json::json;

use crate::api::Tag;
use crate::api::payload::SerdeJson;
use crate::app::App;
use crate::auth::admin::Admin;
use crate::auth::{Authorized, permission};
use crate::error::ApiError;

/// The diagnostics resource.
pub struct DiagnosticsApi {
    /// The shared parts.
    pub app: Arc<App>,
}

#[OpenApi(tag = "Tag::Admin")]
impl DiagnosticsApi {
    /// All metrics of this gateway, in Prometheus' text format
    ///
    /// The same that it pushes to the exporter, which is where many gateways are scraped.
    #[oai(path = "/metrics", method = "get", operation_id = "read_metrics")]
    async fn metrics(
        &self,
        _caller: Authorized<permission::MetricsRead>,
    ) -> Result<Response<PlainText<String>>, ApiError> {
        let metrics = Arc::clone(&self.app.metrics);
        // Gathering thousands of series takes longer than a task should.
        let encoded =
            tokio::task::spawn_blocking(move || TextEncoder::new().encode_to_string(&metrics.gather()));
        let text = encoded.await.map_err(|error| ApiError::server().with_cause(error))?;
        let text = text.map_err(|error| ApiError::server().with_cause(error))?;
        Ok(Response::new(PlainText(text)).header("content-type", TEXT_FORMAT))
    }

    /// What is logged
    #[oai(path = "/admin/v1/log", method = "get", operation_id = "retrieve_log_filter")]
    #[expect(clippy::unused_async, reason = "operations are async")]
    async fn log_filter(
        &self,
        _caller: Authorized<permission::MetricsRead>,
    ) -> Result<SerdeJson<LogFilter>, ApiError> {
        Ok(SerdeJson(LogFilter { filter: self.app.log.filter() }))
    }

    /// Change what is logged, at once and until this gateway ends
    #[oai(path = "/admin/v1/log", method = "put", operation_id = "update_log_filter")]
    async fn set_log_filter(
        &self,
        caller: Authorized<permission::RolesManage>,
        body: SerdeJson<LogFilter>,
    ) -> Result<SerdeJson<LogFilter>, ApiError> {
        let SerdeJson(LogFilter { filter }) = body;
        let before = self.app.log.filter();
        self.app
            .log
            .set(&filter)
            .map_err(|error| ApiError::invalid(error.to_string()).with_param("filter"))?;
        let what = json!({"before": before, "after": filter});
        Admin::new(&self.app.access, &caller).tell("log.update", "filter", what).await?;
        Ok(SerdeJson(LogFilter { filter }))
    }
}
