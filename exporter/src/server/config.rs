//! The options: each a flag, an `EXPORTER_…` variable and a key of the file, of one name; flag > variable > file > default.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use http::HeaderValue;
use serde::Deserialize;

use super::address::Address;
use super::check::Limits;
use super::consul::ConsulSettings;
use super::records::config::RecordsConfig;
use crate::protocol::Bounds;

/// What was said on the command line, in the environment or in the file. Nothing is required.
#[derive(Debug, Clone, Default, Args, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Configuration file (TOML)
    #[arg(long, value_name = "FILE", env = "EXPORTER_CONFIG")]
    #[serde(skip)]
    pub config: Option<PathBuf>,
    /// Where to listen: host:port (port 0: any) or unix:PATH [default: 127.0.0.1:9464]
    #[arg(long, value_name = "ADDRESS", env = "EXPORTER_LISTEN")]
    pub listen: Option<String>,
    /// File that the address in use is written to
    #[arg(long, value_name = "FILE", env = "EXPORTER_ADDRESS_FILE")]
    pub address_file: Option<PathBuf>,
    /// File with the secret that gateways push with, or several, one a line; without one, only this machine may listen
    #[arg(long, value_name = "FILE", env = "EXPORTER_SECRET_FILE")]
    pub secret_file: Option<PathBuf>,
    /// The host:port by which Prometheus finds this exporter in /sd [default: as it was asked]
    #[arg(long, value_name = "HOST:PORT", env = "EXPORTER_ADVERTISE")]
    pub advertise: Option<String>,
    /// A Consul agent to register at, as `http://127.0.0.1:8500` or unix:PATH; needs --advertise
    #[arg(long, value_name = "URL", env = "EXPORTER_CONSUL")]
    pub consul: Option<String>,
    /// The service's name at Consul [default: sluice-exporter]
    #[arg(long, value_name = "NAME", env = "EXPORTER_CONSUL_SERVICE")]
    pub consul_service: Option<String>,
    /// File with the token of the Consul agent's API
    #[arg(long, value_name = "FILE", env = "EXPORTER_CONSUL_TOKEN_FILE")]
    pub consul_token_file: Option<PathBuf>,
    /// Seconds of silence after which a gateway's series leave [default: 15]
    #[arg(long, value_name = "SECONDS", env = "EXPORTER_SILENCE")]
    pub silence: Option<u32>,
    /// Seconds that a silent gateway is remembered as down [default: 3600]
    #[arg(long, value_name = "SECONDS", env = "EXPORTER_REMEMBER")]
    pub remember: Option<u32>,
    /// Gateways at once [default: 100]
    #[arg(long, value_name = "N", env = "EXPORTER_MAX_INSTANCES")]
    pub max_instances: Option<usize>,
    /// Series of one gateway [default: 20000]
    #[arg(long, value_name = "N", env = "EXPORTER_MAX_SERIES")]
    pub max_series: Option<usize>,
    /// Labels of one series [default: 16]
    #[arg(long, value_name = "N", env = "EXPORTER_MAX_LABELS")]
    pub max_labels: Option<usize>,
    /// Longest body as sent, bytes [default: 4194304]
    #[arg(long, value_name = "BYTES", env = "EXPORTER_MAX_BODY_BYTES")]
    pub max_body_bytes: Option<usize>,
    /// Connections at once [default: 512]
    #[arg(long, value_name = "N", env = "EXPORTER_MAX_CONNECTIONS")]
    pub max_connections: Option<usize>,
    /// Folder of request records and what waits of them [default: $XDG_DATA_HOME/sluice-exporter or ~/.local/share/sluice-exporter]
    #[arg(long, value_name = "DIR", env = "EXPORTER_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
    /// Where request records are kept; only in the file
    #[arg(skip)]
    pub records: Option<RecordsConfig>,
    /// Levels of the log [default: info]
    #[arg(long, value_name = "FILTER", env = "EXPORTER_LOG")]
    pub log: Option<String>,
}

/// The configuration in force.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where to listen.
    pub listen: Address,
    /// Where the address in use is written.
    pub address_file: Option<PathBuf>,
    /// What gateways push with: any of them. Without one, they are asked for none.
    pub secrets: Vec<String>,
    /// How Prometheus finds this exporter.
    pub advertise: Option<String>,
    /// Where it registers itself.
    pub consul: Option<ConsulSettings>,
    /// After how long without a word a gateway's series leave.
    pub silence: Duration,
    /// After how long its name does.
    pub remember: Duration,
    /// How much a snapshot may hold.
    pub limits: Limits,
    /// How large a body may be.
    pub bounds: Bounds,
    /// Connections at once.
    pub max_connections: usize,
    /// Folder of request records.
    pub data_dir: PathBuf,
    /// Where request records are kept.
    pub records: RecordsConfig,
    /// Levels of the log.
    pub log: String,
}

/// Why the options make no configuration.
#[derive(Debug, thiserror::Error)]
pub enum OptionsError {
    /// A file cannot be read.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The configuration file is not as it must be.
    #[error("{}: {source}", path.display())]
    Toml {
        /// Which.
        path: PathBuf,
        /// Where and what.
        source: Box<toml::de::Error>,
    },
    /// A value makes no sense.
    #[error("{key} {problem}")]
    Value {
        /// The option's name.
        key: &'static str,
        /// What is wrong.
        problem: &'static str,
    },
}

impl Options {
    /// The configuration: what was not said here is taken from the file, and then from the defaults.
    ///
    /// # Errors
    /// A file cannot be read, or a value makes no sense.
    pub fn resolve(self) -> Result<Settings, OptionsError> {
        let file = match &self.config {
            Some(path) => {
                let text = read(path)?;
                toml::from_str(&text)
                    .map_err(|source| OptionsError::Toml { path: path.clone(), source: Box::new(source) })?
            }
            None => Self::default(),
        };
        self.over(file).settings()
    }

    fn over(self, file: Self) -> Self {
        Self {
            config: self.config,
            listen: self.listen.or(file.listen),
            address_file: self.address_file.or(file.address_file),
            secret_file: self.secret_file.or(file.secret_file),
            advertise: self.advertise.or(file.advertise),
            consul: self.consul.or(file.consul),
            consul_service: self.consul_service.or(file.consul_service),
            consul_token_file: self.consul_token_file.or(file.consul_token_file),
            silence: self.silence.or(file.silence),
            remember: self.remember.or(file.remember),
            max_instances: self.max_instances.or(file.max_instances),
            max_series: self.max_series.or(file.max_series),
            max_labels: self.max_labels.or(file.max_labels),
            max_body_bytes: self.max_body_bytes.or(file.max_body_bytes),
            max_connections: self.max_connections.or(file.max_connections),
            data_dir: self.data_dir.or(file.data_dir),
            records: self.records.or(file.records),
            log: self.log.or(file.log),
        }
    }

    fn settings(self) -> Result<Settings, OptionsError> {
        let secrets = self.secret_file.as_deref().map(secrets).transpose()?.unwrap_or_default();
        let consul = self.consul()?;
        let silence = Duration::from_secs(self.silence.unwrap_or(15).into());
        let remember = Duration::from_secs(self.remember.unwrap_or(3600).into());
        if silence.is_zero() || remember < silence {
            return Err(wrong("silence", "must be at least 1, and not more than remember"));
        }
        let compressed = self.max_body_bytes.unwrap_or(Bounds::default().compressed);
        let limits = Limits {
            instances: self.max_instances.unwrap_or(100),
            series: self.max_series.unwrap_or(20_000),
            labels: self.max_labels.unwrap_or(16),
        };
        // Of a series: itself, its family, its histogram, its labels.
        let messages = limits.series.saturating_mul(limits.labels.saturating_add(3));
        let settings = Settings {
            listen: Address::from(self.listen.as_deref().unwrap_or("127.0.0.1:9464")),
            address_file: self.address_file,
            secrets,
            advertise: self.advertise,
            consul,
            silence,
            remember,
            limits,
            // What shrinks to an eighth or less is no snapshot.
            bounds: Bounds { compressed, decompressed: compressed.saturating_mul(8), messages },
            max_connections: self.max_connections.unwrap_or(512).max(1),
            data_dir: self.data_dir.unwrap_or_else(data_dir),
            records: self.records.unwrap_or_default(),
            log: self.log.unwrap_or_else(|| "info".to_owned()),
        };
        Ok(settings)
    }

    fn consul(&self) -> Result<Option<ConsulSettings>, OptionsError> {
        let Some(agent) = &self.consul else { return Ok(None) };
        let agent = agent.parse().map_err(|_| wrong("consul", "must be http://HOST:PORT or unix:PATH"))?;
        let (host, port) = self
            .advertise
            .as_deref()
            .and_then(|address| address.rsplit_once(':'))
            .and_then(|(host, port)| Some((host.trim_matches(['[', ']']), port.parse().ok()?)))
            .ok_or_else(|| {
                wrong("consul", "needs --advertise HOST:PORT: the address that it tells others")
            })?;
        let service = self.consul_service.clone().unwrap_or_else(|| "sluice-exporter".to_owned());
        let is_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '-';
        if service.is_empty() || !service.chars().all(is_name) {
            return Err(wrong("consul-service", "must be letters, digits and hyphens"));
        }
        let token = match &self.consul_token_file {
            Some(path) => {
                let token = printable(path, "consul-token-file")?;
                let mut token = HeaderValue::try_from(token)
                    .map_err(|_| wrong("consul-token-file", "must hold one line of printable characters"))?;
                token.set_sensitive(true);
                Some(token)
            }
            None => None,
        };
        Ok(Some(ConsulSettings { agent, service, token, host: host.to_owned(), port }))
    }
}

fn wrong(key: &'static str, problem: &'static str) -> OptionsError {
    OptionsError::Value { key, problem }
}

/// The one line of a file with a secret.
fn printable(path: &Path, key: &'static str) -> Result<String, OptionsError> {
    let secret = read(path)?.trim().to_owned();
    if is_printable(&secret) {
        return Ok(secret);
    }
    Err(wrong(key, "must hold one line of printable characters"))
}

/// The secrets of a file, one a line: so that gateways can be given a new one, one after the other.
fn secrets(path: &Path) -> Result<Vec<String>, OptionsError> {
    let text = read(path)?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let secrets: Vec<String> = lines.map(ToOwned::to_owned).collect();
    if secrets.is_empty() || !secrets.iter().all(|secret| is_printable(secret)) {
        return Err(wrong("secret-file", "must hold lines of printable characters, without spaces"));
    }
    Ok(secrets)
}

fn is_printable(secret: &str) -> bool {
    !secret.is_empty() && secret.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Where programs of a user keep their data.
fn data_dir() -> PathBuf {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = set("XDG_DATA_HOME").or_else(|| Some(set("HOME")?.join(".local/share")));
    home.unwrap_or_default().join("sluice-exporter")
}

fn read(path: &Path) -> Result<String, OptionsError> {
    std::fs::read_to_string(path).map_err(|source| OptionsError::File { path: path.to_owned(), source })
}
