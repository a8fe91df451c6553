//! Where in a request its credential is.

use poem::Request;
use poem::http::header;
use poem_openapi::registry::{MetaSecurityScheme, Registry};

use super::AuthError;

/// Where Anthropic's clients put their keys.
const API_KEY: &str = "x-api-key";

/// Where an operation looks for a credential.
pub trait Carrier: Send + Sync + 'static {
    /// The names of its schemes in the document; any one of them is enough.
    const SCHEMES: &'static [&'static str];

    /// Describes the schemes.
    fn register(registry: &mut Registry);

    /// The one credential of the request.
    ///
    /// # Errors
    /// There is none, or more than one.
    fn credential(request: &Request) -> Result<&[u8], AuthError>;
}

/// `Authorization: Bearer …`.
#[derive(Debug, Clone, Copy)]
pub struct Bearer;

impl Carrier for Bearer {
    const SCHEMES: &'static [&'static str] = &["bearer"];

    fn register(registry: &mut Registry) {
        let description = "A key or a token: `Authorization: Bearer sk-…` or `Bearer eyJ…`.";
        let scheme = MetaSecurityScheme { scheme: Some("bearer"), ..scheme("http", description) };
        registry.create_security_scheme("bearer", scheme);
    }

    fn credential(request: &Request) -> Result<&[u8], AuthError> {
        bearer(request).ok_or(AuthError::Missing)
    }
}

/// `Authorization: Bearer …` or `x-api-key: …`, never both: something in between that knows only one of them would
/// have let a request pass for somebody else than it is for.
#[derive(Debug, Clone, Copy)]
pub struct BearerOrApiKey;

impl Carrier for BearerOrApiKey {
    const SCHEMES: &'static [&'static str] = &["bearer", "api_key"];

    fn register(registry: &mut Registry) {
        Bearer::register(registry);
        let description = "A key or a token: `x-api-key: sk-…`. Not together with `Authorization`.";
        let scheme = MetaSecurityScheme {
            name: Some(API_KEY),
            key_in: Some("header"),
            ..scheme("apiKey", description)
        };
        registry.create_security_scheme("api_key", scheme);
    }

    fn credential(request: &Request) -> Result<&[u8], AuthError> {
        let mut keys = request.headers().get_all(API_KEY).iter();
        let Some(key) = keys.next() else { return Bearer::credential(request) };
        if keys.next().is_some() || request.headers().contains_key(header::AUTHORIZATION) {
            return Err(AuthError::Ambiguous);
        }
        Some(key.as_bytes().trim_ascii()).filter(|key| !key.is_empty()).ok_or(AuthError::Missing)
    }
}

fn scheme(ty: &'static str, description: &'static str) -> MetaSecurityScheme {
    MetaSecurityScheme {
        ty,
        description: Some(description),
        name: None,
        key_in: None,
        scheme: None,
        bearer_format: None,
        flows: None,
        openid_connect_url: None,
    }
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
mod tests {
    use super::*;

    fn found(headers: &[(&str, &str)]) -> Result<String, AuthError> {
        let mut request = Request::builder();
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.finish();
        let credential = BearerOrApiKey::credential(&request)?;
        Ok(String::from_utf8(credential.to_vec()).unwrap())
    }

    #[test]
    fn either_header_carries_the_credential() {
        assert_eq!(found(&[("x-api-key", " sk-a ")]), Ok("sk-a".to_owned()));
        assert_eq!(found(&[("authorization", "Bearer sk-a")]), Ok("sk-a".to_owned()));
        assert_eq!(found(&[("x-api-key", "")]), Err(AuthError::Missing));
        assert_eq!(found(&[]), Err(AuthError::Missing));
    }

    #[test]
    fn a_credential_that_is_given_twice_is_refused_even_if_both_are_the_same() {
        for headers in [
            [("x-api-key", "sk-a"), ("authorization", "Bearer sk-a")],
            [("x-api-key", "sk-a"), ("authorization", "nothing")],
            [("x-api-key", "sk-a"), ("x-api-key", "sk-a")],
        ] {
            assert_eq!(found(&headers), Err(AuthError::Ambiguous), "{headers:?}");
        }
    }

    #[test]
    fn operations_that_do_not_say_so_take_no_api_key() {
        let request = Request::builder().header("x-api-key", "sk-a").finish();
        assert_eq!(Bearer::credential(&request), Err(AuthError::Missing));
    }
}
