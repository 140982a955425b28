//! What a database tells of itself to an administrator (`crate::inspect`), beside what it is asked
//! for a login.

#![forbid(unsafe_code)]

use super::failure::Failure;
use super::row::is_true;
use super::sql::SESSIONS;
use super::{Fetch, Pooled};
use crate::error::Error;
use crate::user::{UserModel, Wants};
use std::sync::Arc;
use std::time::Instant;
use zeroize::Zeroizing;

/// Which facts are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Of the server, the session and its rights.
    Server,
    /// Of the passwords: `Fact::Password` alone.
    Passwords,
}

/// What was found. A kind of database that does not know a fact leaves it out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// The product and its version.
    Version(String),
    /// The session's TLS and cipher; `None`: the network can read along.
    Tls(Option<String>),
    /// The session has no TLS, and no network that would need it.
    Local,
    /// Whether the session refuses to write.
    ReadOnly(bool),
    /// How many connections the server has for such as this one.
    MaxConnections(usize),
    /// `max=`: the connections of one child.
    PoolMax(usize),
    /// The role may do everything.
    Superuser,
    /// The role owns this table, and so may do everything with it.
    Owns(String),
    /// The role may write to this table, or this file.
    Writes(String),
    /// `watch=`: what is in the way of keeping rows, and the remedies; nothing is as it should be.
    Watch(Vec<String>),
    /// SQLite's journal mode.
    Journal(String),
    /// The beginning of a user's password, and whether the user is active.
    Password(Zeroizing<String>, bool),
}

/// How much of a stored password is read: what comes before the hash, for every algorithm; more
/// than the 46 characters of the longest one that is known by its length.
pub(crate) const PREFIX: usize = 48;

/// No more passwords are looked at.
pub const MOST_PASSWORDS: usize = 100_000;

impl<C: Fetch> Pooled<C> {
    pub(super) fn facts(
        &self,
        model: &Arc<UserModel>,
        wants: &Wants,
        part: Part,
        deadline: Instant,
    ) -> Result<Vec<Fact>, Error> {
        let mut facts = self.run(deadline, |connector, connection, deadline| match part {
            Part::Server => connector.facts(connection, model, wants, deadline),
            Part::Passwords => passwords(connector, connection, model, deadline),
        })?;
        if part == Part::Server {
            facts.push(Fact::PoolMax(self.pool.max()));
        }
        Ok(facts)
    }
}

fn passwords<C: Fetch>(
    connector: &C,
    connection: &mut C::Connection,
    model: &UserModel,
    deadline: Instant,
) -> Result<Vec<Fact>, Failure> {
    let Some(question) = C::DIALECT.passwords(model) else { return Ok(Vec::new()) };
    let rows = connector.fetch(connection, &question, deadline)?;
    let facts = rows.into_iter().filter_map(|row| {
        let Ok([Some(_), password, is_active]) = <[_; 3]>::try_from(row) else { return None };
        let password = Zeroizing::new(password.unwrap_or_default());
        Some(Fact::Password(password, is_true(is_active)))
    });
    Ok(facts.collect())
}

/// Whoever can write to one of these can let himself in.
pub(super) fn tables<'a>(model: &'a UserModel, wants: &Wants) -> Vec<&'a str> {
    let mut tables = vec![
        model.table.as_str(),
        &model.group_permissions.table,
        &model.permission.table,
        &model.permission.content_types,
    ];
    tables.extend(model.child.as_ref().map(|(table, _)| table.as_str()));
    tables.extend(model.permissions.as_ref().map(|through| through.table.as_str()));
    if let Some(groups) = &model.groups {
        tables.extend([groups.through.as_str(), &groups.table]);
    }
    if wants.sessions {
        tables.push(SESSIONS);
    }
    tables
}
