//! The order of work, shown one chunk at a time; then a crowd of checks that come and go at random.
#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread::{JoinHandle, ThreadId};
use std::time::{Duration, Instant};

use super::*;
use crate::hashers::pbkdf2::Unfinished;
use crate::hashers::pbkdf2::tests::oracle;

const SALT: &[u8] = b"salt of the test";

/// An engine that waits at the beginning of each chunk until the test lets it go on.
struct Staged {
    chunks: Mutex<mpsc::Sender<Chunk>>,
    width: usize,
}

/// A worker that is about to do a chunk.
struct Chunk {
    worker: ThreadId,
    /// What each of its jobs still has to do.
    left: Vec<u32>,
    go: mpsc::Sender<Order>,
}

#[derive(Debug, PartialEq)]
enum Order {
    Go,
    Panic,
}

impl Chunk {
    fn go(self) {
        self.go.send(Order::Go).unwrap();
    }
}

impl Advance for Staged {
    fn width(&self, share: usize) -> usize {
        share.clamp(1, self.width)
    }

    fn advance(&self, jobs: &mut [&mut Job], most: u32) {
        let left = jobs.iter().map(|job| job.left).collect();
        let (go, gone) = mpsc::channel();
        let chunk = Chunk { worker: thread::current().id(), left, go };
        // A test that has seen enough no longer listens, and nothing is held up any more.
        let listened = self.chunks.lock().unwrap().send(chunk).is_ok();
        if listened && gone.recv() == Ok(Order::Panic) {
            panic!("the test asked for it");
        }
        Engine::portable().advance(jobs, most);
    }
}

/// A batch whose chunks the test sees.
fn staged(threads: usize, width: usize) -> (Batch, mpsc::Receiver<Chunk>) {
    let (sender, chunks) = mpsc::channel();
    let engine = Staged { chunks: Mutex::new(sender), width };
    (Batch::with(Box::new(engine), threads, Box::new(spawn), None), chunks)
}

fn spawn(body: Box<dyn FnOnce() + Send>) -> io::Result<()> {
    thread::Builder::new().spawn(body).map(drop)
}

fn refuse(_: Box<dyn FnOnce() + Send>) -> io::Result<()> {
    Err(io::ErrorKind::WouldBlock.into())
}

/// A job of so many chunks.
fn chunks_of(chunks: u32) -> Job {
    Job::new(b"password", SALT, 1 + chunks * CHUNK)
}

fn derived_after(chunks: u32) -> Result<Vec<u8>, Unfinished> {
    Ok(oracle(b"password", SALT, 1 + chunks * CHUNK).to_vec())
}

fn next(chunks: &mpsc::Receiver<Chunk>) -> Chunk {
    chunks.recv_timeout(Duration::from_secs(10)).expect("a worker begins a chunk")
}

fn outcome(ticket: &Ticket) -> Result<Vec<u8>, Unfinished> {
    ticket.wait(Instant::now() + Duration::from_secs(10)).map(|derived| derived.to_vec())
}

fn is_open(ticket: &Ticket) -> bool {
    ticket.wait(Instant::now()) == Err(Unfinished::TimedOut)
}

#[test]
fn first_the_cores_then_the_lanes() {
    let (batch, chunks) = staged(2, 16);
    let submit = || batch.submit(chunks_of(4));
    let mut tickets = vec![submit()];
    let first = next(&chunks);
    tickets.push(submit());
    let second = next(&chunks);
    assert_ne!(first.worker, second.worker);
    assert_eq!((first.left.len(), second.left.len()), (1, 1));

    // Both are busy. Five more are shared out: seven, and so four for the first one who asks.
    tickets.extend((0..5).map(|_| submit()));
    assert_eq!(batch.waiting(), 5);
    first.go();
    let first = next(&chunks);
    assert_eq!(first.left, [3000, 4000, 4000, 4000]);
    second.go();
    let second = next(&chunks);
    assert_eq!(second.left, [3000, 4000, 4000]);
    assert_eq!(batch.waiting(), 0);

    drop((first, second, chunks));
    for ticket in &tickets {
        assert_eq!(outcome(ticket), derived_after(4));
    }
}

#[test]
fn first_come_first_served_and_nobody_is_put_back() {
    let (batch, chunks) = staged(1, 2);
    let submit = |length| batch.submit(chunks_of(length));
    let _long = submit(5);
    let chunk = next(&chunks);
    let _others = [submit(2), submit(1), submit(7)];
    chunk.go();
    // The third one joins when the second one leaves, the fourth when the third does.
    for left in [[4000, 2000], [3000, 1000], [2000, 1000], [1000, 7000]] {
        let chunk = next(&chunks);
        assert_eq!(chunk.left, left);
        chunk.go();
    }
    assert_eq!(next(&chunks).left, [6000]);
}

#[test]
fn an_idle_worker_is_used_before_a_lane() {
    let (batch, chunks) = staged(2, 16);
    let submit = |length| batch.submit(chunks_of(length));
    let _long = submit(9);
    let first = next(&chunks);
    let short = submit(1);
    let second = next(&chunks);
    let idle = second.worker;
    second.go();
    assert_eq!(outcome(&short), derived_after(1));
    let _next = submit(3);
    first.go();
    let (mut busy, mut woken) = (next(&chunks), next(&chunks));
    if busy.worker == idle {
        (busy, woken) = (woken, busy);
    }
    assert_eq!((busy.left, woken.left), (vec![8000], vec![3000]));
    assert_eq!(woken.worker, idle);
}

#[test]
fn who_does_not_wait_any_more_is_dropped_at_the_next_chunk() {
    let (batch, chunks) = staged(1, 2);
    let submit = |length| batch.submit(chunks_of(length));
    let kept = submit(3);
    let chunk = next(&chunks);
    let beside = submit(4);
    let queued = submit(5);
    let last = submit(6);
    chunk.go();
    let chunk = next(&chunks);
    assert_eq!(chunk.left, [2000, 4000]);
    assert!(is_open(&beside) && is_open(&queued));
    assert_eq!(batch.waiting(), 2);
    drop((beside, queued));
    assert_eq!(batch.waiting(), 1);
    chunk.go();
    assert_eq!(next(&chunks).left, [1000, 6000]);
    drop(chunks);
    assert_eq!(outcome(&kept), derived_after(3));
    assert_eq!(outcome(&last), derived_after(6));
}

#[test]
fn several_may_wait_for_one_check() {
    let (batch, chunks) = staged(1, 1);
    let ticket = batch.submit(chunks_of(1));
    thread::scope(|scope| {
        let waiters = [(); 3].map(|()| scope.spawn(|| outcome(&ticket)));
        assert!(is_open(&ticket));
        next(&chunks).go();
        for waiter in waiters {
            assert_eq!(waiter.join().unwrap(), derived_after(1));
        }
    });
    assert_eq!(outcome(&ticket), derived_after(1));
}

#[test]
fn after_a_panic_waiters_are_told_and_a_successor_does_the_rest() {
    let (batch, chunks) = staged(1, 1);
    let lost = batch.submit(chunks_of(1));
    let chunk = next(&chunks);
    let queued = batch.submit(chunks_of(2));
    let worker = chunk.worker;
    chunk.go.send(Order::Panic).unwrap();
    assert_eq!(outcome(&lost), Err(Unfinished::Lost));
    let chunk = next(&chunks);
    assert_ne!(chunk.worker, worker);
    // Nothing was waiting this time; the next one who comes starts a worker.
    drop(queued);
    chunk.go.send(Order::Panic).unwrap();
    let later = batch.submit(chunks_of(1));
    drop(chunks);
    assert_eq!(outcome(&later), derived_after(1));
}

#[test]
fn after_a_panic_without_a_successor_everyone_is_told() {
    let (sender, chunks) = mpsc::channel();
    let engine = Staged { chunks: Mutex::new(sender), width: 1 };
    let once = AtomicBool::new(false);
    let spawn_once = move |body| match once.swap(true, Ordering::Relaxed) {
        false => spawn(body),
        true => refuse(body),
    };
    let batch = Batch::with(Box::new(engine), 1, Box::new(spawn_once), None);
    let lost = batch.submit(chunks_of(1));
    let chunk = next(&chunks);
    let queued = batch.submit(chunks_of(1));
    chunk.go.send(Order::Panic).unwrap();
    assert_eq!(outcome(&lost), Err(Unfinished::Lost));
    assert_eq!(outcome(&queued), Err(Unfinished::Lost));
    drop(chunks);
    let own = batch.submit(chunks_of(1));
    assert_eq!(outcome(&own), derived_after(1));
}

#[test]
fn without_workers_who_waits_does_the_work() {
    let unused = |_: Box<dyn FnOnce() + Send>| -> io::Result<()> { unreachable!() };
    for batch in [Batch::new(0, Box::new(unused), None), Batch::new(3, Box::new(refuse), None)] {
        let ticket = batch.submit(chunks_of(3));
        assert!(is_open(&ticket));
        assert_eq!(outcome(&ticket), derived_after(3));
        assert_eq!(outcome(&ticket), derived_after(3));
        assert_eq!(batch.waiting(), 0);
    }
}

#[test]
fn two_batches_take_turns() {
    /// One turn for all; whoever has it may be alone.
    struct Alone(Arc<AtomicUsize>);
    impl Drop for Alone {
        fn drop(&mut self) {
            self.0.store(0, Ordering::SeqCst);
        }
    }
    let (turn, turns) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let batch = || {
        let (turn, turns) = (Arc::clone(&turn), Arc::clone(&turns));
        let pace = move || -> Box<dyn Any> {
            while turn.compare_exchange(0, 1, Ordering::SeqCst, Ordering::SeqCst).is_err() {
                thread::yield_now();
            }
            turns.fetch_add(1, Ordering::SeqCst);
            Box::new(Alone(Arc::clone(&turn)))
        };
        let (sender, chunks) = mpsc::channel();
        let engine = Staged { chunks: Mutex::new(sender), width: 1 };
        (Batch::with(Box::new(engine), 2, Box::new(spawn), Some(Box::new(pace))), chunks)
    };
    let ((first, of_first), (second, of_second)) = (batch(), batch());
    let long = first.submit(chunks_of(2));
    let chunk = next(&of_first);
    let others = [1, 3].map(|chunks| second.submit(chunks_of(chunks)));
    thread::sleep(SLICE);
    assert!(of_second.try_recv().is_err(), "it is not their turn");
    // Its time is over after this chunk; it stands in line again, and so does everyone.
    drop(of_first);
    drop(of_second);
    chunk.go();
    assert_eq!(outcome(&long), derived_after(2));
    let [one, three] = others;
    assert_eq!(outcome(&one), derived_after(1));
    assert_eq!(outcome(&three), derived_after(3));
    assert!((4..=7).contains(&turns.load(Ordering::SeqCst)), "{turns:?}");
    // With nothing in hand nobody has a turn.
    while turn.load(Ordering::SeqCst) != 0 {
        thread::yield_now();
    }
}

#[test]
fn checks_join_and_leave_at_random() {
    let threads: Arc<Mutex<Vec<JoinHandle<()>>>> = Arc::default();
    let started = Arc::clone(&threads);
    let spawn = move |body: Box<dyn FnOnce() + Send>| {
        started.lock().unwrap().push(thread::Builder::new().spawn(body)?);
        Ok(())
    };
    let batch = Batch::new(2, Box::new(spawn), None);
    let (right, given_up) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for client in 0..8_u32 {
            let (batch, right, given_up) = (&batch, &right, &given_up);
            scope.spawn(move || {
                // xorshift32: the same checks each time, in an order that is the scheduler's.
                let mut random = 2_463_534_242 ^ client;
                let mut below = |limit: u32| {
                    random ^= random << 13;
                    random ^= random >> 17;
                    random ^= random << 5;
                    random % limit
                };
                for check in 0..40 {
                    let password = format!("password {check} of {client}");
                    let iterations = 1 + below(6000);
                    let job = Job::new(password.as_bytes(), SALT, iterations);
                    let fate = below(8);
                    let ticket = batch.submit(job);
                    match fate {
                        0 | 1 => drop(ticket),
                        2 => thread::sleep(Duration::from_micros(below(500).into())),
                        _ => {
                            let expected = oracle(password.as_bytes(), SALT, iterations);
                            assert_eq!(outcome(&ticket), Ok(expected.to_vec()));
                            right.fetch_add(1, Ordering::Relaxed);
                            continue;
                        }
                    }
                    given_up.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(right.into_inner() + given_up.into_inner(), 320);
    // What runs to its end still does; then the workers end with their batch.
    drop(batch);
    let threads = std::mem::take(&mut *threads.lock().unwrap());
    assert!(threads.len() <= 2);
    for thread in threads {
        thread.join().unwrap();
    }
}
