//! Users and sessions: as rows that are kept, or by one SELECT.

#![forbid(unsafe_code)]

use super::question::Row;
use super::rows::{Kept, Lookup};
use super::sql::Sought;
use super::{Fetch, Found, Pooled, row};
use crate::error::Error;
use crate::session::SessionRow;
use crate::user::{UserModel, Wants};
use std::sync::Arc;
use std::time::Instant;

/// What a session's row is kept under, whatever is wanted of its user.
static SESSIONS: Wants = Wants::SESSIONS;

impl<C: Fetch> Pooled<C> {
    pub(super) fn user(
        &self,
        model: &Arc<UserModel>,
        wants: &Wants,
        sought: Sought<&str>,
        deadline: Instant,
    ) -> Result<Found, Error> {
        if let Sought::Id(_) = sought {
            with_table(model)?;
        }
        let rows = self.rows.as_ref();
        let lookup = rows.and_then(|rows| rows.lookup(rows.stamp(), model, wants, sought));
        if let Some(Kept::User(found)) = lookup.as_ref().and_then(Lookup::found) {
            return Ok(found);
        }
        let started = Instant::now();
        let wanted = lookup.as_ref().and_then(Lookup::origin);
        let (rows, origin) = self.select(model, wants, sought, wanted, deadline)?;
        if wanted.is_some() && rows.is_empty() {
            // The server refused the value, and did not say who it is.
            return Ok(Found::Nobody);
        }
        let found = match sought {
            Sought::Id(id) => row::user_of_id(rows, model, wants, id),
            _ => row::user(rows, model, wants),
        };
        let found = found.map_err(|reason| self.wrong(model, reason))?;
        if let Some(lookup) = lookup {
            lookup.keep(started, Kept::User(found.clone()), origin.as_deref());
        }
        Ok(found)
    }

    pub(super) fn session_and_user(
        &self,
        model: &Arc<UserModel>,
        wants: &Wants,
        key: &str,
        id: Option<&str>,
        deadline: Instant,
    ) -> Result<(Option<Arc<SessionRow>>, Found), Error> {
        if id.is_some() {
            with_table(model)?;
        }
        // One stamp for both: SQLite is asked for it.
        let stamp = self.rows.as_ref().and_then(|rows| rows.stamp());
        let lookup = |wants, sought| self.rows.as_ref()?.lookup(stamp, model, wants, sought);
        let of_session = lookup(&SESSIONS, Sought::Session(key));
        let of_user = id.and_then(|id| lookup(wants, Sought::Id(id)));
        let session = match of_session.as_ref().and_then(Lookup::found) {
            Some(Kept::Session(session)) => Some(session),
            _ => None,
        };
        let user = match of_user.as_ref().and_then(Lookup::found) {
            Some(Kept::User(found)) => Some(found),
            _ => None,
        };
        // What is kept is not asked for.
        let id = id.filter(|_| user.is_none());
        if let Some(session) = session {
            let user = match id {
                Some(id) => self.user(model, wants, Sought::Id(id), deadline)?,
                None => user.unwrap_or(Found::Nobody),
            };
            return Ok((Some(session), user));
        }
        let started = Instant::now();
        let wanted = of_session.as_ref().or(of_user.as_ref()).and_then(Lookup::origin);
        let sought = match id {
            Some(id) => Sought::SessionAndUser { key, id },
            None => Sought::Session(key),
        };
        let (mut rows, origin) = self.select(model, wants, sought, wanted, deadline)?;
        if rows.is_empty() && id.is_some() {
            // Nobody can have such a key, and the session is not at fault.
            let (session, _) = self.session_and_user(model, wants, key, None, deadline)?;
            return Ok((session, Found::Nobody));
        }
        let session = row::session(&mut rows).map_err(|reason| self.wrong(model, reason))?;
        let session = session.map(Arc::new);
        if let (Some(lookup), Some(session)) = (of_session, &session) {
            lookup.keep(started, Kept::Session(session.clone()), origin.as_deref());
        }
        let Some(id) = id else { return Ok((session, user.unwrap_or(Found::Nobody))) };
        let found = row::user_of_id(rows, model, wants, id);
        let found = found.map_err(|reason| self.wrong(model, reason))?;
        if let Some(lookup) = of_user {
            lookup.keep(started, Kept::User(found.clone()), origin.as_deref());
        }
        Ok((session, found))
    }

    /// The rows and, where it is `wanted`, where they come from.
    fn select(
        &self,
        model: &Arc<UserModel>,
        wants: &Wants,
        sought: Sought<&str>,
        wanted: Option<&'static str>,
        deadline: Instant,
    ) -> Result<(Vec<Row>, Option<String>), Error> {
        let question = self.selects.select(C::DIALECT, model, wants, sought, wanted);
        let written = model.query.is_some();
        let rows = self.ask(&question, written, deadline);
        let mut rows = rows.map_err(|error| of_query(model, error))?;
        let origin = wanted.and_then(|_| row::origin(&mut rows));
        Ok((rows, origin))
    }

    fn wrong(&self, model: &UserModel, reason: String) -> Error {
        of_query(model, Error::Query { database: self.label.clone(), reason })
    }
}

fn of_query(model: &UserModel, error: Error) -> Error {
    match &model.query_name {
        Some(name) => error.of_query(name),
        None => error,
    }
}

/// Whether users can be looked for by the primary key.
fn with_table(model: &UserModel) -> Result<(), Error> {
    model.check_for_sessions().map_err(|reason| {
        let name = model.query_name.clone().unwrap_or_default();
        Error::UnfitQuery { name, reason }
    })
}
