//! Where requests go: an `OpenAI`-compatible server on this machine, and nowhere else.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::error::BenchError;

/// A base URL that was checked to lead to this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    /// Where to connect.
    pub(crate) socket: SocketAddr,
    /// The path under which the operations stand, without a slash at its end: `/v1`.
    pub(crate) base: String,
}

impl Address {
    /// Parses a base URL as an `OpenAI` SDK takes it. Load is only ever put on this machine, so that a slip of the
    /// hand cannot flood somebody else's server.
    pub(crate) fn parse(url: &str) -> Result<Self, BenchError> {
        let fail = |problem| BenchError::Address { url: url.to_owned(), problem };
        let uri: http::Uri = url.parse().map_err(|_| fail("not a URL"))?;
        if uri.scheme_str() != Some("http") {
            return Err(fail("only http:// is measured"));
        }
        let host = uri.host().ok_or_else(|| fail("the URL has no host"))?;
        let ip = match host {
            "localhost" => IpAddr::V4(Ipv4Addr::LOCALHOST),
            other => other
                .trim_start_matches('[')
                .trim_end_matches(']')
                .parse()
                .map_err(|_| fail("only loopback addresses are measured"))?,
        };
        if !ip.is_loopback() {
            return Err(fail("only loopback addresses are measured"));
        }
        let socket = SocketAddr::new(ip, uri.port_u16().unwrap_or(80));
        Ok(Self { socket, base: uri.path().trim_end_matches('/').to_owned() })
    }
}

/// A server as requests see it.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// What tables call it.
    pub(crate) name: String,
    /// Where it listens.
    pub(crate) address: Address,
    /// Sent as a bearer key.
    pub(crate) key: Option<String>,
    /// The `model` of each request.
    pub(crate) model: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loopback_base_url_is_accepted() {
        let address = Address::parse("http://127.0.0.1:8080/v1/").unwrap();
        assert_eq!(address.socket, "127.0.0.1:8080".parse().unwrap());
        assert_eq!(address.base, "/v1");
        assert_eq!(Address::parse("http://localhost:9/v1").unwrap().socket, "127.0.0.1:9".parse().unwrap());
        assert_eq!(Address::parse("http://[::1]:9").unwrap().socket, "[::1]:9".parse().unwrap());
        assert_eq!(Address::parse("http://127.0.0.1:9").unwrap().base, "");
    }

    #[test]
    fn any_other_machine_is_refused() {
        for url in [
            "http://10.0.0.1:8080/v1",
            "http://example.com/v1",
            "http://0.0.0.0:8080/v1",
            "https://127.0.0.1/v1",
            "http://127.0.0.1.example.com/v1",
            "127.0.0.1:8080",
            "",
        ] {
            assert!(Address::parse(url).is_err(), "{url} was accepted");
        }
    }
}
