//! The models on disk: `<data folder>/models/*.gguf`, each with its SHA-256 beside it.

mod download;
mod hub;
mod install;
mod source;
#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};

pub use self::hub::HubAccess;
pub use self::source::{InvalidSource, PullSource};

/// The small model that a gateway with nothing configured serves.
pub const DEFAULT_MODEL: &str = "SmolLM2-135M-Instruct.Q4_1.gguf";
/// What the default model's file must be.
pub const DEFAULT_SHA256: &str = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53";

/// The models of one data folder.
#[derive(Debug, Clone)]
pub struct ModelStore {
    folder: PathBuf,
}

/// A model on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredModel {
    /// Its file name.
    pub name: String,
    /// Its file.
    pub path: PathBuf,
    /// The file's size.
    pub bytes: u64,
    /// The file's hash, as it was when pulled.
    pub sha256: Option<String>,
    /// It is served when no model is configured.
    pub is_default: bool,
}

/// What to pull, and what it must be.
#[derive(Debug, Clone)]
pub struct PullRequest {
    /// Where it is.
    pub source: PullSource,
    /// Its SHA-256 in lower-case hex, where the caller knows it.
    pub sha256: Option<String>,
    /// Its file name here; absent means as at the source.
    pub name: Option<String>,
    /// How to reach the hub.
    pub hub: HubAccess,
}

/// Told of bytes that have arrived, and of the whole size where it is known.
pub type OnProgress<'a> = &'a dyn Fn(u64, Option<u64>);

/// Why a model was not pulled.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// The name cannot be a file here.
    #[error("`{0}` cannot be a model's file name: write a plain name that ends in .gguf, by --name")]
    Name(String),
    /// A file cannot be read or written.
    #[error("{}: {cause}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        cause: io::Error,
    },
    /// Another process pulls the same model.
    #[error("{} is being pulled by another process", .0.display())]
    Busy(PathBuf),
    /// The bytes are no GGUF file.
    #[error("{0} is not a GGUF file (its first bytes are not GGUF)")]
    NotGguf(String),
    /// The bytes are not those that were meant.
    #[error("the SHA-256 is {actual}, but must be {expected}; what was fetched was thrown away")]
    Checksum {
        /// As asked for.
        expected: String,
        /// As it is.
        actual: String,
    },
    /// The server answers otherwise.
    #[error("{url} answered {status}")]
    Status {
        /// The address, without its query.
        url: String,
        /// The HTTP status.
        status: u16,
    },
    /// The connection failed more often than we try; what has arrived is kept for the next pull.
    #[error("{url}: {cause}; pull again to go on from where it stopped")]
    Transport {
        /// The address, without its query.
        url: String,
        /// The last failure.
        #[source]
        cause: io::Error,
    },
    /// The hub does not answer as a hub.
    #[error("{repository}: {cause}")]
    Hub {
        /// `owner/name`.
        repository: String,
        /// The hub's answer.
        #[source]
        cause: Box<hf_hub::api::sync::ApiError>,
    },
}

impl PullError {
    fn file(path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |cause| Self::File { path, cause }
    }
}

impl ModelStore {
    /// The models of a data folder, which need not exist yet.
    pub fn new(data_dir: &Path) -> Self {
        Self { folder: data_dir.join("models") }
    }

    /// Every model, by name.
    ///
    /// # Errors
    /// The folder exists and cannot be read.
    pub fn list(&self) -> io::Result<Vec<StoredModel>> {
        let entries = match std::fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut models = Vec::new();
        for entry in entries {
            let path = entry?.path();
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            let is_model = path.extension().is_some_and(|extension| extension == "gguf");
            if name.starts_with('.') || !is_model {
                continue;
            }
            let bytes = std::fs::metadata(&path)?.len();
            let (name, sha256) = (name.to_owned(), install::recorded_sha256(&path));
            models.push(StoredModel { name, path, bytes, sha256, is_default: false });
        }
        models.sort_by(|a, b| a.name.cmp(&b.name));
        let only_one = models.len() == 1;
        for model in &mut models {
            model.is_default = only_one || model.name == DEFAULT_MODEL;
        }
        Ok(models)
    }

    /// The model to serve when none is configured: the default one, or the only one there is.
    ///
    /// # Errors
    /// The folder exists and cannot be read.
    pub fn default_model(&self) -> io::Result<Option<PathBuf>> {
        Ok(self.list()?.into_iter().find(|model| model.is_default).map(|model| model.path))
    }

    /// The file of a model by its file name. None for other names, and for links that lead out of the folder.
    pub fn file(&self, name: &str) -> Option<PathBuf> {
        let listed = self.list().ok()?.into_iter().find(|model| model.name == name)?;
        let (path, folder) = (listed.path.canonicalize().ok()?, self.folder.canonicalize().ok()?);
        (path.starts_with(folder) && path.is_file()).then_some(path)
    }

    /// Fetches a model, checks it and puts it in place in one step. A pull that was cut goes on where it stopped.
    ///
    /// # Errors
    /// It cannot be fetched, or is not what it must be; the folder is then as before.
    pub fn pull(&self, request: &PullRequest, progress: OnProgress<'_>) -> Result<StoredModel, PullError> {
        let name = source::file_name(request)?;
        let target = self.folder.join(&name);
        let pinned = (name == DEFAULT_MODEL).then(|| DEFAULT_SHA256.to_owned());
        let expected = request.sha256.clone().or(pinned);
        if expected.is_some() && target.exists() && install::recorded_sha256(&target) == expected {
            return self.stored(&name);
        }
        std::fs::create_dir_all(&self.folder).map_err(PullError::file(&self.folder))?;
        let partial = self.folder.join(format!(".{name}.partial"));
        let expected = match &request.source {
            PullSource::File(path) => {
                install::take_local(path, &partial)?;
                expected
            }
            PullSource::Url(url) => {
                download::fetch(&download::Remote::plain(url), &partial, progress)?;
                expected
            }
            PullSource::Hub(file) => {
                let remote = hub::resolve(file, &request.hub)?;
                download::fetch(&remote, &partial, progress)?;
                expected.or(remote.sha256)
            }
        };
        install::verify_and_place(&partial, &target, expected.as_deref())?;
        self.stored(&name)
    }

    fn stored(&self, name: &str) -> Result<StoredModel, PullError> {
        let missing = || PullError::file(&self.folder.join(name))(io::ErrorKind::NotFound.into());
        let models = self.list().map_err(PullError::file(&self.folder))?;
        models.into_iter().find(|model| model.name == name).ok_or_else(missing)
    }
}
