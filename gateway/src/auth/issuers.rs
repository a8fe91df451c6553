//! The tokens that are accepted: our own, and those of the issuers in a file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::FutureExt;
use serde::Deserialize;

use super::store::AuthStore;
use super::token::{
    FetchJwks, HttpFetch, IssuerConfig, IssuerError, KeyFileError, KnownRoles, SigningConfig, SigningKeys,
    Tokens,
};
use crate::clock::Clock;

/// The signing keys' place in the data folder.
const KEYS: &str = "signing-keys.json";

/// The file of issuers.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    issuers: Vec<IssuerConfig>,
}

/// Why tokens cannot be verified.
#[derive(Debug, thiserror::Error)]
pub enum TokensError {
    /// Our own keys.
    #[error(transparent)]
    Keys(#[from] KeyFileError),
    /// The file of issuers cannot be read.
    #[error("the issuers' file {}: {source}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file of issuers is not what it should be.
    #[error("the issuers' file {}: {message}", .path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        message: String,
    },
    /// An issuer cannot be what it is said to be.
    #[error(transparent)]
    Issuer(#[from] IssuerError),
}

/// Opens what verifies tokens; the first start makes a signing key in the data folder.
///
/// # Errors
/// A file cannot be read, or says what cannot be.
pub fn open(
    data_dir: &Path,
    issuer: &str,
    issuers: Option<&Path>,
    store: &Arc<dyn AuthStore>,
) -> Result<Tokens, TokensError> {
    let config =
        SigningConfig { issuer: issuer.to_owned(), audience: issuer.to_owned(), ..SigningConfig::default() };
    let own = SigningKeys::open(config, &data_dir.join(KEYS), Clock::System)?;
    let issuers = issuers.map(read).transpose()?.unwrap_or_default();
    let known: Arc<dyn KnownRoles> = Arc::new(StoredRoles(Arc::clone(store)));
    let fetch: Arc<dyn FetchJwks> = Arc::new(HttpFetch::default());
    Ok(Tokens::new(own, &issuers, &known, &fetch, Clock::System)?)
}

fn read(path: &Path) -> Result<Vec<IssuerConfig>, TokensError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| TokensError::Unreadable { path: path.to_owned(), source })?;
    let file: File = toml::from_str(&text).map_err(|error| TokensError::Malformed {
        path: path.to_owned(),
        message: error.to_string().trim().to_owned(),
    })?;
    Ok(file.issuers)
}

/// The roles of a store that answers at once. Of one that does not, no role of an issuer counts by its own name.
struct StoredRoles(Arc<dyn AuthStore>);

impl std::fmt::Debug for StoredRoles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoredRoles").finish_non_exhaustive()
    }
}

impl KnownRoles for StoredRoles {
    fn contains(&self, role: &str) -> bool {
        self.0.role(role).now_or_never().is_some_and(|found| found.is_ok_and(|role| role.is_some()))
    }
}
