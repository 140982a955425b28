//! `django.core.signing`, for reading alone: what Django has signed with its SECRET_KEY.

#![forbid(unsafe_code)]

mod payload;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::digest::block_api::EagerHash;
use sha2::{Digest, Sha256};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// Nothing longer is read (bytes). Django has no bound; it comes from a cookie or a row.
pub(crate) const MAX_SIGNED: usize = 1024 * 1024;

/// Between payload, timestamp and signature.
const SEPARATOR: u8 = b':';

/// `BASE62_ALPHABET`.
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// SECRET_KEY and SECRET_KEY_FALLBACKS, in the order in which they are tried.
#[derive(Clone, PartialEq, Eq)]
pub struct Keys(Arc<[Zeroizing<Vec<u8>>]>);

impl Keys {
    /// An empty one is none, as in Django: anybody could sign with it.
    pub fn new(secret_key: &str, fallbacks: &[&str]) -> Self {
        let all = std::iter::once(&secret_key).chain(fallbacks).filter(|key| !key.is_empty());
        Self(all.map(|key| Zeroizing::new(key.as_bytes().to_vec())).collect())
    }

    /// Whether under one of the keys `claimed` is what `make` makes of it. The comparison takes as
    /// long for every text of that length.
    fn any(&self, claimed: &[u8], make: impl Fn(&[u8]) -> Option<String>) -> bool {
        let is_made = |made: String| made.as_bytes().ct_eq(claimed).into();
        self.0.iter().any(|key| make(key).is_some_and(is_made))
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys({})", self.0.len())
    }
}

/// With what an HMAC is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// Every Django since 3.1.
    Sha256,
    /// Older ones; Django 3.2 still accepts it.
    Sha1,
}

impl Algorithm {
    /// `salted_hmac`: its key is the digest of salt and key.
    fn mac(self, salt: &str, key: &[u8], value: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Sha256 => salted_hmac::<Sha256>(salt, key, value),
            Self::Sha1 => salted_hmac::<Sha1>(salt, key, value),
        }
    }

    /// Whether `claimed` is the `salted_hmac(…).hexdigest()` of `value` under one of the keys.
    pub fn is_hexdigest(self, claimed: &[u8], salt: &str, value: &[u8], keys: &Keys) -> bool {
        let hex = |mac: Vec<u8>| mac.iter().map(|byte| format!("{byte:02x}")).collect();
        keys.any(claimed, |key| self.mac(salt, key, value).map(hex))
    }
}

fn salted_hmac<D>(salt: &str, key: &[u8], value: &[u8]) -> Option<Vec<u8>>
where
    D: Digest + EagerHash,
    Hmac<D>: KeyInit + Mac,
{
    let derived = Zeroizing::new(
        D::new_with_prefix(salt.as_bytes()).chain_update(key).finalize().as_slice().to_vec(),
    );
    // It takes keys of any length.
    let mac = <Hmac<D> as KeyInit>::new_from_slice(&derived).ok()?;
    Some(mac.chain_update(value).finalize().into_bytes().to_vec())
}

/// Why something signed is not believed. The texts are for a log and repeat nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Longer than anything that Django signs.
    #[error("it is longer than {MAX_SIGNED} bytes")]
    TooLong,
    /// None of the keys has signed it, or with another salt.
    #[error("its signature is not of the SECRET_KEY that is configured here, nor of a fallback")]
    Signature,
    /// Signed, but not at a time.
    #[error("it has no timestamp")]
    Timestamp,
    /// Signed too long ago.
    #[error("it was signed too long ago")]
    TooOld,
    /// Signed, but not base64.
    #[error("its payload is not base64")]
    Base64,
    /// Signed, but not compressed as it says.
    #[error("its payload is not zlib's")]
    Zlib,
    /// Signed, but it would fill the memory.
    #[error("its payload inflates to more than {} bytes", payload::MAX_INFLATED)]
    TooBig,
}

/// `TimestampSigner`: one purpose of the keys.
#[derive(Debug, Clone, Copy)]
pub struct Signer<'a> {
    /// Keeps what is signed for one purpose from serving another.
    pub salt: &'a str,
    /// Accept signatures by SHA-1 too, as Django 3.2 alone does.
    pub sha1: bool,
}

impl Signer<'_> {
    /// `Signer.unsign`: what stands before the signature, if that is of one of the keys.
    ///
    /// # Errors
    /// `Refusal::TooLong` and `Refusal::Signature`.
    pub fn unsign<'s>(&self, signed: &'s [u8], keys: &Keys) -> Result<&'s [u8], Refusal> {
        if signed.len() > MAX_SIGNED {
            return Err(Refusal::TooLong);
        }
        let (value, signature) = rsplit(signed).ok_or(Refusal::Signature)?;
        let salt = format!("{}signer", self.salt);
        let is_of = |algorithm: Algorithm| {
            keys.any(signature, |key| {
                Some(URL_SAFE_NO_PAD.encode(algorithm.mac(&salt, key, value)?))
            })
        };
        if is_of(Algorithm::Sha256) || (self.sha1 && is_of(Algorithm::Sha1)) {
            Ok(value)
        } else {
            Err(Refusal::Signature)
        }
    }

    /// `TimestampSigner.unsign`: the same, without the timestamp, if that is at most `max_age` before
    /// `now`. One that is to come is believed, as Django does: clocks differ.
    ///
    /// # Errors
    /// Those of [`Signer::unsign`], `Refusal::Timestamp` and `Refusal::TooOld`.
    pub fn unsign_timestamp<'s>(
        &self,
        signed: &'s [u8],
        keys: &Keys,
        max_age: Option<Duration>,
        now: SystemTime,
    ) -> Result<&'s [u8], Refusal> {
        let (value, timestamp) = rsplit(self.unsign(signed, keys)?).ok_or(Refusal::Timestamp)?;
        let signed_at = b62_decode(timestamp).ok_or(Refusal::Timestamp)?;
        let is_old = max_age.is_some_and(|max_age| {
            let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
            // Nanoseconds: of 128 bits, more than any timestamp needs.
            let age = now.as_nanos().cast_signed() - i128::from(signed_at) * 1_000_000_000;
            age > max_age.as_nanos().cast_signed()
        });
        if is_old { Err(Refusal::TooOld) } else { Ok(value) }
    }

    /// `signing.loads`, up to the serializer: the bytes of the object that was signed. The signature
    /// is checked before anything is decoded.
    ///
    /// # Errors
    /// Every `Refusal`.
    pub fn loads(
        &self,
        signed: &[u8],
        keys: &Keys,
        max_age: Option<Duration>,
        now: SystemTime,
    ) -> Result<Vec<u8>, Refusal> {
        payload::decode(self.unsign_timestamp(signed, keys, max_age, now)?)
    }
}

/// What stands before and after the last separator.
fn rsplit(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut parts = text.rsplitn(2, |&byte| byte == SEPARATOR);
    let last = parts.next()?;
    Some((parts.next()?, last))
}

/// `b62_decode`; none for what no clock shows.
fn b62_decode(text: &[u8]) -> Option<i64> {
    let (sign, digits) = match text.strip_prefix(b"-") {
        Some(digits) => (-1, digits),
        None if text.is_empty() => return None,
        None => (1, text),
    };
    digits
        .iter()
        .try_fold(0_i64, |number, digit| {
            let digit = BASE62.iter().position(|known| known == digit)?;
            number.checked_mul(62)?.checked_add(i64::try_from(digit).ok()?)
        })
        .map(|number| sign * number)
}

#[cfg(test)]
mod tests;
