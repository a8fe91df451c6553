//! The tokens that are accepted: our own, and those of the issuers in a file.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::RwLock;
use serde::Deserialize;

use super::store::{AuthStore, StoreError};
use super::token::{
    FetchJwks, HttpFetch, IssuerConfig, IssuerError, KeyFileError, KnownRoles, SigningConfig, SigningKeys,
    Tokens,
};
use crate::clock::Clock;

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

/// Opens what verifies tokens; the first start makes a signing key, in the data folder or where replicas share it.
/// Blocks on either.
///
/// # Errors
/// A file cannot be read, or says what cannot be.
pub fn open(
    data_dir: &Path,
    issuer: &str,
    issuers: Option<&Path>,
    store: &dyn AuthStore,
    known: Arc<RoleNames>,
) -> Result<Tokens, TokensError> {
    let config =
        SigningConfig { issuer: issuer.to_owned(), audience: issuer.to_owned(), ..SigningConfig::default() };
    let own = match store.shared_keys() {
        Some(keys) => SigningKeys::open_shared(config, keys, Clock::System)?,
        None => SigningKeys::open(config, data_dir, Clock::System)?,
    };
    let issuers = issuers.map(read).transpose()?.unwrap_or_default();
    let known: Arc<dyn KnownRoles> = known;
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

/// The names of the roles that there are, asked for at each change: a token is verified without asking a store.
#[derive(Debug, Default)]
pub struct RoleNames(RwLock<BTreeSet<String>>);

impl RoleNames {
    /// Reads them from the store.
    pub async fn refresh(&self, store: &dyn AuthStore) -> Result<(), StoreError> {
        let names = store.roles().await?.into_iter().map(|role| role.name).collect();
        *self.0.write() = names;
        Ok(())
    }
}

impl KnownRoles for RoleNames {
    fn contains(&self, role: &str) -> bool {
        self.0.read().contains(role)
    }
}
