//! `Ticket`: where the outcome of a check that others do is waited for.
#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Instant;

use zeroize::Zeroizing;

use super::batch::Shared;
use super::job::Job;

/// Why there is no derived key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfinished {
    /// The deadline came first.
    TimedOut,
    /// A defect of ours stopped the work.
    Lost,
}

/// A job that was submitted. Any number of threads may wait for it, each with its own deadline; when
/// the ticket is dropped, the job is given up: in the queue, or at the end of a chunk. What is done
/// at a stretch goes on once it has begun.
pub struct Ticket {
    pub(super) shared: Arc<Shared>,
    pub(super) outcome: Arc<Outcome>,
    /// The job itself, where no worker can be had.
    pub(super) own: Mutex<Option<Task>>,
}

/// Work on its way through the queue and a worker's hands. Whoever drops it tells those who wait.
pub(super) struct Task {
    pub(super) work: Work,
    outcome: Arc<Outcome>,
}

/// What there is to do.
pub(super) enum Work {
    /// A check that may share the lanes with others.
    Job(Job),
    /// Something that is done at a stretch, by a worker that has nothing else in hand; `None` once it
    /// was done.
    Whole(Option<Box<dyn FnOnce() + Send>>),
}

/// What a task and its ticket share.
#[derive(Default)]
pub(super) struct Outcome {
    derived: Mutex<Option<Result<Zeroizing<Vec<u8>>, Unfinished>>>,
    known: Condvar,
    /// The job was given up.
    unwanted: AtomicBool,
}

impl Ticket {
    /// The derived key, as soon as it is there.
    ///
    /// Where no worker can be had, the first thread that waits does the work itself.
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
            if Instant::now() >= deadline {
                *self.own.lock().unwrap_or_else(PoisonError::into_inner) = Some(task);
                return Err(Unfinished::TimedOut);
            }
            task.work.go_on(&self.shared);
        }
        drop(task);
        self.outcome.wait(deadline)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let outcome = &self.outcome;
        let known = outcome.derived.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        if !known {
            outcome.unwanted.store(true, Ordering::Relaxed);
            self.shared.forget(outcome);
        }
    }
}

impl Task {
    pub(super) fn new(work: Work) -> (Self, Arc<Outcome>) {
        let outcome = Arc::new(Outcome::default());
        (Self { work, outcome: Arc::clone(&outcome) }, outcome)
    }

    pub(super) fn is_for(&self, outcome: &Arc<Outcome>) -> bool {
        Arc::ptr_eq(&self.outcome, outcome)
    }

    pub(super) fn shares_lanes(&self) -> bool {
        matches!(self.work, Work::Job(_))
    }

    /// Whether the job is done, or nobody wants it any more.
    pub(super) fn is_over(&self) -> bool {
        self.work.is_done() || self.outcome.unwanted.load(Ordering::Relaxed)
    }
}

impl Work {
    fn is_done(&self) -> bool {
        match self {
            Self::Job(job) => job.is_done(),
            Self::Whole(work) => work.is_none(),
        }
    }

    /// One chunk of a check by itself, or all of what is done at a stretch.
    pub(super) fn go_on(&mut self, shared: &Shared) {
        match self {
            Self::Job(job) => shared.advance(&mut [job]),
            Self::Whole(work) => {
                if let Some(body) = work.take() {
                    // A panic must not look like an end.
                    let mut lost = Unlost(work, true);
                    body();
                    lost.1 = false;
                }
            }
        }
    }
}

/// Puts something undone back where work was interrupted.
struct Unlost<'a>(&'a mut Option<Box<dyn FnOnce() + Send>>, bool);

impl Drop for Unlost<'_> {
    fn drop(&mut self) {
        if self.1 {
            *self.0 = Some(Box::new(|| ()));
        }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        let derived = match &self.work {
            Work::Job(job) if job.is_done() => Ok(job.derived()),
            Work::Whole(None) => Ok(Zeroizing::default()),
            _ => Err(Unfinished::Lost),
        };
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
