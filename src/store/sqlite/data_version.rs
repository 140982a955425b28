//! `DataVersion`: SQLite's own word on whether the file has changed.

#![forbid(unsafe_code)]

use super::{Connection, Connections};
use crate::store::pool::{Connector, Limits};
use crate::store::rows::{Stamp, Voucher};
use rusqlite::ErrorCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

/// Watches by one connection, which writes nothing: `PRAGMA data_version` is a number of a
/// connection's own, and the numbers of two tell nothing of each other
/// (<https://www.sqlite.org/pragma.html#pragma_data_version>).
pub(super) struct DataVersion(Arc<Shared>);

struct Shared {
    connections: Connections,
    /// After which time without a question the connection is closed, as those of the pool are: an
    /// open one keeps Django from changing the journal mode.
    idle: Option<Duration>,
    /// How many looks have begun; changed under the lock of `state` alone.
    looks: AtomicU64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    connection: Option<Connection>,
    version: i64,
    /// Raised when the number changes, and with every connection, so that no row outlives either.
    stamp: u64,
    /// What the look found that was the last to begin.
    found: Option<Stamp>,
    asked: Option<Instant>,
    reaping: bool,
}

impl DataVersion {
    pub(super) fn new(connections: Connections, limits: &Limits) -> Self {
        let idle = (limits.min == 0).then_some(limits.idle);
        let (looks, state) = (AtomicU64::default(), Mutex::default());
        Self(Arc::new(Shared { connections, idle, looks, state }))
    }
}

impl Voucher for DataVersion {
    /// Waits for nobody: where the file is locked at this moment, the row is read.
    fn stamp(&self) -> Option<Stamp> {
        self.0.stamp()
    }
}

impl Shared {
    /// One look serves all who wait for the lock meanwhile, if it began after they came.
    fn stamp(self: &Arc<Self>) -> Option<Stamp> {
        let begun = self.looks.load(Ordering::SeqCst);
        let mut state = self.lock();
        if self.looks.load(Ordering::SeqCst) == begun {
            self.looks.fetch_add(1, Ordering::SeqCst);
            state.asked = Some(Instant::now());
            // Should the look panic, nobody else may take what an older one found.
            state.found = None;
            state.found = self.look(&mut state);
            self.reap_later(&mut state);
        }
        state.found
    }

    fn look(&self, state: &mut State) -> Option<Stamp> {
        let State { connection, version, stamp, .. } = state;
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

    /// Sees to it that the connection is closed when nobody has asked for long.
    fn reap_later(self: &Arc<Self>, state: &mut State) {
        let Some(idle) = self.idle else { return };
        if state.reaping || state.connection.is_none() {
            return;
        }
        let shared = Arc::downgrade(self);
        let body = Box::new(move || reap(&shared, idle));
        state.reaping = self.connections.host.spawn("database idle", body).is_ok();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn reap(shared: &Weak<Shared>, idle: Duration) {
    let mut left = idle;
    loop {
        thread::sleep(left);
        let Some(shared) = shared.upgrade() else { return };
        let mut state = shared.lock();
        left = idle.saturating_sub(state.asked.map_or(idle, |asked| asked.elapsed()));
        if left.is_zero() || state.connection.is_none() {
            state.connection = None;
            state.reaping = false;
            return;
        }
    }
}
