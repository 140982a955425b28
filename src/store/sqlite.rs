//! SQLite, read only, in the one copy of the library that the process has.

#![forbid(unsafe_code)]

mod data_version;
mod file;
mod mark;
mod watch;

use super::failure::{Failure, seconds};
use super::pool::{Connector, Limits};
use super::question::{Question, Row};
use super::sql::{Dialect, one_line};
use super::{Backend, Fact, Fetch, Gate, Host, Parsed, Pooled, Store, decode, limits};
use crate::user::{UserModel, Wants};
use data_version::DataVersion;
use file::{DatabaseFile, Kept, REPLACED, Seen};
use rusqlite::config::DbConfig;
use rusqlite::types::ValueRef;
use rusqlite::{ErrorCode, InterruptHandle, OpenFlags};
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
    placeholder: |n| format!("?{n}"),
    numbered: true,
    // SUBSTR ends at a NUL, before which there may be what Django has signed.
    up_to: |column, length| {
        format!(
            "CASE WHEN LENGTH(CAST({column} AS BLOB)) >= {length} \
             THEN PRINTF('%.*c', {length}, 'x') ELSE {column} END"
        )
    },
    list: |item, from| format!("(SELECT json_group_array({item}) {from})"),
    concat: |parts| parts.join(" || "),
    as_text: None,
    ignoring_case: |column, value| format!("{column} LIKE {value} ESCAPE '\\'"),
    by_pattern: true,
    in_utc: None,
    uuids_are_texts: true,
    marked: false,
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
    fn takes_password(&self) -> bool {
        false
    }

    fn check(&self) -> Result<(), String> {
        let path = self.file.path().display();
        self.file.look().map(drop).map_err(|reason| format!("database sqlite:{path}: {reason}"))
    }

    fn open(
        &self,
        label: &str,
        _: Option<Zeroizing<String>>,
        host: Arc<dyn Host>,
        gate: Arc<Gate>,
    ) -> Arc<dyn Store> {
        let (file, watch) = (self.file.clone(), Watch::new(host.clone()));
        let timeout = self.limits.timeout;
        let connections = Connections { file, watch, host: host.clone(), timeout };
        let voucher = Box::new(DataVersion::new(connections.clone(), &self.limits));
        Pooled::open(label, connections, &self.limits, host, gate, Some(voucher))
    }
}

#[derive(Clone)]
struct Connections {
    file: Arc<DatabaseFile>,
    watch: Arc<Watch>,
    host: Arc<dyn Host>,
    timeout: Duration,
}

struct Connection {
    database: rusqlite::Connection,
    interrupt: Arc<InterruptHandle>,
    seen: Seen,
    /// Dropped after the connection, whose locks go when the file is closed.
    kept: Arc<Kept>,
    /// The wal-index, likewise.
    index: Option<Arc<Kept>>,
}

impl Connector for Connections {
    type Connection = Connection;

    fn connect(&self, deadline: Instant) -> Result<Connection, Failure> {
        let (seen, kept, _held) = self.file.hold(&*self.host, deadline)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
            | OpenFlags::SQLITE_OPEN_URI
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let uri = uri(self.file.path(), seen.ours);
        let fail = |error| self.failure(&error, false);
        let database = rusqlite::Connection::open_with_flags(uri, flags).map_err(fail)?;
        // A mistyped name in double quotes is an error, not a text that a client could send.
        database.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, false).map_err(fail)?;
        let interrupt = Arc::new(database.get_interrupt_handle());
        let mut connection = Connection { database, interrupt, seen, kept, index: None };
        self.bounded(&connection, deadline)?;
        // Opening reads nothing yet.
        let works =
            connection.database.query_row("SELECT 1 FROM sqlite_master LIMIT 1", [], |_| Ok(()));
        match works {
            Ok(()) | Err(rusqlite::Error::QueryReturnedNoRows) => {}
            Err(error) => return Err(fail(error)),
        }
        connection.index = self.file.wal_index();
        if self.file.look().map_err(Failure::Broken)? != seen {
            return Err(Failure::Broken(REPLACED.into()));
        }
        Ok(connection)
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
        let seen = self.file.look().map_err(Failure::Broken)?;
        if seen != connection.seen {
            return Err(Failure::Broken("the file was replaced, or changed its mode".into()));
        }
        self.bounded(connection, deadline)?;
        let _watched = self.watch.watch(deadline, connection.interrupt.clone());
        let fail = |error| self.failure(&error, true);
        let mut select = connection.database.prepare_cached(&question.sql).map_err(fail)?;
        let columns = select.column_count();
        let values = question.values.iter().map(|value| &**value);
        let mut rows = select.query(rusqlite::params_from_iter(values)).map_err(fail)?;
        let mut answer = Vec::new();
        while let Some(row) = rows.next().map_err(fail)? {
            let row = (0..columns).map(|column| text(row, column)).collect::<Result<_, _>>();
            answer.push(row.map_err(Failure::Query)?);
        }
        Ok(answer)
    }

    fn facts(
        &self,
        connection: &mut Connection,
        _: &Arc<UserModel>,
        _: &Wants,
        deadline: Instant,
    ) -> Result<Vec<Fact>, Failure> {
        let mut ask = |sql: &str| {
            let question = Question { sql: sql.to_owned(), values: Vec::new(), marker: None };
            let rows = self.fetch(connection, &question, deadline)?;
            Ok(rows.into_iter().flatten().flatten().next().unwrap_or_default())
        };
        let mut facts = vec![
            Fact::Version(format!("SQLite {}", ask("SELECT sqlite_version()")?)),
            // That is how it was opened.
            Fact::ReadOnly(true),
            Fact::Journal(ask("PRAGMA journal_mode")?.to_uppercase()),
        ];
        if self.file.may_write() {
            facts.push(Fact::Writes("the file".into()));
        }
        Ok(facts)
    }
}

impl Connections {
    /// Lets a lock be waited for until `deadline`.
    fn bounded(&self, connection: &Connection, deadline: Instant) -> Result<(), Failure> {
        let left = deadline.saturating_duration_since(Instant::now());
        // As SQL: rusqlite's function wants what Debian's SQLite does not have (Cargo.toml).
        let pragma = format!("PRAGMA busy_timeout = {}", left.as_millis());
        connection.database.execute_batch(&pragma).map_err(|error| self.failure(&error, false))
    }

    fn failure(&self, error: &rusqlite::Error, opened: bool) -> Failure {
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
                    "{message}: AuthDjangoUserModel names the tables and columns, \
                     AuthDjangoQuery those of its own; is this the site's database, and migrated?"
                ))
            }
            _ if opened => Failure::Query(message),
            _ => Failure::Query(format!("{message}: is it an SQLite database?")),
        }
    }
}

fn text(row: &rusqlite::Row<'_>, column: usize) -> Result<Option<String>, String> {
    match row.get_ref(column) {
        Ok(ValueRef::Null) => Ok(None),
        Ok(ValueRef::Text(bytes)) => match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Some(text.to_owned())),
            Err(_) => Err("a value of the row is not UTF-8".into()),
        },
        _ => Err("a value of the row is no text".into()),
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
