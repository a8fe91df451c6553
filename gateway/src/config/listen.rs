//! Where the gateway listens, as one text: `host:port` or `unix:PATH`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An address to listen on.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub enum ListenAddress {
    /// `host:port`; port 0 lets the system choose.
    Tcp(String),
    /// `unix:PATH`.
    Unix(PathBuf),
}

/// The text is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an address; write host:port (127.0.0.1:8080, [::1]:8080) or unix:PATH")]
pub struct InvalidAddress(String);

impl FromStr for ListenAddress {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        let invalid = || InvalidAddress(text.to_owned());
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.is_empty() { Err(invalid()) } else { Ok(Self::Unix(path.into())) };
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(invalid)?;
        let bare_ipv6 = host.contains(':') && !host.starts_with('[');
        if host.is_empty() || bare_ipv6 || port.parse::<u16>().is_err() {
            return Err(invalid());
        }
        Ok(Self::Tcp(text.to_owned()))
    }
}

impl TryFrom<String> for ListenAddress {
    type Error = InvalidAddress;

    fn try_from(text: String) -> Result<Self, InvalidAddress> {
        text.parse()
    }
}

impl From<ListenAddress> for String {
    fn from(address: ListenAddress) -> Self {
        address.to_string()
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => f.write_str(address),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_survive_a_round_trip_and_the_rest_is_refused() {
        for text in ["127.0.0.1:8080", "localhost:0", "[::1]:8080", "unix:/run/gateway.sock"] {
            assert_eq!(text.parse::<ListenAddress>().unwrap().to_string(), text);
        }
        for text in ["", "8080", ":8080", "host:", "host:99999", "::1:8080", "unix:"] {
            assert!(text.parse::<ListenAddress>().is_err(), "{text}");
        }
    }
}
