//! `Gate`: how many threads of a child may be inside databases at a time, all of them together.

#![forbid(unsafe_code)]

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Without progress for this long, nobody more queues up.
const STALL: Duration = Duration::from_millis(250);

/// Lets half of a child's threads wait for databases, so that the other half can go on serving
/// what needs none. One for each child.
#[derive(Debug)]
pub struct Gate {
    limit: usize,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    active: usize,
    waiting: usize,
    progress: Instant,
}

/// A place inside; given back when dropped.
pub(crate) struct Permit<'a>(&'a Gate);

impl Gate {
    /// For a child with `threads` threads (`Host::threads`).
    pub fn new(threads: usize) -> Self {
        Self {
            limit: (threads / 2).max(1),
            state: Mutex::new(State { active: 0, waiting: 0, progress: Instant::now() }),
            changed: Condvar::new(),
        }
    }

    /// Over the limit this waits for as long as others are answered; the error is how many wait.
    pub(crate) fn enter(&self, deadline: Instant) -> Result<Permit<'_>, usize> {
        let mut state = self.lock();
        loop {
            if state.active < self.limit {
                if state.active == 0 {
                    // Nobody was asking, so silence until now was no stall.
                    state.progress = Instant::now();
                }
                state.active += 1;
                return Ok(Permit(self));
            }
            let now = Instant::now();
            let until = deadline.min(state.progress + STALL);
            if until <= now {
                return Err(state.active + state.waiting);
            }
            state.waiting += 1;
            state = self
                .changed
                .wait_timeout(state, until - now)
                .map_or_else(|poisoned| poisoned.into_inner().0, |(state, _)| state);
            state.waiting -= 1;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit<'_> {
    /// An answer came: those who wait may go on waiting.
    pub(crate) fn progressed(&self) {
        self.0.lock().progress = Instant::now();
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.0.lock().active -= 1;
        // All: one who gives up at this very moment would take the only wake-up with it.
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(5)
    }

    #[test]
    fn one_of_one_and_half_of_many() {
        assert_eq!(Gate::new(0).limit, 1);
        assert_eq!(Gate::new(1).limit, 1);
        assert_eq!(Gate::new(25).limit, 12);
    }

    #[test]
    fn a_stall_refuses_and_others_are_let_in_again() {
        let gate = Gate::new(4);
        let first = gate.enter(soon()).map_err(|_| ()).unwrap();
        let second = gate.enter(soon()).map_err(|_| ()).unwrap();
        let begun = Instant::now();
        assert_eq!(gate.enter(soon()).err(), Some(2));
        assert!((STALL / 2..STALL * 3).contains(&begun.elapsed()), "{:?}", begun.elapsed());
        let begun = Instant::now();
        assert_eq!(gate.enter(soon()).err(), Some(2));
        assert!(begun.elapsed() < STALL / 4, "a stall is known at once");
        drop(second);
        assert!(gate.enter(soon()).is_ok());
        drop(first);
    }

    #[test]
    fn silence_before_the_first_is_no_stall() {
        let gate = Gate::new(2);
        thread::sleep(STALL * 2);
        thread::scope(|scope| {
            let permit = gate.enter(soon()).map_err(|_| ()).unwrap();
            let waiter = scope.spawn(|| gate.enter(soon()).is_ok());
            thread::sleep(STALL / 4);
            drop(permit);
            assert!(waiter.join().unwrap());
        });
    }

    #[test]
    fn heavy_load_with_answers_is_never_refused() {
        let gate = Gate::new(4);
        let (inside, most, refused) =
            (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..32 {
                scope.spawn(|| {
                    for _ in 0..10 {
                        let Ok(permit) = gate.enter(soon()) else {
                            refused.fetch_add(1, Ordering::SeqCst);
                            continue;
                        };
                        let now = inside.fetch_add(1, Ordering::SeqCst) + 1;
                        most.fetch_max(now, Ordering::SeqCst);
                        thread::sleep(Duration::from_millis(2));
                        inside.fetch_sub(1, Ordering::SeqCst);
                        permit.progressed();
                    }
                });
            }
        });
        assert_eq!(refused.into_inner(), 0);
        assert_eq!(most.into_inner(), 2);
    }

    #[test]
    fn the_deadline_ends_the_wait() {
        let gate = Gate::new(1);
        let _permit = gate.enter(soon()).map_err(|_| ()).unwrap();
        let begun = Instant::now();
        assert!(gate.enter(begun + Duration::from_millis(30)).is_err());
        assert!(begun.elapsed() < STALL);
    }
}
