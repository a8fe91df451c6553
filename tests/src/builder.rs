//! How a test says which gateway it wants.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use tempfile::TempDir;

use crate::model;
use crate::patience::{deadline, pause, variable};
use crate::process::{Failure, Gateway};

/// Options of a gateway to start. What is not said keeps the gateway's own default.
#[derive(Debug)]
pub struct Builder {
    variables: Vec<(String, String)>,
    arguments: Vec<String>,
    model: PathBuf,
    data: Arc<TempDir>,
}

impl Default for Builder {
    fn default() -> Self {
        let data = Arc::new(TempDir::new().expect("a temporary folder can be made"));
        // The same tests, of models in processes of their own.
        let isolation = variable("SLUICE_TEST_ISOLATION").map(|how| ("GATEWAY_ISOLATION".to_owned(), how));
        let variables = isolation.into_iter().collect();
        Self { variables, arguments: Vec::new(), model: model::path(), data }
    }
}

impl Builder {
    /// Sets any option by its environment variable.
    #[must_use]
    pub fn set(mut self, variable: &str, value: impl std::fmt::Display) -> Self {
        self.variables.push((variable.to_owned(), format!("{value}")));
        self
    }

    /// Adds command line arguments after `serve`.
    #[must_use]
    pub fn arguments<const N: usize>(mut self, arguments: [&str; N]) -> Self {
        self.arguments.extend(arguments.map(str::to_owned));
        self
    }

    /// Serves a model of another server, by the name `far`, instead of one of its own.
    #[must_use]
    pub fn upstream(self, url: &str) -> Self {
        // An empty variable counts as absent.
        self.set("GATEWAY_MODEL", "").set("GATEWAY_UPSTREAM_URL", url).set("GATEWAY_MODEL_ID", "far")
    }

    /// Steps of the same shape whenever the same is asked. How long drafts are depends on measured times, and beyond
    /// 256 tokens of a sequence a lone row is rounded otherwise than one of several (docs/performance.md).
    #[must_use]
    pub fn without_drafts(self) -> Self {
        self.set("GATEWAY_SPECULATION", "off")
    }

    /// Sequences generated at once.
    #[must_use]
    pub fn parallel(self, sequences: u32) -> Self {
        self.set("GATEWAY_PARALLEL", sequences)
    }

    /// The window of one sequence, in tokens.
    #[must_use]
    pub fn context(self, tokens: u32) -> Self {
        self.set("GATEWAY_CONTEXT", tokens)
    }

    /// Requests that may wait.
    #[must_use]
    pub fn queue(self, requests: u32) -> Self {
        self.set("GATEWAY_QUEUE", requests)
    }

    /// `split` or `unified`.
    #[must_use]
    pub fn kv_layout(self, layout: &str) -> Self {
        self.set("GATEWAY_KV_LAYOUT", layout)
    }

    /// Serves another file than the test model.
    #[must_use]
    pub fn model(mut self, path: PathBuf) -> Self {
        self.model = path;
        self
    }

    /// Uses the data folder of another gateway, which has ended.
    #[must_use]
    pub fn after(mut self, gateway: &Gateway) -> Self {
        self.data = gateway.shared_data();
        self
    }

    /// Shares the store of another gateway, whose admin key it is called with: the first start has made the only one.
    #[must_use]
    pub fn beside(self, gateway: &Gateway) -> Self {
        std::fs::write(self.data.path().join("admin.key"), gateway.http().key())
            .expect("the key can be written");
        self
    }

    /// The data folder the gateway will use, for tests that prepare it.
    pub fn data(&self) -> &Path {
        self.data.path()
    }

    /// Starts the gateway and returns once it is ready; panics with its log if it ends instead.
    pub async fn start(self) -> Gateway {
        match self.try_start().await {
            Ok(gateway) => gateway,
            Err(failure) => panic!("the gateway ended with {:?} at start:\n{}", failure.code, failure.log),
        }
    }

    /// Starts the gateway and returns once it is ready or has ended.
    pub async fn try_start(self) -> Result<Gateway, Failure> {
        let log = tempfile::NamedTempFile::new().expect("the log can be made");
        // A gateway that ended leaves its address behind, which must not be taken for the new one's.
        drop(std::fs::remove_file(self.data.path().join("gateway.addr")));
        let output = log.reopen().expect("the log can be opened");
        let mut command = command();
        command
            .arg("serve")
            .args(&self.arguments)
            .env("GATEWAY_LISTEN", "127.0.0.1:0")
            .env("GATEWAY_DATA_DIR", self.data.path())
            .env("GATEWAY_MODEL", &self.model)
            .envs(self.variables)
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("a file handle can be cloned"))
            .stderr(output);
        let child = command.spawn().expect("the gateway starts");
        let mut gateway = Gateway::new(child, self.data, log);
        let until = deadline();
        while !gateway.found_ready().await {
            if let Some(status) = gateway.ending() {
                return Err(Failure { code: status.code(), log: gateway.log() });
            }
            assert!(std::time::Instant::now() < until, "the gateway does not get ready:\n{}", gateway.log());
            pause().await;
        }
        Ok(gateway)
    }
}

/// A `gateway` command without the caller's `GATEWAY_…` variables.
pub fn command() -> Command {
    let mut command = Command::new(binary());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("GATEWAY_") {
            command.env_remove(name);
        }
    }
    command
}

/// The gateway's binary: `SLUICE_GATEWAY`, or the one of the profile that the tests were built with.
fn binary() -> PathBuf {
    if let Some(path) = variable("SLUICE_GATEWAY") {
        return PathBuf::from(path);
    }
    beside("gateway")
}

/// A binary of the workspace, of the profile that the tests were built with.
pub(crate) fn beside(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("the test knows its own file");
    let profile = test.parent().and_then(Path::parent).expect("tests lie in target/<profile>/deps");
    let path = profile.join(name);
    assert!(
        path.is_file(),
        "no {name} binary beside the tests; run `cargo build --release --workspace` first"
    );
    path
}
