//! `Turns`: one line for all children, in memory that they share: first come, first served, and a
//! child that has died leaves the line.

#![forbid(unsafe_code)]

use super::{Busy, Limits, PATIENCE};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How often whoever is next looks; a hash takes a hundred times as long.
const PAUSE: Duration = Duration::from_millis(1);

/// Who stands further behind looks less often, up to so many pauses.
const PAUSES: u32 = 20;

/// How often somebody who waits asks the system whether those before are alive.
const ROLL_CALL: Duration = Duration::from_millis(100);

/// As many can stand in line.
pub const PLACES: usize = 1024;

/// A place in the line; zeros are a free one.
#[derive(Debug, Default)]
pub struct Place {
    /// Whose it is; 0: nobody's.
    process: AtomicU32,
    /// What the hash will take, in KiB.
    memory: AtomicU32,
    /// What names the check; 0: nothing does.
    check: AtomicU64,
    /// Who came first; 0: not in line yet; `CHOOSING`: about to be.
    ticket: AtomicU64,
    /// Since when, in seconds since 1970.
    since: AtomicU64,
}

/// Whoever comes later waits until this one has a ticket, which may be an earlier one (Lamport, "A New
/// Solution of Dijkstra's Concurrent Programming Problem").
const CHOOSING: u64 = u64::MAX;

/// No hash takes so long (seconds), so that another process has the number of one that died.
const OLDEST: u64 = 120;

/// The line.
pub struct Turns {
    places: &'static [Place],
    next: &'static AtomicU64,
    limits: Limits,
    process: u32,
    /// Whether a process still lives.
    lives: fn(u32) -> bool,
}

/// What stands before somebody in the line: checks as a whole, and memory for single hashes.
#[derive(Default)]
struct Ahead {
    checks: usize,
    memory: u64,
    /// The first of equal checks among them, by its ticket.
    equal: Option<u64>,
    /// Somebody is about to be in line, perhaps before.
    unsure: bool,
}

impl Turns {
    /// The line in `places`, as `process` sees it, whose own places are free: it has just begun.
    pub fn new(
        places: &'static [Place],
        next: &'static AtomicU64,
        limits: Limits,
        process: u32,
        lives: fn(u32) -> bool,
    ) -> Self {
        let turns = Self { places, next, limits, process, lives };
        // Of an earlier process with this number.
        turns.places.iter().for_each(|place| place.leave(process));
        turns
    }

    /// Waits in the line for the turn of a `check`, and until the first of equal ones that came before
    /// has left: if the password is right, that is known by then. 0 equals none.
    pub(super) fn enter(&self, check: u64, deadline: Instant) -> Result<Turn, Busy> {
        let most = self.limits.threads + self.limits.queue;
        if self.ahead(u64::MAX, 0, true).checks >= most {
            return Err(Busy::Full);
        }
        self.wait(0, check, deadline)
    }

    /// Waits until so much `memory` is left for a hash, of which the first always has it. A check that
    /// waits for memory keeps its turn.
    pub(super) fn enter_memory(&self, memory: u32, deadline: Instant) -> Result<Turn, Busy> {
        self.wait(memory, 0, deadline)
    }

    /// Waits for the turn of a thread that has checks in hand; `None` where there is none to be had
    /// for so long that whoever waits for these checks has gone.
    pub(super) fn pace(&self) -> Option<Turn> {
        self.wait(0, 0, Instant::now() + PATIENCE).ok()
    }

    fn wait(&self, memory: u32, check: u64, deadline: Instant) -> Result<Turn, Busy> {
        let place = self.places.iter().find(|place| self.take(place)).ok_or(Busy::Full)?;
        let mut turn = Turn { place, process: self.process, ticket: CHOOSING };
        place.memory.store(memory, Ordering::Relaxed);
        place.check.store(check, Ordering::Relaxed);
        place.since.store(now(), Ordering::Relaxed);
        place.ticket.store(CHOOSING, Ordering::Release);
        // Whoever has a later ticket sees what was stored before this one was taken.
        let ticket = self.next.fetch_add(1, Ordering::AcqRel) + 1;
        place.ticket.store(ticket, Ordering::Release);
        turn.ticket = ticket;
        let mut called: Option<Instant> = None;
        let mut first = None;
        loop {
            let call = called.is_none_or(|called| called.elapsed() >= ROLL_CALL);
            if call {
                called = Some(Instant::now());
            }
            let ahead = self.ahead(ticket, check, call);
            // For one alone: if the password is wrong, all others have to find out for themselves.
            first = first.or(ahead.equal);
            let may = match memory {
                0 => {
                    let first_has_left = ahead.equal.is_none() || ahead.equal != first;
                    ahead.checks < self.limits.threads && first_has_left
                }
                memory => {
                    ahead.memory == 0
                        || ahead.memory + u64::from(memory) <= u64::from(self.limits.memory)
                }
            };
            if may && !ahead.unsure {
                return Ok(turn);
            }
            if Instant::now() >= deadline {
                return Err(Busy::Full);
            }
            let behind = ahead.checks.saturating_sub(self.limits.threads);
            thread::sleep(PAUSE * u32::try_from(behind).unwrap_or(PAUSES).clamp(1, PAUSES));
        }
    }

    fn take(&self, place: &Place) -> bool {
        let (free, ours) = (0, self.process);
        place.process.compare_exchange(free, ours, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// Who came before `ticket`, with a `check`; at a roll `call` the dead leave.
    fn ahead(&self, ticket: u64, check: u64, call: bool) -> Ahead {
        let (mut ahead, now) = (Ahead::default(), now());
        for place in self.places {
            let theirs = place.ticket.load(Ordering::Acquire);
            if theirs == 0 || (theirs >= ticket && theirs != CHOOSING) {
                continue;
            }
            let process = place.process.load(Ordering::Relaxed);
            let old = now.saturating_sub(place.since.load(Ordering::Relaxed)) > OLDEST;
            if call && process != self.process && (old || !(self.lives)(process)) {
                place.leave(process);
                continue;
            }
            if theirs == CHOOSING {
                ahead.unsure = true;
                continue;
            }
            match place.memory.load(Ordering::Relaxed) {
                0 => {
                    ahead.checks += 1;
                    if check != 0 && place.check.load(Ordering::Relaxed) == check {
                        ahead.equal = Some(ahead.equal.map_or(theirs, |first| first.min(theirs)));
                    }
                }
                memory => ahead.memory += u64::from(memory),
            }
        }
        ahead
    }
}

impl Place {
    /// Frees the place, if it is that process's.
    fn leave(&self, process: u32) {
        if process != 0 && self.process.load(Ordering::Relaxed) == process {
            // What was done in the turn is seen by whoever sees that it is over.
            self.ticket.store(0, Ordering::Release);
            self.memory.store(0, Ordering::Relaxed);
            let _ = self.process.compare_exchange(process, 0, Ordering::Release, Ordering::Relaxed);
        }
    }
}

/// A place in the line, until it is dropped.
pub(super) struct Turn {
    place: &'static Place,
    process: u32,
    ticket: u64,
}

impl Drop for Turn {
    fn drop(&mut self) {
        // Else it took so long that the place was given to somebody else.
        if self.place.ticket.load(Ordering::Relaxed) == self.ticket {
            self.place.leave(self.process);
        }
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests;
