use super::*;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(5)
}

fn gate(threads: usize) -> Share {
    Arc::new(Gate::new(threads)).share()
}

/// How many of `count` who come at once are refused, each of whom stays `stay` long.
fn burst(share: &Share, count: usize, stay: Duration) -> usize {
    let refused = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..count {
            scope.spawn(|| {
                let Ok(permit) = share.enter(soon()) else {
                    refused.fetch_add(1, SeqCst);
                    return;
                };
                thread::sleep(stay);
                permit.answered();
            });
        }
    });
    refused.into_inner()
}

#[test]
fn one_of_one_and_half_of_many() {
    for (threads, limit) in [(0, 1), (1, 1), (25, 12)] {
        assert_eq!(Gate::new(threads).limit, limit);
    }
}

#[test]
fn a_cold_start_refuses_nobody() {
    let share = gate(25);
    assert_eq!(burst(&share, 25, Duration::from_millis(300)), 0);
    // Only the very first answer is waited for so long.
    assert_eq!(burst(&share, 25, Duration::from_millis(300)), 13);
}

#[test]
fn a_slow_answer_before_a_burst_refuses_nobody() {
    let share = gate(8);
    assert_eq!(burst(&share, 1, Duration::ZERO), 0);
    let slow = share.enter(soon()).unwrap();
    thread::sleep(PATIENCE * 2);
    assert_eq!(burst(&share, 16, Duration::from_millis(10)), 0);
    drop(slow);
}

#[test]
fn nobody_queues_longer_than_his_own_patience() {
    let share = gate(4);
    assert_eq!(burst(&share, 1, Duration::ZERO), 0);
    // Answers come all the time, but never a place.
    let inside = [share.enter(soon()).unwrap(), share.enter(soon()).unwrap()];
    thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            let begun = Instant::now();
            assert_eq!(share.enter(soon()).err(), Some(Full { stuck: false }));
            begun.elapsed()
        });
        while !waiter.is_finished() {
            inside[0].answered();
            thread::sleep(Duration::from_millis(5));
        }
        let waited = waiter.join().unwrap();
        assert!((PATIENCE..PATIENCE * 2).contains(&waited), "{waited:?}");
    });
}

#[test]
fn a_stall_refuses_at_once_and_others_are_let_in_again() {
    let share = gate(4);
    let first = share.enter(soon()).unwrap();
    let second = share.enter(soon()).unwrap();
    let begun = Instant::now();
    assert_eq!(share.enter(soon()).err(), Some(Full { stuck: true }));
    assert!((STALL / 2..STALL * 2).contains(&begun.elapsed()), "{:?}", begun.elapsed());
    let begun = Instant::now();
    for _ in 0..100 {
        assert_eq!(share.enter(soon()).err(), Some(Full { stuck: true }));
    }
    assert!(begun.elapsed() < PATIENCE, "a stall is known at once: {:?}", begun.elapsed());
    drop(second);
    assert!(share.enter(soon()).is_ok());
    drop(first);
}

#[test]
fn silence_before_the_first_is_no_stall() {
    let share = gate(2);
    assert_eq!(burst(&share, 1, Duration::ZERO), 0);
    thread::sleep(STALL + PATIENCE);
    thread::scope(|scope| {
        let permit = share.enter(soon()).unwrap();
        let waiter = scope.spawn(|| share.enter(soon()).is_ok());
        thread::sleep(PATIENCE / 4);
        drop(permit);
        assert!(waiter.join().unwrap());
    });
}

#[test]
fn who_comes_first_is_let_in_first() {
    let share = gate(2);
    let permit = share.enter(soon()).unwrap();
    let order = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for number in 0..8 {
            let (share, order) = (&share, &order);
            scope.spawn(move || {
                let permit = share.enter(soon()).unwrap();
                order.lock().unwrap().push(number);
                drop(permit);
            });
            while share.gate.lock().queue.len() <= number {
                thread::sleep(Duration::from_millis(1));
            }
        }
        drop(permit);
    });
    assert_eq!(order.into_inner().unwrap(), [0, 1, 2, 3, 4, 5, 6, 7]);
}

#[test]
fn heavy_load_with_answers_is_never_refused() {
    let share = gate(4);
    let (inside, most, refused) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..32 {
            scope.spawn(|| {
                for _ in 0..10 {
                    let Ok(permit) = share.enter(soon()) else {
                        refused.fetch_add(1, SeqCst);
                        continue;
                    };
                    let now = inside.fetch_add(1, SeqCst) + 1;
                    most.fetch_max(now, SeqCst);
                    thread::sleep(Duration::from_millis(2));
                    inside.fetch_sub(1, SeqCst);
                    permit.answered();
                }
            });
        }
    });
    assert_eq!(refused.into_inner(), 0);
    assert_eq!(most.into_inner(), 2);
}

/// Who gives up at the moment when a place is given takes none away.
#[test]
fn no_place_is_lost() {
    let share = gate(4);
    thread::scope(|scope| {
        for thread in 0..16_u64 {
            let share = &share;
            scope.spawn(move || {
                for round in 0..200 {
                    let deadline = Instant::now() + Duration::from_micros((thread * round) % 700);
                    if let Ok(permit) = share.enter(deadline) {
                        thread::sleep(Duration::from_micros(200));
                        permit.answered();
                    }
                }
            });
        }
    });
    let mut state = share.gate.lock();
    assert_eq!((state.inside, state.visits(0).inside, state.queue.len()), (0, 0, 0));
}

#[test]
fn the_deadline_ends_the_wait() {
    let share = gate(1);
    let _permit = share.enter(soon()).unwrap();
    let begun = Instant::now();
    assert!(share.enter(begun + Duration::from_millis(30)).is_err());
    assert!(begun.elapsed() < PATIENCE);
}

#[test]
fn one_of_several_has_half() {
    for (threads, expected, share) in [(25, 2, 6), (8, 2, 2), (6, 3, 2), (2, 2, 1), (25, 1, 12)] {
        let gate = Gate::new(threads).expecting(expected);
        let share_of_one = Arc::new(gate).share();
        let permits: Vec<_> =
            std::iter::from_fn(|| share_of_one.enter(Instant::now()).ok()).collect();
        assert_eq!(permits.len(), share, "{threads} threads, {expected} stores");
    }
}

/// Who waits for a store that is full keeps nobody from another.
#[test]
fn the_queue_of_one_is_not_the_others() {
    let gate = Arc::new(Gate::new(8));
    let [stuck, well] = [(); 2].map(|()| gate.clone().share());
    let mut inside: Vec<_> = (0..2).map(|_| stuck.enter(soon()).unwrap()).collect();
    thread::scope(|scope| {
        let waiter = scope.spawn(|| stuck.enter(soon()).map(drop));
        while gate.lock().queue.is_empty() {
            thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(burst(&well, 16, Duration::from_millis(2)), 0);
        assert!(!waiter.is_finished());
        inside.pop();
        assert_eq!(waiter.join().unwrap(), Ok(()));
    });
    // The silence of one is not the others' either.
    drop(inside);
    let inside = [well.enter(soon()).unwrap(), well.enter(soon()).unwrap()];
    thread::sleep(STALL + PATIENCE);
    assert_eq!(well.enter(soon()).err(), Some(Full { stuck: true }));
    assert_eq!(burst(&stuck, 4, Duration::from_millis(5)), 0);
    drop(inside);
}

#[test]
fn who_finds_the_gate_full_of_others_knows_nothing_of_his_store() {
    let gate = Arc::new(Gate::new(8));
    let [one, two, well] = [(); 3].map(|()| gate.clone().share());
    let _inside = [&one, &one, &two, &two].map(|share| share.enter(soon()).unwrap());
    thread::sleep(STALL);
    assert_eq!(one.enter(soon()).err(), Some(Full { stuck: true }));
    assert_eq!(well.enter(soon()).err(), Some(Full { stuck: false }));
}
