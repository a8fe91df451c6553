//! `/admin/v1/usage`.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use openapi::admin::List;
use openapi::admin::policy::PermissionName;
use openapi::admin::usage::UsageRow;
use poem_openapi::OpenApi;
use poem_openapi::param;

use super::{page, page_size};
use crate::accounting::usage::{Counts, Day, KEPT_DAYS, Query, Spent};
use crate::api::Tag;
use crate::api::payload::SerdeJson;
use crate::app::App;
use crate::auth::{Authorized, permission};
use crate::error::{ApiError, ErrorKind};

/// Between the parts of a row's id, before it is encoded. No subject has one.
const BETWEEN: char = '\n';

/// The usage resource.
pub struct UsageApi {
    /// The shared parts.
    pub app: Arc<App>,
}

#[OpenApi(prefix_path = "/admin/v1", tag = "Tag::Admin")]
impl UsageApi {
    /// List what was used, by day, subject and model
    ///
    /// Everybody may read what they used themselves; `usage:read` reads what anybody did.
    #[oai(path = "/usage", method = "get", operation_id = "list_usage")]
    #[expect(clippy::too_many_arguments, reason = "each is a parameter of the query")]
    async fn list(
        &self,
        caller: Authorized<permission::Known>,
        /// Whose; without it, everybody's for those who may, else the caller's own.
        subject: param::Query<Option<String>>,
        /// Of which model; of all, if not said.
        model: param::Query<Option<String>>,
        /// The first day in UTC, as `2026-11-23`; 30 days ago, if not said.
        from: param::Query<Option<String>>,
        /// The last day in UTC; today, if not said.
        to: param::Query<Option<String>>,
        /// The row's id behind which the page begins.
        after: param::Query<Option<String>>,
        /// How many, 100 if not said.
        limit: param::Query<Option<u32>>,
    ) -> Result<SerdeJson<List<UsageRow>>, ApiError> {
        let size = page_size(&limit)?;
        let today = Day::of(self.app.access.now());
        let to = day(to.0.as_deref(), "to")?.unwrap_or(today);
        let from = day(from.0.as_deref(), "from")?.unwrap_or_else(|| to.before(30));
        if from > to || to.since(from) > KEPT_DAYS {
            let message = format!("must not be after `to`, nor more than {KEPT_DAYS} days before it");
            return Err(ApiError::invalid(message).with_param("from"));
        }
        let query = Query {
            from,
            to,
            subject: whose(&caller, subject.0)?,
            model: model.0,
            after: after.0.as_deref().map(place).transpose()?,
            most: size + 1,
        };
        let rows = self.app.usage.rows(&query).await.map_err(|error| {
            let message = "usage cannot be read at present; try again";
            ApiError::new(ErrorKind::Overloaded, message).with_code("usage_unavailable").with_cause(error)
        })?;
        Ok(SerdeJson(page(rows.into_iter().map(shown).collect(), size)))
    }
}

/// Whose usage a caller gets to see.
fn whose(caller: &Authorized<permission::Known>, asked: Option<String>) -> Result<Option<String>, ApiError> {
    let own = asked.as_deref().is_none_or(|asked| *asked == *caller.subject);
    match caller.require(PermissionName::UsageRead) {
        Ok(()) => Ok(asked),
        Err(_) if own => Ok(Some(caller.subject.to_string())),
        Err(error) => Err(error.with_param("subject")),
    }
}

fn day(text: Option<&str>, param: &'static str) -> Result<Option<Day>, ApiError> {
    let parse = |text: &str| {
        text.parse().map_err(|error: crate::accounting::usage::NoDay| {
            ApiError::invalid(error.to_string()).with_param(param)
        })
    };
    text.map(parse).transpose()
}

fn shown((row, counts): (Spent, Counts)) -> UsageRow {
    let id = format!("{}{BETWEEN}{}{BETWEEN}{}", row.day, row.subject, row.model);
    UsageRow {
        id: URL_SAFE_NO_PAD.encode(id),
        day: row.day.to_string(),
        subject: row.subject.to_string(),
        model: row.model.to_string(),
        requests: counts.requests,
        failed: counts.failed,
        prompt_tokens: counts.prompt_tokens,
        cached_tokens: counts.cached_tokens,
        completion_tokens: counts.completion_tokens,
    }
}

/// The row that an id names.
fn place(id: &str) -> Result<Spent, ApiError> {
    let parse = || {
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(id).ok()?).ok()?;
        let mut parts = text.splitn(3, BETWEEN);
        let (day, subject, model) = (parts.next()?.parse().ok()?, parts.next()?, parts.next()?);
        Some(Spent { day, subject: subject.into(), model: model.into() })
    };
    parse().ok_or_else(|| ApiError::invalid("must be the id of a row").with_param("after"))
}
