//! `Pooled`: the store of every kind, its connections in a pool behind the gate.

#![forbid(unsafe_code)]

use super::failure::Failure;
use super::gate::{Full, Gate, Share};
use super::pipeline::Pipeline;
use super::pool::{Connector, Limits, Pool};
use super::question::{Question, Row};
use super::rows::{self, Rows, Trust, Voucher};
use super::selects::Selects;
use super::sql::{Dialect, Sought};
use super::{Fact, Found, Host, Part, Store};
use crate::error::Error;
use crate::query::{Query, Values};
use crate::session::SessionRow;
use crate::user::{UserModel, Wants};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// A database that has answered somebody within this time is not away.
const LATELY: Duration = Duration::from_secs(1);

/// How the connections of a kind are asked.
pub(super) trait Fetch: Connector {
    const DIALECT: &Dialect;

    /// Whether `fetch_all` asks all questions in one round trip.
    const PIPELINED: bool = false;

    /// All rows of the answer.
    fn fetch(
        &self,
        connection: &mut Self::Connection,
        question: &Question<'_>,
        deadline: Instant,
    ) -> Result<Vec<Row>, Failure>;

    /// All rows of each answer, to as many of the first questions as there are answers to, and to
    /// one at least. One question may fail for another one.
    fn fetch_all(
        &self,
        connection: &mut Self::Connection,
        questions: &[&Question<'_>],
        deadline: Instant,
    ) -> Result<Vec<Vec<Row>>, Failure> {
        questions.iter().take(1).map(|first| self.fetch(connection, first, deadline)).collect()
    }

    /// Nobody else asks: the answer to the next question may be waited for awake.
    fn stay_awake(&self, _connection: &mut Self::Connection) {}

    /// `Part::Server` of `Store::inspect`, as far as this kind of database can tell.
    fn facts(
        &self,
        connection: &mut Self::Connection,
        model: &Arc<UserModel>,
        wants: &Wants,
        deadline: Instant,
    ) -> Result<Vec<Fact>, Failure>;
}

/// The store of every kind: its connections in a pool, behind the gate.
pub(super) struct Pooled<C: Connector> {
    pub(super) label: String,
    timeout: Duration,
    pub(super) pool: Pool<C>,
    pipeline: Pipeline,
    share: Share,
    answers: Answers,
    pub(super) rows: Option<Rows>,
    pub(super) selects: Selects,
}

/// When the database has last answered, in milliseconds since `begin`, and one more; 0: never.
struct Answers {
    begin: Instant,
    last: AtomicU64,
}

impl Answers {
    fn new() -> Self {
        Self { begin: Instant::now(), last: AtomicU64::new(0) }
    }

    fn add(&self) {
        let now = u64::try_from(self.begin.elapsed().as_millis()).unwrap_or_default();
        self.last.store(now + 1, Ordering::Relaxed);
    }

    fn last(&self) -> Option<Instant> {
        let last = self.last.load(Ordering::Relaxed).checked_sub(1)?;
        self.begin.checked_add(Duration::from_millis(last))
    }

    fn are_recent(&self) -> bool {
        self.last().is_some_and(|last| last.elapsed() < LATELY)
    }
}

impl<C: Fetch> Pooled<C> {
    /// `voucher` says how long rows are kept; without one `rows=` does.
    pub(super) fn open(
        label: &str,
        connector: C,
        limits: &Limits,
        host: Arc<dyn Host>,
        gate: Arc<Gate>,
        voucher: Option<Box<dyn Voucher>>,
    ) -> Arc<dyn Store> {
        let pool = Pool::new(connector, limits.clone(), host);
        let (label, timeout, share) = (label.to_owned(), limits.timeout, gate.share());
        let rows = match voucher {
            Some(voucher) => Some(Rows::new(voucher, rows::OLDEST)),
            None if limits.rows.is_zero() => None,
            None => Some(Rows::new(Box::new(Trust), limits.rows)),
        };
        let (pipeline, answers) = (Pipeline::default(), Answers::new());
        let selects = Selects::default();
        Arc::new(Self { label, timeout, pool, pipeline, share, answers, rows, selects })
    }

    /// Of users and sessions; `written` by the administrator, it is asked by itself.
    pub(super) fn ask(
        &self,
        question: &Question<'_>,
        written: bool,
        deadline: Instant,
    ) -> Result<Vec<Row>, Error> {
        // No database has such a value, and not every one takes the question.
        if question.values.iter().any(|value| value.contains('\0')) {
            return Ok(Vec::new());
        }
        if written {
            return self.run(deadline, |connector, connection, deadline| {
                connector.fetch(connection, question, deadline)
            });
        }
        self.admitted(deadline, |deadline| self.pipeline.ask(&self.pool, question, deadline))
    }

    pub(super) fn run<T>(
        &self,
        deadline: Instant,
        query: impl FnMut(&C, &mut C::Connection, Instant) -> Result<T, Failure>,
    ) -> Result<T, Error> {
        self.admitted(deadline, |deadline| self.pool.run(deadline, query))
    }

    /// Behind the gate, and by `timeout=`.
    fn admitted<T>(
        &self,
        deadline: Instant,
        work: impl FnOnce(Instant) -> Result<T, Failure>,
    ) -> Result<T, Error> {
        let entered = Instant::now();
        let deadline = deadline.min(entered + self.timeout);
        let database = self.label.clone();
        let permit = match self.share.enter(deadline) {
            Ok(permit) => permit,
            Err(Full { stuck }) => {
                // Without a number, because repeated errors are told apart by their text.
                let reason = "too many requests wait for this database already".into();
                return Err(Error::Unavailable { database, reason, overloaded: !stuck });
            }
        };
        let answer = work(deadline);
        if !matches!(answer, Err(Failure::TimedOut(_))) {
            permit.answered();
        }
        // An error of SQL is an answer, too.
        if matches!(answer, Ok(_) | Err(Failure::Query(_))) {
            self.answers.add();
        }
        answer.map_err(|failure| match failure {
            Failure::Query(reason) => Error::Query { database, reason },
            Failure::TimedOut(reason) => {
                let overloaded = !self.pool.waited_long(entered) || self.answers.are_recent();
                Error::Unavailable { database, reason, overloaded }
            }
            Failure::Broken(reason) | Failure::Refused(reason) => {
                Error::Unavailable { database, reason, overloaded: false }
            }
        })
    }
}

impl<C: Fetch> Store for Pooled<C> {
    fn get_by_natural_key(
        &self,
        model: &Arc<UserModel>,
        wants: &Wants,
        username: &str,
        deadline: Instant,
    ) -> Result<Found, Error> {
        self.user(model, wants, Sought::Name(username), deadline)
    }

    fn get_by_id(
        &self,
        model: &Arc<UserModel>,
        wants: &Wants,
        id: &str,
        deadline: Instant,
    ) -> Result<Found, Error> {
        self.user(model, wants, Sought::Id(id), deadline)
    }

    fn session(
        &self,
        model: &Arc<UserModel>,
        wants: &Wants,
        key: &str,
        id: Option<&str>,
        deadline: Instant,
    ) -> Result<(Option<Arc<SessionRow>>, Found), Error> {
        self.session_and_user(model, wants, key, id, deadline)
    }

    fn exists(&self, query: &Query, values: &Values<'_>, deadline: Instant) -> Result<bool, Error> {
        let rows = self.ask(&C::DIALECT.exists(query, values), true, deadline)?;
        Ok(matches!(&rows[..], [row] if matches!(&row[..], [Some(found)] if found == "1")))
    }

    fn value(
        &self,
        query: &Query,
        values: &Values<'_>,
        deadline: Instant,
    ) -> Result<Option<Zeroizing<String>>, Error> {
        let rows = self.ask(&C::DIALECT.value(query, values), true, deadline)?;
        Ok(rows
            .into_iter()
            .next()
            .and_then(|row| row.into_iter().next())
            .flatten()
            .map(Zeroizing::new))
    }

    fn inspect(
        &self,
        model: &Arc<UserModel>,
        wants: &Wants,
        part: Part,
        deadline: Instant,
    ) -> Result<Vec<Fact>, Error> {
        self.facts(model, wants, part, deadline)
    }

    fn timeout(&self) -> Duration {
        self.timeout
    }

    fn answered(&self) -> Option<Instant> {
        self.answers.last()
    }
}

#[cfg(test)]
mod tests;
