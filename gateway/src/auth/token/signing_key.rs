//! One signing key: how it is stored, what can be done with it, and the set that has one active key.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};
use rand::RngExt as _;
use serde::{Deserialize, Serialize};

/// PKCS #8 (RFC 8410) is this and the 32 bytes of an Ed25519 key.
const PKCS8_ED25519: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// What our own tokens are signed with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum SigningAlgorithm {
    /// Ed25519: others can verify our tokens by our public keys.
    #[default]
    #[serde(rename = "EdDSA")]
    EdDsa,
    /// HMAC with SHA-256: faster, and only who holds the secret can verify.
    #[serde(rename = "HS256")]
    Hs256,
}

/// 32 bytes in Base64url. Not shown by `Debug`.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Secret(String);

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret")
    }
}

/// What a key is for. Times are Unix seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub(super) enum KeyState {
    /// It signs and verifies.
    Active,
    /// It only verifies, and only until the tokens that it signed have ended.
    Retired {
        /// When it signed last.
        retired_at: u64,
        /// From when on it verifies no more.
        verify_until: u64,
    },
}

/// A key as it is stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct KeyRecord {
    pub(super) kid: String,
    pub(super) algorithm: SigningAlgorithm,
    pub(super) secret: Secret,
    /// Unix seconds.
    pub(super) created_at: u64,
    #[serde(flatten)]
    pub(super) state: KeyState,
}

/// A key as it is used.
#[derive(Debug)]
pub(super) struct KeyPair {
    pub(super) algorithm: Algorithm,
    pub(super) signing: EncodingKey,
    pub(super) verifying: DecodingKey,
    /// What others may know of it. There is nothing of a shared secret.
    pub(super) public: Option<Jwk>,
}

impl KeyRecord {
    /// A new active key.
    pub(super) fn generate(algorithm: SigningAlgorithm, now: u64) -> Self {
        let secret: [u8; 32] = rand::rng().random();
        let secret = Secret(URL_SAFE_NO_PAD.encode(secret));
        Self { kid: random_name(), algorithm, secret, created_at: now, state: KeyState::Active }
    }

    /// When it verifies no more, if that is known.
    pub(super) fn until(&self) -> Option<u64> {
        match self.state {
            KeyState::Active => None,
            KeyState::Retired { verify_until, .. } => Some(verify_until),
        }
    }

    /// The key itself, if the secret is one.
    pub(super) fn key_pair(&self) -> Option<KeyPair> {
        let secret: [u8; 32] = URL_SAFE_NO_PAD.decode(&self.secret.0).ok()?.try_into().ok()?;
        match self.algorithm {
            SigningAlgorithm::EdDsa => {
                let signing = EncodingKey::from_ed_der(&[PKCS8_ED25519.as_slice(), &secret].concat());
                let mut public = Jwk::from_encoding_key(&signing, Algorithm::EdDSA).ok()?;
                public.common.key_id = Some(self.kid.clone());
                public.common.public_key_use = Some(PublicKeyUse::Signature);
                let verifying = DecodingKey::from_jwk(&public).ok()?;
                Some(KeyPair { algorithm: Algorithm::EdDSA, signing, verifying, public: Some(public) })
            }
            SigningAlgorithm::Hs256 => Some(KeyPair {
                algorithm: Algorithm::HS256,
                signing: EncodingKey::from_secret(&secret),
                verifying: DecodingKey::from_secret(&secret),
                public: None,
            }),
        }
    }
}

/// The keys after a rotation: a new active one, the old one for verifying until `verify_until`, and none whose time
/// is over.
pub(super) fn rotated(
    mut keys: Vec<KeyRecord>,
    algorithm: SigningAlgorithm,
    now: u64,
    verify_until: u64,
) -> Vec<KeyRecord> {
    for key in &mut keys {
        if key.state == KeyState::Active {
            key.state = KeyState::Retired { retired_at: now, verify_until };
        }
    }
    keys.retain(|key| key.until().is_none_or(|until| now < until));
    keys.push(KeyRecord::generate(algorithm, now));
    keys
}

/// The active key's algorithm.
pub(super) fn active_algorithm(keys: &[KeyRecord]) -> Option<SigningAlgorithm> {
    keys.iter().find(|key| key.state == KeyState::Active).map(|key| key.algorithm)
}

/// 128 random bits, for what only has to differ.
pub(super) fn random_name() -> String {
    let bits: [u8; 16] = rand::rng().random();
    URL_SAFE_NO_PAD.encode(bits)
}
