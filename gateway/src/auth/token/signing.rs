//! Our own tokens: minted with the active key, verified with it and the ones before it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use parking_lot::{Mutex, RwLock};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::claims::{ClaimPath, RoleRule, is_name};
use super::key_file::{KeyFile, KeyFileError, KeyPlace};
use super::signing_key::{KeyRecord, KeyState, SigningAlgorithm, active_algorithm, random_name, rotated};
use super::verify::{Issuer, Rules, Verifier, VerifyingKey};
use crate::auth::store::SharedKeys;
use crate::clock::Clock;

/// How our own tokens are made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SigningConfig {
    /// The claim `iss`. Gateways that share it and their keys accept each other's tokens.
    pub issuer: String,
    /// The claim `aud`.
    pub audience: String,
    /// What new keys are for. Changing it makes a new key at the next start; tokens of the old one stay valid.
    pub algorithm: SigningAlgorithm,
    /// The longest life of a token, in seconds, and so for how long a retired key verifies.
    pub longest_life_seconds: u64,
    /// Seconds that the clocks of gateways sharing keys may differ; at most 60.
    pub leeway_seconds: u64,
}

impl Default for SigningConfig {
    fn default() -> Self {
        Self {
            issuer: "sluice".to_owned(),
            audience: "sluice".to_owned(),
            algorithm: SigningAlgorithm::default(),
            longest_life_seconds: 24 * 60 * 60,
            leeway_seconds: 0,
        }
    }
}

/// What a new token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewToken {
    /// Who it is for.
    pub subject: String,
    /// The role it gives.
    pub role: Option<String>,
    /// Its life.
    pub expires_in: Duration,
    /// Unix seconds before which it is refused.
    pub not_before: Option<u64>,
    /// What it is for. Whoever holds the token can read it.
    pub note: Option<String>,
}

/// A new token.
#[derive(Clone, PartialEq, Eq)]
pub struct Minted {
    /// The token: a secret, shown once.
    pub token: String,
    /// Its name, by which it can be revoked.
    pub jti: String,
    /// When it ends, in Unix seconds.
    pub expires_at: u64,
}

impl std::fmt::Debug for Minted {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { jti, expires_at, .. } = self;
        formatter
            .debug_struct("Minted")
            .field("jti", jti)
            .field("expires_at", expires_at)
            .finish_non_exhaustive()
    }
}

/// Why a token is not minted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MintError {
    /// The subject, role or note cannot be one.
    #[error("{0} must have 1 to 256 bytes and no control characters")]
    Name(&'static str),
    /// It would live too long, or not at all.
    #[error("a token must live between 1 and {longest} seconds, and be valid before it ends")]
    Life {
        /// The longest life, in seconds.
        longest: u64,
    },
    /// The key does not sign.
    #[error("the token cannot be signed")]
    Signing,
}

/// The claims of our tokens.
#[derive(Serialize)]
struct Payload<'a> {
    iss: &'a str,
    aud: &'a str,
    sub: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'a str>,
    iat: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    nbf: Option<u64>,
    exp: u64,
    jti: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'a str>,
}

/// The keys of our own tokens, kept in the data folder or in the store that replicas share.
#[derive(Debug)]
pub struct SigningKeys {
    config: SigningConfig,
    rules: Arc<Rules>,
    place: KeyPlace,
    clock: Clock,
    ring: RwLock<Arc<Ring>>,
    /// Held while the file and then the ring change, so that the ring is never older than the file.
    changing: Mutex<()>,
}

/// One state of the keys.
#[derive(Debug)]
struct Ring {
    kid: String,
    algorithm: Algorithm,
    key: EncodingKey,
    verifier: Arc<Verifier>,
    /// Each key's name and until when it verifies: what tells one state from another.
    terms: Vec<(String, Option<u64>)>,
    /// What others may know, and until when in Unix seconds.
    public: Vec<(Jwk, Option<u64>)>,
}

impl SigningKeys {
    /// The keys of a data folder. At the first start, and when the configured algorithm is another, a key is made.
    /// Blocks on the disk.
    pub fn open(config: SigningConfig, data_dir: &Path, clock: Clock) -> Result<Self, KeyFileError> {
        Self::open_at(config, KeyPlace::File(KeyFile::of(data_dir)), clock)
    }

    /// As [`SigningKeys::open`], of keys that replicas share. Blocks on the store.
    pub fn open_shared(
        config: SigningConfig,
        keys: Box<dyn SharedKeys>,
        clock: Clock,
    ) -> Result<Self, KeyFileError> {
        Self::open_at(config, KeyPlace::Shared(keys), clock)
    }

    fn open_at(config: SigningConfig, place: KeyPlace, clock: Clock) -> Result<Self, KeyFileError> {
        let rules = Arc::new(Rules {
            issuer: Issuer::Own,
            iss: config.issuer.clone(),
            audience: vec![config.audience.clone()],
            leeway: config.leeway_seconds.min(super::LONGEST_LEEWAY),
            subject: ClaimPath::top("sub"),
            role: RoleRule::Own,
        });
        let wanted = Some(config.algorithm);
        let now = clock.now_ms() / 1000;
        let verify_until = now.saturating_add(config.longest_life_seconds);
        let keys = match place.read()? {
            // Not touched where it is good: the folder may be one that cannot be written.
            Some(keys) if active_algorithm(&keys) == wanted => keys,
            Some(keys) if active_algorithm(&keys).is_none() => {
                return Err(place.malformed("there is no active key".to_owned()));
            }
            _ => place.update(|keys| {
                // Another process may have been faster.
                if active_algorithm(&keys) == wanted {
                    return keys;
                }
                rotated(keys, config.algorithm, now, verify_until)
            })?,
        };
        let ring = RwLock::new(Arc::new(Ring::of(&keys, &rules, &place)?));
        Ok(Self { config, rules, place, clock, ring, changing: Mutex::new(()) })
    }

    /// The claim `iss` of our tokens.
    pub fn issuer(&self) -> &str {
        &self.config.issuer
    }

    /// Makes a token.
    pub fn mint(&self, new: &NewToken) -> Result<Minted, MintError> {
        check_names(new)?;
        let longest = self.config.longest_life_seconds;
        let life = new.expires_in.as_secs();
        let now = self.now();
        let expires_at = now.saturating_add(life);
        if life == 0 || life > longest || new.not_before.is_some_and(|not_before| not_before >= expires_at) {
            return Err(MintError::Life { longest });
        }
        let jti = random_name();
        let payload = Payload {
            iss: &self.config.issuer,
            aud: &self.config.audience,
            sub: &new.subject,
            role: new.role.as_deref(),
            iat: now,
            nbf: new.not_before,
            exp: expires_at,
            jti: &jti,
            note: new.note.as_deref(),
        };
        let ring = self.ring();
        let mut header = Header::new(ring.algorithm);
        header.kid = Some(ring.kid.clone());
        let token = encode(&header, &payload, &ring.key).map_err(|_| MintError::Signing)?;
        Ok(Minted { token, jti, expires_at })
    }

    /// Makes a new active key and gives its name. The old one verifies for `overlap` more: without one for the
    /// longest life of a token, so that no token ends before its time; with zero, after a leak, no more at all.
    /// Blocks on the disk.
    pub fn rotate(&self, overlap: Option<Duration>) -> Result<String, KeyFileError> {
        let _changing = self.changing.lock();
        let now = self.now();
        let overlap = overlap.map_or(self.config.longest_life_seconds, |overlap| overlap.as_secs());
        let verify_until = now.saturating_add(overlap);
        let keys = self.place.update(|keys| rotated(keys, self.config.algorithm, now, verify_until))?;
        self.install(&keys)?;
        Ok(self.ring().kid.clone())
    }

    /// Takes over what another process has made of the file. On an error the keys stay as they are. Blocks on the
    /// disk. Says whether they are others now.
    pub fn reload(&self) -> Result<bool, KeyFileError> {
        let _changing = self.changing.lock();
        let keys = self.place.read()?.unwrap_or_default();
        let before = self.ring();
        self.install(&keys)?;
        Ok(self.ring().terms != before.terms)
    }

    /// The public keys as a JSON Web Key Set. Shared secrets are not among them.
    pub fn jwks(&self) -> Value {
        let now = self.now();
        let ring = self.ring();
        let alive = ring.public.iter().filter(|(_, until)| until.is_none_or(|until| now < until));
        let keys: Vec<&Jwk> = alive.map(|(key, _)| key).collect();
        json!({ "keys": keys })
    }

    /// What verifies our own tokens, as the keys are now.
    pub fn verifier(&self) -> Arc<Verifier> {
        Arc::clone(&self.ring.read().verifier)
    }

    fn install(&self, keys: &[KeyRecord]) -> Result<(), KeyFileError> {
        let ring = Arc::new(Ring::of(keys, &self.rules, &self.place)?);
        *self.ring.write() = ring;
        Ok(())
    }

    fn ring(&self) -> Arc<Ring> {
        Arc::clone(&self.ring.read())
    }

    fn now(&self) -> u64 {
        self.clock.now_ms() / 1000
    }
}

impl Ring {
    /// The keys of a file, of which exactly one is active and none is broken.
    fn of(keys: &[KeyRecord], rules: &Arc<Rules>, place: &KeyPlace) -> Result<Self, KeyFileError> {
        let mut active = None;
        let mut verifying: Vec<VerifyingKey> = Vec::with_capacity(keys.len());
        let mut public = Vec::with_capacity(keys.len());
        for (index, key) in keys.iter().enumerate() {
            if verifying.iter().any(|other| other.kid == key.kid) {
                return Err(place.malformed(format!("key {index} has the name of one before it")));
            }
            let Some(pair) = key.key_pair() else {
                return Err(
                    place.malformed(format!("the secret of key {index} is not 32 bytes of base64url"))
                );
            };
            let (kid, until) = (key.kid.clone(), key.until());
            if key.state == KeyState::Active
                && active.replace((kid.clone(), pair.algorithm, pair.signing)).is_some()
            {
                return Err(place.malformed("there is more than one active key".to_owned()));
            }
            public.extend(pair.public.map(|jwk| (jwk, until)));
            verifying.push(VerifyingKey { kid, algorithm: pair.algorithm, key: pair.verifying, until });
        }
        let Some((kid, algorithm, key)) = active else {
            return Err(place.malformed("there is no active key".to_owned()));
        };
        let verifier = Arc::new(Verifier::new(Arc::clone(rules), verifying));
        let terms = keys.iter().map(|key| (key.kid.clone(), key.until())).collect();
        Ok(Self { kid, algorithm, key, verifier, terms, public })
    }
}

fn check_names(new: &NewToken) -> Result<(), MintError> {
    let names = [
        ("the subject", Some(&new.subject)),
        ("the role", new.role.as_ref()),
        ("the note", new.note.as_ref()),
    ];
    for (what, name) in names {
        if name.is_some_and(|name| !is_name(name)) {
            return Err(MintError::Name(what));
        }
    }
    Ok(())
}
