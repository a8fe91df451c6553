//! Whether somebody's call would be allowed, and by which rule.

use openapi::admin::access::{ExplainRequest, Explanation};
use openapi::admin::policy::Policy;

use super::{Admin, Outcome};
use crate::auth::policy::names_model;
use crate::auth::{AuthError, Principal};

impl Admin<'_> {
    /// Whether a subject's call would be allowed, and by which rule.
    pub async fn explain(&self, request: &ExplainRequest) -> Outcome<Explanation> {
        let permission = request.permission.as_str();
        let principal = match self.access.principal(&request.subject, None).await {
            Ok(principal) => principal,
            Err(AuthError::Disabled) => return Ok(refused("the subject is disabled", None)),
            Err(error) => return Err(error.into()),
        };
        if principal.role.is_empty() {
            return Ok(refused("the subject has no role", Some(&principal)));
        }
        if !principal.policy.permissions.contains(&request.permission) {
            let rule = format!("the role `{}` lacks the permission {permission}", principal.role);
            return Ok(refused(&rule, Some(&principal)));
        }
        if let Some(model) = request.model.as_deref().filter(|model| !names_model(&principal.policy, model)) {
            let rule = format!("the policy's models do not name `{model}`");
            return Ok(refused(&rule, Some(&principal)));
        }
        let rule = format!("the role `{}` holds the permission {permission}", principal.role);
        Ok(Explanation { allowed: true, ..refused(&rule, Some(&principal)) })
    }
}

fn refused(rule: &str, principal: Option<&Principal>) -> Explanation {
    Explanation {
        allowed: false,
        rule: rule.to_owned(),
        role: principal.map(|principal| principal.role.to_string()).filter(|role| !role.is_empty()),
        policy: principal.map(|principal| Policy::clone(&principal.policy)),
        left: None,
    }
}
