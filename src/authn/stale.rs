//! `Stale`: while the database is away, who was verified lately is served from what was last read
//! of him.

#![forbid(unsafe_code)]

use super::{Site, Verifier};
use crate::cache::{Claim, Id};
use crate::hashers::Stored;
use crate::store::Found;
use crate::user::{User, UserModel, Wants};
use quick_cache::unsync::Cache;
use smallvec::SmallVec;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// Users of one site that a child remembers.
const MOST: usize = 4096;

/// Who was read to have changed is not remembered for so long: others may still have an older row,
/// kept (`rows=`) or read before they waited for a hash.
const DOUBT: Duration = Duration::from_secs(60 + FRESH.as_secs());

/// A row that was read longer ago, before a wait for a hash, is not remembered.
const FRESH: Duration = Duration::from_secs(5);

/// What is remembered of one site, once somebody was let in who may be served from it.
#[derive(Default)]
pub struct Stale {
    kept: OnceLock<Mutex<Kept>>,
}

struct Kept {
    /// By the name that they came with, without its case where that does not matter.
    logins: Cache<Box<str>, Login>,
    /// What was last read of those, and when, by their primary key: places ask for different things,
    /// and one row is kept for each of them, as long as none has overtaken it.
    rows: Cache<Box<str>, Rows>,
    /// Who was last read to have changed, and when.
    changed: Cache<Box<str>, Instant>,
}

type Rows = SmallVec<[(Arc<User>, Instant); 1]>;

/// Somebody was let in.
struct Login {
    /// As it was sent.
    username: Box<str>,
    /// His primary key.
    id: Box<str>,
    /// Him, as the row had him, with his password.
    credentials: Id,
    verified: Instant,
}

impl Stale {
    /// Who has this name in `model` now, whatever place has read it.
    pub(super) fn heed_name(&self, model: &UserModel, username: &str, found: &Found) {
        let Some(mut kept) = self.kept() else { return };
        let user = match found {
            Found::One(user) => Some(user),
            Found::Nobody | Found::Several => None,
        };
        let name = key(model, username);
        if let Some(login) = kept.logins.get(&*name)
            && user.is_none_or(|user| *user.id != *login.id)
        {
            let id = login.id.clone();
            kept.logins.remove(&*name);
            kept.doubt(&id);
        }
        if let Some(user) = user {
            kept.heed(user);
        }
    }

    /// Who has this primary key now, likewise; `ids` are its spellings.
    pub(super) fn heed_id(&self, found: &Found, ids: impl FnOnce() -> Vec<String>) {
        let Some(mut kept) = self.kept() else { return };
        if let Found::One(user) = found {
            return kept.heed(user);
        }
        for id in ids() {
            if kept.rows.contains_key(&*id) {
                kept.doubt(&id);
            }
        }
    }

    #[cfg(test)]
    pub(super) fn knows(&self, id: &str) -> bool {
        self.kept().is_some_and(|kept| kept.rows.contains_key(id))
    }

    fn kept(&self) -> Option<MutexGuard<'_, Kept>> {
        self.kept.get().map(|kept| kept.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Kept {
    fn new() -> Self {
        Self { logins: Cache::new(MOST), rows: Cache::new(MOST), changed: Cache::new(MOST) }
    }

    /// What is known of somebody is not so any more.
    fn doubt(&mut self, id: &str) {
        self.rows.remove(id);
        self.changed.insert(id.into(), Instant::now());
    }

    fn heed(&mut self, user: &Arc<User>) {
        if self.agrees(user) && self.rows.contains_key(&*user.id) {
            self.put(user);
        }
    }

    /// Whether what is known of him is still so; else he is in doubt from now on.
    fn agrees(&mut self, user: &Arc<User>) -> bool {
        let same = |row: &Arc<User>| Arc::ptr_eq(row, user) || user.agrees_with(row);
        let known = self.rows.get(&*user.id);
        let agrees =
            user.is_active && known.is_none_or(|rows| rows.iter().all(|(row, _)| same(row)));
        if !agrees {
            self.doubt(&user.id);
        }
        agrees
    }

    /// A row that says less than another one does not overtake it. False if he is in doubt.
    fn put(&mut self, user: &Arc<User>) -> bool {
        let doubtful = self.changed.get(&*user.id).is_some_and(|since| since.elapsed() < DOUBT);
        if doubtful {
            return false;
        }
        let overtaken = |row: &User| user.known.cover(&row.known) || !user.has_columns_of(row);
        let mut rows = self.rows.get(&*user.id).cloned().unwrap_or_default();
        rows.retain(|(row, _)| !overtaken(row));
        rows.push((Arc::clone(user), Instant::now()));
        self.rows.insert(user.id.as_str().into(), rows);
        true
    }
}

/// What a login is found by.
fn key(model: &UserModel, username: &str) -> Box<str> {
    if model.ignores_case { username.to_lowercase().into() } else { username.into() }
}

impl Verifier<'_> {
    /// Remembers what was read at the moment of `asked` of a user who was just let in.
    pub(super) fn note(
        &self,
        site: &Site,
        username: &str,
        password: &[u8],
        user: &Arc<User>,
        asked: Option<Instant>,
    ) {
        if self.stale.is_none() || asked.is_none_or(|asked| asked.elapsed() > FRESH) {
            return;
        }
        let credentials = self.id(site, username, user, password);
        let kept = site.stale.kept.get_or_init(|| Mutex::new(Kept::new()));
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.agrees(user) && kept.put(user) {
            let (id, verified) = (user.id.as_str().into(), Instant::now());
            let login = Login { username: username.into(), id, credentials, verified };
            kept.logins.insert(key(&site.model, username), login);
        }
    }

    /// The user, where the database is away, and he was verified by the same password lately.
    pub(super) fn bridge(
        &self,
        site: &Site,
        wants: &Wants,
        username: &str,
        password: &[u8],
    ) -> Option<Arc<User>> {
        let lately: Duration = self.stale?;
        let (user, credentials) = {
            let kept = site.stale.kept()?;
            let login = kept.logins.get(&key(&site.model, username))?;
            let timely = |since: Instant| since.elapsed() < lately;
            let same = timely(login.verified) && *login.username == *username;
            let rows = kept.rows.get(&login.id).filter(|_| same)?;
            let covers = |(row, read): &&(Arc<User>, _)| row.known.cover(wants) && timely(*read);
            let (user, _) = rows.iter().find(covers)?;
            (Arc::clone(user), login.credentials)
        };
        let accepted = matches!(self.hashers.read(&user.password), Stored::Candidate(_));
        let same = self.id(site, username, &user, password) == credentials;
        (accepted && same).then_some(user)
    }

    /// A digest under the key of the cache, so that no password is kept.
    fn id(&self, site: &Site, username: &str, user: &User, password: &[u8]) -> Id {
        let claim = Claim::User { id: &user.id, encoded: &user.password };
        let site = &site.identity;
        self.cache.credentials(site, "", username, claim, password, Duration::ZERO).id()
    }
}

#[cfg(test)]
mod tests;
