//! A real Prometheus of one test's own, which finds an exporter as a real one would.

use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::exporter::Exporter;
use crate::http::Http;
use crate::patience::pause;

/// A Prometheus that scrapes once a second.
pub struct Prometheus {
    child: Child,
    _folder: TempDir,
    http: Http,
}

impl Prometheus {
    /// Scrapes an exporter that it finds by the exporter's own list of targets.
    pub async fn of(exporter: &Exporter) -> Self {
        let folder = TempDir::new().expect("a temporary folder can be made");
        let config = format!(
            "global: {{scrape_interval: 1s}}\nscrape_configs:\n- job_name: sluice\n  honor_labels: true\n  \
             http_sd_configs: [{{url: \"http://{}/sd\", refresh_interval: 1s}}]\n",
            exporter.address()
        );
        std::fs::write(folder.path().join("prometheus.yml"), config).expect("the configuration is written");
        for _ in 0..10 {
            let address = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
            let address = address.expect("there is a free port");
            let mut child = spawn(&folder, address);
            let http = Http::new(address, "");
            while child.try_wait().expect("it can be looked at").is_none() {
                if http.try_get("/-/ready").await.is_some_and(|answer| answer.status == 200) {
                    return Self { child, _folder: folder, http };
                }
                pause().await;
            }
        }
        panic!("prometheus does not start: somebody else always has the port");
    }

    /// The value of an expression that has one series; `None` where it has none.
    pub async fn value(&self, expression: &str) -> Option<f64> {
        let text: String = form(expression);
        let answer = self.http.get(&format!("/api/v1/query?query={text}")).await.json();
        assert_eq!(answer["status"], "success", "{expression}: {answer}");
        let result = answer["data"]["result"].as_array().cloned().unwrap_or_default();
        assert!(result.len() <= 1, "{expression}: {answer}");
        result.first().and_then(|series| series["value"][1].as_str()?.parse().ok())
    }

    /// The raw answer to a query.
    pub async fn query(&self, expression: &str) -> Value {
        self.http.get(&format!("/api/v1/query?query={}", form(expression))).await.json()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // Gone already: then there is nothing to end.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Everything but letters and digits escaped.
fn form(text: &str) -> String {
    let escaped = |byte: u8| {
        if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") }
    };
    text.bytes().map(escaped).collect()
}

fn spawn(folder: &TempDir, address: SocketAddr) -> Child {
    Command::new("prometheus")
        .arg(format!("--config.file={}", folder.path().join("prometheus.yml").display()))
        .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
        .arg(format!("--web.listen-address={address}"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("prometheus is installed (Debian's package prometheus)")
}
