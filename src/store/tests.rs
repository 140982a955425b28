//! What the stores' tests need, and the tests of `Database`.

use super::sql::Dialect;
use super::*;
use std::sync::Mutex;
use std::thread;

/// A server that is none.
#[derive(Default)]
pub(crate) struct FakeHost {
    pub(crate) notices: Mutex<Vec<String>>,
}

impl Host for FakeHost {
    fn notice(&self, message: &str) {
        self.notices.lock().unwrap().push(message.to_owned());
    }

    fn spawn(&self, name: &str, body: Box<dyn FnOnce() + Send>) -> std::io::Result<()> {
        thread::Builder::new().name(name.into()).spawn(body).map(|_| ())
    }

    fn threads(&self) -> usize {
        64
    }
}

/// Of a database that is none.
pub(super) const DIALECT: Dialect = Dialect {
    quote: '"',
    text: "text",
    placeholder: |_| "?".into(),
    numbered: false,
    up_to: |column, length| format!("UP_TO({column}, {length})"),
    list: |item, from| format!("LIST({item} {from})"),
    concat: |parts| parts.join(" || "),
    as_text: None,
    ignoring_case: |column, placeholder| format!("{column} LIKE {placeholder}"),
    by_pattern: true,
    in_utc: None,
    uuids_are_texts: false,
    marked: false,
};

/// The store of `words`, opened.
pub(crate) fn open(words: &[&str]) -> Arc<dyn Store> {
    let database = Database::parse(words).unwrap();
    database.load().unwrap();
    database.open(None, Arc::new(FakeHost::default()), Arc::new(Gate::new(64)))
}

fn error(words: &[&str]) -> String {
    Database::parse(words).err().unwrap_or_else(|| panic!("{words:?} is taken"))
}

#[test]
fn what_is_wrong_is_said_without_the_password() {
    for (words, reason) in [
        (&[][..], "needs the URL"),
        (&["oracle://a:secret@b/c"], "must begin with one of postgresql://"),
        (&["mysql://a:secret@b/c", "statements=unnamed"], "unknown key statements="),
        (&["mysql://a:secret@b/c?charset=latin1"], "always utf8mb4"),
        (&["mysql://a:secret@b"], "must name the database"),
        (&["postgresql://a:se cret@b/c"], "no spaces"),
        (&["postgresql://b/c", "secret"], "must be key=value"),
        (&["postgresql://b/c", "max=0"], "max=0: must be a number from 1 to 1000"),
        (&["postgresql://b/c", "min=9"], "min=9 is more than max=4"),
        (&["postgresql://b/c", "timeout=61"], "from 0.1 to 60"),
        (&["postgresql://b/c", "timeout=nan"], "from 0.1 to 60"),
        (
            &["postgresql://b/c", "statements=often"],
            "statements=often: must be prepared or unnamed",
        ),
        (&["postgresql://b/c", "watch=a-b"], "watch=…: must be a word of at most 40"),
        (&["postgresql://b/c", "watch_host=db"], "watch_host= needs watch="),
        (&["postgresql://b/c", "watch=a", "watch_host=db:secret"], "the port is no number"),
        (&["postgresql://b/c", "watch=a", "watch_host=:1"], "needs one HOST"),
        (&["postgresql://b/c", "watch=a", "rows=5"], "rows= has no use beside watch="),
        (&["sqlite:/srv/db", "watch=a"], "unknown key watch="),
        (&["postgresql://b/c", "size=3"], "unknown key size=: after the URL there may be max=, "),
        (&["sqlite:db.sqlite3"], "whole path"),
        (&["sqlite://srv/db"], "whole path"),
        (&["sqlite:/srv/db?mode=rw"], "no ?parameters"),
        (&["sqlite:/srv/db", "statements=unnamed"], "unknown key statements="),
    ] {
        let error = error(words);
        assert!(error.contains(reason), "{words:?}: {error}");
        assert!(!error.contains("secret") && !error.contains("cret@"), "{error}");
    }
}

#[test]
fn words_and_labels() {
    let database =
        Database::parse(&["postgresql://me:secret@db/site", "max=2", "timeout=2.5"]).unwrap();
    assert_eq!(database.label(), "postgresql://me@db/site");
    let redacted = database.redacted();
    assert_eq!(redacted.as_deref(), Some("postgresql://me:*****@db/site max=2 timeout=2.5"));
    let store = open(&["postgresql://me:secret@db/site", "timeout=2.5"]);
    assert_eq!(store.timeout(), Duration::from_millis(2500));
    for url in ["sqlite:/srv/a%20b", "sqlite:///srv/a%20b"] {
        let database = Database::parse(&[url, "idle=10"]).unwrap();
        assert_eq!((database.label(), database.redacted()), (url, None));
        assert_eq!(database.check().unwrap_err(), "database sqlite:/srv/a b: no such file");
    }
}

#[test]
fn an_outage_costs_a_moment_and_tells_no_password() {
    let store = open(&["postgresql://me:secret@127.0.0.1:1/site"]);
    let begun = Instant::now();
    for _ in 0..20 {
        let deadline = Instant::now() + Duration::from_secs(5);
        let error = store
            .get_by_natural_key(&Arc::default(), &Wants::NOTHING, "alice", deadline)
            .unwrap_err();
        let text = error.to_string();
        assert_eq!(
            text,
            "database postgresql://me@127.0.0.1:1/site is not available: 127.0.0.1:1: connection \
             refused: is PostgreSQL running there?"
        );
    }
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
}

#[test]
fn hosts_in_any_order_fail_with_one_text() {
    let url = "postgresql://me@127.0.0.1:1,127.0.0.1:2,127.0.0.1:3/site?load_balance_hosts=random";
    let texts: std::collections::HashSet<_> =
        (0..40).map(|_| ask(&*open(&[url])).unwrap_err()).collect();
    assert_eq!(texts.len(), 1, "{texts:?}");
}

pub(super) fn ask(store: &dyn Store) -> Result<Option<Arc<User>>, String> {
    let deadline = Instant::now() + store.timeout();
    let answer = store.get_by_natural_key(&Arc::default(), &Wants::NOTHING, "alice", deadline);
    answer.map(Found::one).map_err(|error| error.to_string())
}
