//! Where in a token's claims the subject, the role and the times are, and what they must look like.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use super::error::TokenError;

/// The longest subject and the longest role, in bytes.
pub(super) const LONGEST_NAME: usize = 256;

/// A token's claims.
pub(super) type Claims = Map<String, Value>;

/// Which role names there are. Asked at each verification that is not cached, so roles may come and go.
pub trait KnownRoles: Debug + Send + Sync {
    /// Whether there is a role of this name.
    fn contains(&self, role: &str) -> bool;
}

impl KnownRoles for BTreeSet<String> {
    fn contains(&self, role: &str) -> bool {
        BTreeSet::contains(self, role)
    }
}

/// The way to a claim: `role`, `realm_access.roles`, or `/https:~1~1example.com~1role` for names with dots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ClaimPath {
    first: String,
    rest: Vec<String>,
}

impl ClaimPath {
    /// Reads a path. One that leads nowhere, as an empty one or one with an empty name, is none.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut names: Vec<String> = match text.strip_prefix('/') {
            // The order matters: `~01` is `~1`.
            Some(pointer) => {
                pointer.split('/').map(|name| name.replace("~1", "/").replace("~0", "~")).collect()
            }
            None => text.split('.').map(str::to_owned).collect(),
        };
        if names.iter().any(String::is_empty) {
            return None;
        }
        let rest = names.split_off(1);
        Some(Self { first: names.pop()?, rest })
    }

    /// The top-level claim of a name.
    pub(super) fn top(name: &str) -> Self {
        Self { first: name.to_owned(), rest: Vec::new() }
    }

    /// Whether this is the top-level claim of a name.
    pub(super) fn is(&self, name: &str) -> bool {
        self.first == name && self.rest.is_empty()
    }

    fn find<'a>(&self, claims: &'a Claims) -> Option<&'a Value> {
        let mut value = claims.get(&self.first)?;
        for name in &self.rest {
            value = value.as_object()?.get(name)?;
        }
        Some(value)
    }

    /// The subject there.
    pub(super) fn subject(&self, claims: &Claims) -> Result<Arc<str>, TokenError> {
        let subject = self.find(claims).and_then(Value::as_str).ok_or(TokenError::MissingClaim)?;
        if is_name(subject) { Ok(subject.into()) } else { Err(TokenError::MissingClaim) }
    }
}

/// Whether a text can be a subject or a role: they go into headers and logs.
pub(super) fn is_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= LONGEST_NAME && !text.chars().any(char::is_control)
}

/// How a token's role is found.
#[derive(Debug, Clone)]
pub(super) enum RoleRule {
    /// Ours: the claim `role`, which only we write.
    Own,
    /// An external issuer's, whose words are its own.
    Mapped {
        /// Where it is: one name, or an array of them.
        path: ClaimPath,
        /// From the issuer's names to ours. Where it has entries nothing else counts: an issuer's `admin` need not
        /// be ours.
        map: BTreeMap<String, Arc<str>>,
        /// Ours, for an empty map.
        known: Arc<dyn KnownRoles>,
    },
}

impl RoleRule {
    /// The role that the claims give, if any.
    pub(super) fn role(&self, claims: &Claims) -> Option<Arc<str>> {
        match self {
            Self::Own => claims.get("role").and_then(Value::as_str).map(Arc::from),
            Self::Mapped { path, map, known } => {
                let ours = |name: &str| {
                    if map.is_empty() {
                        known.contains(name).then(|| Arc::from(name))
                    } else {
                        map.get(name).cloned()
                    }
                };
                match path.find(claims)? {
                    Value::String(name) => ours(name),
                    Value::Array(names) => names.iter().filter_map(Value::as_str).find_map(ours),
                    _ => None,
                }
            }
        }
    }
}

/// When the token ends, if `now` is inside its time. All in Unix seconds.
pub(super) fn in_time(claims: &Claims, now: u64, leeway: u64) -> Result<u64, TokenError> {
    let expires_at = claims.get("exp").and_then(seconds).ok_or(TokenError::MissingClaim)?;
    if now >= expires_at.saturating_add(leeway) {
        return Err(TokenError::Expired);
    }
    if let Some(claim) = claims.get("nbf") {
        let not_before = seconds(claim).ok_or(TokenError::Malformed)?;
        if now.saturating_add(leeway) < not_before {
            return Err(TokenError::NotYetValid);
        }
    }
    Ok(expires_at)
}

/// A `NumericDate`, which may have a fraction.
fn seconds(date: &Value) -> Option<u64> {
    let fraction = || Duration::try_from_secs_f64(date.as_f64()?).ok().map(|since| since.as_secs());
    date.as_u64().or_else(fraction)
}
