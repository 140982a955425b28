//! `Stale`: while the database is away, who was verified lately is served from what was last read
//! of him.

#![forbid(unsafe_code)]

use super::{Proof, Site, Verifier};
use crate::cache::{Claim, Id};
use crate::hashers::Stored;
use crate::user::{User, Wants};
use quick_cache::sync::Cache;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

/// Users of one site that a child remembers.
const MOST: usize = 4096;

/// Those of one site whom this child has let in, by the name that they came with.
pub struct Stale {
    last: LazyLock<Cache<Box<str>, Last>>,
    /// How often the database had answered, and one more, when an outage was last told of.
    told: AtomicU64,
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
        Self { last: LazyLock::new(|| Cache::new(MOST)), told: AtomicU64::new(0) }
    }
}

impl Stale {
    /// Whether nobody has said yet that this outage is bridged, which lasts as long as the database
    /// has answered so often and no more (`Store::answers`).
    pub fn is_news(&self, answers: u64) -> bool {
        self.told.swap(answers + 1, Ordering::Relaxed) != answers + 1
    }
}

impl Verifier<'_> {
    /// Remembers what was read of a user who was just let in.
    pub(super) fn note(&self, site: &Site, username: &str, password: &[u8], user: &Arc<User>) {
        if self.stale.is_none() {
            return;
        }
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
