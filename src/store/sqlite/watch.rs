//! `Watch`: interrupts what computes beyond its deadline. Waiting for locks has a bound of its own;
//! a SELECT without an index has none, and SQLite's progress handler is not to be had (Cargo.toml).

#![forbid(unsafe_code)]

use crate::store::Host;
use rusqlite::InterruptHandle;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How late an interruption may come.
const STEP: Duration = Duration::from_millis(50);
/// After so many steps without a query the thread ends.
const PATIENCE: u32 = 20;

/// The queries of a pool that run at this moment.
pub(super) struct Watch {
    host: Arc<dyn Host>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    running: Vec<(u64, Instant, Arc<InterruptHandle>)>,
    next: u64,
    thread: bool,
}

/// A query that runs; dropped when it has ended.
pub(super) struct Watched<'a>(&'a Watch, u64);

impl Watch {
    pub(super) fn new(host: Arc<dyn Host>) -> Arc<Self> {
        Arc::new(Self { host, state: Mutex::default() })
    }

    /// Interrupts `handle`'s connection after `deadline`, unless the result is dropped before.
    pub(super) fn watch(
        self: &Arc<Self>,
        deadline: Instant,
        handle: Arc<InterruptHandle>,
    ) -> Watched<'_> {
        let mut state = self.lock();
        state.next += 1;
        let id = state.next;
        state.running.push((id, deadline, handle));
        let spawn = !std::mem::replace(&mut state.thread, true);
        drop(state);
        if spawn {
            let watch = self.clone();
            if self.host.spawn("database watch", Box::new(move || watch.run())).is_err() {
                self.lock().thread = false;
            }
        }
        Watched(self, id)
    }

    fn run(&self) {
        let mut quiet = 0;
        loop {
            std::thread::sleep(STEP);
            let mut state = self.lock();
            let now = Instant::now();
            // Under the lock, so that a query that has ended cannot be meant.
            state.running.iter().filter(|(_, at, _)| *at <= now).for_each(|(.., h)| h.interrupt());
            quiet = if state.running.is_empty() { quiet + 1 } else { 0 };
            if quiet > PATIENCE {
                state.thread = false;
                return;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        self.0.lock().running.retain(|(id, ..)| *id != self.1);
    }
}
