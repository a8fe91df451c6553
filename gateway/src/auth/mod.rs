//! Who calls, and what they may do: a credential becomes a [`Principal`] before an operation begins.

pub mod access;
pub mod admin;
pub mod carrier;
mod error;
mod first_key;
mod follow;
pub mod issuers;
pub mod live;
mod memory;
pub mod permission;
pub mod policy;
pub mod secret;
pub mod store;
pub mod throttle;
pub mod token;

use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::Arc;

use openapi::admin::policy::{PermissionName, Policy};
use poem::{Request, RequestBody, Result};
use poem_openapi::registry::Registry;
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};

pub use self::access::Access;
use self::carrier::{Bearer, Carrier};
pub use self::error::AuthError;
pub use self::first_key::{FirstKeyError, ensure_admin};
pub use self::issuers::RoleNames;
pub use self::permission::Permission;
use crate::error::{ApiError, ErrorKind};

/// A caller who is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// Who it is. Fair sharing, prefix reuse and stored things are the subject's.
    pub subject: Arc<str>,
    /// The role that its policy comes from; empty where it has none.
    pub role: Arc<str>,
    /// The key that it called with: its id, or a token's `jti`.
    pub key: Option<Arc<str>>,
    /// What it may do, and how much.
    pub policy: Arc<Policy>,
    /// The store's version when all of this was read.
    pub(crate) version: u64,
}

impl Principal {
    /// Somebody whom no store knows, such as whoever works on the data folder itself.
    pub fn unlisted(subject: &str, role: &str, policy: Policy) -> Self {
        Self { subject: subject.into(), role: role.into(), key: None, policy: Arc::new(policy), version: 0 }
    }

    /// Refuses what the policy does not permit.
    pub fn require(&self, permission: PermissionName) -> Result<(), ApiError> {
        if self.policy.permissions.contains(&permission) {
            return Ok(());
        }
        // In the log and not in the audit: whoever is let in could fill the audit's disk by asking again and again.
        tracing::info!(subject = %self.subject, role = %self.role, permission = permission.as_str(), "not permitted");
        let message = format!("this credential lacks the permission {}", permission.as_str());
        Err(ApiError::new(ErrorKind::Permission, message).with_code("permission_denied"))
    }

    /// Refuses a model that the policy does not name. Said alike whether or not there is such a model.
    pub fn require_model(&self, model: &str) -> Result<(), ApiError> {
        if policy::names_model(&self.policy, model) {
            return Ok(());
        }
        Err(ApiError::new(ErrorKind::Permission, "this credential may not use this model")
            .with_param("model")
            .with_code("model_not_permitted"))
    }
}

/// Proof that the caller may do `P`. Always an operation's first argument: extractors run in their order, so
/// nothing of a request is read before its caller is known. `C` is where the credential may be.
#[derive(Debug, Clone)]
pub struct Authorized<P, C = Bearer> {
    principal: Principal,
    permission: PhantomData<fn() -> (P, C)>,
}

impl<P, C> Deref for Authorized<P, C> {
    type Target = Principal;

    fn deref(&self) -> &Principal {
        &self.principal
    }
}

impl<'a, P: Permission, C: Carrier> ApiExtractor<'a> for Authorized<P, C> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::SecurityScheme];

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        C::register(registry);
    }

    fn security_schemes() -> Vec<&'static str> {
        C::SCHEMES.to_vec()
    }

    async fn from_request(
        request: &'a Request,
        _: &mut RequestBody,
        _: ExtractParamOptions<()>,
    ) -> Result<Self> {
        let principal = identify::<C>(request).await?;
        if let Some(permission) = P::NAME {
            principal.require(permission)?;
        }
        Ok(Self { principal, permission: PhantomData })
    }
}

/// The caller by the request's credential.
async fn identify<C: Carrier>(request: &Request) -> Result<Principal, ApiError> {
    // `routes` gives it to every request; a test calls all operations to see that it does.
    let Some(access) = request.data::<Arc<Access>>() else {
        return Err(ApiError::server().with_code("auth_unavailable"));
    };
    if let Some(principal) = access.stand_in(request.headers()) {
        return Ok(principal);
    }
    let credential = C::credential(request)?;
    let address = request.remote_addr().as_socket_addr().map(std::net::SocketAddr::ip);
    Ok(access.identify(credential, address).await?)
}

#[cfg(test)]
pub(crate) mod tests;
