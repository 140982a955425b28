use super::*;
use crate::store::tests::FakeHost;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;

/// A server of connections that are numbers.
#[derive(Default)]
struct Server {
    made: AtomicUsize,
    /// Connections below this are gone.
    stale: AtomicUsize,
    /// Connections that are open now, and the most that there were.
    open: AtomicUsize,
    most: AtomicUsize,
    /// How connecting fails.
    down: Mutex<Option<Failure>>,
    slow: Mutex<Duration>,
}

struct Fake(Arc<Server>);
struct Conn(usize, Arc<Server>);

impl Drop for Conn {
    fn drop(&mut self) {
        self.1.open.fetch_sub(1, SeqCst);
    }
}

impl Connector for Fake {
    type Connection = Conn;

    fn connect(&self, _: Instant) -> Result<Conn, Failure> {
        thread::sleep(*self.0.slow.lock().unwrap());
        if let Some(failure) = self.0.down.lock().unwrap().clone() {
            return Err(failure);
        }
        let open = self.0.open.fetch_add(1, SeqCst) + 1;
        self.0.most.fetch_max(open, SeqCst);
        Ok(Conn(self.0.made.fetch_add(1, SeqCst), self.0.clone()))
    }
}

fn query(_: &Fake, conn: &mut Conn, _: Instant) -> Result<usize, Failure> {
    if conn.0 < conn.1.stale.load(SeqCst) {
        return Err(Failure::Broken("closed".into()));
    }
    Ok(conn.0)
}

fn pool(limits: Limits) -> (Arc<Server>, Pool<Fake>) {
    let server = Arc::new(Server::default());
    (server.clone(), Pool::new(Fake(server), limits, Arc::new(FakeHost::default())))
}

fn small() -> Limits {
    Limits { timeout: Duration::from_millis(300), ..Limits::default() }
}

fn after(millis: u64) -> Instant {
    Instant::now() + Duration::from_millis(millis)
}

/// Until it is so; a second at most.
fn soon(what: impl Fn() -> bool) -> bool {
    (0..200).any(|_| {
        thread::sleep(Duration::from_millis(5));
        what()
    })
}

/// `count` connections in the pool.
fn fill(pool: &Pool<Fake>, count: usize) {
    let barrier = std::sync::Barrier::new(count);
    thread::scope(|scope| {
        for _ in 0..count {
            scope.spawn(|| {
                pool.run(after(5000), |_, _, _| {
                    barrier.wait();
                    Ok(())
                })
            });
        }
    });
}

#[test]
fn one_is_enough_for_one() {
    let (server, pool) = pool(Limits::default());
    for _ in 0..10 {
        assert_eq!(pool.run(after(1000), query), Ok(0));
    }
    assert_eq!(server.made.load(SeqCst), 1);
}

#[test]
fn a_restart_costs_no_request() {
    let (server, pool) = pool(Limits::default());
    fill(&pool, 4);
    assert_eq!(server.made.load(SeqCst), 4);
    server.stale.store(4, SeqCst);
    assert_eq!(pool.run(after(1000), query), Ok(4));
    // The other three are condemned unasked.
    assert_eq!(server.open.load(SeqCst), 1);
    thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| assert!(pool.run(after(1000), query).is_ok()));
        }
    });
}

#[test]
fn a_connection_in_use_during_a_restart_is_not_used_again() {
    let (server, pool) = pool(Limits::default());
    fill(&pool, 2);
    let held = pool.run(after(1000), |_, conn, _| {
        pool.0.condemn(0);
        Ok(conn.0)
    });
    assert!(held.is_ok());
    assert_eq!(server.open.load(SeqCst), 0);
    assert_eq!(pool.run(after(1000), query), Ok(2));
}

#[test]
fn twice_broken_is_an_outage() {
    let (server, pool) = pool(Limits::default());
    server.stale.store(usize::MAX, SeqCst);
    assert_eq!(pool.run(after(1000), query), Err(Failure::Broken("closed".into())));
    assert_eq!(server.made.load(SeqCst), 2);
    assert_eq!(pool.run(after(1000), query), Err(Failure::Refused("closed".into())));
}

#[test]
fn the_breaker_opens_and_closes() {
    let (server, pool) = pool(Limits::default());
    *server.down.lock().unwrap() = Some(Failure::Broken("refused".into()));
    assert!(pool.run(after(1000), query).is_err());
    *server.slow.lock().unwrap() = Duration::from_millis(50);
    let begun = Instant::now();
    for _ in 0..1000 {
        assert_eq!(pool.run(after(1000), query), Err(Failure::Refused("refused".into())));
    }
    assert!(begun.elapsed() < Duration::from_millis(50), "{:?}", begun.elapsed());
    *server.down.lock().unwrap() = None;
    assert!(soon(|| pool.run(after(1000), query).is_ok()));
    // The probe's own connection is the pool's.
    assert_eq!(server.made.load(SeqCst), 1);
    assert!(!pool.0.lock().probing);
}

#[test]
fn a_time_out_opens_the_breaker_and_discards() {
    let (server, pool) = pool(small());
    fill(&pool, 3);
    let hang = |_: &Fake, _: &mut Conn, deadline: Instant| -> Result<(), Failure> {
        thread::sleep(deadline - Instant::now());
        Err(Failure::TimedOut("no answer".into()))
    };
    *server.down.lock().unwrap() = Some(Failure::Broken("still".into()));
    assert!(pool.run(after(300), hang).is_err());
    assert_eq!(server.open.load(SeqCst), 0);
    assert_eq!(pool.run(after(300), query), Err(Failure::Refused("no answer".into())));
    *server.down.lock().unwrap() = None;
    assert!(soon(|| pool.run(after(300), query).is_ok()));
    // One that had spent its time before it got a connection blames nobody.
    assert!(pool.run(after(20), hang).is_err());
    assert!(pool.run(after(300), query).is_ok());
}

/// A server that takes connections, and no more.
fn mute(_: &Fake, _: &mut Conn, deadline: Instant) -> Result<usize, Failure> {
    thread::sleep(deadline.saturating_duration_since(Instant::now()));
    Err(Failure::TimedOut("no answer".into()))
}

/// A pool that was mute, and takes connections again.
fn half_open() -> Pool<Fake> {
    let (_, pool) = pool(Limits { timeout: Duration::from_secs(1), ..Limits::default() });
    assert!(pool.run(after(1000), mute).is_err());
    assert!(soon(|| !pool.0.lock().probing));
    pool
}

#[test]
fn a_server_that_only_takes_connections_holds_one_thread() {
    let pool = half_open();
    let (inside, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let begun = Instant::now();
    let waits = thread::scope(|scope| {
        let ask = || {
            let mut longest = Duration::ZERO;
            while begun.elapsed() < Duration::from_secs(3) {
                let (asked, tried) = (Instant::now(), std::cell::Cell::new(false));
                let answer = pool.run(after(1000), |fake, conn, deadline| {
                    tried.set(true);
                    most.fetch_max(inside.fetch_add(1, SeqCst) + 1, SeqCst);
                    let answer = mute(fake, conn, deadline);
                    inside.fetch_sub(1, SeqCst);
                    answer
                });
                assert!(answer.is_err_and(|failure| failure.text() == "no answer"));
                if !tried.get() {
                    longest = longest.max(asked.elapsed());
                }
                thread::sleep(Duration::from_millis(1));
            }
            longest
        };
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(ask)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).max().unwrap()
    });
    assert_eq!(most.into_inner(), 1);
    assert!(waits < TRIAL * 2, "{waits:?}");
    // Each time later, though the probes in between succeeded.
    assert!(pool.0.lock().pause > upkeep::BACK_OFF.0 * 2);
}

#[test]
fn who_waits_for_a_trial_shares_its_outcome() {
    let pool = half_open();
    let asked = AtomicUsize::new(0);
    let slow = |fake: &Fake, conn: &mut Conn, deadline: Instant| {
        asked.fetch_add(1, SeqCst);
        thread::sleep(Duration::from_millis(60));
        query(fake, conn, deadline)
    };
    thread::scope(|scope| {
        let trial = scope.spawn(|| pool.run(after(1000), slow));
        while asked.load(SeqCst) == 0 {
            thread::yield_now();
        }
        let others: Vec<_> = (0..4).map(|_| scope.spawn(|| pool.run(after(1000), slow))).collect();
        thread::sleep(Duration::from_millis(30));
        assert_eq!(asked.load(SeqCst), 1);
        assert!(trial.join().unwrap().is_ok());
        assert!(others.into_iter().all(|other| other.join().unwrap().is_ok()));
    });
    assert!(matches!(pool.0.lock().breaker, Breaker::Closed));
    assert_eq!(pool.0.lock().pause, upkeep::BACK_OFF.0);
}

#[test]
fn a_trial_without_a_verdict_is_tried_again() {
    let pool = half_open();
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        pool.run(after(1000), |_, _, _| -> Result<(), Failure> { panic!("on purpose") })
    }));
    assert!(panicked.is_err());
    assert!(matches!(pool.0.lock().breaker, Breaker::HalfOpen(_)));
    // No time to wait, and none that was waited.
    assert!(pool.run(after(10), mute).is_err());
    assert!(matches!(pool.0.lock().breaker, Breaker::HalfOpen(_)));
    // An error of the query is an answer.
    assert!(pool.run(after(1000), |_, _, _| Err::<(), _>(Failure::Query("x".into()))).is_err());
    assert!(matches!(pool.0.lock().breaker, Breaker::Closed));
}

#[test]
fn what_was_condemned_before_does_not_open_the_breaker_again() {
    let (_, pool) = pool(Limits { timeout: Duration::from_secs(1), ..Limits::default() });
    let late = pool.run(after(2000), |_, _, _| {
        assert!(pool.run(after(1000), mute).is_err());
        assert!(soon(|| pool.run(after(1000), query).is_ok()));
        Err::<(), _>(Failure::TimedOut("late".into()))
    });
    assert!(late.is_err());
    assert!(pool.run(after(1000), query).is_ok());
}

#[test]
fn an_error_of_the_query_is_its_own() {
    let (server, pool) = pool(Limits::default());
    let wrong = Failure::Query("no such column".into());
    assert_eq!(pool.run(after(1000), |_, _, _| Err::<(), _>(wrong.clone())), Err(wrong.clone()));
    assert_eq!(server.open.load(SeqCst), 0);
    assert!(pool.run(after(1000), query).is_ok());
}

#[test]
fn who_waits_hears_of_a_failed_connect() {
    let (server, pool) = pool(Limits { max: 1, ..Limits::default() });
    *server.slow.lock().unwrap() = Duration::from_millis(50);
    *server.down.lock().unwrap() = Some(Failure::Broken("refused".into()));
    let begun = Instant::now();
    thread::scope(|scope| {
        for _ in 0..32 {
            scope.spawn(|| assert!(pool.run(after(5000), query).is_err()));
        }
    });
    assert!(begun.elapsed() < Duration::from_millis(500), "{:?}", begun.elapsed());
}

#[test]
fn nobody_is_forgotten() {
    let (server, pool) = pool(Limits { max: 2, ..Limits::default() });
    let begun = Instant::now();
    thread::scope(|scope| {
        for thread in 0..32 {
            let pool = &pool;
            scope.spawn(move || {
                for round in 0..50 {
                    let answer = pool.run(after(5000), |_, _, _| match (thread + round) % 7 {
                        0 => Err(Failure::Query("wrong".into())),
                        _ => Ok(()),
                    });
                    assert!(!matches!(answer, Err(Failure::TimedOut(_) | Failure::Refused(_))));
                }
            });
        }
    });
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    assert!(server.most.load(SeqCst) <= 2);
    let state = pool.0.lock();
    assert_eq!((state.open, state.live, state.connecting), (state.idle.len(), state.open, 0));
}

#[test]
fn the_wait_for_a_connection_ends_with_the_deadline() {
    let (_, pool) = pool(Limits { max: 1, ..Limits::default() });
    pool.run(after(1000), |_, _, _| {
        let begun = Instant::now();
        let failure = pool.run(after(100), query).unwrap_err();
        assert!(matches!(&failure, Failure::TimedOut(why) if why.contains("max=1")), "{failure:?}");
        assert!((90..200).contains(&begun.elapsed().as_millis()), "{:?}", begun.elapsed());
        Ok(())
    })
    .unwrap();
    assert!(pool.run(after(1000), query).is_ok(), "a busy pool is no outage");
}

#[test]
fn a_refusal_is_no_outage_while_others_work() {
    let (server, pool) = pool(Limits::default());
    pool.run(after(1000), |_, _, _| {
        *server.down.lock().unwrap() = Some(Failure::Refused("too many connections".into()));
        let failure = pool.run(after(100), query).unwrap_err();
        assert!(matches!(failure, Failure::TimedOut(_)), "{failure:?}");
        Ok(())
    })
    .unwrap();
    thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| assert_eq!(pool.run(after(1000), query), Ok(0)));
        }
    });
    // Without any other it is one.
    pool.0.condemn(0);
    let refused = Err(Failure::Refused("too many connections".into()));
    assert_eq!(pool.run(after(1000), query), refused);
    assert!(matches!(pool.0.lock().breaker, Breaker::Open(_)));
}

#[test]
fn what_is_idle_is_closed_but_for_min() {
    let idle = Duration::from_millis(60);
    let (server, pool) = pool(Limits { min: 1, idle, ..Limits::default() });
    fill(&pool, 4);
    assert_eq!(server.open.load(SeqCst), 4);
    assert!(soon(|| server.open.load(SeqCst) == 1));
    assert!(soon(|| !pool.0.lock().reaping));
    thread::sleep(idle * 2);
    assert_eq!(server.open.load(SeqCst), 1);
    assert!(pool.run(after(1000), query).is_ok());
    assert_eq!(server.made.load(SeqCst), 4);
}

#[test]
fn a_panic_gives_its_place_back() {
    let (server, pool) = pool(Limits { max: 1, ..Limits::default() });
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        pool.run(after(1000), |_, _, _| -> Result<(), Failure> { panic!("on purpose") })
    }));
    assert!(panicked.is_err());
    assert_eq!(server.open.load(SeqCst), 0);
    assert!(pool.run(after(1000), query).is_ok());
}

#[test]
fn a_pool_that_is_gone_leaves_no_thread() {
    let (server, pool) = pool(Limits { idle: Duration::from_millis(50), ..Limits::default() });
    fill(&pool, 2);
    let weak = Arc::downgrade(&pool.0);
    drop(pool);
    assert_eq!(server.open.load(SeqCst), 0);
    assert!(soon(|| weak.weak_count() == 0 && weak.strong_count() == 0));
}
