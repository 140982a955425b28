//! `Pool`: a few connections to one database, none of which is trusted longer than it works.

#![forbid(unsafe_code)]

mod upkeep;

use super::Host;
use super::failure::{Failure, seconds};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// After a refusal others are waited for; this long nobody asks for one connection more.
const NO_GROWTH: Duration = Duration::from_secs(1);

/// How a pool gets what it holds.
pub(crate) trait Connector: Send + Sync + 'static {
    /// What `connect` makes. Dropping it must not block.
    type Connection: Send + 'static;

    /// A connection that has just proved to work, before `deadline`.
    fn connect(&self, deadline: Instant) -> Result<Self::Connection, Failure>;
}

/// The words after the URL that every pool understands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Limits {
    /// `max=`: connections at a time.
    pub(crate) max: usize,
    /// `min=`: how many of them stay open however idle.
    pub(crate) min: usize,
    /// `idle=`: after which time without use the others are closed.
    pub(crate) idle: Duration,
    /// `timeout=`: what one request may wait in all.
    pub(crate) timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max: 4, min: 0, idle: Duration::from_secs(300), timeout: Duration::from_secs(5) }
    }
}

pub(crate) struct Pool<C: Connector>(Arc<Shared<C>>);

struct Shared<C: Connector> {
    connector: C,
    limits: Limits,
    host: Arc<dyn Host>,
    state: Mutex<State<C::Connection>>,
    changed: Condvar,
}

struct State<T> {
    /// Of the current generation only; the one used last is at the back, and is taken first.
    idle: Vec<Idle<T>>,
    /// Those being made and the condemned ones in use among them.
    open: usize,
    connecting: usize,
    /// Connections of the current generation.
    live: usize,
    /// Raised when a connection breaks: all that are older will not be used again.
    generation: u64,
    grow_after: Option<Instant>,
    /// The breaker: why requests fail at once.
    down: Option<String>,
    probing: bool,
    reaping: bool,
}

struct Idle<T> {
    connection: T,
    since: Instant,
}

impl<C: Connector> Pool<C> {
    pub(crate) fn new(connector: C, limits: Limits, host: Arc<dyn Host>) -> Self {
        let state = State {
            idle: Vec::new(),
            open: 0,
            connecting: 0,
            live: 0,
            generation: 0,
            grow_after: None,
            down: None,
            probing: false,
            reaping: false,
        };
        let (state, changed) = (Mutex::new(state), Condvar::new());
        Self(Arc::new(Shared { connector, limits, host, state, changed }))
    }

    /// `max=`.
    pub(crate) fn max(&self) -> usize {
        self.0.limits.max
    }

    /// Runs `query` on a connection, once more on a new one if the first turns out to be broken,
    /// and is back by `deadline` if `query` is.
    pub(crate) fn run<T>(
        &self,
        deadline: Instant,
        mut query: impl FnMut(&C, &mut C::Connection, Instant) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let shared = &self.0;
        let mut repeated = false;
        loop {
            let mut lease = shared.acquire(deadline)?;
            let started = Instant::now();
            let Some(connection) = &mut lease.connection else { continue };
            let failure = match query(&shared.connector, connection, deadline) {
                Ok(answer) => {
                    lease.give_back();
                    return Ok(answer);
                }
                Err(failure) => failure,
            };
            let generation = lease.generation;
            drop(lease);
            match &failure {
                Failure::Query(_) => {}
                Failure::TimedOut(_) if !shared.waited_long(started) => {}
                Failure::Broken(_) if !repeated => {
                    repeated = true;
                    shared.condemn(generation);
                    continue;
                }
                _ => {
                    shared.condemn(generation);
                    shared.trip(shared.lock(), &failure);
                }
            }
            return Err(failure);
        }
    }
}

impl<C: Connector> Shared<C> {
    fn lock(&self) -> MutexGuard<'_, State<C::Connection>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does a time-out blame the database, or had the request spent its time before?
    fn waited_long(&self, started: Instant) -> bool {
        started.elapsed() >= (self.limits.timeout / 2).min(Duration::from_secs(1))
    }

    fn acquire(self: &Arc<Self>, deadline: Instant) -> Result<Lease<C>, Failure> {
        let mut state = self.lock();
        loop {
            if let Some(reason) = &state.down {
                return Err(Failure::Refused(reason.clone()));
            }
            let now = Instant::now();
            if now >= deadline {
                // It may have been for us that somebody was woken; so wake the next.
                self.changed.notify_one();
                return Err(Failure::TimedOut(format!(
                    "no connection became free within {}: all are in use (max={})",
                    seconds(self.limits.timeout),
                    self.limits.max
                )));
            }
            let generation = state.generation;
            if let Some(Idle { connection, .. }) = state.idle.pop() {
                return Ok(Lease {
                    connection: Some(connection),
                    generation,
                    shared: self.clone(),
                });
            }
            let hopeless = state.live == 0 && state.connecting == 0;
            let paused = state.grow_after.filter(|&after| after > now && !hopeless);
            if state.open < self.limits.max && paused.is_none() {
                state.open += 1;
                state.connecting += 1;
                drop(state);
                if let Some(lease) = self.grow(generation, deadline)? {
                    return Ok(lease);
                }
                state = self.lock();
                continue;
            }
            let until = paused.map_or(deadline, |after| after.min(deadline));
            state = self
                .changed
                .wait_timeout(state, until - now)
                .map_or_else(|poisoned| poisoned.into_inner().0, |(state, _)| state);
        }
    }

    /// One connection more; `None` when there is none to be had but others to wait for.
    fn grow(
        self: &Arc<Self>,
        generation: u64,
        deadline: Instant,
    ) -> Result<Option<Lease<C>>, Failure> {
        let started = Instant::now();
        // From here on a panic of the connector gives its place back too.
        let place = Place(self);
        let made = self.connector.connect(deadline);
        let mut state = self.lock();
        let failure = match made {
            Ok(connection) => {
                std::mem::forget(place);
                state.connecting -= 1;
                if generation == state.generation {
                    state.live += 1;
                }
                if state.down.take().is_some() {
                    self.changed.notify_all();
                }
                let shared = self.clone();
                return Ok(Some(Lease { connection: Some(connection), generation, shared }));
            }
            Err(failure) => failure,
        };
        // Counted out under the lock that decides, or the last two to fail would wait for each other.
        std::mem::forget(place);
        state.open -= 1;
        state.connecting -= 1;
        let timed_out = matches!(failure, Failure::TimedOut(_));
        if !timed_out && (state.live > 0 || state.connecting > 0) {
            state.grow_after = Some(Instant::now() + NO_GROWTH);
            return Ok(None);
        }
        if !timed_out || self.waited_long(started) {
            self.trip(state, &failure);
        } else {
            drop(state);
            self.changed.notify_one();
        }
        Err(failure)
    }

    /// Nothing as old as `generation` will be used again.
    fn condemn(&self, generation: u64) {
        let mut state = self.lock();
        if state.generation != generation {
            return;
        }
        state.generation += 1;
        state.live = 0;
        let old = std::mem::take(&mut state.idle);
        state.open -= old.len();
        drop(state);
        drop(old);
        self.changed.notify_all();
    }
}

/// A borrowed connection; dropped, it is closed and its place is free.
struct Lease<C: Connector> {
    connection: Option<C::Connection>,
    generation: u64,
    shared: Arc<Shared<C>>,
}

impl<C: Connector> Lease<C> {
    fn give_back(mut self) {
        let mut state = self.shared.lock();
        if state.generation != self.generation {
            return;
        }
        if let Some(connection) = self.connection.take() {
            state.idle.push(Idle { connection, since: Instant::now() });
        }
        let spawn = !state.reaping && state.open > self.shared.limits.min;
        drop(state);
        self.shared.changed.notify_one();
        if spawn {
            self.shared.reap_later();
        }
    }
}

impl<C: Connector> Drop for Lease<C> {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        drop(connection);
        let mut state = self.shared.lock();
        state.open -= 1;
        if state.generation == self.generation {
            state.live -= 1;
        }
        drop(state);
        self.shared.changed.notify_one();
    }
}

/// The place of a connection that is being made.
struct Place<'a, C: Connector>(&'a Shared<C>);

impl<C: Connector> Drop for Place<'_, C> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.open -= 1;
        state.connecting -= 1;
        drop(state);
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests;
