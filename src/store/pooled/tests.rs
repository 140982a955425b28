use super::*;
use crate::store::tests::{DIALECT, FakeHost, ask};
use std::thread;

/// A database of numbers, which takes its time.
#[derive(Default)]
struct Slow {
    connecting: Duration,
    answering: Duration,
    stuck: bool,
}

impl Connector for Slow {
    type Connection = ();

    fn connect(&self, _: Instant) -> Result<(), Failure> {
        thread::sleep(self.connecting);
        Ok(())
    }
}

impl Fetch for Slow {
    const DIALECT: &Dialect = &DIALECT;

    fn fetch(&self, (): &mut (), _: &Question<'_>, deadline: Instant) -> Result<Vec<Row>, Failure> {
        if self.stuck {
            thread::sleep(deadline.saturating_duration_since(Instant::now()));
            return Err(Failure::TimedOut("stuck".into()));
        }
        thread::sleep(self.answering);
        Ok(Vec::new())
    }

    fn facts(
        &self,
        (): &mut (),
        _: &Arc<UserModel>,
        _: &Wants,
        _: Instant,
    ) -> Result<Vec<Fact>, Failure> {
        Ok(Vec::new())
    }
}

fn pooled(database: Slow, gate: &Arc<Gate>) -> Arc<dyn Store> {
    let limits = Limits { timeout: Duration::from_secs(3), ..Limits::default() };
    Pooled::open("slow", database, &limits, Arc::new(FakeHost::default()), Arc::clone(gate), None)
}

/// How many of `count` requests at once are answered.
fn answered(store: &dyn Store, count: usize) -> usize {
    let ask = || ask(store).is_ok();
    thread::scope(|scope| {
        let threads: Vec<_> = (0..count).map(|_| scope.spawn(ask)).collect();
        threads.into_iter().filter_map(|thread| thread.join().ok()).filter(|&ok| ok).count()
    })
}

#[test]
fn a_burst_on_a_database_that_is_not_instant_is_answered() {
    let gate = Arc::new(Gate::new(25));
    let connecting = Duration::from_millis(300);
    let store = pooled(Slow { connecting, ..Slow::default() }, &gate);
    assert_eq!(answered(&*store, 25), 25);
}

#[test]
fn a_stuck_database_leaves_places_for_another() {
    let gate = Arc::new(Gate::new(25));
    let stuck = pooled(Slow { stuck: true, ..Slow::default() }, &gate);
    let well = pooled(Slow::default(), &gate);
    thread::scope(|scope| {
        for _ in 0..25 {
            scope.spawn(|| ask(&*stuck));
        }
        thread::sleep(Duration::from_millis(1100));
        assert_eq!(answered(&*well, 12), 12);
    });
}

#[test]
fn that_too_many_ask_is_no_outage() {
    let answering = Duration::from_millis(100);
    let slow = || Slow { answering, ..Slow::default() };
    let stuck = || Slow { stuck: true, ..Slow::default() };
    for (database, is_overload) in [(slow(), true), (stuck(), false)] {
        let store = pooled(database, &Arc::new(Gate::new(4)));
        let ask = |time| {
            let deadline = Instant::now() + time;
            store.get_by_natural_key(&Arc::default(), &Wants::NOTHING, "alice", deadline)
        };
        if is_overload {
            assert_eq!(ask(store.timeout()), Ok(Found::Nobody));
        }
        let overloaded = |error| match error {
            Error::Unavailable { overloaded, .. } => overloaded,
            other => panic!("{other:?}"),
        };
        let errors: Vec<_> = thread::scope(|scope| {
            let asking = |_| scope.spawn(|| ask(store.timeout()).err());
            let threads: Vec<_> = (0..12).map(asking).collect();
            threads.into_iter().filter_map(|thread| thread.join().unwrap()).collect()
        });
        assert!(!errors.is_empty());
        assert!(errors.into_iter().all(|error| overloaded(error) == is_overload));
        if is_overload {
            // Who has no time left finds nothing out, however long nobody was answered.
            thread::sleep(LATELY + Duration::from_millis(100));
            assert!(overloaded(ask(Duration::ZERO).unwrap_err()));
        }
    }
}
