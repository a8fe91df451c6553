//! A published key set: fetched within bounds, and read so that what is not understood is skipped.

use std::fmt::Debug;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey};
use serde::Deserialize;
use serde_json::Value;
use ureq::Agent;

use super::verify::VerifyingKey;

/// How long an issuer may take for the whole of its answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest key set. Real ones have 1 to 20 KiB.
const LONGEST: u64 = 256 * 1024;
/// RSA moduli in bytes: shorter ones can be factored, longer ones only cost time.
const RSA_MODULUS: std::ops::RangeInclusive<usize> = 256..=512;

/// Why there is no key set.
#[derive(Debug, thiserror::Error)]
pub enum JwksError {
    /// No answer.
    #[error("the issuer does not answer: {0}")]
    Transport(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Another answer than 200. Redirections are not followed: they could lead where nobody configured.
    #[error("the issuer answers with status {0}")]
    Status(u16),
    /// Something that is no key set.
    #[error("the issuer's answer is no key set: {0}")]
    Malformed(#[source] serde_json::Error),
    /// No key that could be used.
    #[error("the issuer's key set has no key for the configured algorithms")]
    Empty,
}

/// Where key sets come from; a seam for tests.
pub trait FetchJwks: Debug + Send + Sync {
    /// The body at a URL. It may block for seconds, so it is called on a thread for that.
    fn fetch(&self, url: &str) -> Result<Vec<u8>, JwksError>;
}

/// Fetches over HTTP.
#[derive(Debug, Clone)]
pub struct HttpFetch {
    agent: Agent,
}

impl Default for HttpFetch {
    fn default() -> Self {
        Self::with_patience(PATIENCE)
    }
}

impl HttpFetch {
    /// One that waits this long for the whole of an answer.
    pub(super) fn with_patience(patience: Duration) -> Self {
        let config = Agent::config_builder()
            .timeout_global(Some(patience))
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            // Once in ten minutes: a kept connection would only be found dead.
            .max_idle_connections(0)
            .build();
        Self { agent: config.new_agent() }
    }
}

impl FetchJwks for HttpFetch {
    fn fetch(&self, url: &str) -> Result<Vec<u8>, JwksError> {
        let transport = |error: ureq::Error| JwksError::Transport(Box::new(error));
        let mut response =
            self.agent.get(url).header("accept", "application/json").call().map_err(transport)?;
        if response.status() != 200 {
            return Err(JwksError::Status(response.status().as_u16()));
        }
        response.body_mut().with_config().limit(LONGEST).read_to_vec().map_err(transport)
    }
}

#[derive(Deserialize)]
struct KeySet {
    /// Read one by one, since one that is not understood must not spoil the others.
    keys: Vec<Value>,
}

#[derive(Deserialize)]
struct PublishedKey {
    kid: String,
    kty: String,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

/// The keys of a set that can verify one of the algorithms.
pub(super) fn parse(body: &[u8], algorithms: &[Algorithm]) -> Result<Vec<VerifyingKey>, JwksError> {
    let set: KeySet = serde_json::from_slice(body).map_err(JwksError::Malformed)?;
    let read = |value: Value| serde_json::from_value::<PublishedKey>(value).ok()?.verifying(algorithms);
    let keys: Vec<VerifyingKey> = set.keys.into_iter().filter_map(read).collect();
    if keys.is_empty() { Err(JwksError::Empty) } else { Ok(keys) }
}

impl PublishedKey {
    fn verifying(self, allowed: &[Algorithm]) -> Option<VerifyingKey> {
        let for_else = self.usage.as_deref().is_some_and(|usage| usage != "sig");
        let not_verifying = self.key_ops.as_ref().is_some_and(|ops| !ops.iter().any(|op| op == "verify"));
        if for_else || not_verifying {
            return None;
        }
        let algorithm = self.algorithm(allowed)?;
        let key = self.key(algorithm)?;
        Some(VerifyingKey { kid: self.kid, algorithm, key, until: None })
    }

    /// The one algorithm that the key is for: what it says, else the first allowed one that fits it.
    fn algorithm(&self, allowed: &[Algorithm]) -> Option<Algorithm> {
        let fits = |algorithm: Algorithm| match (self.kty.as_str(), self.crv.as_deref()) {
            ("RSA", _) => algorithm.family() == AlgorithmFamily::Rsa,
            ("EC", Some("P-256")) => algorithm == Algorithm::ES256,
            ("EC", Some("P-384")) => algorithm == Algorithm::ES384,
            ("OKP", Some("Ed25519")) => algorithm == Algorithm::EdDSA,
            // `oct` too: what is published is no secret.
            _ => false,
        };
        let mut fitting = allowed.iter().copied().filter(|algorithm| fits(*algorithm));
        match &self.alg {
            None => fitting.next(),
            Some(alg) => {
                let stated = alg.parse::<Algorithm>().ok()?;
                fitting.find(|algorithm| *algorithm == stated)
            }
        }
    }

    /// The key, if its numbers have the size that the algorithm needs: the library trusts them to.
    fn key(&self, algorithm: Algorithm) -> Option<DecodingKey> {
        match algorithm {
            Algorithm::EdDSA => Some(DecodingKey::from_ed_der(&number(self.x.as_ref(), 32)?)),
            Algorithm::ES256 => self.point(32),
            Algorithm::ES384 => self.point(48),
            _ => self.rsa(),
        }
    }

    fn point(&self, size: usize) -> Option<DecodingKey> {
        let (x, y) = (number(self.x.as_ref(), size)?, number(self.y.as_ref(), size)?);
        // SEC 1: 4 is for a point that is not compressed.
        Some(DecodingKey::from_ec_der(&[&[4], x.as_slice(), &y].concat()))
    }

    fn rsa(&self) -> Option<DecodingKey> {
        let modulus = decode(self.n.as_ref()?)?;
        let exponent = decode(self.e.as_ref()?)?;
        let modulus: Vec<u8> = modulus.into_iter().skip_while(|byte| *byte == 0).collect();
        let odd = exponent.last().is_some_and(|byte| byte % 2 == 1);
        // One is odd, and with it every message is its own signature.
        let above_one = exponent.iter().rev().skip(1).any(|byte| *byte != 0) || exponent.last() > Some(&1);
        let sound = RSA_MODULUS.contains(&modulus.len()) && exponent.len() <= 4 && odd && above_one;
        sound.then(|| DecodingKey::from_rsa_raw_components(&modulus, &exponent))
    }
}

fn number(text: Option<&String>, size: usize) -> Option<Vec<u8>> {
    decode(text?).filter(|bytes| bytes.len() == size)
}

fn decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}
