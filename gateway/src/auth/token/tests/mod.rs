//! The module as its callers see it, and as attackers would like it to be.

mod attacks;
mod external;
mod jwks;
mod own;
mod refresh;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::EncodingKey;
use jsonwebtoken::crypto::sign;
use jsonwebtoken::jwk::Jwk;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::signing_key::KeyRecord;
use super::*;

/// When all tests begin, in Unix seconds.
const START: u64 = 1_800_000_000;
/// The issuers that tests have.
const KEYCLOAK: &str = "https://keycloak.example/realms/a";
const AUTH0: &str = "https://auth0.example/";

/// Keys as an issuer publishes them, by URL; `None` while it is away.
#[derive(Debug, Default)]
struct Published {
    sets: Mutex<HashMap<String, Option<Value>>>,
    calls: AtomicUsize,
    /// Whether an answer takes long enough for others to come.
    slow: AtomicBool,
}

impl Published {
    fn put(&self, url: &str, keys: &[Value]) {
        self.sets.lock().insert(url.to_owned(), Some(json!({ "keys": keys })));
    }

    fn go_away(&self, url: &str) {
        self.sets.lock().insert(url.to_owned(), None);
    }

    fn be_slow(&self) {
        self.slow.store(true, Ordering::SeqCst);
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

impl FetchJwks for Published {
    fn fetch(&self, url: &str) -> Result<Vec<u8>, JwksError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        if self.slow.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(100));
        }
        match self.sets.lock().get(url) {
            Some(Some(set)) => Ok(set.to_string().into_bytes()),
            _ => Err(JwksError::Transport(Box::new(io::Error::from(io::ErrorKind::ConnectionRefused)))),
        }
    }
}

/// A gateway's tokens, with two external issuers that publish nothing yet.
struct World {
    _folder: TempDir,
    clock: Clock,
    published: Arc<Published>,
    tokens: Tokens,
}

impl World {
    fn new() -> Self {
        Self::with(&[issuer("keycloak", KEYCLOAK), issuer("auth0", AUTH0)])
    }

    fn with(issuers: &[IssuerConfig]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::manual(START * 1000);
        let own = SigningKeys::open(SigningConfig::default(), folder.path(), clock.clone()).unwrap();
        let published = Arc::new(Published::default());
        let fetch: Arc<dyn FetchJwks> = Arc::<Published>::clone(&published);
        let tokens = Tokens::new(own, issuers, &known(), &fetch, clock.clone()).unwrap();
        Self { _folder: folder, clock, published, tokens }
    }

    fn now(&self) -> u64 {
        self.clock.now_ms() / 1000
    }

    fn pass(&self, seconds: u64) {
        self.clock.advance(seconds * 1000);
    }
}

fn known() -> Arc<dyn KnownRoles> {
    Arc::new(BTreeSet::from(["admin", "operator", "user", "viewer"].map(str::to_owned)))
}

fn issuer(name: &str, iss: &str) -> IssuerConfig {
    IssuerConfig {
        name: name.to_owned(),
        issuer: iss.to_owned(),
        audience: vec!["sluice-api".to_owned(), "sluice-web".to_owned()],
        jwks_url: url(iss),
        role_claim: "role".to_owned(),
        role_map: BTreeMap::new(),
        subject_claim: "sub".to_owned(),
        algorithms: vec![Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA],
        leeway_seconds: 10,
    }
}

/// Where an issuer publishes its keys.
fn url(iss: &str) -> String {
    format!("{iss}/keys")
}

fn new_token(subject: &str) -> NewToken {
    NewToken {
        subject: subject.to_owned(),
        role: Some("user".to_owned()),
        expires_in: Duration::from_hours(1),
        not_before: None,
        note: None,
    }
}

/// The claims of an external token that is good.
fn good(iss: &str) -> Value {
    json!({ "iss": iss, "aud": "sluice-api", "sub": "alice", "exp": START + 3600, "iat": START, "role": "user" })
}

/// A value with some of its fields replaced, and those that are null removed.
fn but(mut value: Value, changes: &Value) -> Value {
    for (name, change) in changes.as_object().unwrap() {
        let fields = value.as_object_mut().unwrap();
        if change.is_null() {
            fields.remove(name);
        } else {
            fields.insert(name.clone(), change.clone());
        }
    }
    value
}

/// A private key with its algorithm and name. Those in `fixtures` are nobody's: made by `openssl` for these tests.
struct Signer {
    key: EncodingKey,
    algorithm: Algorithm,
    kid: &'static str,
}

impl Signer {
    fn rsa(algorithm: Algorithm) -> Self {
        let key = EncodingKey::from_rsa_der(&der(include_str!("../fixtures/rsa.pem")));
        Self { key, algorithm, kid: "rsa" }
    }

    fn p256() -> Self {
        let key = EncodingKey::from_ec_der(&der(include_str!("../fixtures/p256.pem")));
        Self { key, algorithm: Algorithm::ES256, kid: "p256" }
    }

    fn p384() -> Self {
        let key = EncodingKey::from_ec_der(&der(include_str!("../fixtures/p384.pem")));
        Self { key, algorithm: Algorithm::ES384, kid: "p384" }
    }

    /// Another one each time.
    fn ed(kid: &'static str) -> Self {
        let key = KeyRecord::generate(SigningAlgorithm::EdDsa, 0).key_pair().unwrap().signing;
        Self { key, algorithm: Algorithm::EdDSA, kid }
    }

    fn header(&self) -> Value {
        json!({ "alg": self.algorithm, "typ": "JWT", "kid": self.kid })
    }

    fn sign(&self, claims: &Value) -> String {
        self.sign_as(&self.header(), claims)
    }

    /// Signs under any header, true or not.
    fn sign_as(&self, header: &Value, claims: &Value) -> String {
        let message = format!("{}.{}", part(header), part(claims));
        let signature = sign(message.as_bytes(), &self.key, self.algorithm).unwrap();
        format!("{message}.{signature}")
    }

    /// The public half.
    fn jwk(&self) -> Value {
        let jwk = Jwk::from_encoding_key(&self.key, self.algorithm).unwrap();
        but(serde_json::to_value(jwk).unwrap(), &json!({ "kid": self.kid, "use": "sig" }))
    }
}

fn part(json: &Value) -> String {
    URL_SAFE_NO_PAD.encode(json.to_string())
}

fn der(pem: &str) -> Vec<u8> {
    let lines = pem.lines().filter(|line| !line.starts_with('-'));
    STANDARD.decode(lines.collect::<String>()).unwrap()
}

/// The JSON of a token's part.
fn decoded(part: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

/// The three parts of a token.
fn parts(token: &str) -> [String; 3] {
    token.split('.').map(str::to_owned).collect::<Vec<_>>().try_into().unwrap()
}
