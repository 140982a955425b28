//! `trait Store`: where users are kept; `Database`: what `AuthDjangoDatabase` names; the list.

#![forbid(unsafe_code)]

use crate::error::Error;
use crate::user::{User, UserModel};
use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// A pool of connections to one database, shared by the threads of a child.
pub trait Store: Send + Sync {
    /// The user whose `USERNAME_FIELD` is exactly `username`, with the groups, in one round trip
    /// (Django 6.1, `contrib/auth/base_user.py`, `get_by_natural_key`).
    ///
    /// # Errors
    /// `Unavailable` when no answer came by `deadline`, `Query` when the answer was an error.
    fn get_by_natural_key(
        &self,
        model: &UserModel,
        username: &str,
        deadline: Instant,
    ) -> Result<Option<User>, Error>;

    /// `timeout=`: how long one request may wait for this database in all.
    fn timeout(&self) -> Duration;
}

/// How long one request may still wait for databases, all its questions together.
#[derive(Debug, Default)]
pub struct Patience {
    waited: Cell<Duration>,
}

impl Patience {
    /// Asks `store` by a deadline that leaves what the request has waited before.
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
}

/// stub
pub struct Gate;
impl Gate {
    pub fn new(_threads: usize) -> Self {
        Gate
    }
}

/// A database of the configuration, before anything was opened.
#[derive(Debug, PartialEq)]
pub struct Database {
    _todo: (),
}

impl Database {
    /// Reads `URL [key=value …]`.
    ///
    /// # Errors
    /// The reason and the remedy, for `apachectl configtest`; never a password.
    pub fn parse(_words: &[&str]) -> Result<Self, String> {
        Err("not built".into())
    }

    /// The URL as logs may show it, without its password.
    pub fn label(&self) -> &str {
        ""
    }

    /// Reads the TLS files: once, before the fork, by the user who starts the server.
    ///
    /// # Errors
    /// `Error::Secret` with file and reason.
    pub fn load(&self) -> Result<(), Error> {
        Ok(())
    }

    pub fn redacted(&self) -> Option<String> {
        None
    }
    pub fn reach(&self) -> Result<(), String> {
        Ok(())
    }

    /// What the child's own user will trip over, with the remedy; asked once a child, before the
    /// first request. Opens no connection.
    pub fn check(&self) -> Result<(), String> {
        Ok(())
    }

    /// A pool that connects when first asked. Only in a child: connections do not survive a fork.
    pub fn open(
        &self,
        _password: Option<Zeroizing<String>>,
        _host: Arc<dyn Host>,
        _gate: Arc<Gate>,
    ) -> Arc<dyn Store> {
        unimplemented!()
    }
}
