//! Virtual keys: how they are made, and the digest under which the gateway knows them.
//!
//! A key is 256 random bits, so a plain SHA-256 keeps it: there is nothing to guess, and a slow
//! password hash would cost every request. The text of a key is shown once, where it is made, and
//! stored nowhere.

use std::fmt;

use sha2::{Digest, Sha256};

use crate::config::snapshot::KeyDigest;
use crate::types::Secret;

/// What every generated key begins with, so that scanners find leaked ones.
pub const PREFIX: &str = "sk-tg-";

/// What every digest begins with in a configuration.
pub const DIGEST_PREFIX: &str = "sha256:";

/// Random characters of a key: 43 of 62 kinds carry 256 bits.
const RANDOM_CHARS: usize = 43;

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A key that was just made.
pub struct NewKey {
    /// What its owner sends, `sk-tg-…`.
    pub text: Secret,
    /// What the configuration holds.
    pub hash: KeyDigest,
}

/// The system has no randomness to give.
#[derive(Debug)]
pub struct NoRandomness(getrandom::Error);

impl fmt::Display for NoRandomness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no key can be made, the system gives no random bytes: {}", self.0)
    }
}

impl std::error::Error for NoRandomness {}

/// A text is not a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotADigest;

impl fmt::Display for NotADigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "is not `{DIGEST_PREFIX}` and 64 hexadecimal digits, as `tollgate key hash` prints"
        )
    }
}

impl std::error::Error for NotADigest {}

/// Makes a key from the system's randomness.
pub fn generate() -> Result<NewKey, NoRandomness> {
    let mut text = String::from(PREFIX);
    let mut bytes = [0; 64];
    while text.len() < PREFIX.len() + RANDOM_CHARS {
        getrandom::fill(&mut bytes).map_err(NoRandomness)?;
        let missing = PREFIX.len() + RANDOM_CHARS - text.len();
        text.extend(bytes.iter().filter_map(|byte| letter(*byte)).take(missing));
    }
    let hash = digest(text.as_bytes());
    Ok(NewKey { text: Secret::from(text), hash })
}

/// The digest of a key's text.
pub fn digest(text: &[u8]) -> KeyDigest {
    Sha256::digest(text).into()
}

/// A digest as the configuration holds it, `sha256:…`.
pub fn render(digest: &KeyDigest) -> String {
    format!("{DIGEST_PREFIX}{}", hex::encode(digest))
}

/// Reads a digest; upper case is accepted. The error does not quote the text: whoever puts a key
/// where its digest belongs must not find it in a log.
pub fn parse(text: &str) -> Result<KeyDigest, NotADigest> {
    let digits = text.strip_prefix(DIGEST_PREFIX).ok_or(NotADigest)?;
    let mut digest = KeyDigest::default();
    hex::decode_to_slice(digits, &mut digest).map_err(|_| NotADigest)?;
    Ok(digest)
}

/// A random byte as a letter; `None` for the eight values that would favour some letters.
fn letter(byte: u8) -> Option<char> {
    let fair = usize::from(byte) < 256 - 256 % ALPHABET.len();
    let letter = ALPHABET.get(usize::from(byte) % ALPHABET.len())?;
    fair.then_some(char::from(*letter))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::{any, proptest};
    use proptest::prop_assert_eq;

    use super::{DIGEST_PREFIX, NotADigest, PREFIX, digest, generate, letter, parse, render};

    #[test]
    fn a_new_key_is_random_and_known_by_its_digest() {
        let mut seen = HashSet::new();
        for _ in 0..100 {
            let key = generate().unwrap();
            let random = key.text.expose().strip_prefix(PREFIX).unwrap();
            assert_eq!(random.len(), 43);
            assert!(random.bytes().all(|byte| byte.is_ascii_alphanumeric()));
            assert_eq!(key.hash, digest(key.text.expose().as_bytes()));
            assert!(seen.insert(key.hash));
        }
    }

    #[test]
    fn every_letter_is_equally_likely() {
        let mut count = std::collections::HashMap::new();
        for letter in (0..=u8::MAX).filter_map(letter) {
            *count.entry(letter).or_insert(0) += 1;
        }
        assert_eq!(count.len(), 62);
        assert!(count.values().all(|times| *times == 4));
    }

    #[test]
    fn the_digest_is_sha256() {
        // FIPS 180-2, example B.1.
        let expected = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(render(&digest(b"abc")), expected);
        assert_eq!(parse(&expected.to_uppercase().replace("SHA256", "sha256")), Ok(digest(b"abc")));
    }

    #[test]
    fn what_is_no_digest_is_refused() {
        let digits = "0".repeat(64);
        for text in [
            String::new(),
            digits.clone(),
            DIGEST_PREFIX.into(),
            format!("md5:{digits}"),
            format!("{DIGEST_PREFIX}{digits}0"),
            format!("{DIGEST_PREFIX}{}g", &digits[1..]),
            format!(" {DIGEST_PREFIX}{digits}"),
        ] {
            assert_eq!(parse(&text), Err(NotADigest), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_rendered_digest_reads_back(bytes in any::<[u8; 32]>()) {
            prop_assert_eq!(parse(&render(&bytes)), Ok(bytes));
        }

        #[test]
        fn garbage_does_not_panic(text in ".*") {
            let _ = parse(&text);
        }
    }
}
