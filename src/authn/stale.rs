//! `Stale`: while the database is away, who was verified lately is served from what was last read
//! of him.

#![forbid(unsafe_code)]

use super::{Proof, Site, Verifier};
use crate::cache::{Claim, Id};
use crate::hashers::Stored;
use crate::store::Found;
use crate::user::{User, Wants};
use quick_cache::sync::Cache;
use smallvec::SmallVec;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// Users of one site that a child remembers.
const MOST: usize = 4096;

/// What is remembered of one site, once somebody was let in who may be served from it.
#[derive(Default)]
pub struct Stale {
    kept: OnceLock<Kept>,
    /// How often the database had answered, and one more, when an outage was last told of.
    told: AtomicU64,
}

struct Kept {
    /// By the name that they came with.
    logins: Cache<Box<str>, Login>,
    /// What was last read of those, by their primary key: places ask for different things, and one
    /// row is kept for each of them, as far as it was not overtaken.
    rows: Cache<Box<str>, SmallVec<[Arc<User>; 1]>>,
}

/// Somebody was let in.
#[derive(Clone)]
struct Login {
    /// His primary key.
    id: Box<str>,
    /// Him, as the row had him, with his password.
    credentials: Id,
    verified: Instant,
}

impl Stale {
    /// Whether nobody has said yet that this outage is bridged, which lasts as long as the database
    /// has answered so often and no more (`Store::answers`).
    pub fn is_news(&self, answers: u64) -> bool {
        self.told.swap(answers + 1, Ordering::Relaxed) != answers + 1
    }

    /// Whoever has this name now, by whatever place has read it.
    pub(super) fn heed_name(&self, username: &str, found: &Found) {
        let Some(kept) = self.kept.get() else { return };
        let user = match found {
            Found::One(user) => Some(user),
            Found::Nobody | Found::Several => None,
        };
        let his = |login: &Login| user.is_some_and(|user| *user.id == *login.id);
        if kept.logins.get(username).is_some_and(|login| !his(&login)) {
            kept.logins.remove(username);
        }
        if let Some(user) = user {
            kept.heed(user);
        }
    }

    /// Whoever has this primary key now, likewise.
    pub(super) fn heed_id(&self, id: &str, found: &Found) {
        match found {
            Found::One(user) => self.heed(user),
            Found::Nobody | Found::Several => {
                self.kept.get().map(|kept| kept.rows.remove(id));
            }
        }
    }

    pub(super) fn heed(&self, user: &Arc<User>) {
        if let Some(kept) = self.kept.get() {
            kept.heed(user);
        }
    }
}

impl Kept {
    fn new() -> Self {
        Self { logins: Cache::new(MOST), rows: Cache::new(MOST) }
    }

    /// What was read of somebody counts, if he was ever let in.
    fn heed(&self, user: &Arc<User>) {
        let Some(rows) = self.rows.get(&*user.id) else { return };
        if !user.is_active {
            self.rows.remove(&*user.id);
        } else if !rows.iter().any(|row| Arc::ptr_eq(row, user)) {
            self.put(user, rows);
        }
    }

    /// A row that says less than another one does not overtake it, unless they disagree.
    fn put(&self, user: &Arc<User>, mut rows: SmallVec<[Arc<User>; 1]>) {
        rows.retain(|row| !user.known.cover(&row.known) && user.agrees_with(row));
        rows.push(Arc::clone(user));
        self.rows.insert(user.id.as_str().into(), rows);
    }
}

impl Verifier<'_> {
    /// Remembers what was read of a user who was just let in.
    pub(super) fn note(&self, site: &Site, username: &str, password: &[u8], user: &Arc<User>) {
        if self.stale.is_none() {
            return;
        }
        if let Some(credentials) = self.id(site, user, password) {
            let kept = site.stale.kept.get_or_init(Kept::new);
            let rows = kept.rows.get(&*user.id).unwrap_or_default();
            if !rows.iter().any(|row| Arc::ptr_eq(row, user)) {
                kept.put(user, rows);
            }
            let login =
                Login { id: user.id.as_str().into(), credentials, verified: Instant::now() };
            kept.logins.insert(username.into(), login);
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
        let kept = site.stale.kept.get()?;
        let login = kept.logins.get(username)?;
        let rows = kept.rows.get(&login.id)?;
        let user = rows.into_iter().find(|row| row.known.cover(wants))?;
        let accepted = matches!(self.hashers.read(&user.password), Stored::Candidate(_));
        let same = self.id(site, &user, password)? == login.credentials;
        (accepted && same && login.verified.elapsed() < lately).then_some((user, Proof::Stale))
    }

    /// A digest under the key of the cache, so that no password is kept.
    fn id(&self, site: &Site, user: &User, password: &[u8]) -> Option<Id> {
        let claim = Claim::User { id: &user.id, encoded: &user.password };
        let credentials = self.cache?.credentials(&site.identity, claim, password, Duration::ZERO);
        Some(credentials.id())
    }
}

#[cfg(test)]
mod tests;
