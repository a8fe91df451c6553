//! The section `[telemetry]`: where metrics are pushed to, and under which name.

use std::path::PathBuf;
use std::time::Duration;

use exporter::client::Endpoint;
use exporter::records::sampling::Level;
use serde::{Deserialize, Serialize};

use super::{Invalid, duration, require};

/// As often as a dashboard can show a change.
const PUSH_INTERVAL: Duration = Duration::from_secs(1);
/// Half of what is above 100 requests a second, a tenth of what is above 1,000.
const RECORD_LEVELS: &str = "100:0.5,1000:0.1";
/// Longer than most answers take.
const SLOW_REQUEST: Duration = Duration::from_secs(30);
/// The longest name of an instance, bytes: the exporter takes no longer label.
const LONGEST_NAME: usize = 256;

/// Where metrics are pushed to, and under which name.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct TelemetryConfig {
    /// The exporter: `http://host:port` or `unix:PATH`. Without one, metrics are only at `/metrics`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exporter_url: Option<String>,
    /// File with the secret that the exporter asks for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exporter_secret_file: Option<PathBuf>,
    /// The name of this gateway among its like; without one, the machine's name and the port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// Between two snapshots.
    #[serde(with = "duration")]
    pub push_interval: Duration,
    /// Whether request records go to the exporter too.
    pub records: Records,
    /// Which share of records is kept from so many requests a second on: `100:0.5,1000:0.1`; below, all.
    pub record_levels: String,
    /// From so long on a request is slow, and its record always kept.
    #[serde(with = "duration")]
    pub slow_request: Duration,
}

/// Whether request records go to the exporter.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Records {
    /// They do.
    #[default]
    On,
    /// Only metrics do.
    Off,
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self {
            exporter_url: None,
            exporter_secret_file: None,
            instance: None,
            push_interval: PUSH_INTERVAL,
            records: Records::default(),
            record_levels: RECORD_LEVELS.to_owned(),
            slow_request: SLOW_REQUEST,
        }
    }
}

impl TelemetryConfig {
    /// Checks what types cannot say.
    ///
    /// # Errors
    /// The first key whose value cannot work.
    pub fn validate(&self) -> Result<(), Invalid> {
        if let Some(url) = &self.exporter_url {
            let endpoint: Result<Endpoint, _> = url.parse();
            endpoint.map_err(|error| Invalid::new("exporter_url", error.to_string()))?;
        }
        self.levels()?;
        let named = self.instance.as_ref();
        require(
            named.is_none_or(|name| !name.is_empty() && name.len() <= LONGEST_NAME),
            "instance",
            "must have 1 to 256 bytes",
        )?;
        require(self.push_interval >= Duration::from_millis(100), "push_interval", "must be at least 100ms")
    }

    /// The levels of sampling, the lowest first.
    ///
    /// # Errors
    /// They are not pairs of a rate and a share, each rate higher than the one before it.
    pub fn levels(&self) -> Result<Vec<Level>, Invalid> {
        let mut levels = vec![Level { above: 0.0, rate: 1.0 }];
        let pairs = self.record_levels.split(',').map(str::trim).filter(|pair| !pair.is_empty());
        for pair in pairs {
            let read = || {
                let (above, rate) = pair.split_once(':')?;
                Some(Level { above: above.trim().parse().ok()?, rate: rate.trim().parse().ok()? })
            };
            let before = levels.last().map_or(0.0, |level| level.above);
            let level = read().filter(|level| level.above >= before && level.rate > 0.0 && level.rate <= 1.0);
            levels.push(level.ok_or_else(|| {
                let problem = "must be pairs of requests a second and a share, rising: 100:0.5,1000:0.1";
                Invalid::new("record_levels", problem)
            })?);
        }
        Ok(levels)
    }
}
