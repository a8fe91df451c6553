//! A real Redis of one test's own, and gateways that share it.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::{Builder, Gateway, eventually};

/// A Redis server on a socket in a folder of its own, gone with it.
pub struct Redis {
    child: Child,
    folder: TempDir,
    persistent: bool,
}

impl Redis {
    /// A server that keeps nothing.
    pub async fn start() -> Self {
        Self::launch(false).await
    }

    /// A server that has on the disk what it answered.
    pub async fn persistent() -> Self {
        Self::launch(true).await
    }

    async fn launch(persistent: bool) -> Self {
        let folder = TempDir::new().expect("a temporary folder can be made");
        let redis = Self { child: spawn(&folder, persistent), folder, persistent };
        redis.listens().await;
        redis
    }

    /// Ends it by force and starts it again.
    pub async fn restart(&mut self) {
        self.signal("-KILL");
        self.child.wait().expect("it ends");
        // Left by the one before: it must not be taken for the new one's.
        std::fs::remove_file(self.socket()).expect("the socket can be removed");
        self.child = spawn(&self.folder, self.persistent);
        self.listens().await;
    }

    async fn listens(&self) {
        eventually!(self.socket().exists(), "redis-server listens");
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("redis.sock")
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// A small gateway that keeps its access and its limits there.
    pub fn gateway(&self) -> Builder {
        Gateway::builder().parallel(2).context(512).set("GATEWAY_STORE", self.url())
    }

    /// Sends it a signal, by the name that `kill` knows.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([name, &self.child.id().to_string()]).status();
        assert!(sent.expect("kill runs").success());
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // Gone already: then there is nothing to end.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn spawn(folder: &TempDir, persistent: bool) -> Child {
    let append = if persistent { "yes" } else { "no" };
    Command::new("redis-server")
        .args([
            "--port",
            "0",
            "--save",
            "",
            "--appendonly",
            append,
            "--appendfsync",
            "always",
            "--unixsocket",
        ])
        .arg(folder.path().join("redis.sock"))
        .current_dir(folder.path())
        .stdout(Stdio::null())
        .spawn()
        .expect("redis-server is installed (Debian's package redis-server)")
}
