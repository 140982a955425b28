use super::*;
use crate::cache::{Claim, Id, Key, Shared, Value, Verified};
use crate::hashers::{Hashers, spent};
use crate::hashing::tests::until;
use crate::hashing::{Hashing, Limits};
use crate::session::SessionRow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

pub(super) struct Users(pub(super) Vec<User>);

impl Users {
    fn find(&self, wants: &Wants, is: impl Fn(&User) -> bool) -> Found {
        let Some(mut user) = self.0.iter().find(|user| is(user)).cloned() else {
            return Found::Nobody;
        };
        user.groups.retain(|_| wants.groups);
        user.known = wants.clone();
        Found::One(Arc::new(user))
    }
}

impl Store for Users {
    fn get_by_natural_key(
        &self,
        model: &Arc<UserModel>,
        wants: &Wants,
        username: &str,
        _: Instant,
    ) -> Result<Found, Error> {
        Ok(self.find(wants, |user| match model.ignores_case {
            true => user.username.eq_ignore_ascii_case(username),
            false => user.username == username,
        }))
    }

    fn get_by_id(
        &self,
        _: &Arc<UserModel>,
        wants: &Wants,
        id: &str,
        _: Instant,
    ) -> Result<Found, Error> {
        Ok(self.find(wants, |user| user.id == id))
    }

    fn session(
        &self,
        _: &Arc<UserModel>,
        _: &Wants,
        _: &str,
        _: Option<&str>,
        _: Instant,
    ) -> Result<(Option<Arc<SessionRow>>, Found), Error> {
        Ok((None, Found::Nobody))
    }

    fn exists(&self, _: &Query, _: &Values<'_>, _: Instant) -> Result<bool, Error> {
        Ok(false)
    }

    fn value(
        &self,
        _: &Query,
        values: &Values<'_>,
        _: Instant,
    ) -> Result<Option<Zeroizing<String>>, Error> {
        Ok(match values.realm {
            "none" => None,
            "odd" => Some("secret".to_owned().into()),
            _ => Some("0123456789ABCDEF0123456789abcdef".to_owned().into()),
        })
    }

    fn timeout(&self) -> Duration {
        Duration::from_secs(5)
    }
}

pub(super) fn users() -> Vec<User> {
    let user = |id: &str, username: &str, password: &str, is_active| User {
        id: id.into(),
        username: username.into(),
        password: Zeroizing::new(password.into()),
        is_active,
        ..User::default()
    };
    // The password is "secret" (Django 5.2.19, PBKDF2PasswordHasher, 1000 iterations).
    let encoded = "pbkdf2_sha256$1000$abcdefghijklmnopqrstuv$\
                   1nE4fvOmiD+ZePp39y6TYTXfkn5HEwJDyz8e6UkQE1w=";
    vec![
        user("1", "alice", encoded, true),
        user("2", "carol", encoded, false),
        user("3", "dave", "!unusable", true),
        user("4", "erin", "crypt$$x", true),
    ]
}

/// In the calling thread, whose work is counted.
pub(super) fn hashing() -> Hashing {
    let limits = Limits { threads: 1, queue: 100, memory: 0 };
    Hashing::new(
        limits,
        100,
        None,
        None,
        Box::new(|_| Err(std::io::ErrorKind::Other.into())),
        || (),
    )
}

pub(super) fn site() -> Site {
    Site {
        store: Arc::new(Users(users())),
        model: Arc::default(),
        floor: Floor::default(),
        identity: String::new(),
        stale: Stale::default(),
        owners: Owners::default(),
    }
}

fn ask(username: &str, password: &str) -> Decision {
    let hashers = Hashers::parse(&["pbkdf2_sha256:1000"]).unwrap();
    let verifier = Verifier {
        hashers: &hashers,
        hashing: &hashing(),
        cache: &Verified::new(&Key::new(&[1; 32]), None),
        lifetime: None,
        stale: None,
    };
    asked(verifier, username, password)
}

fn asked(verifier: Verifier<'_>, username: &str, password: &str) -> Decision {
    let patience = Patience::default();
    check_password(&site(), verifier, &Wants::NOTHING, username, password, &patience).unwrap()
}

/// A shared store that has nothing, and counts how often it was asked.
#[derive(Default)]
struct Counted(AtomicUsize);

impl Shared for Counted {
    fn retrieve(&self, _: &Id) -> Option<Value> {
        self.0.fetch_add(1, Ordering::Relaxed);
        None
    }

    fn store(&self, _: &Id, _: Value, _: SystemTime) {}
}

#[test]
fn the_shared_store_is_asked_as_often_whoever_it_is() {
    let counted = Arc::new(Counted::default());
    let cache = Verified::new(&Key::new(&[7; 32]), Some(counted.clone()));
    let hashers = Hashers::parse(&["pbkdf2_sha256:1000"]).unwrap();
    let (hashing, lifetime) = (hashing(), Some(Duration::from_secs(300)));
    let verifier =
        Verifier { hashers: &hashers, hashing: &hashing, cache: &cache, lifetime, stale: None };
    let asked = |username| {
        let before = counted.0.load(Ordering::Relaxed);
        let decision = asked(verifier, username, "wrong");
        assert!(!matches!(decision, Decision::Granted(..)), "{username}");
        counted.0.load(Ordering::Relaxed) - before
    };
    let (first, again) = (asked("alice"), asked("alice"));
    assert!(first > 0 && again > 0);
    for username in ["zoe", "carol", "dave", "erin"] {
        assert_eq!((asked(username), asked(username)), (first, again), "{username}");
    }
}

#[test]
fn only_an_active_user_with_the_right_password_is_granted() {
    assert!(
        matches!(ask("alice", "secret"), Decision::Granted(user, Proof::Hashed) if user.username == "alice")
    );
    for (username, password) in
        [("alice", "Secret"), ("alice", ""), ("dave", "secret"), ("dave", "!unusable")]
    {
        let decision = ask(username, password);
        assert!(matches!(decision, Decision::Denied(Reason::WrongPassword)), "{decision:?}");
    }
    assert!(matches!(ask("erin", "x"), Decision::Denied(Reason::Refused(_))));
}

#[test]
fn unknown_and_inactive_are_not_found() {
    assert!(matches!(ask("Alice", "secret"), Decision::UserNotFound(Reason::NoSuchUser)));
    assert!(matches!(ask("", ""), Decision::UserNotFound(Reason::NoSuchUser)));
    assert!(matches!(ask("carol", "secret"), Decision::UserNotFound(Reason::Inactive)));
}

#[test]
fn digest_is_for_active_users_with_a_hash() {
    let ask = |username: &str, realm: &str| {
        let query = ("ha1", &Query::parse("SELECT 1").unwrap());
        let patience = Patience::default();
        realm_hash(&site(), &Wants::NOTHING, query, username, realm, &patience).unwrap()
    };
    let RealmHash::Found(user, hash) = ask("alice", "x") else { panic!() };
    assert_eq!((user.username.as_str(), hash.len()), ("alice", 32));
    assert_eq!(*hash, hash.to_ascii_lowercase());
    for (username, realm, expected) in [
        ("alice", "none", Reason::NoRealmHash),
        ("alice", "odd", Reason::MalformedRealmHash),
        ("carol", "x", Reason::Inactive),
        ("zoe", "x", Reason::NoSuchUser),
    ] {
        let found = ask(username, realm);
        assert!(matches!(found, RealmHash::UserNotFound(reason) if reason == expected));
    }
}

#[test]
fn credentials_are_utf8_or_else_latin1() {
    assert_eq!(decode("jürgen".as_bytes(), b"x").0, "jürgen");
    assert_eq!(decode(b"j\xfcrgen", b"x").0, "jürgen");
    assert_eq!(&*decode(b"j\xfcrgen", "ü".as_bytes()).1, "Ã¼");
    assert_eq!(&*decode(b"a", b"\xff\xfe").1, "ÿþ");
}

/// A store whose rows change between two requests.
#[test]
fn the_cache_spares_a_hash_and_nothing_else() {
    let cache = Verified::new(&Key::new(&[1; 32]), None);
    let lifetime = Some(Duration::from_secs(300));
    let hashers = Hashers::parse(&["pbkdf2_sha256:1000"]).unwrap();
    let verifier =
        Verifier { hashers: &hashers, hashing: &hashing(), cache: &cache, lifetime, stale: None };
    let mut site = site();
    let ask = |site: &Site, verifier, username: &str, password: &str| {
        let patience = Patience::default();
        check_password(site, verifier, &Wants::NOTHING, username, password, &patience).unwrap()
    };
    let work = |decision: Decision| (decision, spent().get("pbkdf2_sha256").copied());
    spent();
    let (first, cost) = work(ask(&site, verifier, "alice", "secret"));
    assert!(matches!(first, Decision::Granted(..)) && cost == Some(1000));
    let (again, cost) = work(ask(&site, verifier, "alice", "secret"));
    assert!(matches!(again, Decision::Granted(..)) && cost.is_none());
    // Refused again within seconds, for nothing: of those who are there and of those who are not.
    for (username, password) in
        [("alice", "wrong"), ("zoe", "secret"), ("carol", "secret"), ("dave", "x"), ("erin", "x")]
    {
        let (first, cost) = work(ask(&site, verifier, username, password));
        assert_eq!(cost, Some(1000), "{username}");
        let (again, cost) = work(ask(&site, verifier, username, password));
        assert_eq!(cost, None, "{username}");
        assert_eq!(format!("{first:?}"), format!("{again:?}"));
        assert!(!matches!(again, Decision::Granted(..)));
    }
    // Without the cache in this place, every password is hashed.
    let (_, cost) = work(ask(&site, Verifier { lifetime: None, ..verifier }, "alice", "secret"));
    assert_eq!(cost, Some(1000));
    // The hasher is no longer accepted.
    let other = Hashers::parse(&["md5"]).unwrap();
    let removed = ask(&site, Verifier { hashers: &other, ..verifier }, "alice", "secret");
    assert!(matches!(removed, Decision::Denied(Reason::Refused(_))));
    // The password was changed: the old one is refused and the new one accepted, at once.
    let changed = Hashers::parse(&["md5", "pbkdf2_sha256"]).unwrap();
    let verifier = Verifier { hashers: &changed, ..verifier };
    spent();
    let (first, cost) = work(ask(&site, verifier, "alice", "secret"));
    assert!(matches!(first, Decision::Granted(..)) && cost == Some(1000));
    let with = |change: fn(&mut User)| {
        let mut users = users();
        users.iter_mut().filter(|user| user.username == "alice").for_each(change);
        Arc::new(Users(users))
    };
    site.store = with(|alice| *alice.password = "md5$salt$56d4f1eb1c9bf4ee2b53e4cf5f4d3b2c".into());
    assert!(matches!(ask(&site, verifier, "alice", "secret"), Decision::Denied(_)));
    site.store = with(|alice| alice.is_active = false);
    assert!(matches!(
        ask(&site, verifier, "alice", "secret"),
        Decision::UserNotFound(Reason::Inactive)
    ));
    site.store = with(|alice| alice.id = "2".into());
    spent();
    let (namesake, cost) = work(ask(&site, verifier, "alice", "secret"));
    assert!(matches!(namesake, Decision::Granted(..)) && cost == Some(1000));
    site.store = with(|_| {});
    let (back, cost) = work(ask(&site, verifier, "alice", "secret"));
    assert!(matches!(back, Decision::Granted(..)) && cost.is_none());
    // Another site's alice is somebody else.
    site.identity = "another".into();
    let (_, cost) = work(ask(&site, verifier, "alice", "secret"));
    assert_eq!(cost, Some(1000));
}

/// Two places ask for the same user at the same moment; one of them does not accept his hash.
#[test]
fn nobody_is_let_in_by_what_another_place_accepts() {
    let cache = Verified::new(&Key::new(&[1; 32]), None);
    let (accepts, refuses) =
        (Hashers::parse(&["pbkdf2_sha256:1000"]).unwrap(), Hashers::parse(&["md5"]).unwrap());
    let long = Duration::from_secs(300);
    let lifetime = Some(long);
    let hashing = hashing();
    let site = site();
    let user = &users()[0];
    let id = |hashers: &Hashers| {
        let claim = Claim::User { id: &user.id, encoded: &user.password };
        cache.credentials("", hashers.algorithms(), "alice", claim, b"secret", long).id()
    };
    let (id, other) = (id(&accepts), id(&refuses));
    assert_ne!(id, other);
    // While the check of the one place is done, the other asks.
    let (told, begun) = std::sync::mpsc::channel();
    let (go, gone) = std::sync::mpsc::channel::<()>();
    std::thread::scope(|scope| {
        let (hashing, site, cache) = (&hashing, &site, &cache);
        scope.spawn(move || {
            let verdict = hashing.check(id, false, |_| {
                told.send(()).unwrap();
                let _ = gone.recv_timeout(Duration::from_secs(2));
                Ok(Verdict::Correct)
            });
            assert_eq!(verdict, Ok(Verdict::Correct));
        });
        begun.recv().unwrap();
        let asked = scope.spawn(|| {
            let verifier = Verifier { hashers: &refuses, hashing, cache, lifetime, stale: None };
            let patience = Patience::default();
            check_password(site, verifier, &Wants::NOTHING, "alice", "secret", &patience).unwrap()
        });
        let decision = asked.join().unwrap();
        let _ = go.send(());
        assert!(matches!(decision, Decision::Denied(Reason::Refused(_))), "{decision:?}");
    });
    let verifier =
        Verifier { hashers: &accepts, hashing: &hashing, cache: &cache, lifetime, stale: None };
    assert!(matches!(asked(verifier, "alice", "secret"), Decision::Granted(..)));
}

/// Where names are found whatever their case, each spelling costs what it costs where nobody has it.
#[test]
fn several_spellings_tell_nothing_of_a_name() {
    let cache = Verified::new(&Key::new(&[1; 32]), None);
    let hashers = Hashers::parse(&["pbkdf2_sha256:1000"]).unwrap();
    let (hashing, lifetime) = (hashing(), Some(Duration::from_secs(300)));
    let verifier =
        Verifier { hashers: &hashers, hashing: &hashing, cache: &cache, lifetime, stale: None };
    let mut site = site();
    site.model = Arc::new(UserModel { ignores_case: true, ..UserModel::default() });
    let cost = |username: &str| {
        let patience = Patience::default();
        let wants = &Wants::NOTHING;
        check_password(&site, verifier, wants, username, "wrong", &patience).unwrap();
        spent().values().sum::<u64>()
    };
    for spellings in [["alice", "Alice", "ALICE", "alice"], ["zoe", "Zoe", "ZOE", "zoe"]] {
        assert_eq!(spellings.map(cost), [1000, 1000, 1000, 0], "{spellings:?}");
    }
}

/// Where places accept different algorithms, and one of them not the user's, likewise.
#[test]
fn several_places_tell_nothing_of_a_name() {
    let cache = Verified::new(&Key::new(&[1; 32]), None);
    let (hashing, lifetime) = (hashing(), Some(Duration::from_secs(300)));
    let lists =
        [&["pbkdf2_sha256:1000"][..], &["md5"][..]].map(|list| Hashers::parse(list).unwrap());
    let [first, second] = &lists;
    let costs = |username| {
        [first, second, first, second].map(|hashers| {
            let (hashing, cache) = (&hashing, &cache);
            let verifier = Verifier { hashers, hashing, cache, lifetime, stale: None };
            assert!(!matches!(asked(verifier, username, "wrong"), Decision::Granted(..)));
            spent()
        })
    };
    let costs = ["alice", "zoe"].map(costs);
    assert_eq!(costs[0], costs[1]);
    assert_eq!(costs[0].each_ref().map(|cost| cost.is_empty()), [false, false, true, true]);
}

/// Where nothing is remembered, what is asked while the same check is done has its verdict, and what
/// is asked later is hashed.
#[test]
fn equal_checks_are_done_once_without_a_lifetime() {
    let cache = Verified::new(&Key::new(&[1; 32]), None);
    let hashers = Hashers::parse(&["pbkdf2_sha256:1000"]).unwrap();
    let hashing = hashing();
    let verifier = Verifier {
        hashers: &hashers,
        hashing: &hashing,
        cache: &cache,
        lifetime: None,
        stale: None,
    };
    let user = &users()[0];
    let known = Claim::User { id: &user.id, encoded: &user.password };
    for (username, claim) in [("alice", known), ("zoe", Claim::Nobody)] {
        let id = cache
            .credentials("", hashers.algorithms(), username, claim, b"secret", Duration::ZERO)
            .id();
        let answers = |username| {
            let decision = asked(verifier, username, "secret");
            (format!("{decision:?}"), spent().values().sum::<u64>())
        };
        let alone = answers(username);
        assert_eq!(alone.1, 1000);
        let (told, begun) = std::sync::mpsc::channel();
        let (go, gone) = std::sync::mpsc::channel();
        let follower = std::thread::scope(|scope| {
            let hashing = &hashing;
            let pilot = scope.spawn(move || {
                hashing.check(id, false, |_| {
                    told.send(()).unwrap();
                    let _ = gone.recv_timeout(Duration::from_secs(10));
                    Ok(if username == "zoe" { Verdict::Wrong } else { Verdict::Correct })
                })
            });
            begun.recv().unwrap();
            let follower = scope.spawn(|| answers(username));
            until(|| hashing.followers() == 1);
            go.send(()).unwrap();
            pilot.join().unwrap().unwrap();
            follower.join().unwrap()
        });
        assert_eq!(follower, (alone.0.replace("Hashed", "Remembered"), 0), "{username}");
        assert_eq!(answers(username), alone, "{username}: it is remembered");
    }
}
