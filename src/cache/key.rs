//! `Key`: what the names and proofs of verified credentials are made with.

#![forbid(unsafe_code)]

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// A secret of at least 32 bytes is asked for, so that nobody guesses it.
const LEAST: usize = 32;

/// A key of 32 bytes, which never leaves memory.
#[derive(Clone)]
pub struct Key(Zeroizing<[u8; 32]>);

impl Key {
    /// A new one from the system.
    ///
    /// # Errors
    /// When the system has no randomness to give.
    pub fn random() -> Result<Self, String> {
        let mut key = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *key).map_err(|error| format!("no random key: {error}"))?;
        Ok(Self(key))
    }

    /// The one that `bytes` are.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
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
        Ok(Self::new(digest.chain_update(secret).finalize().into()))
    }

    /// The key of one use, so that what is made for it serves no other.
    pub(super) fn derive(&self, purpose: &[u8]) -> Hmac<Sha256> {
        let mut mac = keyed(&self.0);
        mac.update(purpose);
        keyed(&Zeroizing::new(mac.finalize().into_bytes().into()))
    }
}

fn keyed(key: &[u8; 32]) -> Hmac<Sha256> {
    let mut block = Zeroizing::new([0; 64]);
    // HMAC fills a short key up with zeros itself (RFC 2104).
    block.iter_mut().zip(key).for_each(|(byte, of_key)| *byte = *of_key);
    Hmac::new((&*block).into())
}
