//! Tokens made outside the gateway: with its own key out of the data folder, or with any other.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use serde_json::{Value, json};

/// PKCS #8 (RFC 8410) is this and the 32 bytes of an Ed25519 key.
const PKCS8_ED25519: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// Something that signs.
#[derive(Debug, Clone)]
pub struct Signer {
    key: EncodingKey,
    algorithm: Algorithm,
    /// What its tokens name it.
    pub kid: String,
}

impl Signer {
    /// The gateway's own, by its data folder: so a test can say what no gateway would sign.
    pub fn of(data: &Path) -> Self {
        let file = std::fs::read(data.join("signing-keys.json")).expect("the gateway has signing keys");
        let file: Value = serde_json::from_slice(&file).expect("the file is JSON");
        let key = &file["keys"][0];
        assert_eq!(key["algorithm"], "EdDSA");
        let secret = bytes(key["secret"].as_str().expect("a secret"));
        Self::ed25519(&secret, key["kid"].as_str().expect("a kid"))
    }

    /// An Ed25519 key of these 32 bytes.
    pub fn ed25519(secret: &[u8], kid: &str) -> Self {
        let key = EncodingKey::from_ed_der(&[PKCS8_ED25519.as_slice(), secret].concat());
        Self { key, algorithm: Algorithm::EdDSA, kid: kid.to_owned() }
    }

    /// A shared secret.
    pub fn shared(secret: &[u8], algorithm: Algorithm, kid: &str) -> Self {
        Self { key: EncodingKey::from_secret(secret), algorithm, kid: kid.to_owned() }
    }

    /// The header that its tokens have.
    pub fn header(&self) -> Value {
        json!({"typ": "JWT", "alg": format!("{:?}", self.algorithm), "kid": self.kid})
    }

    /// A token with these claims.
    pub fn sign(&self, claims: &Value) -> String {
        self.sign_as(&self.header(), claims)
    }

    /// The same under a header that may lie.
    pub fn sign_as(&self, header: &Value, claims: &Value) -> String {
        let message = format!("{}.{}", part(header), part(claims));
        let signature = crypto::sign(message.as_bytes(), &self.key, self.algorithm).expect("the key signs");
        format!("{message}.{signature}")
    }
}

/// Claims that the gateway accepts, for an admin who has no record.
pub fn good_claims() -> Value {
    let now = now();
    json!({"iss": "sluice", "aud": "sluice", "sub": "mallory", "role": "admin", "iat": now, "exp": now + 600,
        "jti": "forged"})
}

/// Unix seconds.
#[expect(clippy::disallowed_methods, reason = "the gateway under test has the real clock")]
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a time after 1970").as_secs()
}

/// One part of a token.
pub fn part(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

/// What a part of a token or of a key says.
pub fn bytes(part: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(part).expect("base64url without padding")
}

/// `value` with other fields; `null` takes one away.
#[must_use]
pub fn but(mut value: Value, changes: &Value) -> Value {
    let object = value.as_object_mut().expect("an object");
    for (name, change) in changes.as_object().expect("an object") {
        if change.is_null() {
            object.remove(name);
        } else {
            object.insert(name.clone(), change.clone());
        }
    }
    value
}
