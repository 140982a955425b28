//! MySQL and MariaDB. As with PostgreSQL each wait has a deadline.

#![forbid(unsafe_code)]

mod connect;
mod error;
mod inspect;
mod login;
mod packet;
mod statement;
mod url;

use super::failure::{Failure, seconds};
use super::pool::Limits;
use super::question::{OTHER_ANSWER, Question, Row};
use super::socket::Waiter;
use super::sql::Dialect;
use super::{Backend, Fact, Fetch, Gate, Host, Parsed, Pooled, Store, limits, servers};
use crate::user::{UserModel, Wants};
use packet::Channel;
use statement::Statement;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tokio_rustls::TlsConnector;
use url::Url;
use zeroize::Zeroizing;

const DIALECT: Dialect = Dialect {
    quote: '`',
    text: "CHAR",
    placeholder: |_| "?".into(),
    numbered: false,
    up_to: |column, length| format!("SUBSTR({column}, 1, {length})"),
    list: |item, from| format!("(SELECT JSON_ARRAYAGG({item}) {from})"),
    concat: |parts| format!("CONCAT({})", parts.join(", ")),
    // A column of numbers is compared as numbers, and would be found by `7abc` too. The collation
    // stays the column's.
    as_text: Some(|column| format!("CONCAT({column}, '')")),
    // `\\` escapes by itself, and an ESCAPE would be written otherwise in another sql_mode.
    ignoring_case: |column, value| format!("{column} LIKE {value}"),
    by_pattern: true,
    in_utc: None,
    uuids_are_texts: true,
    marked: true,
};

/// Reads a directive's URL and words.
pub(super) fn parse(url: &str, words: &[&str]) -> Result<Parsed, String> {
    let url = Url::parse(url)?;
    let limits = limits(words, "", |_, _| Ok(false))?;
    let (label, redacted) = (url.label.clone(), url.redacted.clone());
    let backend = Box::new(Mysql { url, limits, loaded: OnceLock::new() });
    Ok(Parsed { label, redacted, backend })
}

struct Mysql {
    url: Url,
    limits: Limits,
    loaded: OnceLock<TlsConnector>,
}

impl Backend for Mysql {
    fn load(&self) -> Result<(), String> {
        if self.loaded.get().is_none() {
            let _ = self.loaded.set(Arc::new(self.url.tls.load()?).into());
        }
        Ok(())
    }

    fn reach(&self) -> Result<(), String> {
        servers::reach(self.url.places.iter().cloned())
    }

    fn open(
        &self,
        label: &str,
        password: Option<Zeroizing<String>>,
        host: Arc<dyn Host>,
        gate: Arc<Gate>,
    ) -> Arc<dyn Store> {
        let mut url = self.url.clone();
        url.password = url.password.or(password);
        let connections = Connections {
            tls: self.load().and_then(|()| self.loaded.get().cloned().ok_or_else(String::new)),
            timeout: self.limits.timeout,
            without_settings: AtomicBool::new(false),
            url,
        };
        Pooled::open(label, connections, &self.limits, host, gate, None)
    }
}

/// Makes the connections of a pool, and knows what it has learnt of the server.
struct Connections {
    url: Url,
    tls: Result<TlsConnector, String>,
    timeout: Duration,
    /// The server, or who stands before it, does not know all of our settings.
    without_settings: AtomicBool,
}

struct Connection {
    channel: Channel,
    /// The server is on this machine.
    local: bool,
    /// With their SQL: few enough that to compare is faster than to hash.
    prepared: Vec<(String, Statement)>,
    waiter: Waiter,
}

impl Drop for Connection {
    fn drop(&mut self) {
        // Said without waiting, or the server would log an aborted connection.
        self.waiter.run(Instant::now(), self.channel.quit());
    }
}

impl Fetch for Connections {
    const DIALECT: &Dialect = &DIALECT;

    fn fetch(
        &self,
        connection: &mut Connection,
        question: &Question<'_>,
        deadline: Instant,
    ) -> Result<Vec<Row>, Failure> {
        let Connection { channel, prepared, waiter, .. } = connection;
        let work = async {
            let known = prepared.iter().find(|(known, _)| *known == question.sql);
            let statement = match known {
                Some((_, statement)) => *statement,
                None => {
                    let statement = statement::prepare(channel, &question.sql).await?;
                    prepared.push((question.sql.clone(), statement));
                    statement
                }
            };
            statement::execute(channel, statement, &question.values).await
        };
        let timeout = || seconds(self.timeout);
        let rows = match waiter.run(deadline, work) {
            Some(Ok(rows)) => rows,
            Some(Err(error)) if error.no_such_value(&question.values) => return Ok(Vec::new()),
            Some(Err(error)) => return Err(error.querying(&timeout())),
            None => return Err(Failure::TimedOut(format!("no answer within {}", timeout()))),
        };
        if question.marker.is_none() {
            return Ok(rows);
        }
        if rows.is_empty() {
            return Err(Failure::Query(OTHER_ANSWER.into()));
        }
        rows.into_iter().map(|row| unmarked(row, question)).collect()
    }

    fn facts(
        &self,
        connection: &mut Connection,
        model: &Arc<UserModel>,
        wants: &Wants,
        deadline: Instant,
    ) -> Result<Vec<Fact>, Failure> {
        inspect::facts(self, connection, model, wants, deadline)
    }
}

/// The columns behind the marker.
fn unmarked(mut row: Row, question: &Question<'_>) -> Result<Row, Failure> {
    if row.is_empty() || row.remove(0) != question.marker {
        return Err(Failure::Query(OTHER_ANSWER.into()));
    }
    Ok(row)
}
