//! `Siblings`: which checks children of many threads are doing, in memory that they share, so that one
//! waits for another's.

#![forbid(unsafe_code)]

use crate::cache::Id;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Places for checks; one that finds its place taken by another is told to nobody.
pub const CHECKS: usize = 1024;

/// How often somebody who waits looks; a hash takes ten times as long.
const PAUSE: Duration = Duration::from_millis(5);

/// So much of its time a check keeps for itself: the number of a child that died may be another
/// process's by now.
const SPARE: Duration = Duration::from_secs(5);

/// The bits that say whose a check is: Linux numbers processes by no more.
const PROCESS: u64 = (1 << 22) - 1;

/// What all children know of each other's checks.
pub struct Siblings {
    /// 0, or whose check it is and, in the other bits, which.
    places: &'static [AtomicU64],
    process: u32,
    /// Whether a process still lives.
    lives: fn(u32) -> bool,
}

impl Siblings {
    /// As `process` sees them, which does nothing yet: it has just begun.
    pub fn new(places: &'static [AtomicU64], process: u32, lives: fn(u32) -> bool) -> Self {
        let siblings = Self { places, process, lives };
        for place in places {
            let told = place.load(Ordering::Relaxed);
            // Of an earlier process with this number.
            if told & PROCESS == u64::from(process) {
                let _ = siblings.replace(place, told, 0);
            }
        }
        siblings
    }

    /// Tells the others of a check, until what is answered is dropped. Where one of them does an equal
    /// one, waits for it, until shortly before `deadline`: if the password is right, that is known by
    /// then.
    pub(super) fn tell(&self, id: &Id, deadline: Instant) -> Option<Told> {
        let (place, name) = self.place(id)?;
        let ours = name | u64::from(self.process);
        let told = || Some(Told { place, ours });
        let Err(theirs) = self.replace(place, 0, ours) else { return told() };
        let equal = theirs & !PROCESS == name;
        loop {
            let late = equal && Instant::now() + SPARE >= deadline;
            if late || !u32::try_from(theirs & PROCESS).is_ok_and(self.lives) {
                return self.replace(place, theirs, ours).ok().and_then(|_| told());
            }
            if !equal {
                return None;
            }
            thread::sleep(PAUSE);
            // For one alone: if the password is wrong, all others have to find out for themselves.
            if place.load(Ordering::Acquire) != theirs {
                return None;
            }
        }
    }

    /// Where a check belongs, and the bits that name it there.
    fn place(&self, id: &Id) -> Option<(&'static AtomicU64, u64)> {
        let (place, name) = id.split_first_chunk()?;
        let place = u64::from_ne_bytes(*place).checked_rem(self.places.len() as u64)?;
        let name = u64::from_ne_bytes(*name.first_chunk()?) & !PROCESS;
        Some((self.places.get(usize::try_from(place).ok()?)?, name))
    }

    fn replace(&self, place: &AtomicU64, old: u64, new: u64) -> Result<u64, u64> {
        place.compare_exchange(old, new, Ordering::AcqRel, Ordering::Acquire)
    }
}

/// What the others know of a check.
pub(super) struct Told {
    place: &'static AtomicU64,
    ours: u64,
}

impl Drop for Told {
    fn drop(&mut self) {
        // Else it took so long that the place was given to somebody else. What was found out is seen by
        // whoever sees that it is over.
        let (old, new) = (self.ours, 0);
        let _ = self.place.compare_exchange(old, new, Ordering::Release, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hashing::tests::until;
    use std::sync::atomic::AtomicU32;

    const IDS: [Id; 2] = [[1; 32], [2; 32]];
    const DEAD: u32 = 666;

    fn places() -> &'static [AtomicU64] {
        (0..8).map(|_| AtomicU64::new(0)).collect::<Vec<_>>().leak()
    }

    fn of(places: &'static [AtomicU64], process: u32) -> Siblings {
        Siblings::new(places, process, |process| process != DEAD)
    }

    /// A deadline that leaves so much for a wait.
    fn within(milliseconds: u64) -> Instant {
        Instant::now() + SPARE + Duration::from_millis(milliseconds)
    }

    #[test]
    fn an_equal_check_of_another_child_is_waited_for() {
        static ASKED: [AtomicU32; 2] = [AtomicU32::new(0), AtomicU32::new(0)];
        const ASKS: [fn(u32) -> bool; 2] = [
            |_| ASKED[0].fetch_add(1, Ordering::SeqCst) < u32::MAX,
            |_| ASKED[1].fetch_add(1, Ordering::SeqCst) < u32::MAX,
        ];
        let places = places();
        let first = of(places, 1);
        let [second, third] =
            [(2, ASKS[0]), (3, ASKS[1])].map(|(n, asks)| Siblings::new(places, n, asks));
        let told = first.tell(&IDS[0], within(0)).unwrap();
        // Nobody waits for another one.
        drop(second.tell(&IDS[1], within(0)).unwrap());
        thread::scope(|scope| {
            let others =
                [&second, &third].map(|child| scope.spawn(|| child.tell(&IDS[0], within(20_000))));
            until(|| ASKED.iter().all(|asked| asked.load(Ordering::SeqCst) > 1));
            assert!(others.iter().all(|other| !other.is_finished()));
            let begun = Instant::now();
            drop(told);
            // Neither waits for the other.
            assert!(others.map(|other| other.join().unwrap().is_none()) == [true; 2]);
            assert!(begun.elapsed() < Duration::from_secs(10));
        });
        // It is over.
        assert!(second.tell(&IDS[0], within(0)).is_some());
    }

    #[test]
    fn who_waits_keeps_time_for_himself() {
        let places = places();
        let (first, second) = (of(places, 1), of(places, 2));
        let told = first.tell(&IDS[0], within(0)).unwrap();
        let begun = Instant::now();
        let taken = second.tell(&IDS[0], within(50)).unwrap();
        assert!((50..4000).contains(&begun.elapsed().as_millis()));
        // Whoever has lost the place does not free it.
        drop(told);
        assert_ne!(taken.place.load(Ordering::SeqCst), 0);
        drop(taken);
        assert!(places.iter().all(|place| place.load(Ordering::SeqCst) == 0));
    }

    #[test]
    fn a_place_that_another_check_has_stays_its() {
        let (places, mut other) = (places(), IDS[0]);
        other[8..].fill(9);
        let (first, second) = (of(places, 1), of(places, 2));
        let told = first.tell(&IDS[0], within(0));
        assert!(second.tell(&other, within(20_000)).is_none());
        drop(told);
        assert!(second.tell(&other, within(0)).is_some());
    }

    #[test]
    fn the_dead_leave_their_places() {
        let (places, mut other) = (places(), IDS[0]);
        other[8..].fill(9);
        let (dead, living) = (of(places, DEAD), of(places, 1));
        for id in [IDS[0], other] {
            let lost = dead.tell(&IDS[0], within(0)).unwrap();
            let told = living.tell(&id, within(20_000)).unwrap();
            drop(lost);
            assert_ne!(told.place.load(Ordering::SeqCst), 0);
        }
        // A child that begins with the number of one that died.
        std::mem::forget(living.tell(&IDS[0], within(0)).unwrap());
        assert!(of(places, 1).tell(&IDS[0], within(0)).is_some());
    }
}
