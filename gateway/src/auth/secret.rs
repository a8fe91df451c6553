//! Secrets of keys: 256 random bits, shown once, kept as a hash.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::RngExt as _;
use sha2::{Digest, Sha256};

use super::store::KeyHash;

/// How every key begins.
pub const PREFIX: &str = "sk-";
/// Characters of a secret that are kept for recognising it: too few to help guessing.
const SHOWN: usize = 9;

/// A new secret.
pub fn generate() -> String {
    let secret: [u8; 32] = rand::rng().random();
    format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(secret))
}

/// How every key's id begins; no token's does.
pub const ID_PREFIX: &str = "key_";

/// A new id of a key.
pub fn key_id() -> String {
    let number: u64 = rand::rng().random();
    format!("{ID_PREFIX}{number:016x}")
}

/// What is kept of a secret. Found by its hash, a secret needs no comparison whose time could tell of it: who knows
/// a hash knows no secret.
pub fn hash(secret: &[u8]) -> KeyHash {
    Sha256::digest(secret).into()
}

/// The part of a secret that people recognise it by.
pub fn shown(secret: &str) -> String {
    secret.chars().take(SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_differ_and_are_256_bits() {
        let (one, other) = (generate(), generate());
        assert_ne!(one, other);
        assert_eq!(URL_SAFE_NO_PAD.decode(one.strip_prefix(PREFIX).unwrap()).unwrap().len(), 32);
    }

    #[test]
    fn what_is_shown_is_little_of_the_secret() {
        assert_eq!(shown("sk-abcdefghijkl"), "sk-abcdef");
    }
}
