//! The SELECT of a user by what is known of him, of a session, and of both at once.

#![forbid(unsafe_code)]

use super::{Dialect, pattern};
use crate::query::Values;
use crate::session::SessionRow;
use crate::store::id::uuid_digits;
use crate::store::question::Question;
use crate::user::{UserModel, Wants};
use std::borrow::Cow;

/// Where Django keeps sessions (Django 6.1, `contrib/sessions/models.py`), beside the users.
pub(crate) const SESSIONS: &str = "django_session";
pub(super) const SESSION_KEY: &str = "session_key";
pub(super) const SESSION_DATA: &str = "session_data";
pub(super) const EXPIRE_DATE: &str = "expire_date";

/// What is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Sought<T> {
    /// The user of this name.
    Name(T),
    /// The user of this primary key.
    Id(T),
    /// The session of this key.
    Session(T),
    /// Likewise, and beside it the user of this primary key.
    SessionAndUser { key: T, id: T },
}

impl<T> Sought<T> {
    pub(crate) fn map<'s, U>(&'s self, f: impl Fn(&'s T) -> U) -> Sought<U> {
        match self {
            Self::Name(name) => Sought::Name(f(name)),
            Self::Id(id) => Sought::Id(f(id)),
            Self::Session(key) => Sought::Session(f(key)),
            Self::SessionAndUser { key, id } => Sought::SessionAndUser { key: f(key), id: f(id) },
        }
    }
}

impl Dialect {
    /// Columns: of a session `session_data` and `expire_date`; of a user id, username, password,
    /// is_active, groups, is_staff, is_superuser, permissions, those that are wanted by name; and
    /// `origin` where it is asked for: an expression that tells where the answer comes from. Two rows
    /// at most, since two are one too many. NULLs stand for what is not there, in a row of its own
    /// where answers are marked or a session is sought.
    pub(crate) fn select<'a>(
        &self,
        model: &UserModel,
        wants: &Wants,
        sought: Sought<&'a str>,
        origin: Option<&str>,
    ) -> Question<'a> {
        let mut values = self.values(model, sought);
        let (mut columns, mut joined) = (Vec::new(), Vec::new());
        let session = matches!(sought, Sought::Session(_) | Sought::SessionAndUser { .. });
        if session {
            columns.push(self.session_columns());
            let condition = format!("s.{} = {}", self.quoted(SESSION_KEY), (self.placeholder)(1));
            joined.push((format!("{} s", self.table(model, SESSIONS)), Some(condition)));
        }
        let users = match sought {
            Sought::Name(username) => Some(match &model.query {
                Some(query) => {
                    let found = Values { username, ..Values::default() };
                    (format!("({}) u", self.query(query, &found, &mut values)), None)
                }
                None => (self.source(model), Some(self.has_name(model, values.len()))),
            }),
            Sought::Id(_) => Some((self.source(model), Some(self.has_id(model, 1)))),
            Sought::Session(_) => None,
            Sought::SessionAndUser { .. } => {
                Some((self.source(model), Some(self.has_id(model, 2))))
            }
        };
        if let Some(users) = users {
            columns.push(self.columns(model, wants));
            joined.push(users);
        }
        columns.extend(origin.map(str::to_owned));
        let columns = columns.join(", ");
        if let ([(source, condition)], false) = (&joined[..], self.marked || session) {
            let condition = condition.as_ref().map(|c| format!(" WHERE {c}")).unwrap_or_default();
            let sql = format!("SELECT {columns} FROM {source}{condition} LIMIT 2");
            return Question { sql, values, marker: None };
        }
        let joins: Vec<String> = joined
            .into_iter()
            .map(|(source, condition)| {
                let condition = condition.unwrap_or_else(|| "1 = 1".into());
                format!("LEFT JOIN {source} ON {condition}")
            })
            .collect();
        self.single(format!("{columns} FROM (SELECT 1) one {} LIMIT 2", joins.join(" ")), values)
    }

    /// The values of `select`; none yet where users come from a query.
    pub(crate) fn values<'a>(
        &self,
        model: &UserModel,
        sought: Sought<&'a str>,
    ) -> Vec<Cow<'a, str>> {
        match sought {
            Sought::Name(_) if model.query.is_some() => Vec::new(),
            Sought::Name(username) if model.ignores_case => {
                vec![if self.by_pattern { pattern(username) } else { username.into() }]
            }
            Sought::Name(username) => {
                let times = if self.as_text.is_some() && !self.numbered { 2 } else { 1 };
                vec![username.into(); times]
            }
            Sought::Id(id) => self.ids(id),
            Sought::Session(key) => vec![key.into()],
            Sought::SessionAndUser { key, id } => {
                let mut values = vec![key.into()];
                values.extend(self.ids(id));
                values
            }
        }
    }

    /// The ways in which the column may have the key.
    fn ids<'a>(&self, id: &'a str) -> Vec<Cow<'a, str>> {
        let mut ids = vec![id.into()];
        if self.uuids_are_texts {
            ids.push(uuid_digits(id).map_or_else(|| id.into(), Cow::from));
        }
        ids
    }

    /// The condition for the primary key, whose values begin at the `first`.
    fn has_id(&self, model: &UserModel, first: usize) -> String {
        let column = format!("u.{}", self.quoted(&model.id));
        let value = self.placeholder;
        if self.uuids_are_texts {
            format!("{column} IN ({}, {})", value(first), value(first + 1))
        } else {
            format!("{column} = {}", value(first))
        }
    }

    /// The condition for the user name, of which there are so many values.
    fn has_name(&self, model: &UserModel, values: usize) -> String {
        let column = self.column(model, &model.username);
        let placeholder = (self.placeholder)(1);
        if model.ignores_case {
            return (self.ignoring_case)(&column, &placeholder);
        }
        let equal = format!("{column} = {placeholder}");
        let Some(as_text) = self.as_text else { return equal };
        format!("{equal} AND {} = {}", as_text(&column), (self.placeholder)(values))
    }

    /// A session that is too long to be read is not fetched whole: one character more than is read
    /// is enough to know it.
    fn session_columns(&self) -> String {
        let column = |name: &str| format!("s.{}", self.quoted(name));
        let expire_date = column(EXPIRE_DATE);
        let expire_date = match self.in_utc {
            Some(in_utc) => in_utc(&expire_date),
            None => format!("CAST({expire_date} AS {})", self.text),
        };
        let session_data = (self.up_to)(&column(SESSION_DATA), SessionRow::MAX_LENGTH + 1);
        format!("CAST({session_data} AS {}), {expire_date}", self.text)
    }
}
