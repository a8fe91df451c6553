//! `/admin/v1/whoami` and `/admin/v1/explain`.

use std::sync::Arc;

use openapi::admin::access::{ExplainRequest, Explanation, Left, WhoAmI};
use openapi::admin::policy::Policy;
use poem_openapi::OpenApi;

use crate::api::Tag;
use crate::api::generation::allowance;
use crate::api::payload::SerdeJson;
use crate::app::App;
use crate::auth::admin::Admin;
use crate::auth::{Authorized, permission};
use crate::error::ApiError;
use crate::limits::Balance;

/// What a caller may do.
pub struct AccessApi {
    /// The shared parts.
    pub app: Arc<App>,
}

#[OpenApi(prefix_path = "/admin/v1", tag = "Tag::Admin")]
impl AccessApi {
    /// Tell the caller who it is
    ///
    /// Any credential may ask.
    #[expect(clippy::unused_async, reason = "poem-openapi's operations are async, whatever they do")]
    #[oai(path = "/whoami", method = "get", operation_id = "whoami")]
    async fn whoami(&self, caller: Authorized<permission::Known>) -> Result<SerdeJson<WhoAmI>, ApiError> {
        Ok(SerdeJson(WhoAmI {
            subject: caller.subject.to_string(),
            role: caller.role.to_string(),
            policy: Policy::clone(&caller.policy),
        }))
    }

    /// Explain whether a call would be allowed
    ///
    /// And by which rule, and what is left of each limit.
    #[oai(path = "/explain", method = "post", operation_id = "explain_access")]
    async fn explain(
        &self,
        caller: Authorized<permission::RolesRead>,
        body: SerdeJson<ExplainRequest>,
    ) -> Result<SerdeJson<Explanation>, ApiError> {
        let mut explanation = Admin::new(&self.app.access, &caller).explain(&body.0).await?;
        if let Some(policy) = &explanation.policy {
            // Limits that cannot be read are left out: the rest of the answer holds.
            let balance = self.app.admission.peek(&body.0.subject, &allowance(policy)).await;
            explanation.left = balance.ok().map(left);
        }
        Ok(SerdeJson(explanation))
    }
}

fn left(balance: Balance) -> Left {
    Left {
        requests: balance.requests.map(|window| window.remaining),
        tokens: balance.tokens.map(|window| window.remaining),
        tokens_today: balance.tokens_per_day.map(|window| window.remaining),
        concurrency: balance.concurrency.map(|places| u64::from(places.limit.saturating_sub(places.running))),
    }
}
