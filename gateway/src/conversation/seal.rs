//! Content at rest: plain, or sealed with a key that only the gateways have.
//!
//! Sealed content is `1 ‖ nonce ‖ ChaCha20-Poly1305(content)`, bound to its owner and its id: copied to another place
//! it does not open. Plain content is `0 ‖ content`, so that a key can be brought in later; what was plain stays so
//! until it is written again.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{BufMut, Bytes, BytesMut};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

/// The key's length in bytes.
const KEY_LEN: usize = 32;
const PLAIN: u8 = 0;
const SEALED: u8 = 1;

/// Why a key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The file cannot be read.
    #[error("{0}")]
    File(#[from] std::io::Error),
    /// It holds no key.
    #[error("the file must hold 32 random bytes in base64, as `openssl rand -base64 32` writes them")]
    NoKey,
}

/// Closes and opens content.
#[derive(Default)]
pub struct Seal(Option<LessSafeKey>);

impl Seal {
    /// With the key of a file.
    pub fn from_file(path: &Path) -> Result<Self, SealError> {
        let text = std::fs::read_to_string(path)?;
        let key = STANDARD.decode(text.trim()).map_err(|_| SealError::NoKey)?;
        if key.len() != KEY_LEN {
            return Err(SealError::NoKey);
        }
        let key = UnboundKey::new(&CHACHA20_POLY1305, &key).map_err(|_| SealError::NoKey)?;
        Ok(Self(Some(LessSafeKey::new(key))))
    }

    /// Content as it is stored for an owner under an id.
    pub(super) fn close(&self, owner: &str, id: &str, content: &[u8]) -> Bytes {
        let Some(key) = &self.0 else {
            let mut plain = BytesMut::with_capacity(content.len() + 1);
            plain.put_u8(PLAIN);
            plain.put_slice(content);
            return plain.freeze();
        };
        let nonce: [u8; NONCE_LEN] = rand::random();
        let mut sealed = content.to_vec();
        let aad = Aad::from(place(owner, id));
        // Fails for contents of gigabytes only, which no request can bring.
        if key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut sealed).is_err() {
            sealed.clear();
        }
        let mut stored = BytesMut::with_capacity(sealed.len() + NONCE_LEN + 1);
        stored.put_u8(SEALED);
        stored.put_slice(&nonce);
        stored.put_slice(&sealed);
        stored.freeze()
    }

    /// What was stored; `None` where it was sealed with another key or for another place.
    pub(super) fn open(&self, owner: &str, id: &str, stored: &Bytes) -> Option<Bytes> {
        let (kind, rest) = stored.split_first()?;
        match (*kind, &self.0) {
            (PLAIN, _) => Some(stored.slice(1..)),
            (SEALED, Some(key)) => {
                let (nonce, sealed) = rest.split_at_checked(NONCE_LEN)?;
                let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
                let mut sealed = sealed.to_vec();
                let opened = key.open_in_place(nonce, Aad::from(place(owner, id)), &mut sealed).ok()?;
                Some(Bytes::copy_from_slice(opened))
            }
            _ => None,
        }
    }
}

impl std::fmt::Debug for Seal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Seal").field(&self.0.is_some()).finish()
    }
}

/// Owner and id, so that no two pairs look alike.
fn place(owner: &str, id: &str) -> Vec<u8> {
    let length = u64::try_from(owner.len()).unwrap_or(u64::MAX);
    [&length.to_le_bytes(), owner.as_bytes(), id.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seal() -> Seal {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        std::fs::write(&path, format!("{}\n", STANDARD.encode(rand::random::<[u8; KEY_LEN]>()))).unwrap();
        Seal::from_file(&path).unwrap()
    }

    #[test]
    fn what_is_sealed_opens_in_its_place_alone_and_shows_nothing() {
        let seal = seal();
        let stored = seal.close("a", "msg_1", b"the secret word");
        assert_eq!(seal.open("a", "msg_1", &stored).as_deref(), Some(b"the secret word".as_slice()));
        assert!(!stored.windows(6).any(|window| window == b"secret"));
        assert_eq!(seal.open("b", "msg_1", &stored), None);
        assert_eq!(seal.open("a", "msg_2", &stored), None);
        assert_eq!(seal.open("amsg", "_1", &stored), None);
        assert_eq!(super::Seal::default().open("a", "msg_1", &stored), None);
        assert_eq!(self::seal().open("a", "msg_1", &stored), None);
    }

    #[test]
    fn content_from_before_there_was_a_key_is_still_read() {
        let stored = Seal::default().close("a", "msg_1", b"plain");
        assert_eq!(seal().open("a", "msg_1", &stored).as_deref(), Some(b"plain".as_slice()));
    }

    #[test]
    fn no_byte_can_be_changed_unseen() {
        let seal = seal();
        let stored = seal.close("a", "msg_1", b"content");
        for place in 0..stored.len() {
            let mut changed = stored.to_vec();
            changed[place] ^= 1;
            let opened = seal.open("a", "msg_1", &Bytes::from(changed));
            // A sealed record that calls itself plain shows its own bytes, never the content.
            assert!(opened.is_none_or(|opened| place == 0 && *opened != *b"content"), "byte {place}");
        }
        assert_eq!(seal.open("a", "msg_1", &Bytes::new()), None);
    }

    #[test]
    fn a_file_without_a_key_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        assert!(matches!(Seal::from_file(&path), Err(SealError::File(_))));
        for text in ["", "c2hvcnQ=", "not base64 at all, but of some length, more than enough"] {
            std::fs::write(&path, text).unwrap();
            assert!(matches!(Seal::from_file(&path), Err(SealError::NoKey)), "{text}");
        }
    }
}
