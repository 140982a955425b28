//! `Stale`: while the database is away, who was verified lately is served from what was last read
//! of him.

#![forbid(unsafe_code)]

use super::{Proof, Site, Verifier};
use crate::cache::{Claim, Id};
use crate::hashers::Stored;
use crate::user::{User, Wants};
use quick_cache::sync::Cache;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

/// Users of one site that a child remembers.
const MOST: usize = 4096;

/// Those of one site whom this child has let in, by the name that they came with.
pub struct Stale {
    last: LazyLock<Cache<Box<str>, Last>>,
    /// Whether an outage was told of since it began.
    told: AtomicBool,
}

#[derive(Clone)]
struct Last {
    user: Arc<User>,
    /// The user, as that row has him, with his password.
    credentials: Id,
    verified: Instant,
}

impl Default for Stale {
    fn default() -> Self {
        Self { last: LazyLock::new(|| Cache::new(MOST)), told: AtomicBool::new(false) }
    }
}

impl Stale {
    /// Whether nobody has said yet that this outage is bridged; the next one will be said again.
    pub fn is_news(&self) -> bool {
        !self.told.swap(true, Ordering::Relaxed)
    }
}

impl Verifier<'_> {
    /// Remembers what was read of a user who was just let in.
    pub(super) fn note(&self, site: &Site, username: &str, password: &[u8], user: &Arc<User>) {
        if self.stale.is_none() {
            return;
        }
        site.stale.told.store(false, Ordering::Relaxed);
        if let Some(credentials) = self.id(site, user, password) {
            let last = Last { user: Arc::clone(user), credentials, verified: Instant::now() };
            site.stale.last.insert(username.into(), last);
        }
    }

    /// Forgets what was read of a user who was just refused, unless it is still so: `user` is the
    /// active user of that name, if there is one.
    pub(super) fn forget(&self, site: &Site, username: &str, user: Option<&User>) {
        if self.stale.is_none() {
            return;
        }
        site.stale.told.store(false, Ordering::Relaxed);
        if site.stale.last.get(username).is_some_and(|last| {
            user.is_none_or(|user| {
                (&user.id, &user.password) != (&last.user.id, &last.user.password)
            })
        }) {
            site.stale.last.remove(username);
        }
    }

    /// The user, where the database is away, and he was verified by the same password lately.
    pub(super) fn bridge(
        &self,
        site: &Site,
        wants: &Wants,
        username: &str,
        password: &[u8],
    ) -> Option<(Arc<User>, Proof)> {
        let lately: Duration = self.stale?;
        let last = site.stale.last.get(username)?;
        let accepted = matches!(self.hashers.read(&last.user.password), Stored::Candidate(_));
        let same = self.id(site, &last.user, password)? == last.credentials;
        let known = last.user.known.cover(wants);
        (accepted && same && known && last.verified.elapsed() < lately)
            .then_some((last.user, Proof::Stale))
    }

    /// A digest under the key of the cache, so that no password is kept.
    fn id(&self, site: &Site, user: &User, password: &[u8]) -> Option<Id> {
        let claim = Claim::User { id: &user.id, encoded: &user.password };
        let credentials = self.cache?.credentials(&site.identity, claim, password, Duration::ZERO);
        Some(credentials.id())
    }
}
