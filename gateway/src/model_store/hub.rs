//! A file of a Hugging Face repository: asked for once, then downloaded like any other.

use hf_hub::api::sync::ApiBuilder;
use hf_hub::{Repo, RepoType};

use super::PullError;
use super::download::Remote;
use super::source::HubFile;

/// How to reach the hub.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct HubAccess {
    /// Another address than the public one (`HF_ENDPOINT`).
    pub endpoint: Option<String>,
    /// A token for repositories that ask for one (`HF_TOKEN`).
    pub token: Option<String>,
}

impl std::fmt::Debug for HubAccess {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HubAccess").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

/// Asks the hub for the file's commit and hash. The address then names that commit, so a resumed download cannot
/// mix two versions.
pub(super) fn resolve(file: &HubFile, access: &HubAccess) -> Result<Remote, PullError> {
    let failed = |cause| PullError::Hub { repository: file.repository.clone(), cause: Box::new(cause) };
    let mut builder = ApiBuilder::new().with_progress(false).with_token(access.token.clone());
    if let Some(endpoint) = &access.endpoint {
        builder = builder.with_endpoint(endpoint.trim_end_matches('/').to_owned());
    }
    let api = builder.build().map_err(failed)?;
    let at = |revision: &str| {
        let repo = Repo::with_revision(file.repository.clone(), RepoType::Model, revision.to_owned());
        api.repo(repo).url(&file.file)
    };
    let metadata = api.metadata(&at(&file.revision)).map_err(failed)?;
    let tag = metadata.etag().to_owned();
    // Large files are tagged by their SHA-256, small ones by a git hash.
    let is_sha256 = tag.len() == 64 && tag.bytes().all(|byte| byte.is_ascii_hexdigit());
    Ok(Remote {
        url: at(metadata.commit_hash()),
        bearer: access.token.clone(),
        sha256: is_sha256.then(|| tag.to_ascii_lowercase()),
        version: Some(tag),
    })
}
