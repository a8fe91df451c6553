//! What policies mean: who may use which model, which policy covers another, and the roles that are built in.

use openapi::admin::policy::{PermissionName, Policy};
use openapi::admin::roles::Role;

/// The built-in role that may do everything.
pub const ADMIN: &str = "admin";

/// The roles that come with the program, as they are before anybody changes them.
pub fn built_in() -> Vec<Role> {
    use PermissionName as P;
    let role = |name: &str, description: &str, permissions: &[PermissionName]| Role {
        name: name.to_owned(),
        description: description.to_owned(),
        policy: Policy { permissions: permissions.iter().copied().collect(), ..Policy::default() },
        built_in: true,
        version: 0,
    };
    vec![
        role(ADMIN, "may do everything", &P::ALL),
        role("operator", "manages models and reads usage", &[P::ModelsRead, P::ModelsManage, P::UsageRead]),
        role("user", "uses models", &[P::Chat, P::Embeddings, P::ModelsRead, P::Conversations]),
        role("viewer", "looks", &[P::ModelsRead, P::UsageRead]),
    ]
}

/// Whether a policy names the model; `*` in a pattern stands for any characters.
pub fn names_model(policy: &Policy, model: &str) -> bool {
    policy.models.iter().any(|pattern| matches(pattern, model))
}

fn matches(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(head) else { return false };
    // Each part between stars is taken at its first place; the last one must end the text.
    let mut parts = rest.split('*').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return text.ends_with(part);
        }
        let Some(at) = text.find(part) else { return false };
        text = text.get(at + part.len()..).unwrap_or_default();
    }
    true
}

/// What of a policy goes beyond another: the first part of `wanted` that `own` does not hold. Nobody can grant what
/// they lack.
pub fn beyond(own: &Policy, wanted: &Policy) -> Option<String> {
    if let Some(permission) = wanted.permissions.difference(&own.permissions).next() {
        return Some(format!("the permission {}", permission.as_str()));
    }
    let lacks =
        |pattern: &&String| !own.models.contains(*pattern) && !own.models.iter().any(|own| own == "*");
    if let Some(pattern) = wanted.models.iter().find(lacks) {
        return Some(format!("the models `{pattern}`"));
    }
    let wide = |own: Option<u64>, wanted: Option<u64>| match (own, wanted) {
        (None, _) => false,
        (Some(_), None) => true,
        (Some(own), Some(wanted)) => wanted > own,
    };
    let bounds = [
        ("requests_per_minute", own.requests_per_minute, wanted.requests_per_minute),
        ("tokens_per_minute", own.tokens_per_minute, wanted.tokens_per_minute),
        ("tokens_per_day", own.tokens_per_day, wanted.tokens_per_day),
        ("concurrency", own.concurrency.map(u64::from), wanted.concurrency.map(u64::from)),
        ("context_cap", own.context_cap.map(u64::from), wanted.context_cap.map(u64::from)),
        ("output_cap", own.output_cap.map(u64::from), wanted.output_cap.map(u64::from)),
    ];
    let bound = bounds.into_iter().find(|(_, own, wanted)| wide(*own, *wanted)).map(|(name, ..)| name);
    let priority = (wanted.priority > own.priority && !is_admin(own)).then_some("priority");
    bound.or(priority).map(|name| format!("a higher {name}"))
}

/// Whether the policy's holder can give others their rights back.
pub fn is_admin(policy: &Policy) -> bool {
    policy.permissions.contains(&PermissionName::RolesManage)
        && policy.permissions.contains(&PermissionName::KeysManage)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn role(name: &str) -> Policy {
        built_in().into_iter().find(|role| role.name == name).unwrap().policy
    }

    #[test]
    fn a_star_stands_for_any_characters() {
        for (pattern, text, expected) in [
            ("*", "anything", true),
            ("gpt-*", "gpt-4", true),
            ("gpt-*", "xgpt-4", false),
            ("*-mini", "gpt-mini", true),
            ("*-mini", "gpt-mini-2", false),
            ("a*b*c", "a1b2c", true),
            ("a*b*c", "a1c2b", false),
            ("a*a", "a", false),
            ("exact", "exact", true),
            ("exact", "exactly", false),
            ("", "", true),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn an_admin_may_grant_every_built_in_role() {
        for other in built_in() {
            assert_eq!(beyond(&role("admin"), &other.policy), None);
        }
    }

    #[test]
    fn nobody_grants_a_permission_a_model_or_a_bound_that_they_lack() {
        let own = Policy { models: vec!["small".into()], tokens_per_day: Some(10), ..role("user") };
        let wanted = |change: fn(&mut Policy)| {
            let mut policy = own.clone();
            change(&mut policy);
            beyond(&own, &policy)
        };
        assert_eq!(beyond(&own, &own), None);
        assert!(wanted(|policy| policy.permissions.extend([PermissionName::RolesManage])).is_some());
        assert!(wanted(|policy| policy.models = vec!["*".into()]).is_some());
        assert!(wanted(|policy| policy.tokens_per_day = None).is_some());
        assert!(wanted(|policy| policy.tokens_per_day = Some(11)).is_some());
        assert!(wanted(|policy| policy.priority = 1).is_some());
        assert_eq!(wanted(|policy| policy.tokens_per_day = Some(9)), None);
    }
}
