//! SQLite, read only, in the one copy of the library that the process has.

#![forbid(unsafe_code)]

mod file;
mod watch;

use super::failure::{Failure, seconds};
use super::pool::{Connector, Limits};
use super::sql::{Dialect, is_true, one_line, several_rows};
use super::{Backend, Fetch, Gate, Host, Parsed, Pooled, Store, decode, limits};
use crate::user::{User, UserModel};
use file::{DatabaseFile, Identity};
use rusqlite::types::ValueRef;
use rusqlite::{ErrorCode, InterruptHandle, OpenFlags, Row};
use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use watch::Watch;
use zeroize::Zeroizing;

const DIALECT: Dialect = Dialect {
    quote: '"',
    text: "TEXT",
    matches: |column| format!("{column} = ?1"),
    groups: |name, from| format!("(SELECT json_group_array({name}) {from})"),
    no_groups: "'[]'",
};

/// What SQLite says when a journal must be rolled back, which only a writer may do.
const READONLY: &str = "a journal was left behind, which only its owner may roll back: let Django \
    open the database once";

/// Reads a directive's URL and words.
pub(super) fn parse(url: &str, words: &[&str]) -> Result<Parsed, String> {
    let path = url.strip_prefix("sqlite:").unwrap_or(url);
    let path = if path.starts_with("///") { path.trim_start_matches("//") } else { path };
    if path.contains('?') {
        return Err("sqlite: takes no ?parameters: in the name of a file a ? is %3F".into());
    }
    let path = decode(path)?;
    if !path.starts_with('/') || path.starts_with("//") || path.ends_with('/') {
        return Err(
            "needs the whole path of the file: sqlite:/srv/site/db.sqlite3, from the root".into()
        );
    }
    let limits = limits(words, "", |_, _| Ok(false))?;
    let file = Arc::new(DatabaseFile::new(path.into()));
    Ok(Parsed { label: url.to_owned(), redacted: None, backend: Box::new(Sqlite { file, limits }) })
}

struct Sqlite {
    file: Arc<DatabaseFile>,
    limits: Limits,
}

impl Backend for Sqlite {
    fn check(&self) -> Result<(), String> {
        self.file.look().map(|_| ())
    }

    fn open(
        &self,
        label: &str,
        _: Option<Zeroizing<String>>,
        host: Arc<dyn Host>,
        gate: Arc<Gate>,
    ) -> Arc<dyn Store> {
        let (file, watch) = (self.file.clone(), Watch::new(host.clone()));
        let connections = Connections { file, watch, timeout: self.limits.timeout };
        Pooled::open(label, connections, &self.limits, host, gate)
    }
}

struct Connections {
    file: Arc<DatabaseFile>,
    watch: Arc<Watch>,
    timeout: Duration,
}

struct Connection {
    database: rusqlite::Connection,
    interrupt: Arc<InterruptHandle>,
    identity: Identity,
}

impl Connector for Connections {
    type Connection = Connection;

    fn connect(&self, deadline: Instant) -> Result<Connection, Failure> {
        let seen = self.file.look().map_err(Failure::Broken)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
            | OpenFlags::SQLITE_OPEN_URI
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let uri = uri(self.file.path(), seen.ours);
        let fail = |error| self.failure(&error, None);
        let database = rusqlite::Connection::open_with_flags(uri, flags).map_err(fail)?;
        let interrupt = Arc::new(database.get_interrupt_handle());
        let connection = Connection { database, interrupt, identity: seen.identity };
        self.bounded(&connection, deadline)?;
        // Opening reads nothing yet.
        let works =
            connection.database.query_row("SELECT 1 FROM sqlite_master LIMIT 1", [], |_| Ok(()));
        match works {
            Ok(()) | Err(rusqlite::Error::QueryReturnedNoRows) => {}
            Err(error) => return Err(fail(error)),
        }
        if self.file.look().map_err(Failure::Broken)? != seen {
            return Err(Failure::Broken("the file was replaced while it was opened".into()));
        }
        Ok(connection)
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
        let seen = self.file.look().map_err(Failure::Broken)?;
        if seen.identity != connection.identity {
            return Err(Failure::Broken("the file was replaced".into()));
        }
        self.bounded(connection, deadline)?;
        let _watched = self.watch.watch(deadline, connection.interrupt.clone());
        let fail = |error| self.failure(&error, Some(model));
        let mut select =
            connection.database.prepare_cached(&DIALECT.select(model)).map_err(fail)?;
        let mut rows = select.query([username]).map_err(fail)?;
        let Some(row) = rows.next().map_err(fail)? else { return Ok(None) };
        let user = user(row).map_err(Failure::Query)?;
        if rows.next().map_err(fail)?.is_some() {
            return Err(Failure::Query(several_rows(model)));
        }
        Ok(Some(user))
    }
}

impl Connections {
    /// Lets a lock be waited for until `deadline`.
    fn bounded(&self, connection: &Connection, deadline: Instant) -> Result<(), Failure> {
        let left = deadline.saturating_duration_since(Instant::now());
        // As SQL: rusqlite's function wants what Debian's SQLite does not have (Cargo.toml).
        let pragma = format!("PRAGMA busy_timeout = {}", left.as_millis());
        connection.database.execute_batch(&pragma).map_err(|error| self.failure(&error, None))
    }

    fn failure(&self, error: &rusqlite::Error, model: Option<&UserModel>) -> Failure {
        let (code, message) = match &error {
            rusqlite::Error::SqliteFailure(code, message) => (code, message.as_deref()),
            rusqlite::Error::SqlInputError { error, msg, .. } => (error, Some(msg.as_str())),
            _ => return Failure::Query(one_line(&error.to_string())),
        };
        let message = one_line(message.unwrap_or("error of SQLite"));
        let timeout = seconds(self.timeout);
        match code.code {
            ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => Failure::TimedOut(format!(
                "no answer within {timeout}: another process keeps the file locked"
            )),
            ErrorCode::OperationInterrupted => {
                Failure::TimedOut(format!("no answer within {timeout}"))
            }
            ErrorCode::ReadOnly => Failure::Broken(format!("{message}: {READONLY}")),
            ErrorCode::CannotOpen => Failure::Broken(format!(
                "{message}: httpd's user must be able to read the file and what lies beside it, or \
                 {READONLY}"
            )),
            ErrorCode::SystemIoFailure => Failure::Broken(message),
            _ if message.contains("no such table") || message.contains("no such column") => {
                Failure::Query(format!(
                    "{message}: AuthDjangoUserModel names the tables and columns; is this the \
                     site's database, and migrated?"
                ))
            }
            _ => Failure::Query(match model {
                Some(_) => message,
                None => format!("{message}: is it an SQLite database?"),
            }),
        }
    }
}

fn user(row: &Row<'_>) -> Result<User, String> {
    let id = text(row, 0)?.unwrap_or_default();
    let groups = text(row, 4)?.unwrap_or_default();
    let groups: Vec<Option<String>> =
        serde_json::from_str(&groups).map_err(|_| "the user's groups are no list of names")?;
    Ok(User {
        id,
        username: text(row, 1)?.unwrap_or_default(),
        password: Zeroizing::new(text(row, 2)?.unwrap_or_default()),
        is_active: is_true(text(row, 3)?.as_deref()),
        groups: groups.into_iter().flatten().collect(),
    })
}

fn text(row: &Row<'_>, column: usize) -> Result<Option<String>, String> {
    match row.get_ref(column) {
        Ok(ValueRef::Null) => Ok(None),
        Ok(ValueRef::Text(bytes)) => match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Some(text.to_owned())),
            Err(_) => Err("a value of the user's row is not UTF-8".into()),
        },
        _ => Err("a value of the user's row is no text".into()),
    }
}

/// The file for SQLite, which must not make one beside it that its owner could not write.
fn uri(path: &Path, ours: bool) -> String {
    let mut uri = String::from("file:");
    for byte in path.as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || b"/-_.".contains(byte) {
            uri.push(char::from(*byte));
        } else {
            let _ = write!(uri, "%{byte:02X}");
        }
    }
    uri.push_str(if ours { "?mode=ro" } else { "?mode=ro&readonly_shm=1" });
    uri
}

#[cfg(test)]
mod tests;
