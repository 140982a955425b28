//! `DataVersion`: SQLite's own word on whether the file has changed.

#![forbid(unsafe_code)]

use super::file::Seen;
use super::mark::{self, Mark};
use super::{Connection, Connections};
use crate::store::pool::{Connector, Limits};
use crate::store::rows::{Stamp, Voucher};
use rusqlite::ErrorCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};
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
    /// Changed under the lock of `state` alone, and gone before its connection.
    witness: RwLock<Option<Witness>>,
    state: Mutex<State>,
    begun: Instant,
    /// When somebody asked last, in milliseconds since `begun`.
    asked: AtomicU64,
}

#[derive(Default)]
struct State {
    connection: Option<Connection>,
    version: i64,
    /// Raised when the number changes, and with every connection, so that no row outlives either.
    stamp: u64,
    /// What the look found that was the last to begin.
    found: Option<Stamp>,
    reaping: bool,
}

/// Spares SQLite's own look, which locks and unlocks, and waits for those of other threads: while the
/// file and its mark are the same, so is the number.
struct Witness {
    seen: Seen,
    mark: Mark,
    stamp: Stamp,
}

impl DataVersion {
    pub(super) fn new(connections: Connections, limits: &Limits) -> Self {
        let idle = (limits.min == 0).then_some(limits.idle);
        Self(Arc::new(Shared {
            connections,
            idle,
            looks: AtomicU64::default(),
            witness: RwLock::default(),
            state: Mutex::default(),
            begun: Instant::now(),
            asked: AtomicU64::default(),
        }))
    }
}

impl Voucher for DataVersion {
    /// Waits for nobody: where SQLite must be asked and the file is locked, the row is read.
    fn stamp(&self) -> Option<Stamp> {
        self.0.stamp()
    }
}

impl Shared {
    /// One look serves all who wait for the lock meanwhile, if it began after they came.
    fn stamp(self: &Arc<Self>) -> Option<Stamp> {
        let now = self.begun.elapsed().as_millis();
        self.asked.store(now.try_into().unwrap_or(u64::MAX), Ordering::Relaxed);
        if let Some(stamp) = self.unchanged() {
            return Some(stamp);
        }
        let begun = self.looks.load(Ordering::SeqCst);
        let mut state = self.lock();
        if self.looks.load(Ordering::SeqCst) == begun {
            self.looks.fetch_add(1, Ordering::SeqCst);
            // Should the look panic, nobody else may take what an older one found.
            state.found = None;
            state.found = self.look(&mut state);
            self.reap_later(&mut state);
        }
        state.found
    }

    /// The stamp of the witness, if the file is still the same.
    fn unchanged(&self) -> Option<Stamp> {
        let witness = self.witness.read().unwrap_or_else(PoisonError::into_inner);
        let Witness { seen, mark, stamp } = witness.as_ref()?;
        (self.connections.file.is_same(seen) && mark.holds()).then_some(*stamp)
    }

    fn look(&self, state: &mut State) -> Option<Stamp> {
        let seen = self.connections.file.look().ok();
        if state.connection.as_ref().is_none_or(|known| Some(known.seen) != seen) {
            self.close(state);
            let made = self.connections.connect(Instant::now()).ok()?;
            made.database.execute_batch("PRAGMA busy_timeout = 0").ok()?;
            state.connection = Some(made);
        }
        let connection = state.connection.as_ref()?;
        match mark::look(connection) {
            Ok((now, mark)) => {
                state.stamp += u64::from(now != state.version);
                state.version = now;
                let (seen, stamp) = (connection.seen, Stamp(state.stamp));
                self.testify(mark.map(|mark| Witness { seen, mark, stamp }));
                Some(stamp)
            }
            Err(rusqlite::Error::SqliteFailure(error, _))
                if matches!(error.code, ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) =>
            {
                None
            }
            Err(_) => {
                self.close(state);
                None
            }
        }
    }

    /// The old connection goes, with its locks, before there is another.
    fn close(&self, state: &mut State) {
        self.testify(None);
        state.connection = None;
        state.stamp += 1;
    }

    fn testify(&self, witness: Option<Witness>) {
        *self.witness.write().unwrap_or_else(PoisonError::into_inner) = witness;
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
        let asked = Duration::from_millis(shared.asked.load(Ordering::Relaxed));
        left = idle.saturating_sub(shared.begun.elapsed().saturating_sub(asked));
        if left.is_zero() || state.connection.is_none() {
            shared.close(&mut state);
            state.reaping = false;
            return;
        }
    }
}
