use super::*;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc;

const LIMITS: Limits = Limits { threads: 2, queue: 2, memory: 300 };

fn line() -> (&'static [Place], &'static AtomicU64) {
    let places: Vec<Place> = (0..8).map(|_| Place::default()).collect();
    (places.leak(), Box::leak(Box::default()))
}

fn at((places, next): (&'static [Place], &'static AtomicU64), process: u32) -> Turns {
    Turns::new(places, next, LIMITS, process, |process| process != 666)
}

fn soon() -> Instant {
    Instant::now() + Duration::from_millis(30)
}

fn later() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

#[test]
fn so_many_run_and_so_many_wait_in_order() {
    let line = line();
    let (first, second) = (at(line, 1), at(line, 2));
    let running = (first.enter(0, soon()).unwrap(), second.enter(0, soon()).unwrap());
    assert_eq!(first.enter(0, soon()).err(), Some(Busy::Full), "waited in vain");
    let (told, order) = mpsc::channel();
    let (third, fourth) = (at(line, 3), at(line, 4));
    thread::scope(|scope| {
        for (name, turns) in [(3, &third), (4, &fourth)] {
            let (told, before) = (told.clone(), first.ahead(u64::MAX, 0, true).checks);
            scope.spawn(move || {
                let turn = turns.enter(0, later()).unwrap();
                told.send(name).unwrap();
                drop(turn);
            });
            while first.ahead(u64::MAX, 0, true).checks == before {
                thread::sleep(PAUSE);
            }
        }
        // Two run and two wait: there is no more room.
        let start = Instant::now();
        assert_eq!(at(line, 5).enter(0, later()).err(), Some(Busy::Full));
        assert!(start.elapsed() < Duration::from_secs(10), "at once");
        drop(running.0);
        assert_eq!(order.recv().unwrap(), 3);
        assert_eq!(order.recv().unwrap(), 4);
        drop(running.1);
    });
    assert_eq!(first.ahead(u64::MAX, 0, true).checks, 0);
}

/// Though there is a thread for it; another one passes.
#[test]
fn an_equal_check_waits_for_the_first() {
    let line = line();
    let (first, second) = (at(line, 1), at(line, 2));
    let turn = first.enter(7, soon()).unwrap();
    assert_eq!(second.enter(7, soon()).err(), Some(Busy::Full));
    assert!(second.enter(8, soon()).is_ok() && second.enter(0, soon()).is_ok());
    thread::scope(|scope| {
        let followers = [&first, &second].map(|turns| scope.spawn(move || turns.enter(7, later())));
        while first.ahead(u64::MAX, 0, true).checks < 3 {
            thread::sleep(PAUSE);
        }
        assert!(followers.iter().all(|follower| !follower.is_finished()));
        drop(turn);
        // Both at once: neither waits for the other.
        let _turns = followers.map(|follower| follower.join().unwrap().unwrap());
    });
    // What nothing names equals nothing.
    let _turns = (first.enter(0, soon()).unwrap(), second.enter(0, soon()).unwrap());
}

#[test]
fn threads_that_hash_wait_however_many_they_are() {
    let line = line();
    let turns: Vec<_> = (1..=6).map(|process| at(line, process)).collect();
    let running = (turns[0].pace().unwrap(), turns[1].pace().unwrap());
    thread::scope(|scope| {
        for turns in &turns[2..] {
            scope.spawn(|| drop(turns.pace().unwrap()));
        }
        while turns[0].ahead(u64::MAX, 0, true).checks < 6 {
            thread::sleep(PAUSE);
        }
        assert_eq!(turns[0].enter(0, later()).err(), Some(Busy::Full));
        drop(running);
    });
    assert_eq!(turns[0].ahead(u64::MAX, 0, true).checks, 0);
}

#[test]
fn memory_is_waited_for_and_the_first_always_has_it() {
    let line = line();
    let turns = at(line, 1);
    let huge = turns.enter_memory(1000, soon()).unwrap();
    assert!(turns.enter_memory(1, soon()).is_err());
    drop(huge);
    let some = (turns.enter_memory(100, soon()).unwrap(), turns.enter_memory(200, soon()).unwrap());
    assert!(turns.enter_memory(1, soon()).is_err());
    // Checks do not stand in its way, nor it in theirs.
    let checks = (turns.enter(0, soon()).unwrap(), turns.enter(0, soon()).unwrap());
    drop(some.0);
    assert!(turns.enter_memory(100, soon()).is_ok());
    drop((some.1, checks));
}

#[test]
fn the_dead_leave_the_line() {
    let line = line();
    let dead = at(line, 666);
    let turns = (dead.enter(0, soon()).unwrap(), dead.enter(0, soon()).unwrap());
    std::mem::forget(turns);
    let living = at(line, 1);
    drop((living.enter(0, soon()).unwrap(), living.enter(0, soon()).unwrap()));
    // A child that begins with the number of one that died.
    std::mem::forget((living.enter(0, soon()).unwrap(), living.enter(0, soon()).unwrap()));
    assert!(at(line, 2).enter(0, soon()).is_err());
    let again = at(line, 1);
    assert!(again.enter(0, soon()).is_ok());
    // One whose number somebody else has now.
    let turn = again.enter(0, soon()).unwrap();
    turn.place.since.store(now() - OLDEST - 1, Ordering::Relaxed);
    std::mem::forget(turn);
    assert_eq!(at(line, 2).ahead(u64::MAX, 0, true).checks, 0);
}

#[test]
fn who_took_too_long_does_not_take_the_place_of_another() {
    let line = line();
    let (turns, other) = (at(line, 1), at(line, 2));
    let old = turns.enter(0, soon()).unwrap();
    old.place.since.store(now() - OLDEST - 1, Ordering::Relaxed);
    assert_eq!(other.ahead(u64::MAX, 0, true).checks, 0);
    let new = turns.enter(0, soon()).unwrap();
    assert!(std::ptr::eq(old.place, new.place));
    drop(old);
    assert_eq!(other.ahead(u64::MAX, 0, true).checks, 1);
    drop(new);
    assert_eq!(other.ahead(u64::MAX, 0, true).checks, 0);
}

#[test]
fn a_crowd_never_runs_at_once() {
    static RUNNING: AtomicU32 = AtomicU32::new(0);
    static CROWDED: AtomicBool = AtomicBool::new(false);
    let line = line();
    thread::scope(|scope| {
        for process in 1..=4 {
            scope.spawn(move || {
                let turns = at(line, process);
                for _ in 0..20 {
                    let _turn = turns.enter(0, later()).unwrap();
                    // One too many may slip in for once, where two come at the same time.
                    if RUNNING.fetch_add(1, Ordering::SeqCst) > 2 {
                        CROWDED.store(true, Ordering::SeqCst);
                    }
                    thread::sleep(PAUSE);
                    RUNNING.fetch_sub(1, Ordering::SeqCst);
                }
            });
        }
    });
    assert!(!CROWDED.load(Ordering::SeqCst));
}

#[test]
fn who_is_about_to_be_in_line_is_waited_for() {
    let line = line();
    let choosing = &line.0[0];
    choosing.since.store(now(), Ordering::Relaxed);
    choosing.process.store(1, Ordering::Relaxed);
    choosing.ticket.store(CHOOSING, Ordering::Relaxed);
    let turns = at(line, 2);
    assert_eq!(turns.enter_memory(200, soon()).err(), Some(Busy::Full));
    assert_eq!(turns.enter(0, soon()).err(), Some(Busy::Full));
    // Unless the process has died meanwhile.
    choosing.process.store(666, Ordering::Relaxed);
    assert!(turns.enter_memory(200, soon()).is_ok());
}
