//! The configuration: one struct per section, built once from default < file < environment < flag.
//!
//! Only this module reads the environment. Every option is one row of [`options::SETTINGS`]; a section's struct says
//! its type and default, its `validate` what types cannot say. Errors name the source and the key.

mod access;
mod conversations;
mod duration;
mod limits;
mod listen;
mod log;
mod model;
pub mod options;
mod print;
mod resident;
mod route;
mod server;
mod sources;
mod telemetry;
#[cfg(test)]
mod tests;
mod upstream;
pub mod worker;

use std::path::{Path, PathBuf};

use openapi::admin::models::RouteSpec;
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

pub use access::AccessConfig;
pub use conversations::{ConversationsConfig, Partial};
pub use duration::parse as parse_duration;
pub use limits::{LimitsConfig, OutagePolicy};
pub use listen::{InvalidAddress, ListenAddress};
pub use log::{LogConfig, LogFormat};
pub use model::{FlashAttention, Isolation, KvLayout, KvType, ModelConfig, ShareScope, Speculation};
pub use resident::{AdapterConfig, LoadWhen, is_model_name};
pub use route::{check_route, models_of};
pub use server::ServerConfig;
pub use sources::{Environment, Flags, Source};
pub use telemetry::{Records, TelemetryConfig};
pub use upstream::{Http2, InvalidUrl, UpstreamAddress, UpstreamHeaders};

/// The store that is a file in the data folder.
pub const EMBEDDED: &str = "embedded";
/// How the URL of a store begins.
const STORES: [&str; 5] = ["redis://", "rediss://", "unix://", "redis+cluster://", "rediss+cluster://"];

/// The whole configuration, valid.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Folder of models, keys and state.
    pub data_dir: PathBuf,
    /// Where access, limits and conversations are kept: `embedded` (in the data folder), or the URL of a Redis that replicas share.
    pub store: String,
    /// PEM file of the authorities that a Redis behind TLS is trusted by, instead of the system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store_ca: Option<PathBuf>,
    /// Memory that all models of this machine may take together, in MiB; 0 is no bound.
    pub memory_budget_mib: u64,
    /// The socket, its limits and its time-outs.
    pub server: ServerConfig,
    /// Whose tokens are accepted.
    pub access: AccessConfig,
    /// Where what subjects spend is counted.
    pub limits: LimitsConfig,
    /// How long and how much of conversations is kept.
    pub conversations: ConversationsConfig,
    /// Where metrics are pushed to.
    pub telemetry: TelemetryConfig,
    /// What is logged, and how it looks.
    pub log: LogConfig,
    /// How the default model of the data folder is run, where `models` is empty; it has no path.
    #[serde(rename = "model")]
    pub model_defaults: ModelConfig,
    /// The models; none means the default model of the data folder.
    pub models: Vec<ModelConfig>,
    /// Names that stand for models.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<RouteSpec>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("data"),
            store: EMBEDDED.to_owned(),
            store_ca: None,
            memory_budget_mib: 0,
            server: ServerConfig::default(),
            access: AccessConfig::default(),
            limits: LimitsConfig::default(),
            conversations: ConversationsConfig::default(),
            telemetry: TelemetryConfig::default(),
            log: LogConfig::default(),
            model_defaults: ModelConfig::default(),
            models: Vec::new(),
            routes: Vec::new(),
        }
    }
}

/// A configuration, and where each of its values came from.
#[derive(Debug)]
pub struct Loaded {
    /// The values.
    pub config: Config,
    /// `GATEWAY_…` variables that are no option: probably typing errors.
    pub unknown_variables: Vec<String>,
    layers: sources::Layers,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file is not there, or may not be read.
    #[error("configuration file {}: {cause}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        cause: std::io::Error,
    },
    /// The file is not TOML.
    #[error("configuration file {}: {cause}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// What and where.
        #[source]
        cause: Box<toml::de::Error>,
    },
    /// A value cannot work.
    #[error("{source_of}: {key}: {message}")]
    Value {
        /// Where the value came from.
        source_of: Source,
        /// Its key.
        key: String,
        /// What is wrong with it.
        message: String,
    },
}

/// What a section's `validate` found: a key of the section, and what is wrong with its value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {message}")]
pub struct Invalid {
    /// The key, without its section.
    pub key: &'static str,
    /// What is wrong with its value.
    pub message: String,
}

impl Invalid {
    pub(crate) fn new(key: &'static str, message: impl Into<String>) -> Self {
        Self { key, message: message.into() }
    }

    /// The error, with where the section's key came from.
    fn of(self, section: &str, layers: &sources::Layers) -> ConfigError {
        let key = format!("{section}.{}", self.key);
        // What is missing from an entry of the file is missing there.
        let source_of = match layers.source(&key) {
            Source::Default if section.starts_with("models.") => layers.source("models"),
            source => source,
        };
        ConfigError::Value { source_of, key, message: self.message }
    }
}

/// For `validate`: the condition, or the key with the message.
pub(crate) fn require(condition: bool, key: &'static str, message: &'static str) -> Result<(), Invalid> {
    if condition { Ok(()) } else { Err(Invalid::new(key, message)) }
}

impl Config {
    /// Loads from all sources. `file` is the flag `--config`; without it `GATEWAY_CONFIG` may name one.
    ///
    /// # Errors
    /// A file that cannot be read, an unknown key, or a value that cannot work.
    pub fn load(
        file: Option<&Path>,
        environment: &Environment,
        flags: &Flags,
    ) -> Result<Loaded, ConfigError> {
        let mut layers = sources::Layers::default();
        layers.set("data_dir", Value::String(default_data_dir(environment)), Source::Default);
        let variable = || environment.get("GATEWAY_CONFIG").map(PathBuf::from);
        if let Some(path) = file.map(Path::to_owned).or_else(variable) {
            layers.add_table(sources::read_file(&path)?, &Source::File(path));
        }
        layers.add_texts(environment, flags)?;
        let table = layers.resolve()?;
        let config = deserialize(table, &layers)?;
        config.validate(&layers)?;
        Ok(Loaded { config, unknown_variables: sources::unknown_variables(environment), layers })
    }

    /// The URL of the store that replicas share; `None` where it is embedded.
    pub fn shared_store(&self) -> Option<&str> {
        Some(self.store.as_str()).filter(|store| *store != EMBEDDED)
    }

    fn validate(&self, layers: &sources::Layers) -> Result<(), ConfigError> {
        let in_section = |section: &str, invalid: Invalid| invalid.of(section, layers);
        if self.shared_store().is_some_and(|url| !STORES.iter().any(|scheme| url.starts_with(scheme))) {
            let message =
                "must be embedded, redis://, rediss://, unix://, redis+cluster:// or rediss+cluster://…";
            let key = "store".to_owned();
            return Err(ConfigError::Value {
                source_of: layers.source(&key),
                key,
                message: message.to_owned(),
            });
        }
        self.server.validate().map_err(|invalid| in_section("server", invalid))?;
        self.access.validate().map_err(|invalid| in_section("access", invalid))?;
        self.conversations.validate().map_err(|invalid| in_section("conversations", invalid))?;
        self.telemetry.validate().map_err(|invalid| in_section("telemetry", invalid))?;
        self.log.validate().map_err(|invalid| in_section("log", invalid))?;
        if self.models.is_empty() {
            let default = ModelConfig { path: "default.gguf".into(), ..self.model_defaults.clone() };
            default.validate().map_err(|invalid| in_section("model", invalid))?;
        }
        for (index, model) in self.models.iter().enumerate() {
            let section = format!("models.{index}");
            model.validate().map_err(|invalid| in_section(&section, invalid))?;
            let twin = self.models.iter().take(index).any(|other| other.name() == model.name());
            if twin {
                let message = format!("two models are named `{}`; give one another `id`", model.name());
                return Err(in_section(&section, Invalid::new("id", message)));
            }
        }
        self.validate_routes().map_err(|(section, invalid)| in_section(&section, invalid))
    }

    fn validate_routes(&self) -> Result<(), (String, Invalid)> {
        for (index, route) in self.routes.iter().enumerate() {
            let of_this = |invalid| (format!("routes.{index}"), invalid);
            check_route(route).map_err(of_this)?;
            if self.routes.iter().take(index).any(|other| other.name == route.name) {
                let message = format!("two routes are named `{}`", route.name);
                return Err(of_this(Invalid::new("name", message)));
            }
            // What the default model is called only the data folder knows.
            let unknown = |model: &&str| !self.models.iter().any(|served| served.name() == **model);
            let unknown = models_of(route).find(unknown).filter(|_| !self.models.is_empty());
            if let Some(model) = unknown {
                let message = format!("name the model `{model}`, which is not among [[models]]");
                return Err(of_this(Invalid::new("targets", message)));
            }
        }
        Ok(())
    }
}

impl Loaded {
    /// Where a key's value came from.
    pub fn source(&self, key: &str) -> Source {
        self.layers.source(key)
    }

    /// The effective configuration as TOML, each line with its source.
    pub fn to_toml(&self) -> String {
        print::to_toml(self)
    }
}

fn deserialize(table: Table, layers: &sources::Layers) -> Result<Config, ConfigError> {
    serde_path_to_error::deserialize(Value::Table(table)).map_err(|error| {
        let key = error.path().to_string().replace('[', ".").replace(']', "");
        let message = error.into_inner().to_string().trim().to_owned();
        ConfigError::Value { source_of: layers.source(&key), key, message }
    })
}

/// `$XDG_DATA_HOME/sluice`, else `~/.local/share/sluice`, else (a container without a home) `./data`.
fn default_data_dir(environment: &Environment) -> String {
    let under = |variable: &str, rest: &str| {
        let base = environment.get(variable).filter(|base| base.starts_with('/') && *base != "/")?;
        Some(format!("{}/{rest}", base.trim_end_matches('/')))
    };
    under("XDG_DATA_HOME", "sluice")
        .or_else(|| under("HOME", ".local/share/sluice"))
        .unwrap_or_else(|| "./data".to_owned())
}
