//! A worker's own folder: its configuration, its socket, and what a gateway keeps. Nobody else may look into it.

use std::fs::{DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rand::RngExt as _;

use crate::config::{Config, Isolation, ListenAddress, LoadWhen, ModelConfig};

/// The longest path of a socket is 107 bytes on Linux.
const LONGEST_SOCKET: usize = 100;
/// Threads of a worker's runtime: they only pass on what the engine's own threads make.
const THREADS: usize = 1;

/// A folder, removed when it is dropped.
#[derive(Debug)]
pub(super) struct Folder(PathBuf);

impl Folder {
    /// Makes a folder in the data folder, or among temporary files where that would make the socket's path too long.
    pub(super) fn create(data: &Path) -> io::Result<Self> {
        let name = format!("sluice-{:016x}", rand::rng().random::<u64>());
        let mut parent = std::path::absolute(data)?.join("workers");
        if parent.join(&name).join("socket").as_os_str().len() > LONGEST_SOCKET {
            parent = std::env::temp_dir();
        } else {
            std::fs::create_dir_all(&parent)?;
        }
        let path = parent.join(name);
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// The socket that the worker listens on.
    pub(super) fn socket(&self) -> PathBuf {
        self.0.join("socket")
    }

    /// Writes what the worker is to serve.
    pub(super) fn configure(&self, model: &ModelConfig, name: &str) -> io::Result<()> {
        let mut config = Config { data_dir: self.0.clone(), ..Config::default() };
        config.server.listen = ListenAddress::Unix(self.socket());
        config.server.worker_threads = THREADS;
        // What a gateway lets in has been counted there.
        config.server.max_connections = 65_536;
        "warn".clone_into(&mut config.log.filter);
        config.models = vec![ModelConfig {
            id: Some(name.to_owned()),
            path: std::path::absolute(&model.path)?,
            isolation: Isolation::None,
            load: LoadWhen::Start,
            pin: true,
            adapters: Vec::new(),
            ..model.clone()
        }];
        let text = toml::to_string(&config).map_err(io::Error::other)?;
        let file = config_file(&self.0);
        std::fs::write(&file, text)?;
        std::fs::set_permissions(file, Permissions::from_mode(0o600))
    }
}

/// The configuration of the worker of a folder.
pub fn config_file(folder: &Path) -> PathBuf {
    folder.join("worker.toml")
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(folder = %self.0.display(), %error, "a worker's folder could not be removed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_for_its_owner_alone_and_goes_with_its_handle() {
        let data = tempfile::tempdir().unwrap();
        let folder = Folder::create(data.path()).unwrap();
        let path = folder.path().to_owned();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        assert!(path.starts_with(data.path()));
        folder.configure(&ModelConfig { path: "m.gguf".into(), ..ModelConfig::default() }, "m").unwrap();
        assert_eq!(std::fs::metadata(config_file(&path)).unwrap().permissions().mode() & 0o777, 0o600);
        drop(folder);
        assert!(!path.exists());
    }

    #[test]
    fn a_long_way_to_the_data_folder_does_not_make_the_socket_s_path_too_long() {
        let data = tempfile::tempdir().unwrap();
        let folder = Folder::create(&data.path().join("x".repeat(120))).unwrap();
        assert!(folder.socket().as_os_str().len() <= LONGEST_SOCKET);
    }
}
