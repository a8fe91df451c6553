//! Who calls, and what they may do: a credential becomes a [`Principal`] before an operation begins.

mod admin_key;
pub mod permission;

use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::Arc;

use poem::http::header;
use poem::{Request, RequestBody, Result};
use poem_openapi::registry::{MetaSecurityScheme, Registry};
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};

pub use self::admin_key::{AdminKey, AdminKeyError};
pub use self::permission::Permission;
use crate::error::{ApiError, ErrorKind};

/// The scheme's name in the document.
const SCHEME: &str = "bearer";

/// A caller who is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// Who it is. Fair sharing, prefix reuse and stored things are the subject's.
    pub subject: Arc<str>,
    /// What decides the caller's permissions.
    pub role: Arc<str>,
}

/// Proof that the caller may do `P`. Always an operation's first argument: extractors run in their order, so
/// nothing of a request is read before its caller is known.
#[derive(Debug, Clone)]
pub struct Authorized<P> {
    principal: Principal,
    permission: PhantomData<fn() -> P>,
}

impl<P> Deref for Authorized<P> {
    type Target = Principal;

    fn deref(&self) -> &Principal {
        &self.principal
    }
}

impl<'a, P: Permission> ApiExtractor<'a> for Authorized<P> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::SecurityScheme];

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        let scheme = MetaSecurityScheme {
            ty: "http",
            description: Some("A key: `Authorization: Bearer sk-…`."),
            name: None,
            key_in: None,
            scheme: Some("bearer"),
            bearer_format: None,
            flows: None,
            openid_connect_url: None,
        };
        registry.create_security_scheme(SCHEME, scheme);
    }

    fn security_schemes() -> Vec<&'static str> {
        vec![SCHEME]
    }

    async fn from_request(
        request: &'a Request,
        _: &mut RequestBody,
        _: ExtractParamOptions<()>,
    ) -> Result<Self> {
        Ok(Self { principal: identify(request)?, permission: PhantomData })
    }
}

/// The caller by the request's credential. The one key there is holds every permission.
fn identify(request: &Request) -> Result<Principal, ApiError> {
    // `routes` gives it to every request; a test calls all operations to see that it does.
    let Some(key) = request.data::<AdminKey>() else {
        return Err(ApiError::server().with_code("auth_unavailable"));
    };
    let credential = bearer(request).ok_or_else(|| {
        ApiError::new(
            ErrorKind::Authentication,
            "no API key was sent; send it as: Authorization: Bearer YOUR_KEY",
        )
    })?;
    if !key.verify(credential) {
        return Err(ApiError::new(ErrorKind::Authentication, "the API key is not valid"));
    }
    Ok(Principal { subject: "admin".into(), role: "admin".into() })
}

/// The one bearer token of the request; several are as good as none.
fn bearer(request: &Request) -> Option<&[u8]> {
    let mut values = request.headers().get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let (scheme, token) = value.as_bytes().split_at_checked(b"bearer ".len())?;
    let token = token.trim_ascii();
    (scheme.eq_ignore_ascii_case(b"bearer ") && !token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests;
