//! A download that survives being cut: it goes on from the bytes it has, as long as they are of the same version.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE, ETAG, IF_RANGE, RANGE};
use http::{HeaderMap, HeaderName, StatusCode};
use ureq::config::RedirectAuthHeaders;
use ureq::{Agent, Body};

use super::install::{MAGIC, remove};
use super::{OnProgress, PullError};

/// Failures in a row, without a byte between them, before it gives up.
const ATTEMPTS: u32 = 4;
/// The first pause between two attempts; each next is twice as long.
const PAUSE: Duration = Duration::from_millis(250);
/// How long the server may take to connect, and to begin its answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// What to download.
#[derive(Debug)]
pub(super) struct Remote {
    /// The address.
    pub(super) url: String,
    /// A token for the address's own host.
    pub(super) bearer: Option<String>,
    /// The version that the address is known to be; else the server's `ETag` says.
    pub(super) version: Option<String>,
    /// The hash that the source promises.
    pub(super) sha256: Option<String>,
}

impl Remote {
    /// An address of which nothing else is known.
    pub(super) fn plain(url: &str) -> Self {
        Self { url: url.to_owned(), bearer: None, version: None, sha256: None }
    }

    /// The address without what may be secret in it.
    fn shown(&self) -> String {
        let url = self.url.split(['?', '#']).next().unwrap_or_default();
        match url.split_once("://").map(|(scheme, rest)| (scheme, rest.split_once('@'))) {
            Some((scheme, Some((user, rest)))) if !user.contains('/') => format!("{scheme}://{rest}"),
            _ => url.to_owned(),
        }
    }
}

/// Downloads the whole of `remote` to `partial`, going on from what is there.
pub(super) fn fetch(remote: &Remote, partial: &Path, progress: OnProgress<'_>) -> Result<(), PullError> {
    let mut download = Download::open(remote, partial)?;
    let mut failures = 0;
    loop {
        let before = download.length;
        match download.attempt(progress) {
            Ok(()) => {
                remove(&download.version_path)?;
                return Ok(());
            }
            Err(Failure::Final(error)) => return Err(error),
            Err(Failure::Cut(cause)) => {
                failures = if download.length > before { 0 } else { failures + 1 };
                if failures >= ATTEMPTS {
                    return Err(PullError::Transport { url: remote.shown(), cause });
                }
                std::thread::sleep(PAUSE * 2_u32.pow(failures));
            }
        }
    }
}

/// Why one attempt ended.
enum Failure {
    /// Trying again is no use.
    Final(PullError),
    /// The connection broke.
    Cut(io::Error),
}

impl From<PullError> for Failure {
    fn from(error: PullError) -> Self {
        Self::Final(error)
    }
}

struct Download<'a> {
    remote: &'a Remote,
    agent: Agent,
    file: File,
    path: PathBuf,
    /// Holds the version that the partial file's bytes are of.
    version_path: PathBuf,
    length: u64,
}

impl<'a> Download<'a> {
    fn open(remote: &'a Remote, path: &Path) -> Result<Self, PullError> {
        let opened = OpenOptions::new().append(true).create(true).open(path);
        let file = opened.map_err(PullError::file(path))?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => return Err(PullError::Busy(path.to_owned())),
            // A file system without locks: the pull is still right if it is alone.
            Ok(()) | Err(TryLockError::Error(_)) => {}
        }
        let length = file.metadata().map_err(PullError::file(path))?.len();
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .redirect_auth_headers(RedirectAuthHeaders::SameHost)
            .timeout_connect(Some(PATIENCE))
            .timeout_recv_response(Some(PATIENCE))
            .build();
        let version_path = path.with_added_extension("version");
        Ok(Self { remote, agent: config.into(), file, path: path.to_owned(), version_path, length })
    }

    fn attempt(&mut self, progress: OnProgress<'_>) -> Result<(), Failure> {
        let kept = fs::read_to_string(&self.version_path).ok();
        let known = self.remote.version.as_ref().or(kept.as_ref());
        let resumes = self.length > 0 && kept.is_some() && kept.as_ref() == known;
        if !resumes {
            self.restart()?;
        }
        let mut request = self.agent.get(&self.remote.url);
        if let Some(token) = &self.remote.bearer {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        if resumes {
            request = request.header(RANGE, format!("bytes={}-", self.length));
            // A commit's address cannot change; any other may, and then answers with the whole.
            if let (None, Some(version)) = (&self.remote.version, &kept) {
                request = request.header(IF_RANGE, version);
            }
        }
        let response = request.call().map_err(|error| Failure::Cut(error.into_io()))?;
        let (parts, body) = response.into_parts();
        match parts.status {
            StatusCode::OK => {
                self.restart()?;
                self.remember_version(&parts.headers)?;
                let total = number(&parts.headers, CONTENT_LENGTH);
                self.receive(body, total, progress)
            }
            StatusCode::PARTIAL_CONTENT if continues(&parts.headers, self.length) => {
                let total = number(&parts.headers, CONTENT_LENGTH).map(|rest| self.length + rest);
                self.receive(body, total, progress)
            }
            StatusCode::RANGE_NOT_SATISFIABLE if whole_size(&parts.headers) == Some(self.length) => Ok(()),
            StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE => {
                self.restart()?;
                Err(Failure::Cut(io::Error::other("the server does not continue the file it began")))
            }
            status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                Err(Failure::Cut(io::Error::other(format!("the server answered {status}"))))
            }
            status => {
                // Nothing came of it: leave nothing behind.
                if self.length == 0 {
                    remove(&self.path)?;
                }
                Err(PullError::Status { url: self.remote.shown(), status: status.as_u16() }.into())
            }
        }
    }

    fn restart(&mut self) -> Result<(), PullError> {
        self.file.set_len(0).map_err(PullError::file(&self.path))?;
        self.length = 0;
        remove(&self.version_path)
    }

    /// Without a strong version a later attempt begins anew.
    fn remember_version(&self, headers: &HeaderMap) -> Result<(), PullError> {
        let tag = headers.get(ETAG).and_then(|tag| tag.to_str().ok()).filter(|tag| !tag.starts_with("W/"));
        let Some(version) = self.remote.version.as_deref().or(tag) else { return Ok(()) };
        fs::write(&self.version_path, version).map_err(PullError::file(&self.version_path))
    }

    fn receive(&mut self, body: Body, total: Option<u64>, progress: OnProgress<'_>) -> Result<(), Failure> {
        let mut reader = body.into_reader();
        let mut buffer = vec![0_u8; 256 << 10];
        loop {
            progress(self.length, total);
            let read = match reader.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Failure::Cut(error)),
            };
            let bytes = buffer.get(..read).unwrap_or_default();
            // Told at the first bytes, not after gigabytes of an error page.
            if self.length == 0 && !MAGIC.starts_with(bytes.get(..4).unwrap_or(bytes)) {
                self.restart()?;
                remove(&self.path)?;
                return Err(PullError::NotGguf(self.remote.shown()).into());
            }
            self.file.write_all(bytes).map_err(PullError::file(&self.path))?;
            self.length += u64::try_from(read).unwrap_or_default();
        }
        match total {
            Some(total) if self.length < total => {
                Err(Failure::Cut(io::Error::new(io::ErrorKind::UnexpectedEof, "the connection was cut")))
            }
            _ => Ok(()),
        }
    }
}

fn number(headers: &HeaderMap, name: HeaderName) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.parse().ok()
}

/// Whether a partial answer begins at `length`.
fn continues(headers: &HeaderMap, length: u64) -> bool {
    let range = headers.get(CONTENT_RANGE).and_then(|range| range.to_str().ok()).unwrap_or_default();
    range.strip_prefix("bytes ").and_then(|range| range.split('-').next())
        == Some(length.to_string().as_str())
}

/// The whole size that a refused range tells: `bytes */1234`.
fn whole_size(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_RANGE)?.to_str().ok()?.strip_prefix("bytes */")?.parse().ok()
}
