//! What an upstream server's entry names, read once at start: its key, its headers, whom its TLS is trusted by.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, header};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore};

use crate::config::{Http2, InvalidUrl, ModelConfig};

/// Why a server's entry cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// It does not say where.
    #[error("url {0}")]
    Url(#[from] InvalidUrl),
    /// It does not say where, as an entry of a file on this machine does not.
    #[error("url is missing")]
    NoUrl,
    /// A file cannot be read.
    #[error("{}: {cause}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        cause: std::io::Error,
    },
    /// The key file holds no key.
    #[error("{}: is not one line with a key", .0.display())]
    Key(PathBuf),
    /// A header field is none.
    #[error("headers: is not a header field")]
    Header,
    /// The file of authorities holds none.
    #[error("{}: holds no certificate in PEM", .0.display())]
    Authorities(PathBuf),
    /// The system names no authorities.
    #[error("this system trusts no authority; name a `ca_file`")]
    NoAuthorities,
    /// TLS does not take what it was given.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
}

/// The key, for what must not show it.
pub(super) fn key(path: Option<&Path>) -> Result<Option<Arc<str>>, SetupError> {
    let Some(path) = path else { return Ok(None) };
    let text = String::from_utf8(read(path)?).map_err(|_| SetupError::Key(path.to_owned()))?;
    let key = text.trim();
    if key.is_empty() || key.contains(char::is_whitespace) {
        return Err(SetupError::Key(path.to_owned()));
    }
    Ok(Some(key.into()))
}

/// The header fields of every request.
pub(super) fn headers(config: &ModelConfig, key: Option<&str>) -> Result<HeaderMap, SetupError> {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers
        .insert(header::USER_AGENT, HeaderValue::from_static(concat!("sluice/", env!("CARGO_PKG_VERSION"))));
    if let Some(key) = key {
        let mut value = HeaderValue::try_from(format!("Bearer {key}")).map_err(|_| SetupError::Header)?;
        value.set_sensitive(true);
        headers.insert(header::AUTHORIZATION, value);
    }
    for field in config.headers.fields() {
        let (name, value): (HeaderName, HeaderValue) = field.ok_or(SetupError::Header)?;
        // Where a request ends is not for the configuration to say.
        if matches!(name, header::CONTENT_LENGTH | header::TRANSFER_ENCODING) {
            return Err(SetupError::Header);
        }
        headers.insert(name, value);
    }
    Ok(headers)
}

/// TLS that trusts the authorities of a file, or the system's.
pub(super) fn tls(ca_file: Option<&Path>, http2: Http2) -> Result<TlsConnector, SetupError> {
    let mut roots = RootCertStore::empty();
    let (known, path) = match ca_file {
        Some(path) => (authorities(path)?, path.to_owned()),
        None => (rustls_native_certs::load_native_certs().certs, PathBuf::new()),
    };
    let (added, _) = roots.add_parsable_certificates(known);
    if added == 0 {
        return Err(if ca_file.is_some() {
            SetupError::Authorities(path)
        } else {
            SetupError::NoAuthorities
        });
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = match http2 {
        Http2::Auto => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        Http2::Always => vec![b"h2".to_vec()],
        Http2::Never => vec![b"http/1.1".to_vec()],
    };
    Ok(TlsConnector::from(Arc::new(config)))
}

fn authorities(path: &Path) -> Result<Vec<CertificateDer<'static>>, SetupError> {
    let text = read(path)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    certificates.map_err(|_| SetupError::Authorities(path.to_owned()))
}

fn read(path: &Path) -> Result<Vec<u8>, SetupError> {
    std::fs::read(path).map_err(|cause| SetupError::File { path: path.to_owned(), cause })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> tempfile::TempPath {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file.into_temp_path()
    }

    #[test]
    fn a_key_is_one_word_of_a_file() {
        assert_eq!(key(Some(&file("sk-a\n"))).unwrap().as_deref(), Some("sk-a"));
        assert_eq!(key(None).unwrap(), None);
        for text in ["", "\n", "a b", "a\nb"] {
            assert!(matches!(key(Some(&file(text))), Err(SetupError::Key(_))), "{text:?}");
        }
        assert!(matches!(key(Some(Path::new("/nowhere"))), Err(SetupError::File { .. })));
    }

    #[test]
    fn the_key_is_sensitive_and_may_be_replaced_by_a_header() {
        let config = ModelConfig { headers: [("authorization", "Basic x")].into(), ..ModelConfig::default() };
        let headers = headers(&config, Some("sk-a")).unwrap();
        let value = headers.get("authorization").unwrap();
        assert_eq!((value.to_str().unwrap(), value.is_sensitive()), ("Basic x", true));
    }

    #[test]
    fn a_file_without_certificates_is_told() {
        let path = file("no certificate");
        assert!(matches!(tls(Some(&path), Http2::Auto), Err(SetupError::Authorities(_))));
        assert!(matches!(tls(Some(Path::new("/nowhere")), Http2::Auto), Err(SetupError::File { .. })));
    }
}
