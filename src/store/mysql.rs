//! MySQL and MariaDB. As with PostgreSQL each connection has a runtime of its own, and each wait a
//! deadline.

#![forbid(unsafe_code)]

mod connect;
mod error;
mod login;
mod packet;
mod statement;
mod url;

use super::failure::{Failure, seconds};
use super::pool::Limits;
use super::sql::{Dialect, is_true, several_rows};
use super::{Backend, Fetch, Gate, Host, Parsed, Pooled, Store, limits, servers};
use crate::user::{User, UserModel};
use packet::Channel;
use statement::{Row, Statement};
use std::collections::HashMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::time::{timeout, timeout_at};
use tokio_rustls::TlsConnector;
use url::Url;
use zeroize::Zeroizing;

/// The second condition compares as text what the first may compare as numbers: a column of numbers
/// would be found by `7abc` too. The collation stays the column's.
const DIALECT: Dialect = Dialect {
    quote: '`',
    text: "CHAR",
    matches: |column| format!("{column} = ? AND CONCAT({column}, '') = ?"),
    groups: |name, from| format!("(SELECT JSON_ARRAYAGG({name}) {from})"),
    no_groups: "'[]'",
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
        Pooled::open(label, connections, &self.limits, host, gate)
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
    prepared: HashMap<String, Statement>,
    runtime: Option<Runtime>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Said without waiting, or the server would log an aborted connection.
            let goodbye = async { timeout(Duration::ZERO, self.channel.quit()).await };
            let _ = runtime.block_on(goodbye);
            // Not by its own drop, which would wait for a name that does not resolve.
            runtime.shutdown_background();
        }
    }
}

impl Fetch for Connections {
    fn fetch(
        &self,
        connection: &mut Connection,
        model: &UserModel,
        username: &str,
        deadline: Instant,
    ) -> Result<Option<User>, Failure> {
        let Connection { channel, prepared, runtime } = connection;
        let Some(runtime) = runtime else { return Err(Failure::Broken("closed".into())) };
        let (sql, marker) = DIALECT.select_marked(model);
        let work = async {
            let statement = match prepared.get(&sql) {
                Some(statement) => *statement,
                None => {
                    let statement = statement::prepare(channel, &sql).await?;
                    prepared.insert(sql.clone(), statement);
                    statement
                }
            };
            statement::execute(channel, statement, username).await
        };
        let timeout = seconds(self.timeout);
        let rows = match runtime.block_on(async { timeout_at(deadline.into(), work).await }) {
            Ok(Ok(rows)) => rows,
            Ok(Err(error)) if error.no_such_value() => return Ok(None),
            Ok(Err(error)) => return Err(error.querying(model, &timeout)),
            Err(_) => return Err(Failure::TimedOut(format!("no answer within {timeout}"))),
        };
        match &rows[..] {
            [row] => user(row, &marker).map_err(Failure::Query),
            [_, _, ..] => Err(Failure::Query(several_rows(model))),
            [] => Err(Failure::Query("the answer is not to what was asked".into())),
        }
    }
}

fn user(row: &Row, marker: &str) -> Result<Option<User>, String> {
    let [found, id, username, password, is_active, groups] = &row[..] else {
        return Err("the answer has other columns than asked for".into());
    };
    if found.as_ref().is_none_or(|found| found.as_str() != marker) {
        return Err("the answer is not to what was asked".into());
    }
    let text = |column: &Option<Zeroizing<String>>| column.clone().unwrap_or_default();
    let Some(id) = id else { return Ok(None) };
    // NULL is the array of none.
    let groups: Vec<Option<String>> = match groups {
        Some(groups) => {
            serde_json::from_str(groups).map_err(|_| "the user's groups are no list of names")?
        }
        None => Vec::new(),
    };
    Ok(Some(User {
        id: id.to_string(),
        username: text(username).to_string(),
        password: text(password),
        is_active: is_true(is_active.as_ref().map(|value| value.as_str())),
        groups: groups.into_iter().flatten().collect(),
    }))
}
