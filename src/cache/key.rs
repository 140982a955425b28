//! `Key`: what the names and proofs of verified credentials are made with.

#![forbid(unsafe_code)]

use hmac::digest::FixedOutput;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// A secret of at least 32 bytes is asked for, so that nobody guesses it.
const LEAST: usize = 32;

/// A key of 32 bytes, which never leaves memory; it has a place of its own, so that none of it is left
/// behind where it was moved from.
pub struct Key(Box<Zeroizing<[u8; 32]>>);

impl Clone for Key {
    fn clone(&self) -> Self {
        Self::new(&self.0)
    }
}

impl Key {
    /// A new one from the system.
    ///
    /// # Errors
    /// When the system has no randomness to give.
    pub fn random() -> Result<Self, String> {
        let mut key = Self(Box::default());
        getrandom::fill(&mut **key.0).map_err(|error| format!("no random key: {error}"))?;
        Ok(key)
    }

    /// The one that `bytes` are.
    pub fn new(bytes: &[u8; 32]) -> Self {
        let mut key = Self(Box::default());
        key.0.copy_from_slice(bytes);
        key
    }

    /// Its bytes, for whoever keeps it over a restart.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The key that a secret shared by several machines stands for.
    ///
    /// # Errors
    /// The remedy, where the secret is too short.
    pub fn from_secret(secret: &str) -> Result<Self, String> {
        if secret.len() < LEAST {
            return Err(format!(
                "the key has fewer than {LEAST} characters: make one by openssl rand -hex 32"
            ));
        }
        let digest = Sha256::new_with_prefix("mod_authnz_django, verified credentials: ");
        let mut key = Self(Box::default());
        Digest::finalize_into(digest.chain_update(secret), (&mut **key.0).into());
        Ok(key)
    }

    /// The key of one use, so that what is made for it serves no other.
    pub(super) fn derive(&self, purpose: &[u8]) -> Hmac<Sha256> {
        let mut mac = keyed(&self.0);
        mac.update(purpose);
        let mut key = Zeroizing::new([0; 32]);
        mac.finalize_into((&mut *key).into());
        keyed(&key)
    }
}

fn keyed(key: &[u8; 32]) -> Hmac<Sha256> {
    let mut block = Zeroizing::new([0; 64]);
    // HMAC fills a short key up with zeros itself (RFC 2104).
    block.iter_mut().zip(key).for_each(|(byte, of_key)| *byte = *of_key);
    Hmac::new((&*block).into())
}
