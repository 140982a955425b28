use super::*;
use crate::store::Fact;
use crate::store::pool::{Connector, Limits};
use crate::store::sql::Dialect;
use crate::store::tests::{DIALECT, FakeHost};
use crate::user::{UserModel, Wants};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread::{self, ScopedJoinHandle};
use std::time::Duration;

/// A server that answers a name with that name, and what it was asked in each round trip.
#[derive(Default)]
struct Server {
    asked: Mutex<Vec<Vec<String>>>,
    /// `hold` is answered after this.
    released: Mutex<bool>,
    changed: Condvar,
    /// How often `frail` came first, which breaks the connection once.
    frail: AtomicUsize,
    awake: AtomicUsize,
    /// What a question takes.
    takes: Mutex<Duration>,
}

struct Fake(Arc<Server>);

impl Connector for Fake {
    type Connection = ();

    fn connect(&self, _: Instant) -> Result<(), Failure> {
        Ok(())
    }
}

impl Fetch for Fake {
    const DIALECT: &Dialect = &DIALECT;

    const PIPELINED: bool = true;

    fn fetch(
        &self,
        (): &mut (),
        question: &Question<'_>,
        deadline: Instant,
    ) -> Result<Vec<Row>, Failure> {
        Ok(self.fetch_all(&mut (), &[question], deadline)?.remove(0))
    }

    fn fetch_all(
        &self,
        (): &mut (),
        questions: &[&Question<'_>],
        _: Instant,
    ) -> Result<Vec<Vec<Row>>, Failure> {
        let names: Vec<_> =
            questions.iter().map(|question| question.values[0].to_string()).collect();
        let server = &self.0;
        server.asked.lock().unwrap().push(names.clone());
        if names[0] == "hold" {
            let (held, limit) = (server.released.lock().unwrap(), Duration::from_secs(20));
            let waited = server.changed.wait_timeout_while(held, limit, |released| !*released);
            assert!(!waited.unwrap().1.timed_out(), "never released");
        }
        assert_ne!(names[0], "panic");
        thread::sleep(*server.takes.lock().unwrap());
        if names[0] == "frail" && server.frail.fetch_add(1, SeqCst) == 0 {
            return Err(Failure::Broken("closed".into()));
        }
        if names[0] == "wrong" {
            return Err(Failure::Query("no such column".into()));
        }
        let right = names.into_iter().take_while(|name| name != "wrong");
        Ok(right.map(|name| vec![vec![Some(name)]]).collect())
    }

    fn stay_awake(&self, (): &mut ()) {
        self.0.awake.fetch_add(1, SeqCst);
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

struct Site {
    server: Arc<Server>,
    pool: Pool<Fake>,
    pipeline: Pipeline,
}

impl Site {
    fn new(max: usize) -> Self {
        let server = Arc::new(Server::default());
        let limits = Limits { max, ..Limits::default() };
        let pool = Pool::new(Fake(server.clone()), limits, Arc::new(FakeHost::default()));
        Self { server, pool, pipeline: Pipeline::default() }
    }

    fn ask_by(&self, name: &str, deadline: Instant) -> Result<String, Failure> {
        let values = vec![Cow::Borrowed(name)];
        let question = Question { sql: "SELECT".into(), values, marker: None };
        let mut rows = self.pipeline.ask(&self.pool, &question, deadline)?;
        Ok(rows.remove(0).remove(0).unwrap())
    }

    fn ask(&self, name: &str) -> Result<String, Failure> {
        self.ask_by(name, after(10_000))
    }

    /// Until it is so; ten seconds at most.
    fn until(&self, what: impl Fn(&State) -> bool) {
        let ok = (0..2000).any(|_| {
            thread::sleep(Duration::from_millis(5));
            what(&self.pipeline.lock())
        });
        assert!(ok);
    }

    /// Asks for these, who all wait already, one after the other, when it is the first one's turn.
    fn queue<'scope>(
        &'scope self,
        scope: &'scope thread::Scope<'scope, '_>,
        names: &[&'static str],
    ) -> Vec<ScopedJoinHandle<'scope, Result<String, Failure>>> {
        self.pipeline.lock().leading = 1;
        let lead = Lead::new(&self.pipeline);
        let mut threads = Vec::new();
        for (before, name) in names.iter().enumerate() {
            threads.push(scope.spawn(|| self.ask(name)));
            self.until(|state| state.waiting.len() == before + 1);
        }
        drop(lead);
        threads
    }

    /// Is not answered before `release`.
    fn hold<'scope>(
        &'scope self,
        scope: &'scope thread::Scope<'scope, '_>,
    ) -> ScopedJoinHandle<'scope, Result<String, Failure>> {
        let held = scope.spawn(|| self.ask("hold"));
        self.until(|_| {
            let asked = self.server.asked.lock().unwrap();
            asked.last().is_some_and(|names| names[0] == "hold")
        });
        held
    }

    fn release(&self) {
        *self.server.released.lock().unwrap() = true;
        self.server.changed.notify_all();
    }

    /// What was asked, and that nobody is left who leads.
    fn asked(&self) -> Vec<Vec<String>> {
        let state = self.pipeline.lock();
        assert_eq!((state.leading, state.waiting.len()), (0, 0));
        std::mem::take(&mut self.server.asked.lock().unwrap())
    }
}

fn after(millis: u64) -> Instant {
    Instant::now() + Duration::from_millis(millis)
}

fn joined<T>(threads: Vec<ScopedJoinHandle<'_, T>>) -> Vec<T> {
    threads.into_iter().map(|thread| thread.join().unwrap()).collect()
}

#[test]
fn those_who_wait_are_asked_for_at_once_and_each_has_his_own_answer() {
    const NAMES: [&str; 20] = [
        "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q", "r",
        "s", "t",
    ];
    let site = Site::new(1);
    assert_eq!(site.ask("alone"), Ok("alone".into()));
    let answers = thread::scope(|scope| joined(site.queue(scope, &NAMES)));
    let found: Vec<_> = answers.into_iter().map(Result::unwrap).collect();
    assert_eq!(found, NAMES);
    let asked = site.asked();
    let (first, rest) = NAMES.split_at(MOST);
    let (second, third) = rest.split_at(MOST);
    assert_eq!(asked, [&["alone"], first, second, third]);
}

#[test]
fn values_that_are_long_are_asked_for_later() {
    let long = &*"x".repeat(BYTES / 2 - 100).leak();
    let site = Site::new(1);
    let answers = thread::scope(|scope| joined(site.queue(scope, &["a", long, long, long, "b"])));
    assert!(answers.iter().all(Result::is_ok));
    let lengths: Vec<_> = site.asked().iter().map(Vec::len).collect();
    assert_eq!(lengths, [3, 2]);
}

#[test]
fn one_that_fails_fails_alone() {
    let site = Site::new(1);
    let answers = thread::scope(|scope| joined(site.queue(scope, &["a", "wrong", "b", "c"])));
    let wrong = Err(Failure::Query("no such column".into()));
    let ok = |name: &str| Ok(name.to_owned());
    assert_eq!(answers, [ok("a"), wrong, ok("b"), ok("c")]);
    let asked = site.asked();
    assert_eq!(asked[0], ["a", "wrong", "b", "c"]);
    assert_eq!(asked.len(), 4);
}

#[test]
fn over_a_new_connection_each_asks_for_himself() {
    let site = Site::new(1);
    let answers = thread::scope(|scope| joined(site.queue(scope, &["frail", "a", "b"])));
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    let mut asked = site.asked();
    asked[1..].sort();
    assert_eq!(asked, [&["frail", "a", "b"][..], &["a"], &["b"], &["frail"]]);
}

#[test]
fn where_answers_are_slow_or_time_is_short_nobody_asks_for_others() {
    let site = Site::new(1);
    *site.server.takes.lock().unwrap() = 2 * QUICK;
    assert!(site.ask("z").is_ok());
    let answers = thread::scope(|scope| joined(site.queue(scope, &["a", "b", "c"])));
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert_eq!(site.asked(), [["z"], ["a"], ["b"], ["c"]]);
    // One quick answer, and it is as before.
    *site.server.takes.lock().unwrap() = Duration::ZERO;
    assert!(site.ask("d").is_ok());
    let question = |sql: &str| Question { sql: sql.into(), values: Vec::new(), marker: None };
    let enqueue =
        |sql| site.pipeline.lock().waiting.push_back(Arc::new(Ticket::new(&question(sql))));
    ["SELECT 1", "SELECT 1", "SELECT 2", "SELECT 1"].into_iter().for_each(enqueue);
    let followers = |sql, left| site.pipeline.followers(&question(sql), left).len();
    assert_eq!(followers("SELECT 1", after(100)), 0);
    assert_eq!(followers("SELECT 2", after(10_000)), 0);
    assert_eq!(followers("SELECT 1", after(10_000)), 2);
    site.pipeline.lock().waiting.clear();
}

#[test]
fn who_is_called_too_late_calls_the_next() {
    let site = Site::new(1);
    let question = Question { sql: "SELECT".into(), values: vec!["a".into()], marker: None };
    let late = Arc::new(Ticket::new(&question));
    let mut state = site.pipeline.lock();
    state.leading = 1;
    state.waiting.push_back(late.clone());
    state.pass();
    assert!(!state.leave(&late));
    drop(state);
    assert!(matches!(late.wait(Instant::now()), Turn::Leads { .. }));
    assert!(site.pipeline.lead(&site.pool, &question, true, Instant::now()).is_err());
    assert_eq!(site.asked(), [[""; 0]; 0]);
}

#[test]
fn nobody_waits_longer_than_he_may_and_no_turn_is_lost() {
    let site = Site::new(1);
    thread::scope(|scope| {
        let held = site.hold(scope);
        let failure = site.ask_by("a", after(50)).unwrap_err();
        assert!(failure.text().starts_with("no connection became free within 5 s"));
        assert_eq!(site.pipeline.lock().waiting.len(), 0);
        site.release();
        assert!(held.join().unwrap().is_ok());
    });
    *site.server.released.lock().unwrap() = false;
    assert_eq!(site.asked(), [["hold"]]);
    // Asked for together with one that is not answered.
    thread::scope(|scope| {
        site.pipeline.lock().leading = 1;
        let late = scope.spawn(|| site.ask_by("late", after(2000)));
        let other = scope.spawn(|| site.ask("other"));
        site.until(|state| state.waiting.len() == 2);
        let mut lead = Lead::new(&site.pipeline);
        lead.followers = Some(site.pipeline.lock().waiting.drain(..).collect());
        assert_eq!(late.join().unwrap(), Err(Failure::TimedOut("no answer within 5 s".into())));
        drop(lead);
        assert_eq!(other.join().unwrap(), Ok("other".into()));
    });
    assert_eq!(site.asked(), [["other"]]);
}

#[test]
fn a_slow_answer_holds_up_nobody_else() {
    let site = Site::new(2);
    thread::scope(|scope| {
        let held = site.hold(scope);
        for name in ["a", "b"] {
            assert_eq!(site.ask(name), Ok(name.into()));
        }
        site.release();
        assert!(held.join().unwrap().is_ok());
    });
    assert_eq!(site.asked(), [["hold"], ["a"], ["b"]]);
}

#[test]
fn who_is_alone_may_stay_awake() {
    let site = Site::new(2);
    let awake = || site.server.awake.swap(0, SeqCst);
    let alone = || (0..CALM).for_each(|_| assert!(site.ask("a").is_ok()));
    alone();
    assert_eq!(awake(), 1);
    alone();
    assert_eq!(awake(), usize::from(CALM));
    thread::scope(|scope| {
        let held = site.hold(scope);
        assert_eq!(awake(), 1);
        assert!(site.ask("b").is_ok());
        site.release();
        assert!(held.join().unwrap().is_ok());
    });
    assert_eq!(awake(), 0);
    alone();
    assert_eq!(awake(), 1);
}

#[test]
fn a_panic_takes_nobody_along() {
    let site = Site::new(1);
    thread::scope(|scope| {
        let mut threads = site.queue(scope, &["panic", "a", "b"]).into_iter();
        assert!(threads.next().unwrap().join().is_err());
        assert!(joined(threads.collect()).iter().all(Result::is_ok));
    });
    let asked = site.asked();
    assert_eq!(asked[0], ["panic", "a", "b"]);
    assert_eq!(asked.len(), 3);
}
