//! A real exporter of one test's own, and gateways that push to it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::builder::beside;
use crate::http::Http;
use crate::metrics::Metrics;
use crate::{Builder, Gateway, eventually};

const SECRET: &str = "a-secret-of-these-tests";

/// An exporter process, gone with this.
pub struct Exporter {
    child: Child,
    folder: TempDir,
    address: SocketAddr,
}

impl Exporter {
    /// An exporter on a port of its own, with a secret.
    pub async fn start() -> Self {
        let folder = TempDir::new().expect("a temporary folder can be made");
        std::fs::write(folder.path().join("secret"), SECRET).expect("the secret is written");
        let child = spawn(&folder, "127.0.0.1:0");
        let mut exporter = Self { child, folder, address: SocketAddr::from(([127, 0, 0, 1], 0)) };
        exporter.listens().await;
        exporter
    }

    async fn listens(&mut self) {
        let path = self.folder.path().join("address");
        let found = || -> Option<SocketAddr> { std::fs::read_to_string(&path).ok()?.trim().parse().ok() };
        eventually!(found().is_some(), "the exporter listens");
        self.address = found().expect("it is still there");
    }

    /// Ends it by force.
    pub fn kill(&mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it ends");
    }

    /// Starts it again at the same place.
    pub async fn restart(&mut self) {
        drop(std::fs::remove_file(self.folder.path().join("address")));
        self.child = spawn(&self.folder, &self.address.to_string());
        self.listens().await;
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Has a gateway push here under a name.
    pub fn gateway(&self, builder: Builder, name: &str) -> Builder {
        builder
            .set("GATEWAY_EXPORTER_URL", format!("http://{}", self.address))
            .set("GATEWAY_EXPORTER_SECRET", self.folder.path().join("secret").display())
            .set("GATEWAY_INSTANCE", name)
            .set("GATEWAY_PUSH_INTERVAL", "100ms")
    }

    /// A small gateway that pushes here.
    pub async fn small_gateway(&self, name: &str) -> Gateway {
        self.gateway(Gateway::builder().parallel(2).context(512), name).start().await
    }

    /// Every request record that it has kept.
    pub fn records(&self) -> Vec<Value> {
        let Ok(files) = std::fs::read_dir(self.folder.path().join("data/records")) else { return Vec::new() };
        let mut records = Vec::new();
        for file in files {
            let text = std::fs::read_to_string(file.expect("a file").path()).expect("a readable file");
            // The last line may be on its way.
            let whole = text.rfind('\n').map_or("", |end| &text[..end]);
            records.extend(whole.lines().map(|line| serde_json::from_str(line).expect("a record")));
        }
        records
    }

    /// What a scrape shows.
    pub async fn metrics(&self) -> Metrics {
        let answer = Http::new(self.address, "").get("/metrics").await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        Metrics::read(&answer.text())
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        // Gone already: then there is nothing to end.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn spawn(folder: &TempDir, listen: &str) -> Child {
    let file = |name: &str| -> PathBuf { folder.path().join(name) };
    Command::new(beside("exporter"))
        .arg("serve")
        .env("EXPORTER_LISTEN", listen)
        .env("EXPORTER_ADDRESS_FILE", file("address"))
        .env("EXPORTER_SECRET_FILE", file("secret"))
        .env("EXPORTER_DATA_DIR", file("data"))
        .env("EXPORTER_SILENCE", "3")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the exporter starts")
}
