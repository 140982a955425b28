//! `Rows`: those that need not be read again while the database itself vouches that nothing in them
//! has changed.

#![forbid(unsafe_code)]

use super::Found;
use crate::user::{UserModel, Wants};
use quick_cache::Equivalent;
use quick_cache::sync::Cache;
use std::hash::{Hash, Hasher};
use std::sync::{LazyLock, PoisonError, RwLock};
use std::time::{Duration, Instant};

/// Whatever was heard, no row is older.
pub(super) const OLDEST: Duration = Duration::from_secs(60);

/// Rows of a child, of all sites with this database.
const MOST: usize = 4096;

/// What a row was read under: as long as the voucher gives the same, nothing in it has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp(pub(super) u64);

/// Who knows whether the database has changed.
pub(super) trait Voucher: Send + Sync {
    /// The stamp of this moment for rows of `model` with what is `wanted`; `None` while nobody can
    /// vouch for such rows: they are read.
    fn stamp(&self, model: &UserModel, wants: &Wants) -> Option<Stamp>;

    /// An expression of SQL, of which `knows` wants to hear; where it is none, nobody is asked.
    fn origin(&self) -> Option<&'static str> {
        None
    }

    /// Whether a row comes from the very server that is listened to, by what the answer said of
    /// its `origin`.
    fn knows(&self, _origin: Option<&str>) -> bool {
        true
    }
}

/// `rows=SECONDS`: the administrator vouches that so old is not too old.
pub(super) struct Trust;

impl Voucher for Trust {
    fn stamp(&self, _: &UserModel, _: &Wants) -> Option<Stamp> {
        Some(Stamp(0))
    }
}

/// The rows of one database that a child keeps.
pub(super) struct Rows {
    voucher: Box<dyn Voucher>,
    oldest: Duration,
    /// What rows were asked for; their numbers are parts of the keys.
    shapes: RwLock<Vec<(UserModel, Wants)>>,
    kept: LazyLock<Cache<Key, Row>>,
}

#[derive(PartialEq, Eq, Clone)]
struct Key {
    shape: usize,
    username: Box<str>,
}

// The same as `(usize, &str)`, by which keys are looked up.
impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.shape, &*self.username).hash(state);
    }
}

impl Equivalent<Key> for (usize, &str) {
    fn equivalent(&self, key: &Key) -> bool {
        (key.shape, &*key.username) == *self
    }
}

#[derive(Clone)]
struct Row {
    stamp: Stamp,
    read: Instant,
    found: Found,
}

/// What one request asks for.
pub(super) struct Lookup<'a> {
    rows: &'a Rows,
    model: &'a UserModel,
    wants: &'a Wants,
    username: &'a str,
    shape: usize,
    /// From before the row is asked for.
    stamp: Stamp,
}

impl Rows {
    /// No row is older than `oldest`, nor than a minute.
    pub(super) fn new(voucher: Box<dyn Voucher>, oldest: Duration) -> Self {
        let kept = LazyLock::new((|| Cache::new(MOST)) as fn() -> _);
        Self { voucher, oldest: oldest.min(OLDEST), shapes: RwLock::default(), kept }
    }

    /// The beginning of a request; `None` where its row cannot be kept.
    pub(super) fn lookup<'a>(
        &'a self,
        model: &'a UserModel,
        wants: &'a Wants,
        username: &'a str,
    ) -> Option<Lookup<'a>> {
        // Nobody vouches for what an administrator's query reads.
        if model.query.is_some() {
            return None;
        }
        let stamp = self.voucher.stamp(model, wants)?;
        let shape = self.shape(model, wants);
        Some(Lookup { rows: self, model, wants, username, shape, stamp })
    }

    fn shape(&self, model: &UserModel, wants: &Wants) -> usize {
        let find = |shapes: &[(UserModel, Wants)]| {
            shapes.iter().position(|shape| (&shape.0, &shape.1) == (model, wants))
        };
        let known = find(&self.shapes.read().unwrap_or_else(PoisonError::into_inner));
        known.unwrap_or_else(|| {
            let mut shapes = self.shapes.write().unwrap_or_else(PoisonError::into_inner);
            find(&shapes).unwrap_or_else(|| {
                shapes.push((model.clone(), wants.clone()));
                shapes.len() - 1
            })
        })
    }
}

impl Lookup<'_> {
    /// What the answer must say of where it comes from.
    pub(super) fn origin(&self) -> Option<&'static str> {
        self.rows.voucher.origin()
    }

    /// The row, if it was kept and nothing has changed since.
    pub(super) fn found(&self) -> Option<Found> {
        let key = (self.shape, self.username);
        let row = self.rows.kept.get(&key)?;
        if row.stamp == self.stamp && row.read.elapsed() < self.rows.oldest {
            return Some(row.found);
        }
        self.rows.kept.remove(&key);
        None
    }

    /// Keeps what was read for this request, if nothing has changed meanwhile: the answer may be
    /// older than what was heard while it was under way.
    pub(super) fn keep(&self, started: Instant, found: &Found, origin: Option<&str>) {
        let voucher = &self.rows.voucher;
        if voucher.knows(origin) && voucher.stamp(self.model, self.wants) == Some(self.stamp) {
            let key = Key { shape: self.shape, username: self.username.into() };
            let row = Row { stamp: self.stamp, read: started, found: found.clone() };
            self.rows.kept.insert(key, row);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::user::User;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// Says what a test has it say; 0 is nothing.
    struct Oracle(Arc<AtomicU64>);

    impl Voucher for Oracle {
        fn stamp(&self, _: &UserModel, _: &Wants) -> Option<Stamp> {
            Some(Stamp(self.0.load(Ordering::Relaxed))).filter(|stamp| stamp.0 != 0)
        }

        fn knows(&self, origin: Option<&str>) -> bool {
            origin == Some("here")
        }
    }

    fn rows(oldest: Duration) -> (Rows, Arc<AtomicU64>) {
        let says = Arc::new(AtomicU64::new(1));
        (Rows::new(Box::new(Oracle(says.clone())), oldest), says)
    }

    fn alice() -> Found {
        Found::One(Arc::new(User { username: "alice".into(), ..User::default() }))
    }

    #[test]
    fn a_row_is_kept_while_the_stamp_is_the_same() {
        let (rows, says) = rows(OLDEST);
        let (model, wants) = (UserModel::default(), Wants::NOTHING);
        let look = |username| rows.lookup(&model, &wants, username);
        assert_eq!(look("alice").unwrap().found(), None);
        look("alice").unwrap().keep(Instant::now(), &alice(), Some("here"));
        look("zoe").unwrap().keep(Instant::now(), &Found::Nobody, Some("here"));
        assert_eq!(look("alice").unwrap().found(), Some(alice()));
        assert_eq!(look("zoe").unwrap().found(), Some(Found::Nobody));
        assert_eq!(look("Alice").unwrap().found(), None);
        // More is wanted of the row than was read.
        assert_eq!(rows.lookup(&model, &Wants::FLAGS, "alice").unwrap().found(), None);
        let other = UserModel { table: "other".into(), ..UserModel::default() };
        assert_eq!(rows.lookup(&other, &wants, "alice").unwrap().found(), None);
        says.store(2, Ordering::Relaxed);
        assert_eq!(look("alice").unwrap().found(), None);
        // What was thrown away stays so, even if an old number came back.
        says.store(1, Ordering::Relaxed);
        assert_eq!(look("alice").unwrap().found(), None);
        says.store(0, Ordering::Relaxed);
        assert!(look("alice").is_none());
    }

    #[test]
    fn what_changes_while_the_answer_is_under_way_is_not_kept() {
        let (rows, says) = rows(OLDEST);
        let (model, wants) = (UserModel::default(), Wants::NOTHING);
        let lookup = rows.lookup(&model, &wants, "alice").unwrap();
        says.store(2, Ordering::Relaxed);
        lookup.keep(Instant::now(), &alice(), Some("here"));
        assert_eq!(rows.lookup(&model, &wants, "alice").unwrap().found(), None);
        says.store(0, Ordering::Relaxed);
        lookup.keep(Instant::now(), &alice(), Some("here"));
        says.store(1, Ordering::Relaxed);
        assert_eq!(rows.lookup(&model, &wants, "alice").unwrap().found(), None);
        // The answer came from another server.
        for origin in [None, Some("there")] {
            rows.lookup(&model, &wants, "alice").unwrap().keep(Instant::now(), &alice(), origin);
            assert_eq!(rows.lookup(&model, &wants, "alice").unwrap().found(), None);
        }
    }

    #[test]
    fn no_row_is_kept_for_ever() {
        let (rows, _) = rows(Duration::from_millis(50));
        let (model, wants) = (UserModel::default(), Wants::NOTHING);
        let look = || rows.lookup(&model, &wants, "alice").unwrap();
        // As old as the question, not as the answer.
        let asked = Instant::now().checked_sub(Duration::from_millis(60)).unwrap();
        look().keep(asked, &alice(), Some("here"));
        assert_eq!(look().found(), None);
        look().keep(Instant::now(), &alice(), Some("here"));
        assert_eq!(look().found(), Some(alice()));
        assert_eq!(Rows::new(Box::new(Trust), Duration::from_secs(600)).oldest, OLDEST);
    }
}
