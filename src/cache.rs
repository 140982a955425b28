//! Verified credentials: that a password was found to be a user's spares its hash for a while, and
//! nothing else. No hash and no password is kept: an entry is a keyed digest of all that the answer
//! followed from, so that whatever changes in the user's row makes it another entry.

#![forbid(unsafe_code)]

mod key;

pub use key::Key;

use hmac::{Hmac, Mac};
use quick_cache::sync::Cache;
use sha2::Sha256;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use subtle::ConstantTimeEq;

/// How many verified credentials a child remembers by itself.
const VERIFIED: usize = 8192;

/// How many refused ones, apart, so that a flood of them pushes out nobody who was verified.
const REFUSED: usize = 4096;

/// How long a refusal is repeated without work. Short, because memory is all that it costs.
const REFUSED_FOR: Duration = Duration::from_secs(5);

/// What names credentials in the cache: HMAC-SHA-256 of their parts.
pub type Id = [u8; 32];

/// What the shared store keeps: when the entry expires, in seconds since 1970 (big endian), and
/// HMAC-SHA-256 of the id and that number, under a key of its own.
pub type Value = [u8; 40];

/// The second level, which other processes share. Who can write to it can cause misses alone.
pub trait Shared: Send + Sync {
    /// What is stored under `id`; `None` also where it cannot be had at once.
    fn retrieve(&self, id: &Id) -> Option<Value>;

    /// Stores `value` until `expires`, if that can be done at once.
    fn store(&self, id: &Id, value: Value, expires: SystemTime);
}

/// The credentials that were verified lately, for all threads of a child.
pub struct Verified {
    ids: Hmac<Sha256>,
    values: Hmac<Sha256>,
    /// When each expires, in seconds since 1970.
    verified: LazyLock<Cache<Id, u64>>,
    refused: LazyLock<Cache<Id, Instant>>,
    shared: Option<Arc<dyn Shared>>,
}

/// Who has the name that came.
#[derive(Debug, Clone, Copy)]
pub enum Claim<'a> {
    /// An active user.
    User {
        /// The primary key.
        id: &'a str,
        /// The stored hash.
        encoded: &'a str,
    },
    /// No active user.
    Nobody,
}

/// One user's password at one site.
pub struct Credentials<'a> {
    cache: &'a Verified,
    id: Id,
    lifetime: Duration,
}

impl Verified {
    /// An empty cache; entries of `shared` count if they were made under the same `key`.
    pub fn new(key: &Key, shared: Option<Arc<dyn Shared>>) -> Self {
        Self {
            ids: key.derive(b"id"),
            values: key.derive(b"value"),
            // A child that verifies nobody pays for none of it.
            verified: LazyLock::new(|| Cache::new(VERIFIED)),
            refused: LazyLock::new(|| Cache::new(REFUSED)),
            shared,
        }
    }

    /// The credentials of `claim`, who came as `username`, at `site`, as they are at this moment, in a
    /// place that accepts these `algorithms`. Each spelling of a name has an entry of its own, and so
    /// has each list of algorithms, whether or not it is somebody's: what a refusal costs tells nothing
    /// to who tries several. `lifetime` says how long they stay verified; it is a part of the name, so
    /// that a place which wants to see a password more often is not served from another's entries.
    pub fn credentials(
        &self,
        site: &str,
        algorithms: &str,
        username: &str,
        claim: Claim<'_>,
        password: &[u8],
        lifetime: Duration,
    ) -> Credentials<'_> {
        let seconds = lifetime.as_secs().to_be_bytes();
        let (kind, user, encoded) = match claim {
            Claim::User { id, encoded } => ("user", id, encoded),
            Claim::Nobody => ("nobody", "", ""),
        };
        let mut mac = self.ids.clone();
        for part in [
            site.as_bytes(),
            algorithms.as_bytes(),
            username.as_bytes(),
            kind.as_bytes(),
            user.as_bytes(),
            encoded.as_bytes(),
            password,
            &seconds,
        ] {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        Credentials { cache: self, id: mac.finalize().into_bytes().into(), lifetime }
    }

    fn value(&self, id: &Id, expires: u64) -> Value {
        let mut mac = self.values.clone();
        mac.update(id);
        mac.update(&expires.to_be_bytes());
        let mut value = [0; 40];
        let (time, proof) = value.split_at_mut(8);
        time.copy_from_slice(&expires.to_be_bytes());
        proof.copy_from_slice(&mac.finalize().into_bytes());
        value
    }

    /// When an entry of the shared store expires, if it is one of ours.
    fn opened(&self, id: &Id, value: &Value) -> Option<u64> {
        let expires = u64::from_be_bytes(*value.first_chunk()?);
        bool::from(self.value(id, expires).ct_eq(value)).then_some(expires)
    }
}

impl Credentials<'_> {
    /// What names these credentials.
    pub fn id(&self) -> Id {
        self.id
    }

    /// Whether other children learn that they were verified.
    pub fn are_shared(&self) -> bool {
        self.cache.shared.is_some()
    }

    /// Whether they were verified within their lifetime, in this child or in another.
    pub fn are_verified(&self) -> bool {
        let now = now();
        // An end further away than any entry's was made by a clock that has been set back since.
        let holds = |expires: u64| expires > now && expires - now <= self.lifetime.as_secs();
        let Verified { verified, shared, .. } = self.cache;
        if let Some(expires) = verified.get(&self.id) {
            if holds(expires) {
                return true;
            }
            verified.remove(&self.id);
        }
        let value = shared.as_ref().and_then(|shared| shared.retrieve(&self.id));
        let expires = value.and_then(|value| self.cache.opened(&self.id, &value));
        match expires.filter(|expires| holds(*expires)) {
            Some(expires) => {
                verified.insert(self.id, expires);
                true
            }
            None => false,
        }
    }

    /// Remembers that the password is the user's.
    pub fn verify(&self) {
        let expires = now() + self.lifetime.as_secs();
        self.cache.verified.insert(self.id, expires);
        if let Some(shared) = &self.cache.shared {
            let value = self.cache.value(&self.id, expires);
            shared.store(&self.id, value, UNIX_EPOCH + Duration::from_secs(expires));
        }
    }

    /// Whether they were refused a moment ago, by this child.
    pub fn are_refused(&self) -> bool {
        match self.cache.refused.get(&self.id) {
            Some(since) if since.elapsed() < REFUSED_FOR => true,
            Some(_) => {
                self.cache.refused.remove(&self.id);
                false
            }
            None => false,
        }
    }

    /// Remembers for a moment that the work for them was done, in vain.
    pub fn refuse(&self) {
        self.cache.refused.insert(self.id, Instant::now());
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests;
