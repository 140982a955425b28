//! What a pool does between requests, in threads that live no longer than there is to do: asking
//! whether a lost database is back, and closing what nobody uses.

#![forbid(unsafe_code)]

use super::{Breaker, Connector, Failure, Idle, Shared, State};
use std::sync::{Arc, MutexGuard, Weak};
use std::time::{Duration, Instant};

/// Pauses between the attempts to reach a database that is down: the first, and the longest.
pub(super) const BACK_OFF: (Duration, Duration) =
    (Duration::from_millis(100), Duration::from_secs(1));

impl<C: Connector> Shared<C> {
    /// Opens the breaker: who waits fails now, who comes fails at once, until a probe succeeds and
    /// then one request.
    pub(super) fn trip(
        self: &Arc<Self>,
        mut state: MutexGuard<'_, State<C::Connection>>,
        failure: &Failure,
    ) {
        state.breaker = Breaker::Open(failure.text().to_owned());
        let spawn = !std::mem::replace(&mut state.probing, true);
        drop(state);
        self.changed.notify_all();
        self.settled.notify_all();
        if spawn {
            let helper = Helper { pool: Arc::downgrade(self), is: |state| &mut state.probing };
            // Without a thread `helper` lets the next request try.
            let _ = self.host.spawn("database probe", Box::new(move || probe(helper)));
        }
    }

    fn next_pause(&self) -> Duration {
        let mut state = self.lock();
        let longer = (state.pause * 2).min(BACK_OFF.1);
        std::mem::replace(&mut state.pause, longer)
    }

    /// Sees to it that what nobody uses is closed, though no request may ever come again.
    pub(super) fn reap_later(self: &Arc<Self>) {
        let mut state = self.lock();
        if state.idle.is_empty() || state.open <= self.limits.min || state.reaping {
            return;
        }
        state.reaping = true;
        drop(state);
        let helper = Helper { pool: Arc::downgrade(self), is: |state| &mut state.reaping };
        let _ = self.host.spawn("database idle", Box::new(move || reap(helper)));
    }
}

fn probe<C: Connector>(mut helper: Helper<C>) {
    for attempt in 1.. {
        let Some(pause) = helper.pool.upgrade().map(|shared| shared.next_pause()) else { return };
        std::thread::sleep(pause);
        let Some(shared) = helper.pool.upgrade() else { return };
        let state = shared.lock();
        if !matches!(state.breaker, Breaker::Open(_)) {
            return helper.done(state);
        }
        let generation = state.generation;
        drop(state);
        // Mostly short ones, to notice soon; but a slow database deserves its whole time.
        let limit = shared.limits.timeout;
        let limit = if attempt % 3 == 0 { limit } else { limit.min(BACK_OFF.1) };
        let made = shared.connector.connect(Instant::now() + limit);
        let mut state = shared.lock();
        match made {
            Ok(connection) => {
                state.half_open();
                let mut surplus = None;
                if state.generation == generation && state.open < shared.limits.max {
                    state.open += 1;
                    state.live += 1;
                    state.idle.push(Idle { connection, since: Instant::now() });
                } else {
                    surplus = Some(connection);
                }
                helper.done(state);
                drop(surplus);
                shared.changed.notify_all();
                shared.reap_later();
                return;
            }
            Err(failure) => {
                if let Breaker::Open(reason) = &mut state.breaker {
                    failure.text().clone_into(reason);
                }
            }
        }
    }
}

fn reap<C: Connector>(mut helper: Helper<C>) {
    while let Some(shared) = helper.pool.upgrade() {
        let mut state = shared.lock();
        let oldest = state.idle.first().map(|idle| idle.since + shared.limits.idle);
        let Some(oldest) = oldest.filter(|_| state.open > shared.limits.min) else {
            return helper.done(state);
        };
        let now = Instant::now();
        if oldest > now {
            drop(state);
            drop(shared);
            std::thread::sleep(oldest - now);
            continue;
        }
        let old = state.idle.remove(0);
        state.open -= 1;
        state.live -= 1;
        drop(state);
        drop(old);
        shared.changed.notify_one();
    }
}

/// A thread of the pool's own. The pool learns of it when it panics or never begins.
struct Helper<C: Connector> {
    pool: Weak<Shared<C>>,
    is: fn(&mut State<C::Connection>) -> &mut bool,
}

impl<C: Connector> Helper<C> {
    /// The regular end, under the lock that found nothing more to do: who comes later sees it.
    fn done(&mut self, mut state: MutexGuard<'_, State<C::Connection>>) {
        *(self.is)(&mut state) = false;
        self.pool = Weak::new();
    }
}

impl<C: Connector> Drop for Helper<C> {
    fn drop(&mut self) {
        let Some(shared) = self.pool.upgrade() else { return };
        let mut state = shared.lock();
        *(self.is)(&mut state) = false;
        if !state.probing {
            state.half_open();
        }
        drop(state);
        shared.changed.notify_all();
    }
}

impl<T> State<T> {
    /// From an open breaker the next request is one that tries.
    fn half_open(&mut self) {
        if let Breaker::Open(reason) = &mut self.breaker {
            self.breaker = Breaker::HalfOpen(std::mem::take(reason));
        }
    }
}
