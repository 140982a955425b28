//! `DataVersion`: SQLite's own word on whether the file has changed.

#![forbid(unsafe_code)]

use super::{Connection, Connections};
use crate::store::pool::Connector;
use crate::store::rows::{Stamp, Voucher};
use crate::user::{UserModel, Wants};
use rusqlite::ErrorCode;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Watches by one connection, which writes nothing: `PRAGMA data_version` is a number of a
/// connection's own, and the numbers of two tell nothing of each other
/// (<https://www.sqlite.org/pragma.html#pragma_data_version>).
pub(super) struct DataVersion {
    connections: Connections,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    connection: Option<Connection>,
    version: i64,
    /// Raised when the number changes, and with every connection, so that no row outlives either.
    stamp: u64,
}

impl DataVersion {
    pub(super) fn new(connections: Connections) -> Self {
        Self { connections, state: Mutex::default() }
    }
}

impl Voucher for DataVersion {
    /// Waits for nobody: where the file is locked at this moment, the row is read.
    fn stamp(&self, _: &UserModel, _: &Wants) -> Option<Stamp> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let State { connection, version, stamp } = &mut *state;
        if !connection.as_ref().is_some_and(|known| self.connections.file.is_same(&known.seen)) {
            // The old one goes first, with its locks.
            *connection = None;
            *stamp += 1;
            let made = self.connections.connect(Instant::now()).ok()?;
            made.database.execute_batch("PRAGMA busy_timeout = 0").ok()?;
            *connection = Some(made);
        }
        let asked = connection.as_ref()?.database.prepare_cached("PRAGMA data_version");
        match asked.and_then(|mut asked| asked.query_row([], |row| row.get::<_, i64>(0))) {
            Ok(now) => {
                *stamp += u64::from(now != *version);
                *version = now;
                Some(Stamp(*stamp))
            }
            Err(rusqlite::Error::SqliteFailure(error, _))
                if matches!(error.code, ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) =>
            {
                None
            }
            Err(_) => {
                *connection = None;
                None
            }
        }
    }
}
