//! `Hashing`: hashes are admitted, not suffered. So many run, so many wait, and beyond that a request
//! fails at once; equal checks are done once; what takes much memory waits for it.

#![forbid(unsafe_code)]

mod flight;
mod siblings;
mod turns;

pub use siblings::{CHECKS, Siblings};
pub use turns::{PLACES, Place, Turns};

use crate::cache::Id;
use crate::error::Error;
use crate::hashers::pbkdf2::{Batch, Job, Pace, Spawn, Ticket};
use crate::hashers::{Crew, Derived, Stopped, Verdict, Work};
use flight::Flights;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// How long one request may wait for its hashes, the queue included.
const PATIENCE: Duration = Duration::from_secs(30);

/// `AuthDjangoHashing`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Hashes that run at a time, in the whole server.
    pub threads: usize,
    /// Checks that wait beside them: of the whole server with prefork, else of each child.
    pub queue: usize,
    /// What all memory-hard hashes of the server may have at a time, in KiB.
    pub memory: u32,
}

/// What a child hashes with.
pub struct Hashing {
    batch: Batch,
    /// The line of the whole server; without it a child counts for itself.
    turns: Option<Arc<Turns>>,
    /// What the other children are checking; in the line that is known, too.
    siblings: Option<Siblings>,
    /// Whether every check stands in it, because children have one thread each; elsewhere those who
    /// hash do.
    single: bool,
    /// Checks of this child that run or wait.
    inside: AtomicUsize,
    most: usize,
    flights: Flights,
    /// Gives what a memory-hard hash has left behind back to the system, which an allocator would
    /// keep for each thread.
    trim: fn(),
}

/// Why a check was not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Busy {
    /// Too many wait already, or it took too long.
    Full,
    /// A defect of ours stopped the work.
    Lost,
}

impl From<Stopped> for Busy {
    fn from(stopped: Stopped) -> Self {
        match stopped {
            Stopped::TimedOut => Self::Full,
            Stopped::Lost => Self::Lost,
        }
    }
}

impl From<Busy> for Error {
    fn from(busy: Busy) -> Self {
        match busy {
            Busy::Full => Self::Busy,
            Busy::Lost => Self::Lost,
        }
    }
}

impl Hashing {
    /// For a child of `serving` threads, of which at most half wait for hashes, so that the others serve
    /// whoever is verified. `spawn` starts threads of a lower priority.
    pub fn new(
        limits: Limits,
        serving: usize,
        turns: Option<Arc<Turns>>,
        siblings: Option<Siblings>,
        spawn: Box<Spawn>,
        trim: fn(),
    ) -> Self {
        let single = serving <= 1 && turns.is_some();
        let threads = if single { 1 } else { limits.threads };
        // Even an only child: at a graceful restart there is another one before it.
        let paced = turns.clone().filter(|_| !single);
        let pace = paced.map(|turns| -> Box<Pace> { Box::new(move || Box::new(turns.pace())) });
        Self {
            batch: Batch::new(threads, spawn, pace),
            turns,
            siblings: siblings.filter(|_| !single),
            single,
            inside: AtomicUsize::new(0),
            most: serving.div_ceil(2).min(threads + limits.queue),
            flights: Flights::default(),
            trim,
        }
    }

    /// Has `work` done by the crew, unless the same check, by its `id`, is being done: then its
    /// verdict is waited for. If all children learn of a right password, they wait for each other; then
    /// `work` is to look first.
    ///
    /// # Errors
    /// When there is no room, or no verdict in time.
    pub fn check(
        &self,
        id: Id,
        all_learn: bool,
        work: impl FnOnce(&dyn Crew) -> Result<Verdict, Stopped>,
    ) -> Result<Verdict, Busy> {
        let _inside = Inside::enter(&self.inside, self.most).ok_or(Busy::Full)?;
        let deadline = Instant::now() + PATIENCE;
        let work = || -> Result<Verdict, Busy> {
            let turn = self.turns.as_ref().filter(|_| self.single);
            let check = id.first_chunk().filter(|_| all_learn);
            let check = check.map_or(0, |name| u64::from_ne_bytes(*name));
            let _turn = turn.map(|turns| turns.enter(check, deadline)).transpose()?;
            let siblings = self.siblings.as_ref().filter(|_| all_learn);
            let _told = siblings.and_then(|siblings| siblings.tell(&id, deadline));
            Ok(work(&Admitted { hashing: self, deadline })?)
        };
        self.flights.join(id, deadline, work)
    }

    #[cfg(test)]
    pub(crate) fn followers(&self) -> usize {
        self.flights.followers()
    }
}

/// A check that runs or waits.
struct Inside<'a>(&'a AtomicUsize);

impl<'a> Inside<'a> {
    fn enter(inside: &'a AtomicUsize, most: usize) -> Option<Self> {
        let entered = |now: usize| (now < most).then_some(now + 1);
        inside
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, entered)
            .ok()
            .map(|_| Self(inside))
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The crew of a check that was admitted.
struct Admitted<'a> {
    hashing: &'a Hashing,
    deadline: Instant,
}

impl Crew for Admitted<'_> {
    fn pbkdf2_sha256(&self, password: &[u8], salt: &[u8], iterations: u32) -> Derived {
        let job = Job::new(password, salt, iterations);
        Ok(self.outcome(&self.hashing.batch.submit(job))?)
    }

    fn work(&self, memory: u32, work: Work) -> Derived {
        let turns = self.hashing.turns.as_ref().filter(|_| memory > 0);
        let turn = turns
            .map(|turns| turns.enter_memory(memory, self.deadline))
            .transpose()
            .map_err(|_| Stopped::TimedOut)?;
        let outcome = Arc::new(OnceLock::new());
        let (place, trim) = (Arc::clone(&outcome), self.hashing.trim);
        let ticket = self.hashing.batch.run(Box::new(move || {
            // As long as the work takes, though nobody may wait for it so long.
            let _turn = turn;
            let derived = work();
            if memory > 0 {
                trim();
            }
            drop(place.set(derived));
        }));
        self.outcome(&ticket)?;
        let derived = Arc::into_inner(outcome).and_then(OnceLock::into_inner);
        derived.ok_or(Stopped::Lost)?.map_err(Into::into)
    }
}

impl Admitted<'_> {
    fn outcome(&self, ticket: &Ticket) -> Result<Zeroizing<Vec<u8>>, Stopped> {
        ticket.wait(self.deadline).map_err(Into::into)
    }
}

#[cfg(test)]
pub(crate) mod tests;
