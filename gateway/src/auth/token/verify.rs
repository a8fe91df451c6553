//! The one place where a token is believed: the issuer's own keys, the key's own algorithm, then every claim.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use serde_json::Value;

use super::claims::{ClaimPath, Claims, RoleRule, in_time};
use super::error::TokenError;
use super::unverified::Unverified;

/// Who issued a token.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Issuer {
    /// This gateway.
    Own,
    /// The external issuer of this configured name.
    External(Arc<str>),
}

/// What a token proves.
///
/// Subjects of different issuers may have the same name: only issuer and subject together say who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Who it was issued to.
    pub subject: Arc<str>,
    /// The role it gives, in our names.
    pub role: Option<Arc<str>>,
    /// Who says so.
    pub issuer: Issuer,
    /// Its own name, by which it can be revoked.
    pub jti: Option<String>,
    /// When it was made, in Unix seconds, if it says so.
    pub issued_at: Option<u64>,
    /// When it ends, in Unix seconds.
    pub expires_at: u64,
    /// When it or its key ends, whichever is first, in Unix seconds.
    pub good_until: u64,
}

/// A verified token, and for how long that may be remembered.
#[derive(Debug, Clone)]
pub(super) struct Checked {
    pub(super) verified: Verified,
    /// Unix seconds: when the token or its key ends, whichever is first.
    pub(super) good_until: u64,
}

/// A key that verifies, with the one algorithm it is for.
#[derive(Debug, Clone)]
pub(super) struct VerifyingKey {
    pub(super) kid: String,
    pub(super) algorithm: Algorithm,
    pub(super) key: DecodingKey,
    /// Unix seconds from which it verifies no more.
    pub(super) until: Option<u64>,
}

/// What an issuer's tokens must say.
#[derive(Debug, Clone)]
pub(super) struct Rules {
    pub(super) issuer: Issuer,
    /// The claim `iss`.
    pub(super) iss: String,
    /// The claim `aud` has one of them.
    pub(super) audience: Vec<String>,
    /// Seconds that clocks may differ.
    pub(super) leeway: u64,
    pub(super) subject: ClaimPath,
    pub(super) role: RoleRule,
}

impl Rules {
    /// What the library checks with a key. The times are not its part: it asks the system's clock.
    fn validation(&self, algorithm: Algorithm) -> Validation {
        let mut validation = Validation::new(algorithm);
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation.set_issuer(&[&self.iss]);
        validation.set_audience(&self.audience);
        let mut required = HashSet::from(["exp", "iss", "aud"].map(str::to_owned));
        if self.subject.is("sub") {
            required.insert("sub".to_owned());
        }
        validation.required_spec_claims = required;
        validation
    }
}

/// Verifies the tokens of one issuer with one set of its keys.
#[derive(Debug)]
pub struct Verifier {
    rules: Arc<Rules>,
    keys: HashMap<String, Pinned>,
}

#[derive(Debug)]
struct Pinned {
    algorithm: Algorithm,
    key: DecodingKey,
    validation: Validation,
    until: Option<u64>,
}

impl Verifier {
    /// One for a set of keys. Of two with one name the first counts.
    pub(super) fn new(rules: Arc<Rules>, keys: Vec<VerifyingKey>) -> Self {
        let mut pinned = HashMap::with_capacity(keys.len());
        for VerifyingKey { kid, algorithm, key, until } in keys {
            let validation = rules.validation(algorithm);
            pinned.entry(kid).or_insert(Pinned { algorithm, key, validation, until });
        }
        Self { rules, keys: pinned }
    }

    /// Whether there is a key of this name.
    pub(super) fn has(&self, kid: &str) -> bool {
        self.keys.contains_key(kid)
    }

    /// What the token proves at `now`, in Unix seconds.
    pub fn verify(&self, token: &str, now: u64) -> Result<Verified, TokenError> {
        self.check(&Unverified::parse(token)?, now).map(|checked| checked.verified)
    }

    /// The same for a token whose header is read.
    pub(super) fn check(&self, token: &Unverified<'_>, now: u64) -> Result<Checked, TokenError> {
        let key = self.keys.get(&token.kid).ok_or(TokenError::UnknownKey)?;
        if key.until.is_some_and(|until| now >= until) {
            return Err(TokenError::UnknownKey);
        }
        // The key decides, not the token: so a public key is never taken for a shared secret.
        if token.algorithm != key.algorithm {
            return Err(TokenError::WrongAlgorithm);
        }
        let claims = decode::<Claims>(token.token, &key.key, &key.validation)
            .map_err(|error| TokenError::of(&error))?
            .claims;
        let mut verified = self.read(&claims, now)?;
        verified.good_until = verified.expires_at.min(key.until.unwrap_or(u64::MAX));
        let good_until = verified.good_until;
        Ok(Checked { verified, good_until })
    }

    fn read(&self, claims: &Claims, now: u64) -> Result<Verified, TokenError> {
        let expires_at = in_time(claims, now, self.rules.leeway)?;
        Ok(Verified {
            subject: self.rules.subject.subject(claims)?,
            role: self.rules.role.role(claims),
            issuer: self.rules.issuer.clone(),
            jti: claims.get("jti").and_then(Value::as_str).map(str::to_owned),
            issued_at: claims.get("iat").and_then(Value::as_u64),
            expires_at,
            good_until: expires_at,
        })
    }
}
