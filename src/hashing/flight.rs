//! `Flights`: equal checks are done once, and the others wait for the verdict.

#![forbid(unsafe_code)]

use super::Busy;
use crate::cache::Id;
use crate::hashers::Verdict;
use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// The checks that are being done.
#[derive(Default)]
pub(super) struct Flights(Mutex<HashMap<Id, Arc<Flight>>>);

#[derive(Default)]
struct Flight {
    landed: Mutex<Option<Result<Verdict, Busy>>>,
    told: Condvar,
}

impl Flights {
    /// The verdict of `work`, or of whoever does the same at this moment; who came first and has run out
    /// of time leaves the work to those who have some.
    pub(super) fn join(
        &self,
        id: Id,
        deadline: Instant,
        work: impl FnOnce() -> Result<Verdict, Busy>,
    ) -> Result<Verdict, Busy> {
        let flight = loop {
            let mut flights = self.lock();
            let Some(flight) = flights.get(&id).map(Arc::clone) else {
                let flight = Arc::new(Flight::default());
                flights.insert(id, Arc::clone(&flight));
                break flight;
            };
            drop(flights);
            let verdict = flight.wait(deadline);
            if verdict != Err(Busy::Full) || Instant::now() >= deadline {
                return verdict;
            }
        };
        // Dropped by a panic too: nobody waits for what never comes.
        let mut pilot = Pilot { flights: self, id, flight, verdict: Err(Busy::Lost) };
        pilot.verdict = work();
        pilot.verdict.clone()
    }

    /// How many wait for others' verdicts.
    #[cfg(test)]
    pub(super) fn followers(&self) -> usize {
        // Beside the map's and the pilot's.
        self.lock().values().map(|flight| Arc::strong_count(flight) - 2).sum()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Id, Arc<Flight>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Flight {
    fn wait(&self, deadline: Instant) -> Result<Verdict, Busy> {
        let landed = self.landed.lock().unwrap_or_else(PoisonError::into_inner);
        let left = deadline.saturating_duration_since(Instant::now());
        let (landed, _) = self
            .told
            .wait_timeout_while(landed, left, |landed| landed.is_none())
            .unwrap_or_else(PoisonError::into_inner);
        landed.clone().unwrap_or(Err(Busy::Full))
    }
}

/// Who does the work for the others.
struct Pilot<'a> {
    flights: &'a Flights,
    id: Id,
    flight: Arc<Flight>,
    verdict: Result<Verdict, Busy>,
}

impl Drop for Pilot<'_> {
    fn drop(&mut self) {
        self.flights.lock().remove(&self.id);
        let mut landed = self.flight.landed.lock().unwrap_or_else(PoisonError::into_inner);
        *landed = Some(self.verdict.clone());
        drop(landed);
        self.flight.told.notify_all();
    }
}
