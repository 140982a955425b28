//! `Pool`: a few connections to one database, none of which is trusted longer than it works.

#![forbid(unsafe_code)]

mod upkeep;

use super::Host;
use super::failure::{Failure, seconds};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// After a refusal others are waited for; this long nobody asks for one connection more.
const NO_GROWTH: Duration = Duration::from_secs(1);

/// How long the others wait for the outcome of a trial, from its beginning on.
const TRIAL: Duration = Duration::from_millis(250);

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
    /// `rows=`: how old a row may be that nobody vouches for; zero: every request reads it.
    pub(crate) rows: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max: 4,
            min: 0,
            idle: Duration::from_secs(300),
            timeout: Duration::from_secs(5),
            rows: Duration::ZERO,
        }
    }
}

pub(crate) struct Pool<C: Connector>(Arc<Shared<C>>);

struct Shared<C: Connector> {
    connector: C,
    limits: Limits,
    host: Arc<dyn Host>,
    state: Mutex<State<C::Connection>>,
    /// For those who wait for a connection.
    changed: Condvar,
    /// For those who wait for the outcome of a trial.
    settled: Condvar,
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
    /// How many wait for `changed`.
    waiting: usize,
    breaker: Breaker,
    /// How long the next probe waits; longer each time, until a request was answered.
    pause: Duration,
    probing: bool,
    reaping: bool,
}

/// Whether requests are let to the database, or why they fail at once.
enum Breaker {
    Closed,
    Open(String),
    /// It takes connections again. Whether it answers, too, the next request will try.
    HalfOpen(String),
    /// A request tries, since then.
    Trying(String, Instant),
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
            waiting: 0,
            breaker: Breaker::Closed,
            pause: upkeep::BACK_OFF.0,
            probing: false,
            reaping: false,
        };
        let (state, changed, settled) = (Mutex::new(state), Condvar::new(), Condvar::new());
        Self(Arc::new(Shared { connector, limits, host, state, changed, settled }))
    }

    /// `max=`.
    pub(crate) fn max(&self) -> usize {
        self.0.limits.max
    }

    /// The failure of who has waited for a connection in vain.
    pub(crate) fn none_free(&self) -> Failure {
        self.0.none_free()
    }

    /// Does a time-out blame the database, or had the request spent its time before?
    pub(crate) fn waited_long(&self, started: Instant) -> bool {
        self.0.waited_long(started)
    }

    /// The failure of who has waited for an answer in vain.
    pub(crate) fn no_answer(&self) -> Failure {
        Failure::TimedOut(format!("no answer within {}", seconds(self.0.limits.timeout)))
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
        let mut trial = None;
        loop {
            let mut lease = shared.acquire(deadline, &mut trial)?;
            let started = Instant::now();
            let Some(connection) = &mut lease.connection else { continue };
            let failure = match query(&shared.connector, connection, deadline) {
                Ok(answer) => {
                    lease.give_back();
                    if trial.is_some() {
                        shared.close();
                    }
                    return Ok(answer);
                }
                Err(failure) => failure,
            };
            let generation = lease.generation;
            drop(lease);
            match &failure {
                // That is an answer, too.
                Failure::Query(_) if trial.is_some() => shared.close(),
                Failure::Query(_) => {}
                Failure::TimedOut(_) if !shared.waited_long(started) => {}
                Failure::Broken(_) if !repeated => {
                    repeated = true;
                    shared.condemn(generation);
                    continue;
                }
                // A connection that was condemned before tells nothing new.
                _ if shared.condemn(generation) || trial.is_some() => {
                    shared.trip(shared.lock(), &failure);
                }
                _ => {}
            }
            return Err(failure);
        }
    }
}

impl<C: Connector> Shared<C> {
    fn lock(&self) -> MutexGuard<'_, State<C::Connection>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn none_free(&self) -> Failure {
        let Limits { max, timeout, .. } = self.limits;
        let timeout = seconds(timeout);
        let reason =
            format!("no connection became free within {timeout}: all are in use (max={max})");
        Failure::TimedOut(reason)
    }

    fn waited_long(&self, started: Instant) -> bool {
        started.elapsed() >= (self.limits.timeout / 2).min(Duration::from_secs(1))
    }

    /// A connection; and the `trial`, if this is to be the request that tries.
    fn acquire(
        self: &Arc<Self>,
        deadline: Instant,
        trial: &mut Option<Trial<C>>,
    ) -> Result<Lease<C>, Failure> {
        let mut state = self.lock();
        loop {
            let now = Instant::now();
            match &state.breaker {
                _ if trial.is_some() => {}
                Breaker::Closed => {}
                Breaker::HalfOpen(reason) => {
                    state.breaker = Breaker::Trying(reason.clone(), now);
                    *trial = Some(Trial(self.clone(), now));
                }
                Breaker::Trying(reason, since) => {
                    let until = (*since + TRIAL).min(deadline);
                    if until <= now {
                        return Err(Failure::Refused(reason.clone()));
                    }
                    state = self
                        .settled
                        .wait_timeout(state, until - now)
                        .map_or_else(|poisoned| poisoned.into_inner().0, |(state, _)| state);
                    continue;
                }
                Breaker::Open(reason) => return Err(Failure::Refused(reason.clone())),
            }
            if now >= deadline {
                // It may have been for us that somebody was woken; so wake the next.
                self.changed.notify_one();
                return Err(self.none_free());
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
            state.waiting += 1;
            state = self
                .changed
                .wait_timeout(state, until - now)
                .map_or_else(|poisoned| poisoned.into_inner().0, |(state, _)| state);
            state.waiting -= 1;
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

    /// Nothing as old as `generation` will be used again; says whether that is news.
    fn condemn(&self, generation: u64) -> bool {
        let mut state = self.lock();
        if state.generation != generation {
            return false;
        }
        state.generation += 1;
        state.live = 0;
        let old = std::mem::take(&mut state.idle);
        state.open -= old.len();
        drop(state);
        drop(old);
        self.changed.notify_all();
        true
    }

    /// Closes the breaker: a request was answered.
    fn close(&self) {
        let mut state = self.lock();
        state.breaker = Breaker::Closed;
        state.pause = upkeep::BACK_OFF.0;
        drop(state);
        self.settled.notify_all();
    }
}

/// Held by the one request that tries, since then. Where it says neither, because it panicked or
/// had no time left to wait, the next request tries.
struct Trial<C: Connector>(Arc<Shared<C>>, Instant);

impl<C: Connector> Drop for Trial<C> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        if let Breaker::Trying(reason, since) = &mut state.breaker
            && *since == self.1
        {
            state.breaker = Breaker::HalfOpen(std::mem::take(reason));
            drop(state);
            self.0.settled.notify_all();
        }
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
        let awaited = state.waiting > 0;
        drop(state);
        if awaited {
            self.shared.changed.notify_one();
        }
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
