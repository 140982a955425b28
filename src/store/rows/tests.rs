#![forbid(unsafe_code)]

use super::*;
use crate::query::Query;
use crate::user::User;
use std::sync::atomic::{AtomicU64, Ordering};

/// Says what a test has it say; 0 is nothing.
struct Oracle(Arc<AtomicU64>);

impl Voucher for Oracle {
    fn stamp(&self) -> Option<Stamp> {
        Some(Stamp(self.0.load(Ordering::Relaxed))).filter(|stamp| stamp.0 != 0)
    }

    fn covers(&self, _: &Arc<UserModel>, wants: &Wants) -> bool {
        !wants.permissions
    }

    fn knows(&self, origin: Option<&str>) -> bool {
        origin == Some("here")
    }
}

fn rows(oldest: Duration) -> (Rows, Arc<AtomicU64>) {
    let says = Arc::new(AtomicU64::new(1));
    (Rows::new(Box::new(Oracle(says.clone())), oldest), says)
}

fn alice() -> Kept {
    Kept::User(Found::One(Arc::new(User { username: "alice".into(), ..User::default() })))
}

fn session(length: usize) -> Kept {
    let expire_date = "2030-01-01 00:00:00".into();
    Kept::Session(Arc::new(SessionRow::new("x".repeat(length), expire_date)))
}

#[test]
fn a_row_is_kept_while_the_stamp_is_the_same() {
    let (rows, says) = rows(OLDEST);
    let (model, wants) = (Arc::<UserModel>::default(), Wants::NOTHING);
    let look = |name| rows.lookup(rows.stamp(), &model, &wants, Sought::Name(name));
    assert_eq!(look("alice").unwrap().found(), None);
    look("alice").unwrap().keep(Instant::now(), alice(), Some("here"));
    look("zoe").unwrap().keep(Instant::now(), Kept::User(Found::Nobody), Some("here"));
    assert_eq!(look("alice").unwrap().found(), Some(alice()));
    assert_eq!(look("zoe").unwrap().found(), Some(Kept::User(Found::Nobody)));
    assert_eq!(look("Alice").unwrap().found(), None);
    // A name is no key.
    let by_id = rows.lookup(rows.stamp(), &model, &wants, Sought::Id("alice"));
    assert_eq!(by_id.unwrap().found(), None);
    // More is wanted of the row than was read.
    let [more, uncovered] = [Wants::FLAGS, Wants::PERMISSIONS];
    let more = rows.lookup(rows.stamp(), &model, &more, Sought::Name("alice"));
    assert_eq!(more.unwrap().found(), None);
    let uncovered = rows.lookup(rows.stamp(), &model, &uncovered, Sought::Name("alice"));
    assert!(uncovered.is_none());
    let other = Arc::new(UserModel { table: "other".into(), ..UserModel::default() });
    let other = rows.lookup(rows.stamp(), &other, &wants, Sought::Name("alice"));
    assert_eq!(other.unwrap().found(), None);
    // Nobody vouches for the rows of an administrator's query.
    let query = Query::parse("SELECT * FROM people WHERE login = :username").unwrap();
    let queried = Arc::new(UserModel { query: Some(query.into()), ..UserModel::default() });
    assert!(rows.lookup(rows.stamp(), &queried, &wants, Sought::Name("alice")).is_none());
    says.store(2, Ordering::Relaxed);
    assert_eq!(look("alice").unwrap().found(), None);
    // What was thrown away stays so, even if an old number came back.
    says.store(1, Ordering::Relaxed);
    assert_eq!(look("alice").unwrap().found(), None);
    says.store(0, Ordering::Relaxed);
    assert!(look("alice").is_none());
}

#[test]
fn what_changes_while_the_answer_is_under_way_is_not_kept() {
    let (rows, says) = rows(OLDEST);
    let (model, wants) = (Arc::<UserModel>::default(), Wants::NOTHING);
    let look = || rows.lookup(rows.stamp(), &model, &wants, Sought::Name("alice")).unwrap();
    let lookup = look();
    says.store(2, Ordering::Relaxed);
    lookup.keep(Instant::now(), alice(), Some("here"));
    assert_eq!(look().found(), None);
    says.store(0, Ordering::Relaxed);
    lookup.keep(Instant::now(), alice(), Some("here"));
    says.store(1, Ordering::Relaxed);
    assert_eq!(look().found(), None);
    // The answer came from another server.
    for origin in [None, Some("there")] {
        look().keep(Instant::now(), alice(), origin);
        assert_eq!(look().found(), None);
    }
}

#[test]
fn no_row_is_kept_for_ever() {
    let (rows, _) = rows(Duration::from_millis(50));
    let (model, wants) = (Arc::<UserModel>::default(), Wants::NOTHING);
    let look = || rows.lookup(rows.stamp(), &model, &wants, Sought::Name("alice")).unwrap();
    // As old as the question, not as the answer.
    let asked = Instant::now().checked_sub(Duration::from_millis(60)).unwrap();
    look().keep(asked, alice(), Some("here"));
    assert_eq!(look().found(), None);
    look().keep(Instant::now(), alice(), Some("here"));
    assert_eq!(look().found(), Some(alice()));
    assert_eq!(Rows::new(Box::new(Trust), Duration::from_secs(600)).oldest, OLDEST);
}

#[test]
fn names_have_a_bound_in_bytes() {
    let (rows, _) = rows(OLDEST);
    let (model, wants) = (Arc::<UserModel>::default(), Wants::NOTHING);
    for (length, kept) in [(LONGEST_KEY, true), (LONGEST_KEY + 1, false)] {
        let name = "x".repeat(length);
        let look = || rows.lookup(rows.stamp(), &model, &wants, Sought::Name(&*name)).unwrap();
        look().keep(Instant::now(), Kept::User(Found::Nobody), Some("here"));
        assert_eq!(look().found().is_some(), kept, "{length}");
    }
}

#[test]
fn sessions_have_a_bound_in_bytes() {
    let (rows, _) = rows(OLDEST);
    let (model, wants) = (Arc::<UserModel>::default(), Wants::SESSIONS);
    let look = |key: &str| {
        let lookup = rows.lookup(rows.stamp(), &model, &wants, Sought::Session(key)).unwrap();
        lookup.found()
    };
    let keep = |key: &str, kept: Kept| {
        let lookup = rows.lookup(rows.stamp(), &model, &wants, Sought::Session(key)).unwrap();
        lookup.keep(Instant::now(), kept, Some("here"));
    };
    keep("long", session(LONGEST + 1));
    assert_eq!(look("long"), None);
    keep("short", session(300));
    assert_eq!(look("short"), Some(session(300)));
    for number in 0..MOST {
        keep(&number.to_string(), session(LONGEST / 2));
    }
    assert!(rows.kept.weight() <= (MOST * USUAL) as u64);
    assert!((2..=MOST * USUAL / (LONGEST / 2)).contains(&rows.kept.len()));
}
