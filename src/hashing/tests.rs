use super::*;
use std::io;
use std::sync::atomic::{AtomicU32, AtomicU64};
use std::sync::{Condvar, Mutex, mpsc};
use std::thread;

const LIMITS: Limits = Limits { threads: 2, queue: 100, memory: 1000 };

fn threads() -> Box<Spawn> {
    Box::new(|body| thread::Builder::new().spawn(body).map(drop))
}

fn hashing(serving: usize) -> Arc<Hashing> {
    Arc::new(Hashing::new(LIMITS, serving, None, None, threads(), || ()))
}

/// What is closed until the test opens it.
#[derive(Default)]
struct Door(Mutex<bool>, Condvar);

impl Door {
    fn open(&self) {
        *self.0.lock().unwrap() = true;
        self.1.notify_all();
    }

    fn wait(&self) {
        // In the end, so that a test which fails before ends.
        let (patience, closed) = (Duration::from_secs(20), self.0.lock().unwrap());
        let _open = self.1.wait_timeout_while(closed, patience, |open| !*open).unwrap();
    }
}

/// Waits for what is about to be.
pub(crate) fn until(is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !is_so() {
        assert!(Instant::now() < deadline, "it is not so");
        thread::sleep(Duration::from_millis(1));
    }
}

fn expected(iterations: u32) -> Vec<u8> {
    let mut derived = vec![0; 32];
    pbkdf2::pbkdf2_hmac::<sha2::Sha256>(b"secret", b"salt", iterations, &mut derived);
    derived
}

#[test]
fn the_crew_does_the_work() {
    for spawn in [threads(), Box::new(|_| Err(io::ErrorKind::Other.into())) as Box<Spawn>] {
        let hashing = Hashing::new(LIMITS, 8, None, None, spawn, || ());
        let verdict = hashing.check([9; 32], false, |crew| {
            let derived = crew.pbkdf2_sha256(b"secret", b"salt", 5000).unwrap();
            assert_eq!(*derived, expected(5000));
            let derived = crew.work(1, Box::new(|| Ok(vec![1, 2].into())));
            assert_eq!(*derived.unwrap(), [1, 2]);
            let refused = crew.work(0, Box::new(|| Err(crate::hashers::Reason::NoMemory)));
            assert_eq!(refused, Err(crate::hashers::Reason::NoMemory.into()));
            Ok(Verdict::Correct)
        });
        assert_eq!(verdict, Ok(Verdict::Correct));
    }
}

#[test]
fn half_of_the_threads_may_wait_and_the_next_one_fails_at_once() {
    let (hashing, door) = (hashing(8), Arc::new(Door::default()));
    let (told, inside) = mpsc::channel();
    thread::scope(|scope| {
        for n in 0..4 {
            let (hashing, door, told) = (&hashing, &door, told.clone());
            scope.spawn(move || {
                hashing.check([n; 32], false, |_| {
                    told.send(()).unwrap();
                    door.wait();
                    Ok(Verdict::Wrong)
                })
            });
        }
        (0..4).for_each(|_| inside.recv().unwrap());
        assert_eq!(hashing.check([9; 32], false, |_| Ok(Verdict::Correct)), Err(Busy::Full));
        door.open();
    });
    assert_eq!(hashing.check([9; 32], false, |_| Ok(Verdict::Correct)), Ok(Verdict::Correct));
}

#[test]
fn the_queue_has_a_bound() {
    let limits = Limits { threads: 2, queue: 1, ..LIMITS };
    let hashing = Hashing::new(limits, 64, None, None, threads(), || ());
    let inside: Vec<_> =
        (0..3).filter_map(|_| Inside::enter(&hashing.inside, hashing.most)).collect();
    assert_eq!(inside.len(), 3, "two that run, one that waits");
    assert_eq!(hashing.check([9; 32], false, |_| Ok(Verdict::Correct)), Err(Busy::Full));
    drop(inside);
    assert_eq!(hashing.check([9; 32], false, |_| Ok(Verdict::Correct)), Ok(Verdict::Correct));
}

/// What runs has its memory until it ends; what had not begun is not done.
#[test]
fn who_has_waited_too_long_leaves_no_work_behind() {
    let places: Vec<Place> = (0..8).map(|_| Place::default()).collect();
    let turns = Turns::new(places.leak(), Box::leak(Box::default()), LIMITS, 1, |_| true);
    let limits = Limits { threads: 1, ..LIMITS };
    let hashing = Hashing::new(limits, 64, Some(Arc::new(turns)), None, threads(), || ());
    let within = |time| Admitted { hashing: &hashing, deadline: Instant::now() + time };
    let (soon, later) = (Duration::from_millis(50), Duration::from_secs(2));
    let (door, begun) = (Arc::new(Door::default()), Arc::new(AtomicU32::new(0)));
    let work = || -> Work {
        let (door, begun) = (Arc::clone(&door), Arc::clone(&begun));
        Box::new(move || {
            begun.fetch_add(1, Ordering::SeqCst);
            door.wait();
            Ok(Zeroizing::default())
        })
    };
    let room = || hashing.turns.as_ref().unwrap().enter_memory(1, within(soon).deadline).is_ok();
    let stopped = Err(Stopped::TimedOut.into());
    assert_eq!(within(later).work(LIMITS.memory, work()), stopped, "it was begun");
    assert!(!room(), "it still has its memory");
    assert_eq!(within(soon).work(0, work()), stopped, "it was not begun");
    assert_eq!(within(soon).pbkdf2_sha256(b"secret", b"salt", 1000), stopped);
    assert_eq!((begun.load(Ordering::SeqCst), hashing.batch.waiting()), (1, 0));
    door.open();
    assert_eq!(within(PATIENCE).work(LIMITS.memory, work()), Ok(Zeroizing::default()));
    assert_eq!(begun.load(Ordering::SeqCst), 2);
    assert!(room());
}

#[test]
fn equal_checks_are_done_once() {
    let (hashing, door) = (hashing(64), Door::default());
    let done = AtomicU32::new(0);
    let (told, begun) = mpsc::channel();
    thread::scope(|scope| {
        let first = scope.spawn(|| {
            hashing.check([1; 32], false, |_| {
                told.send(()).unwrap();
                door.wait();
                done.fetch_add(1, Ordering::SeqCst);
                Ok(Verdict::Correct)
            })
        });
        begun.recv().unwrap();
        let again = |id| {
            let (hashing, done) = (&hashing, &done);
            scope.spawn(move || {
                hashing.check(id, false, |_| {
                    done.fetch_add(1, Ordering::SeqCst);
                    Ok(Verdict::Wrong)
                })
            })
        };
        assert_eq!(again([2; 32]).join().unwrap(), Ok(Verdict::Wrong));
        let others: Vec<_> = (0..10).map(|_| again([1; 32])).collect();
        until(|| hashing.followers() == 10);
        door.open();
        assert_eq!(first.join().unwrap(), Ok(Verdict::Correct));
        for other in others {
            assert_eq!(other.join().unwrap(), Ok(Verdict::Correct));
        }
    });
    assert_eq!(done.load(Ordering::SeqCst), 2);
    // It is over: the next one is done anew.
    assert_eq!(hashing.check([1; 32], false, |_| Ok(Verdict::Wrong)), Ok(Verdict::Wrong));
}

/// Before it looks whether all have learnt that the password is right.
#[test]
fn a_check_waits_for_an_equal_one_of_another_child() {
    let places: Vec<AtomicU64> = (0..8).map(|_| AtomicU64::new(0)).collect();
    let places: &[AtomicU64] = places.leak();
    let child = |process| {
        let siblings = Siblings::new(places, process, |_| true);
        Hashing::new(LIMITS, 64, None, Some(siblings), threads(), || ())
    };
    let (first, second, id) = (child(1), child(2), [1; 32]);
    let (door, entered, done) = (Door::default(), Door::default(), AtomicU32::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            first.check(id, true, |_| {
                entered.open();
                door.wait();
                done.store(1, Ordering::SeqCst);
                Ok(Verdict::Correct)
            })
        });
        entered.wait();
        // Where nobody learns of it there is nothing to wait for.
        assert_eq!(second.check(id, false, |_| Ok(Verdict::Wrong)), Ok(Verdict::Wrong));
        let other = scope.spawn(|| {
            second.check(id, true, |_| {
                assert_eq!(done.load(Ordering::SeqCst), 1);
                Ok(Verdict::Correct)
            })
        });
        until(|| second.inside.load(Ordering::SeqCst) == 1);
        thread::sleep(Duration::from_millis(20));
        assert!(!other.is_finished());
        door.open();
        assert_eq!(other.join().unwrap(), Ok(Verdict::Correct));
    });
    assert!(places.iter().all(|place| place.load(Ordering::SeqCst) == 0));
}

/// Who came first has no time left; who has waited for him has.
#[test]
fn who_gives_up_leaves_the_work_to_others() {
    let (hashing, id) = (hashing(64), [1; 32]);
    let (told, begun) = mpsc::channel();
    let door = Door::default();
    thread::scope(|scope| {
        let pilot = scope.spawn(|| {
            hashing.check(id, false, |_| {
                told.send(()).unwrap();
                door.wait();
                Err(Stopped::TimedOut)
            })
        });
        begun.recv().unwrap();
        let follower = scope.spawn(|| hashing.check(id, false, |_| Ok(Verdict::Correct)));
        until(|| hashing.followers() == 1);
        // Who has none himself does not begin.
        let late = hashing.flights.join(id, Instant::now(), || panic!("there is no time for it"));
        assert_eq!(late, Err(Busy::Full));
        door.open();
        assert_eq!(pilot.join().unwrap(), Err(Busy::Full));
        assert_eq!(follower.join().unwrap(), Ok(Verdict::Correct));
    });
}

#[test]
fn a_panic_leaves_nobody_waiting() {
    let hashing = hashing(64);
    let lost = hashing.check([9; 32], false, |crew| {
        match crew.work(0, Box::new(|| panic!("the test asked for it"))) {
            Err(crate::hashers::Undone::Stopped(stopped)) => Err(stopped),
            other => panic!("{other:?}"),
        }
    });
    assert_eq!(lost, Err(Busy::Lost));
    // The pilot of a flight: its followers hear of it, and its place is free.
    let (door, entered) = (Door::default(), Door::default());
    thread::scope(|scope| {
        let pilot = scope.spawn(|| {
            hashing.check([1; 32], false, |_| -> Result<Verdict, Stopped> {
                entered.open();
                door.wait();
                panic!("the test asked for it")
            })
        });
        entered.wait();
        let follower = scope.spawn(|| hashing.check([1; 32], false, |_| Ok(Verdict::Wrong)));
        until(|| hashing.followers() == 1);
        door.open();
        assert!(pilot.join().is_err());
        assert_eq!(follower.join().unwrap(), Err(Busy::Lost));
    });
    assert_eq!(hashing.inside.load(Ordering::SeqCst), 0);
    let derived = hashing.check([9; 32], false, |crew| {
        assert_eq!(*crew.pbkdf2_sha256(b"secret", b"salt", 3).unwrap(), expected(3));
        Ok(Verdict::Correct)
    });
    assert_eq!(derived, Ok(Verdict::Correct));
}

/// A crowd of checks of either kind, more than there are threads for.
#[test]
fn a_storm_passes() {
    let hashing = hashing(256);
    let (running, most) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    thread::scope(|scope| {
        for n in 1..=64_u8 {
            let (hashing, running, most) = (&hashing, Arc::clone(&running), Arc::clone(&most));
            scope.spawn(move || {
                let verdict = hashing.check([n; 32], false, |crew| {
                    if n % 4 == 0 {
                        let work = move || {
                            most.fetch_max(
                                running.fetch_add(1, Ordering::SeqCst) + 1,
                                Ordering::SeqCst,
                            );
                            thread::sleep(Duration::from_millis(2));
                            running.fetch_sub(1, Ordering::SeqCst);
                            Ok(Zeroizing::default())
                        };
                        crew.work(0, Box::new(work)).unwrap();
                    } else {
                        let iterations = u32::from(n) * 100;
                        let derived = crew.pbkdf2_sha256(b"secret", b"salt", iterations).unwrap();
                        assert_eq!(*derived, expected(iterations));
                    }
                    Ok(Verdict::Wrong)
                });
                assert_eq!(verdict, Ok(Verdict::Wrong));
            });
        }
    });
    assert!((1..=2).contains(&most.load(Ordering::SeqCst)), "{most:?}");
}
