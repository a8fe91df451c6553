//! An admin's work on routes to models.

use openapi::admin::models::{KeptRoute, RouteSpec};

use serde_json::{Value, json};

use super::{Admin, Outcome, missing, pinned};
use crate::auth::store::{Change, Expected};
use crate::config::{check_route, models_of};
use crate::error::{ApiError, ErrorKind};

impl Admin<'_> {
    /// Makes or replaces a route; returns its version. `expected` is absent where the admin knows of none.
    pub async fn put_route(&self, spec: RouteSpec, expected: Option<Expected>) -> Outcome<u64> {
        check_route(&spec).map_err(|invalid| ApiError::invalid(invalid.message).with_param(invalid.key))?;
        let old = self.access.store().route(&spec.name).await?;
        let (expected, action) = match (old, expected) {
            (None, None) => (Expected::New, "route.create"),
            (None, Some(_)) => return Err(missing("route", &spec.name)),
            (Some(_), None) => {
                let message =
                    "there is such a route; send the etag that you read as if-match, or if-match: *";
                return Err(ApiError::new(ErrorKind::PreconditionRequired, message));
            }
            (Some(old), Some(expected)) => {
                self.may_route("route.update", &old.spec).await?;
                (pinned(expected, old.version), "route.update")
            }
        };
        self.may_route(action, &spec).await?;
        self.apply(Change::PutRoute(KeptRoute { spec, version: 0 }, expected), action).await
    }

    /// Removes a route.
    pub async fn delete_route(&self, name: &str, expected: Expected) -> Outcome<()> {
        let old = self.access.store().route(name).await?.ok_or_else(|| missing("route", name))?;
        self.may_route("route.delete", &old.spec).await?;
        let change = Change::DeleteRoute(name.to_owned(), pinned(expected, old.version));
        self.apply(change, "route.delete").await?;
        Ok(())
    }

    /// Tells the audit what is about to be done with a model in memory. Nobody decides on what they may not use
    /// themselves.
    pub async fn decide_on_model(&self, action: &'static str, name: &str, what: Value) -> Outcome<()> {
        if let Err(refusal) = self.actor.require_model(name) {
            self.tell(action, name, json!({"refused": format!("the model `{name}`")})).await?;
            return Err(refusal);
        }
        self.tell(action, name, what).await
    }

    /// Nobody opens or closes a way to what they may not use themselves.
    async fn may_route(&self, action: &'static str, spec: &RouteSpec) -> Outcome<()> {
        let names = std::iter::once(spec.name.as_str()).chain(models_of(spec));
        for name in names {
            if let Err(refusal) = self.actor.require_model(name) {
                self.tell(action, &spec.name, json!({"refused": format!("the model `{name}`")})).await?;
                return Err(refusal);
            }
        }
        Ok(())
    }
}
