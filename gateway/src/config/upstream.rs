//! A model of `[[models]]` that another server serves: where it is and how it is asked.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use http::{HeaderName, HeaderValue, Uri};
use serde::{Deserialize, Serialize, Serializer};

use super::{Invalid, ModelConfig, require};

/// The keys that only such models have.
const KEYS: [&str; 10] = [
    "url",
    "upstream_model",
    "key_file",
    "headers",
    "ca_file",
    "http2",
    "connect_timeout",
    "first_byte_timeout",
    "idle_timeout",
    "total_timeout",
];
/// The keys that they share with models of this process.
const SHARED: [&str; 2] = ["id", "context"];

/// Whether a key of a model says anything, for one that is served elsewhere or here.
pub(super) fn concerns(key: &str, elsewhere: bool) -> bool {
    SHARED.contains(&key) || KEYS.contains(&key) == elsewhere
}

/// Where a server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UpstreamAddress {
    /// Over the network: scheme, host and the path that the operations are under.
    Network(Uri),
    /// A socket of this machine.
    Unix(PathBuf),
}

/// Why a text is no address of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUrl {
    /// Another scheme, or none.
    #[error("must be http://HOST/v1, https://HOST/v1 or unix:PATH")]
    Form,
    /// A name before the host.
    #[error("must not hold a user or password; put the key into `key_file`")]
    Credential,
}

impl UpstreamAddress {
    /// Reads `http(s)://host[:port]/path` or `unix:PATH`.
    ///
    /// # Errors
    /// It is neither.
    pub fn parse(text: &str) -> Result<Self, InvalidUrl> {
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.is_empty() { Err(InvalidUrl::Form) } else { Ok(Self::Unix(path.into())) };
        }
        let uri: Uri = text.parse().map_err(|_| InvalidUrl::Form)?;
        let authority = uri.authority().ok_or(InvalidUrl::Form)?;
        if authority.as_str().contains('@') {
            return Err(InvalidUrl::Credential);
        }
        if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.query().is_some() {
            return Err(InvalidUrl::Form);
        }
        Ok(Self::Network(uri))
    }
}

/// Header fields that every request to a server has. Their values may be credentials and are never shown.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct UpstreamHeaders(BTreeMap<String, String>);

impl UpstreamHeaders {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The fields; `None` for one that is no header field.
    pub fn fields(&self) -> impl Iterator<Item = Option<(HeaderName, HeaderValue)>> {
        self.0.iter().map(|(name, value)| {
            let mut value = HeaderValue::try_from(value).ok()?;
            value.set_sensitive(true);
            Some((HeaderName::try_from(name).ok()?, value))
        })
    }
}

impl<const N: usize> From<[(&str, &str); N]> for UpstreamHeaders {
    fn from(fields: [(&str, &str); N]) -> Self {
        Self(fields.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }
}

impl Serialize for UpstreamHeaders {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.keys().map(|name| (name, "***")))
    }
}

impl fmt::Debug for UpstreamHeaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Which version of HTTP a server is spoken to in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Http2 {
    /// HTTP/2 where TLS agrees on it, else HTTP/1.1.
    Auto,
    /// HTTP/2 without asking.
    Always,
    /// HTTP/1.1.
    Never,
}

impl ModelConfig {
    /// The name that the server knows the model by.
    pub fn upstream_name(&self) -> String {
        self.upstream_model.clone().unwrap_or_else(|| self.name())
    }

    /// Checks the keys of a model that is served elsewhere.
    pub(super) fn validate_upstream(&self, url: &str) -> Result<(), Invalid> {
        require(
            self.path.as_os_str().is_empty(),
            "path",
            "must not be given beside `url`: a model has one place",
        )?;
        let address = UpstreamAddress::parse(url).map_err(|error| Invalid::new("url", error.to_string()))?;
        require(!self.name().trim().is_empty(), "id", "is missing: name the model")?;
        require(
            self.headers.fields().all(|field| field.is_some()),
            "headers",
            "must be names and values of HTTP header fields",
        )?;
        let tls = matches!(&address, UpstreamAddress::Network(uri) if uri.scheme_str() == Some("https"));
        require(self.ca_file.is_none() || tls, "ca_file", "is for `https://` only")?;
        for (key, time) in [
            ("connect_timeout", self.connect_timeout),
            ("first_byte_timeout", self.first_byte_timeout),
            ("idle_timeout", self.idle_timeout),
            ("total_timeout", self.total_timeout),
        ] {
            require(!time.is_zero(), key, "must be longer than 0")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_of_http_https_or_a_socket() {
        for (text, expected) in [
            ("ftp://a/v1", InvalidUrl::Form),
            ("localhost:8000", InvalidUrl::Form),
            ("/v1", InvalidUrl::Form),
            ("http://a/v1?key=b", InvalidUrl::Form),
            ("unix:", InvalidUrl::Form),
            ("https://me:secret@a/v1", InvalidUrl::Credential),
        ] {
            assert_eq!(UpstreamAddress::parse(text), Err(expected), "{text}");
        }
        assert_eq!(UpstreamAddress::parse("unix:/run/a"), Ok(UpstreamAddress::Unix("/run/a".into())));
        assert!(matches!(UpstreamAddress::parse("https://a:1/v1"), Ok(UpstreamAddress::Network(_))));
    }

    #[test]
    fn values_of_headers_are_never_shown() {
        let headers = UpstreamHeaders::from([("x-key", "secret")]);
        let shown = format!("{headers:?} {}", toml::Value::try_from(&headers).unwrap());
        assert!(shown.contains("x-key") && !shown.contains("secret"), "{shown}");
    }

    #[test]
    fn a_key_is_of_models_here_or_elsewhere_or_of_both() {
        assert!(concerns("context", true) && concerns("context", false));
        assert!(concerns("url", true) && !concerns("url", false));
        assert!(!concerns("kv_type", true) && concerns("kv_type", false));
    }
}
