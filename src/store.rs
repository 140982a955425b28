//! `trait Store`: where users are kept; `Database`: what `AuthDjangoDatabase` names; the list.

#![forbid(unsafe_code)]

mod failure;
mod find;
mod gate;
mod id;
mod inspect;
mod mysql;
mod pipeline;
mod pool;
mod pooled;
mod postgres;
mod question;
mod row;
mod rows;
mod selects;
mod servers;
mod socket;
mod sql;
mod sqlite;
mod tls;
mod url;
mod words;

use crate::error::Error;
use crate::query::{Query, Values};
use crate::session::SessionRow;
use crate::user::{User, UserModel, Wants};
use pooled::{Fetch, Pooled};
use std::cell::Cell;
use std::fmt;
use std::fs::File;
use std::io::ErrorKind;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};
use words::{decode, limits, name};
use zeroize::Zeroizing;

pub use gate::Gate;
pub use inspect::{Fact, MOST_PASSWORDS, Part};

/// A pool of connections to one database, shared by the threads of a child.
pub trait Store: Send + Sync {
    /// The user whose `USERNAME_FIELD` is `username`, with the groups and what else is wanted, in
    /// one round trip (Django 6.1, `contrib/auth/base_user.py`, `get_by_natural_key`).
    ///
    /// # Errors
    /// `Unavailable` when no answer came by `deadline`, `Query` when the answer was an error.
    fn get_by_natural_key(
        &self,
        model: &Arc<UserModel>,
        wants: &Wants,
        username: &str,
        deadline: Instant,
    ) -> Result<Found, Error>;

    /// The user of this primary key, as text, as `ModelBackend.get_user` finds him (Django 6.1,
    /// `contrib/auth/backends.py`); a text that the column cannot hold is nobody's.
    ///
    /// # Errors
    /// As for `get_by_natural_key`, and `UnfitQuery` where users come from a query.
    fn get_by_id(
        &self,
        model: &Arc<UserModel>,
        wants: &Wants,
        id: &str,
        deadline: Instant,
    ) -> Result<Found, Error>;

    /// The row of this session key, if there is one, and the user of this primary key, both in one
    /// round trip; `Nobody` where no `id` is given. Whether the session has ended, the caller asks.
    ///
    /// # Errors
    /// As for `get_by_id`; `UnfitQuery` only where an `id` is given.
    fn session(
        &self,
        model: &Arc<UserModel>,
        wants: &Wants,
        key: &str,
        id: Option<&str>,
        deadline: Instant,
    ) -> Result<(Option<Arc<SessionRow>>, Found), Error>;

    /// Whether a query of the administrator's has a row.
    ///
    /// # Errors
    /// As for `get_by_natural_key`.
    fn exists(&self, query: &Query, values: &Values<'_>, deadline: Instant) -> Result<bool, Error>;

    /// The first column of the one row of a query of the administrator's.
    ///
    /// # Errors
    /// As for `get_by_natural_key`.
    fn value(
        &self,
        query: &Query,
        values: &Values<'_>,
        deadline: Instant,
    ) -> Result<Option<Zeroizing<String>>, Error>;

    /// What the database tells of itself, for an administrator; no request comes here.
    ///
    /// # Errors
    /// As for `get_by_natural_key`.
    fn inspect(
        &self,
        _: &Arc<UserModel>,
        _: &Wants,
        _: Part,
        _deadline: Instant,
    ) -> Result<Vec<Fact>, Error> {
        Ok(Vec::new())
    }

    /// `timeout=`: how long one request may wait for this database in all.
    fn timeout(&self) -> Duration;

    /// When it has last answered a question.
    fn answered(&self) -> Option<Instant> {
        None
    }
}

/// Who has a user name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// This user alone.
    One(Arc<User>),
    /// Nobody.
    Nobody,
    /// More than one, where the lookup ignores case.
    Several,
}

impl Found {
    /// The user, if it is one alone.
    pub fn one(self) -> Option<Arc<User>> {
        match self {
            Self::One(user) => Some(user),
            Self::Nobody | Self::Several => None,
        }
    }
}

/// How long one request may still wait for databases, all its questions together.
#[derive(Debug, Default)]
pub struct Patience {
    waited: Cell<Duration>,
}

impl Patience {
    /// Asks `store` by a deadline that leaves out what the request has waited before.
    pub fn ask<T>(&self, store: &dyn Store, question: impl FnOnce(Instant) -> T) -> T {
        let start = Instant::now();
        let answer = question(start + store.timeout().saturating_sub(self.waited.get()));
        self.waited.set(self.waited.get() + start.elapsed());
        answer
    }
}

/// What a store asks of the server that it lives in.
pub trait Host: Send + Sync {
    /// Tells the administrator, once, of a change that asks for nothing.
    fn notice(&self, message: &str);
    /// Starts a thread that no signal of the server's disturbs; it must not call `notice`.
    ///
    /// # Errors
    /// When the system gives no thread.
    fn spawn(&self, name: &str, body: Box<dyn FnOnce() + Send>) -> std::io::Result<()>;
    /// How many threads serve requests in this process (ThreadsPerChild; 1 with prefork).
    fn threads(&self) -> usize;
    /// Keeps every other process from locking these bytes for itself alone, or no longer does. The
    /// lock is the open file's, not the process's, so that it disturbs no other lock in here.
    ///
    /// # Errors
    /// `WouldBlock` when another has them, `Unsupported` where the system has no such locks.
    fn share(&self, _: &File, _: Range<u64>, _hold: bool) -> std::io::Result<()> {
        Err(ErrorKind::Unsupported.into())
    }
}

/// A kind of database: how its URL begins, and who reads the rest.
type Kind = (&'static str, fn(url: &str, words: &[&str]) -> Result<Parsed, String>);

/// The databases that there are. One more is a file and a line here.
const KINDS: &[Kind] = &[
    ("postgresql://", postgres::parse),
    ("postgres://", postgres::parse),
    ("mysql://", mysql::parse),
    ("mariadb://", mysql::parse),
    ("sqlite:", sqlite::parse),
];

/// What a kind makes of its directive.
struct Parsed {
    /// The URL without its password.
    label: String,
    /// The URL with `*****` for the password, if there was one.
    redacted: Option<String>,
    backend: Box<dyn Backend>,
}

/// A database of one kind, configured and not opened. `Database` says what its methods are.
trait Backend: Send + Sync {
    fn takes_password(&self) -> bool {
        true
    }
    fn load(&self) -> Result<(), String> {
        Ok(())
    }
    fn check(&self) -> Result<(), String> {
        Ok(())
    }
    fn reach(&self) -> Result<(), String> {
        Ok(())
    }
    fn open(
        &self,
        label: &str,
        password: Option<Zeroizing<String>>,
        host: Arc<dyn Host>,
        gate: Arc<Gate>,
    ) -> Arc<dyn Store>;
}

/// A database of the configuration, before anything was opened.
pub struct Database {
    /// The directive as it was written, password and all: what makes two of them the same.
    words: Zeroizing<String>,
    label: String,
    redacted: Option<String>,
    backend: Box<dyn Backend>,
}

impl PartialEq for Database {
    fn eq(&self, other: &Self) -> bool {
        self.words == other.words
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Database").field(&self.label).finish()
    }
}

impl Database {
    /// Reads `URL [key=value …]`.
    ///
    /// # Errors
    /// The reason and the remedy, for `apachectl configtest`; never a password.
    pub fn parse(words: &[&str]) -> Result<Self, String> {
        let written = Zeroizing::new(words.join(" "));
        let [url, words @ ..] = words else {
            return Err("needs the URL of a database, as postgresql://user@host/name, \
                        mysql://user@host/name or sqlite:/path"
                .into());
        };
        if url.contains(|c: char| c.is_control() || c.is_whitespace()) {
            return Err("a URL has no spaces or control characters: write them as %20".into());
        }
        let Some((_, read)) = KINDS.iter().find(|(scheme, _)| url.starts_with(scheme)) else {
            let known: Vec<&str> = KINDS.iter().map(|(scheme, _)| *scheme).collect();
            // The rest of the URL is not repeated: it may hold a password.
            let begin = url.split_once("://").map_or("it", |(scheme, _)| name(scheme));
            return Err(format!(
                "the URL must begin with one of {}: {begin} is none",
                known.join(", ")
            ));
        };
        let Parsed { label, redacted, backend } = read(url, words)?;
        let redacted = redacted.map(|url| {
            let mut all = vec![url.as_str()];
            all.extend(words);
            all.join(" ")
        });
        Ok(Self { words: written, label, redacted, backend })
    }

    /// The URL as logs may show it, without its password.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// The URL without its user and password: what makes two of them one database.
    pub fn identity(&self) -> String {
        match self.label.split_once("://").map(|(scheme, rest)| (scheme, rest.split_once('@'))) {
            Some((scheme, Some((_, place)))) => format!("{scheme}://{place}"),
            _ => self.label.clone(),
        }
    }

    /// The words of the directive with `*****` in place of the password; `None` if they hold none.
    pub fn redacted(&self) -> Option<String> {
        self.redacted.clone()
    }

    /// Whether a password from elsewhere would be used: not if the URL has its own, or there is
    /// nobody to send it to.
    pub fn takes_password(&self) -> bool {
        self.redacted.is_none() && self.backend.takes_password()
    }

    /// Reads the TLS files: once, before the fork, by the user who starts the server.
    ///
    /// # Errors
    /// `Error::Secret` with file and reason.
    pub fn load(&self) -> Result<(), Error> {
        self.backend.load().map_err(|reason| {
            let label = &self.label;
            Error::Secret(format!("database {label}: {reason}"))
        })
    }

    /// What the child's own user will trip over; asked once a child. Opens no connection.
    ///
    /// # Errors
    /// The reason and the remedy, for a warning: it may be mended before the first request.
    pub fn check(&self) -> Result<(), String> {
        self.backend.check()
    }

    /// Whether somebody listens where the database should be; asked at start, because a server that
    /// starts before its database is to be told. Each host has at most a second to accept; for a
    /// name, the resolver's own time-out comes on top (`resolv.conf`: 5 s, twice for each server).
    ///
    /// # Errors
    /// The reason, for a warning: the database may be there before the first request.
    pub fn reach(&self) -> Result<(), String> {
        self.backend
            .reach()
            .map_err(|reason| format!("database {} is not available yet: {reason}", self.label))
    }

    /// A pool that connects when first asked. Only in a child: connections do not survive a fork.
    /// A password in the URL wins over `password`; all stores of a child share one `gate`.
    pub fn open(
        &self,
        password: Option<Zeroizing<String>>,
        host: Arc<dyn Host>,
        gate: Arc<Gate>,
    ) -> Arc<dyn Store> {
        self.backend.open(&self.label, password, host, gate)
    }
}

#[cfg(test)]
mod tests;
