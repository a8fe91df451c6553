//! Tokens: our own JWTs, made and verified, and those of external OIDC issuers.
//!
//! A token chooses by its `iss` whom to ask, and nothing more. The issuer's keys decide which algorithm is right,
//! and no header brings or points to a key. Revocation is not known here: callers look up `jti` and subject after
//! each verification, cached or not.

mod cache;
mod claims;
mod error;
mod issuer;
mod jwks;
mod key_file;
mod remote;
mod signing;
mod signing_key;
#[cfg(test)]
mod tests;
mod unverified;
mod verify;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

pub use self::claims::KnownRoles;
pub use self::error::TokenError;
pub use self::issuer::{IssuerConfig, IssuerError};
pub use self::jwks::{FetchJwks, HttpFetch, JwksError};
pub use self::key_file::KeyFileError;
pub use self::signing::{MintError, Minted, NewToken, SigningConfig, SigningKeys};
pub use self::signing_key::SigningAlgorithm;
pub use self::verify::{Issuer, Verified, Verifier};
pub use jsonwebtoken::Algorithm;

use self::cache::{Cache, Digest, Lookup};
use self::remote::RemoteIssuer;
use self::unverified::{LONGEST, Unverified};
use self::verify::Checked;
use crate::clock::Clock;

/// The most seconds that clocks may differ.
const LONGEST_LEEWAY: u64 = 60;
/// How many verified tokens are remembered: about 4 MB.
const REMEMBERED: usize = 10_000;

/// All that verifies tokens.
#[derive(Debug)]
pub struct Tokens {
    own: SigningKeys,
    /// By the claim `iss`.
    external: HashMap<String, Arc<RemoteIssuer>>,
    cache: Cache,
    clock: Clock,
}

impl Tokens {
    /// Our own tokens and those of external issuers, none of which is asked for its keys yet.
    pub fn new(
        own: SigningKeys,
        issuers: &[IssuerConfig],
        known: &Arc<dyn KnownRoles>,
        fetch: &Arc<dyn FetchJwks>,
        clock: Clock,
    ) -> Result<Self, IssuerError> {
        let mut external = HashMap::with_capacity(issuers.len());
        let mut names = BTreeSet::new();
        for config in issuers {
            let issuer = RemoteIssuer::new(config, known, Arc::clone(fetch), clock.clone())?;
            let taken = config.issuer == own.issuer()
                || external.insert(config.issuer.clone(), Arc::new(issuer)).is_some();
            if taken {
                return Err(config.error("another issuer has the same claim iss"));
            }
            if !names.insert(&config.name) {
                return Err(config.error("another issuer has the same name"));
            }
        }
        Ok(Self { own, external, cache: Cache::new(REMEMBERED), clock })
    }

    /// What a token proves now.
    pub async fn verify(&self, token: &str) -> Result<Verified, TokenError> {
        // Before hashing: what a client sends is not worth more work than its length.
        if token.len() > LONGEST {
            return Err(TokenError::TooLong);
        }
        let digest: Digest = Sha256::digest(token.as_bytes()).into();
        let epoch = match self.cache.get(&digest, self.now()) {
            Lookup::Hit(verified) => return Ok(verified),
            Lookup::Miss(epoch) => epoch,
        };
        let checked = self.check(token).await?;
        let verified = checked.verified.clone();
        self.cache.put(epoch, digest, checked);
        Ok(verified)
    }

    /// Makes a token of our own.
    pub fn mint(&self, new: &NewToken) -> Result<Minted, MintError> {
        self.own.mint(new)
    }

    /// Our public keys, for `/.well-known/jwks.json`.
    pub fn jwks(&self) -> serde_json::Value {
        self.own.jwks()
    }

    /// Makes a new signing key and gives its name; see [`SigningKeys::rotate`]. Blocks on the disk.
    pub fn rotate(&self, overlap: Option<Duration>) -> Result<String, KeyFileError> {
        let kid = self.own.rotate(overlap)?;
        self.forget_all();
        Ok(kid)
    }

    /// Takes over what another process has made of the key file; see [`SigningKeys::reload`]. Blocks on the disk.
    /// Says whether the keys are others now.
    pub fn reload(&self) -> Result<bool, KeyFileError> {
        let changed = self.own.reload()?;
        self.forget_all();
        Ok(changed)
    }

    /// Forgets which tokens were verified: each is verified anew. For when roles come or go, since a remembered
    /// token keeps the role it had.
    pub fn forget_all(&self) {
        self.cache.forget_all();
    }

    async fn check(&self, token: &str) -> Result<Checked, TokenError> {
        let token = Unverified::parse(token)?;
        let issuer = token.issuer()?;
        if issuer == self.own.issuer() {
            return self.own.verifier().check(&token, self.now());
        }
        let issuer = self.external.get(&issuer).ok_or(TokenError::WrongIssuer)?;
        let verifier = issuer.verifier(&token.kid).await?;
        // The time after waiting for the keys.
        verifier.check(&token, self.now())
    }

    /// Unix seconds.
    fn now(&self) -> u64 {
        self.clock.now_s()
    }
}
