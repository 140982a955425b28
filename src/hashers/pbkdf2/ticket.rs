//! `Ticket`: where the outcome of a check that others do is waited for.
#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Instant;

use zeroize::Zeroizing;

use super::batch::Shared;
use super::job::Job;

/// What becomes of a job for which nobody waits any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Abandoned {
    /// It is given up at the end of a chunk.
    Dropped,
    /// It is done to its end: what it stands for (no such user) must not show in the load.
    Finished,
}

/// Why there is no derived key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfinished {
    /// The deadline came first.
    TimedOut,
    /// A defect of ours stopped the work.
    Lost,
}

/// A job that was submitted. Any number of threads may wait for it, each with its own deadline; when
/// the ticket is dropped, the job is abandoned.
pub struct Ticket {
    pub(super) shared: Arc<Shared>,
    pub(super) outcome: Arc<Outcome>,
    pub(super) abandoned: Abandoned,
    /// The job itself, where no worker can be had.
    pub(super) own: Mutex<Option<Task>>,
}

/// A job on its way through the queue and a worker's hands. Whoever drops it tells those who wait.
pub(super) struct Task {
    pub(super) job: Job,
    outcome: Arc<Outcome>,
}

/// What a task and its ticket share.
#[derive(Default)]
pub(super) struct Outcome {
    derived: Mutex<Option<Result<Zeroizing<Vec<u8>>, Unfinished>>>,
    known: Condvar,
    /// The job was abandoned and is to be dropped.
    unwanted: AtomicBool,
}

impl Ticket {
    /// The derived key, as soon as it is there.
    ///
    /// Where no worker can be had, the first thread that waits does the work itself: it ends at the
    /// deadline only if an abandoned job is to be dropped.
    ///
    /// # Errors
    /// `TimedOut` at `deadline`: the job goes on until the ticket is dropped. `Lost` after a panic.
    pub fn wait(&self, deadline: Instant) -> Result<Zeroizing<Vec<u8>>, Unfinished> {
        let own = self.own.lock().unwrap_or_else(PoisonError::into_inner).take();
        match own {
            Some(task) => self.work(task, deadline),
            None => self.outcome.wait(deadline),
        }
    }

    fn work(&self, mut task: Task, deadline: Instant) -> Result<Zeroizing<Vec<u8>>, Unfinished> {
        while !task.is_over() {
            if self.abandoned == Abandoned::Dropped && Instant::now() >= deadline {
                *self.own.lock().unwrap_or_else(PoisonError::into_inner) = Some(task);
                return Err(Unfinished::TimedOut);
            }
            self.shared.advance(&mut [&mut task.job]);
        }
        drop(task);
        self.outcome.wait(deadline)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let outcome = &self.outcome;
        let known = outcome.derived.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        if !known && self.abandoned == Abandoned::Dropped {
            outcome.unwanted.store(true, Ordering::Relaxed);
            self.shared.forget(outcome);
        }
    }
}

impl Task {
    pub(super) fn new(job: Job) -> (Self, Arc<Outcome>) {
        let outcome = Arc::new(Outcome::default());
        (Self { job, outcome: Arc::clone(&outcome) }, outcome)
    }

    pub(super) fn is_for(&self, outcome: &Arc<Outcome>) -> bool {
        Arc::ptr_eq(&self.outcome, outcome)
    }

    /// Whether the job is done, or nobody wants it any more.
    pub(super) fn is_over(&self) -> bool {
        self.job.is_done() || self.outcome.unwanted.load(Ordering::Relaxed)
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        let derived =
            if self.job.is_done() { Ok(self.job.derived()) } else { Err(Unfinished::Lost) };
        *self.outcome.derived.lock().unwrap_or_else(PoisonError::into_inner) = Some(derived);
        self.outcome.known.notify_all();
    }
}

impl Outcome {
    fn wait(&self, deadline: Instant) -> Result<Zeroizing<Vec<u8>>, Unfinished> {
        let derived = self.derived.lock().unwrap_or_else(PoisonError::into_inner);
        let left = deadline.saturating_duration_since(Instant::now());
        let (derived, _) = self
            .known
            .wait_timeout_while(derived, left, |derived| derived.is_none())
            .unwrap_or_else(PoisonError::into_inner);
        derived.clone().unwrap_or(Err(Unfinished::TimedOut))
    }
}
