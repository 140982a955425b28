//! `Gate`: how many threads of a child may be inside databases at a time, all of them together and
//! each by itself.

#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a thread may queue, from its own arrival on.
const PATIENCE: Duration = Duration::from_millis(250);

/// The same before a store's very first answer, which comes after its first connections.
const FIRST_PATIENCE: Duration = Duration::from_secs(1);

/// A store that somebody is inside of, and that answers nobody for this long, is stuck.
const STALL: Duration = Duration::from_secs(1);

/// Lets half of a child's threads wait for databases, so that the other half can go on serving
/// what needs none; and one of several databases half of those, so that a stuck one leaves places
/// for the others. One for each child.
#[derive(Debug)]
pub struct Gate {
    limit: usize,
    /// How many stores there will be: most are opened when first asked, which may be too late.
    expected: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    inside: usize,
    stores: Vec<Visits>,
    /// First come, first served. Nobody in here could be let in: who leaves sees to that, so a
    /// newcomer overtakes nobody.
    queue: VecDeque<Ticket>,
}

/// What is known of one store.
#[derive(Debug)]
struct Visits {
    inside: usize,
    /// Since when somebody has been inside, if anybody is.
    occupied: Instant,
    answered: Option<Instant>,
}

/// One who queues: in, once the ticket is gone from the queue.
#[derive(Debug)]
struct Ticket {
    store: usize,
    called: Arc<Condvar>,
}

/// A store's own way in.
#[derive(Debug)]
pub(crate) struct Share {
    gate: Arc<Gate>,
    store: usize,
}

/// A place inside; given back when dropped.
#[derive(Debug)]
pub(crate) struct Permit<'a>(&'a Share);

/// There is no place, and none to wait for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Full {
    /// The store has answered none of those inside for long: it is not that so many ask.
    pub(crate) stuck: bool,
}

impl Gate {
    /// For a child with `threads` threads (`Host::threads`).
    pub fn new(threads: usize) -> Self {
        Self { limit: (threads / 2).max(1), expected: 1, state: Mutex::default() }
    }

    /// The same for a child that may open so many stores.
    #[must_use]
    pub fn expecting(self, stores: usize) -> Self {
        Self { expected: stores, ..self }
    }

    /// The way in for one more store.
    pub(crate) fn share(self: Arc<Self>) -> Share {
        let mut state = self.lock();
        let store = state.stores.len();
        state.stores.push(Visits { inside: 0, occupied: Instant::now(), answered: None });
        drop(state);
        Share { gate: self, store }
    }

    fn has_room(&self, state: &State, store: usize) -> bool {
        let several = self.expected.max(state.stores.len()) > 1;
        let share = if several { self.limit.div_ceil(2) } else { self.limit };
        let visits = state.stores.get(store);
        state.inside < self.limit && visits.is_some_and(|visits| visits.inside < share)
    }

    /// The first of those who queue that can be let in.
    fn next(&self, state: &mut State) -> Option<Ticket> {
        let first = state.queue.iter().position(|ticket| self.has_room(state, ticket.store))?;
        state.queue.remove(first)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    #[allow(clippy::indexing_slicing, reason = "numbers come from `Gate::share`; none is removed")]
    fn visits(&mut self, store: usize) -> &mut Visits {
        &mut self.stores[store]
    }

    fn admit(&mut self, store: usize) {
        self.inside += 1;
        let visits = self.visits(store);
        if visits.inside == 0 {
            // Nobody was asking, so silence until now was no stall.
            visits.occupied = Instant::now();
        }
        visits.inside += 1;
    }

    fn has(&self, ticket: &Arc<Condvar>) -> bool {
        self.queue.iter().any(|other| Arc::ptr_eq(&other.called, ticket))
    }
}

impl Visits {
    /// When those who wait may give up; `None` while nobody is inside.
    fn stuck_at(&self) -> Option<Instant> {
        let since = self.answered.map_or(self.occupied, |answered| answered.max(self.occupied));
        (self.inside > 0).then(|| since + STALL)
    }
}

impl Share {
    /// Where there is no room this waits a moment, unless the store is stuck.
    pub(crate) fn enter(&self, deadline: Instant) -> Result<Permit<'_>, Full> {
        let (gate, store) = (&self.gate, self.store);
        let mut state = gate.lock();
        if gate.has_room(&state, store) {
            state.admit(store);
            return Ok(Permit(self));
        }
        let first = state.visits(store).answered.is_none();
        let patience = if first { FIRST_PATIENCE } else { PATIENCE };
        let own = deadline.min(Instant::now() + patience);
        let called = Arc::new(Condvar::new());
        state.queue.push_back(Ticket { store, called: called.clone() });
        loop {
            let stuck_at = state.visits(store).stuck_at();
            let until = stuck_at.map_or(own, |stuck| stuck.min(own));
            let now = Instant::now();
            if until <= now {
                state.queue.retain(|ticket| !Arc::ptr_eq(&ticket.called, &called));
                return Err(Full { stuck: stuck_at.is_some_and(|stuck| stuck <= now) });
            }
            state = called
                .wait_timeout(state, until - now)
                .map_or_else(|poisoned| poisoned.into_inner().0, |(state, _)| state);
            // First of all, or a place given at this very moment would be lost.
            if !state.has(&called) {
                return Ok(Permit(self));
            }
        }
    }
}

impl Permit<'_> {
    /// An answer came: the store is not stuck.
    pub(crate) fn answered(&self) {
        let Share { gate, store } = self.0;
        gate.lock().visits(*store).answered = Some(Instant::now());
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        let Share { gate, store } = self.0;
        let mut state = gate.lock();
        state.inside -= 1;
        state.visits(*store).inside -= 1;
        while let Some(ticket) = gate.next(&mut state) {
            state.admit(ticket.store);
            ticket.called.notify_one();
        }
    }
}

#[cfg(test)]
mod tests;
