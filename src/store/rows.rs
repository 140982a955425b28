//! `Rows`: those that need not be read again while the database itself vouches that nothing in them
//! has changed.

#![forbid(unsafe_code)]

use super::Found;
use super::sql::Sought;
use crate::session::SessionRow;
use crate::user::{UserModel, Wants};
use quick_cache::sync::Cache;
use quick_cache::{Equivalent, Weighter};
use std::hash::{Hash, Hasher};
use std::sync::{Arc, LazyLock, PoisonError, RwLock};
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// Whatever was heard, no row is older.
pub(super) const OLDEST: Duration = Duration::from_secs(60);

/// Rows of a child, of all sites with this database; fewer, where sessions are longer than `USUAL`.
const MOST: usize = 4096;

/// What a row is taken to need at least, in bytes.
const USUAL: usize = 4096;

/// A session that is longer is not kept.
const LONGEST: usize = 64 * 1024;

/// Nor what is found by a longer name: nobody has one, and anybody can ask for thousands.
const LONGEST_KEY: usize = 1024;

/// What a row was read under: as long as the voucher gives the same, nothing in it has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp(pub(super) u64);

/// Who knows whether the database has changed.
pub(super) trait Voucher: Send + Sync {
    /// The stamp of this moment; `None` while nobody can vouch for any row: they are read.
    fn stamp(&self) -> Option<Stamp>;

    /// Whether stamps taken before tell of every change to rows of `model` with what is wanted.
    fn covers(&self, _model: &Arc<UserModel>, _wants: &Wants) -> bool {
        true
    }

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
    fn stamp(&self) -> Option<Stamp> {
        Some(Stamp(0))
    }
}

/// The rows of one database that a child keeps.
pub(super) struct Rows {
    voucher: Box<dyn Voucher>,
    oldest: Duration,
    /// What rows were asked for; their numbers are parts of the keys.
    shapes: RwLock<Vec<(Arc<UserModel>, Wants)>>,
    kept: LazyLock<Cache<Key, Row, Weight>>,
}

#[derive(PartialEq, Eq, Clone)]
struct Key {
    shape: usize,
    /// Who knows the key of a session is logged in.
    sought: Sought<Zeroizing<Box<str>>>,
}

impl Key {
    fn borrowed(&self) -> (usize, Sought<&str>) {
        (self.shape, self.sought.map(|text| &***text))
    }
}

// The same as `(usize, Sought<&str>)`, by which keys are looked up.
impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.borrowed().hash(state);
    }
}

impl Equivalent<Key> for (usize, Sought<&str>) {
    fn equivalent(&self, key: &Key) -> bool {
        key.borrowed() == *self
    }
}

#[derive(Clone)]
struct Row {
    stamp: Stamp,
    read: Instant,
    kept: Kept,
}

/// What is kept. That there is no session of a key is not: logins make them, and nobody tells.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kept {
    User(Found),
    Session(Arc<SessionRow>),
}

#[derive(Clone)]
struct Weight;

impl Weighter<Key, Row> for Weight {
    fn weight(&self, _: &Key, row: &Row) -> u64 {
        let bytes = match &row.kept {
            Kept::User(_) => USUAL,
            Kept::Session(session) => session.data.len().max(USUAL),
        };
        bytes as u64
    }
}

/// What one request asks for.
pub(super) struct Lookup<'a> {
    rows: &'a Rows,
    model: &'a Arc<UserModel>,
    wants: &'a Wants,
    sought: Sought<&'a str>,
    shape: usize,
    /// From before the row is asked for.
    stamp: Stamp,
}

impl Rows {
    /// No row is older than `oldest`, nor than a minute.
    pub(super) fn new(voucher: Box<dyn Voucher>, oldest: Duration) -> Self {
        let kept = LazyLock::new(
            (|| Cache::with_weighter(MOST, (MOST * USUAL) as u64, Weight)) as fn() -> _,
        );
        Self { voucher, oldest: oldest.min(OLDEST), shapes: RwLock::default(), kept }
    }

    /// The beginning of a request.
    pub(super) fn stamp(&self) -> Option<Stamp> {
        self.voucher.stamp()
    }

    /// What is asked for at the moment of `stamp`; `None` where such a row cannot be kept.
    pub(super) fn lookup<'a>(
        &'a self,
        stamp: Option<Stamp>,
        model: &'a Arc<UserModel>,
        wants: &'a Wants,
        sought: Sought<&'a str>,
    ) -> Option<Lookup<'a>> {
        // Nobody vouches for what an administrator's query reads.
        if model.query.is_some() {
            return None;
        }
        // Asked in any case, so that who is to vouch hears of it.
        let covered = self.voucher.covers(model, wants);
        let stamp = stamp.filter(|_| covered)?;
        let shape = self.shape(model, wants);
        Some(Lookup { rows: self, model, wants, sought, shape, stamp })
    }

    fn shape(&self, model: &Arc<UserModel>, wants: &Wants) -> usize {
        let find = |shapes: &[(Arc<UserModel>, Wants)]| {
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
    pub(super) fn found(&self) -> Option<Kept> {
        let key = (self.shape, self.sought);
        let row = self.rows.kept.get(&key)?;
        if row.stamp == self.stamp && row.read.elapsed() < self.rows.oldest {
            return Some(row.kept);
        }
        self.rows.kept.remove(&key);
        None
    }

    /// Keeps what was read for this request, if nothing has changed meanwhile: the answer may be
    /// older than what was heard while it was under way.
    pub(super) fn keep(&self, started: Instant, kept: Kept, origin: Option<&str>) {
        let (Sought::Name(key)
        | Sought::Id(key)
        | Sought::Session(key)
        | Sought::SessionAndUser { key, .. }) = self.sought;
        let large = matches!(&kept, Kept::Session(session) if session.data.len() > LONGEST);
        if large || key.len() > LONGEST_KEY {
            return;
        }
        let voucher = &self.rows.voucher;
        if voucher.knows(origin)
            && voucher.stamp() == Some(self.stamp)
            && voucher.covers(self.model, self.wants)
        {
            let sought = self.sought.map(|&text| Zeroizing::new(text.into()));
            let key = Key { shape: self.shape, sought };
            self.rows.kept.insert(key, Row { stamp: self.stamp, read: started, kept });
        }
    }
}

#[cfg(test)]
mod tests;
