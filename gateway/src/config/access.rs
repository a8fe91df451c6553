//! The section `[access]`: whose tokens are accepted.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Invalid, require};

/// More guesses than a person makes, and far fewer than a guesser needs.
const FAILED_LOGINS: u32 = 60;

/// Whose tokens are accepted.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct AccessConfig {
    /// The claims `iss` and `aud` of our own tokens.
    pub token_issuer: String,
    /// A TOML file of `[[issuers]]`: OIDC issuers whose tokens are accepted too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuers: Option<PathBuf>,
    /// Failed logins a minute that an address may have; 0 counts none.
    pub failed_logins: u32,
}

impl Default for AccessConfig {
    fn default() -> Self {
        Self { token_issuer: "sluice".to_owned(), issuers: None, failed_logins: FAILED_LOGINS }
    }
}

impl AccessConfig {
    /// Checks what types cannot say.
    ///
    /// # Errors
    /// The first key whose value cannot work.
    pub fn validate(&self) -> Result<(), Invalid> {
        require((1..=256).contains(&self.token_issuer.len()), "token_issuer", "must have 1 to 256 bytes")
    }
}
