//! What a token says of itself before anything of it is proved: enough to choose whom to ask, and no more.

use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use super::error::TokenError;

/// Longer tokens are refused unread. Real ones have 300 bytes to 4 KiB.
pub(super) const LONGEST: usize = 8 * 1024;

/// A token that is only known to look like one.
#[derive(Debug)]
pub(super) struct Unverified<'a> {
    /// All of it.
    pub(super) token: &'a str,
    /// The key that it says to be signed with: a name to look up, never a place to go to.
    pub(super) kid: String,
    /// The algorithm that it says to be signed with.
    pub(super) algorithm: Algorithm,
    payload: &'a str,
}

/// The part of the header that is read. `jku`, `x5u`, `jwk` and `x5c` would let a token bring its own key, so there
/// are no fields for them.
#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    crit: Option<IgnoredAny>,
}

/// The one claim that is read before the signature.
#[derive(Deserialize)]
struct Origin {
    iss: Option<String>,
}

impl<'a> Unverified<'a> {
    /// Reads the header.
    pub(super) fn parse(token: &'a str) -> Result<Self, TokenError> {
        if token.len() > LONGEST {
            return Err(TokenError::TooLong);
        }
        let mut parts = token.split('.');
        let (Some(header), Some(payload), Some(_), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(TokenError::Malformed);
        };
        let header: Header = read(header)?;
        // `none`, in whatever casing, is no algorithm that exists.
        let algorithm = Algorithm::from_str(&header.alg).map_err(|_| TokenError::WrongAlgorithm)?;
        // RFC 7515: what is critical and not understood must be refused, and no extension is.
        if header.crit.is_some() {
            return Err(TokenError::Malformed);
        }
        let kid = header.kid.ok_or(TokenError::UnknownKey)?;
        Ok(Self { token, kid, algorithm, payload })
    }

    /// Who it says to have issued it.
    pub(super) fn issuer(&self) -> Result<String, TokenError> {
        read::<Origin>(self.payload)?.iss.ok_or(TokenError::MissingClaim)
    }
}

fn read<T: DeserializeOwned>(part: &str) -> Result<T, TokenError> {
    let json = URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenError::Malformed)?;
    serde_json::from_slice(&json).map_err(|_| TokenError::Malformed)
}
