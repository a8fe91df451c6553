//! What a request takes from the caller's limits before it may begin.

use std::sync::Arc;

use openapi::admin::policy::Policy;

use crate::app::App;
use crate::auth::Principal;
use crate::error::{ApiError, ErrorKind};
use crate::limits::{Admission, Allowance, Demand, LimitError, Refusal, Scope};

/// The limits of a policy.
pub(crate) fn allowance(policy: &Policy) -> Allowance {
    Allowance {
        requests_per_minute: policy.requests_per_minute,
        tokens_per_minute: policy.tokens_per_minute,
        tokens_per_day: policy.tokens_per_day,
        concurrency: policy.concurrency,
    }
}

/// Reserves a request and so many tokens, from all of the caller's limits or from none.
pub(crate) async fn admit(app: &App, caller: &Principal, tokens: u64) -> Result<Admission, ApiError> {
    let demand =
        Demand { subject: Arc::clone(&caller.subject), allowance: allowance(&caller.policy), tokens };
    app.admission.admit(demand).await.map_err(|error| refusal(&error, tokens))
}

fn refusal(error: &LimitError, tokens: u64) -> ApiError {
    let refused = match error {
        LimitError::Refused(refused) => over(refused, tokens),
        LimitError::Unavailable => {
            ApiError::new(ErrorKind::Overloaded, "limits cannot be counted at present; try again")
                .with_code("limits_unavailable")
        }
    };
    refused.with_headers(error.headers())
}

fn over(refused: &Refusal, tokens: u64) -> ApiError {
    let what = match refused.scope {
        Scope::Requests => "requests a minute",
        Scope::Tokens => "tokens a minute",
        Scope::TokensPerDay => "tokens a day",
        Scope::Concurrency => "requests at once",
    };
    let message = if refused.retry_after.is_some() {
        format!("over the limit of {what}; send the request again when retry-after has passed")
    } else {
        format!("this request may use {tokens} tokens, more than the whole limit of {what}; ask for fewer")
    };
    ApiError::new(ErrorKind::RateLimit, message).with_code(refused.scope.as_str())
}
