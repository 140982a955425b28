use super::*;
use crate::authn::Stale;
use crate::authn::Verifier;
use crate::cache::{Key, Verified};
use crate::hashers::Floor;
use crate::hashers::Hashers;
use crate::query::{Query, Values};
use crate::session::Engine;
use crate::store::Store;
use crate::user::UserModel;
use std::sync::Mutex;
use std::time::{Duration, Instant, UNIX_EPOCH};
use zeroize::Zeroizing;

/// Made by Django 5.2.19 at 1700000000 for the user 1, whose password is `ENCODED`.
const SECRET_KEY: &str = "test-secret-key-0123456789";
const DATA: &str = ".eJxVjEEOwiAQRe_C2hBmYJC6dN8zECiDVA0kpV0Z765NutDtf-_9l_BhW4vfOi9-TuIiQJx-tximB9cdpHuotyan\
    VtdljnJX5EG7HFvi5_Vw_w5K6OVbWwVsksuAMYScidA4GNAhKbKcFDIgJ46siLUDPDuTtaVMoLTGAcT7A9BONtU:1r31eq:w9noofiwK1Z\
    YHN2Sy4ppdyspsQ_tRiPPeHbUiy62QKY";
const ENCODED: &str = "pbkdf2_sha256$1000$abcdefghijklmnopqrstuv$\
    1nE4fvOmiD+ZePp39y6TYTXfkn5HEwJDyz8e6UkQE1w=";
const COOKIE: &[u8] = b"a=b; sessionid=abcdefghijklmnopqrstuvwxyz012345";

/// A database with one row of each, and what it was asked.
struct Rows {
    user: User,
    expire_date: &'static str,
    fails: bool,
    asked: Mutex<Vec<String>>,
}

impl Rows {
    fn new() -> Self {
        let user = User {
            id: "1".into(),
            username: "alice".into(),
            password: Zeroizing::new(ENCODED.into()),
            is_active: true,
            ..User::default()
        };
        let expire_date = "2023-11-28 22:13:20.5";
        Self { user, expire_date, fails: false, asked: Mutex::default() }
    }

    fn find(&self, id: &str) -> Result<Found, Error> {
        let found = id == self.user.id;
        Ok(if found { Found::One(Arc::new(self.user.clone())) } else { Found::Nobody })
    }

    fn asks(&self, what: String) -> Result<(), Error> {
        self.asked.lock().unwrap().push(what);
        match self.fails {
            true => Err(Error::Unavailable {
                database: "d".into(),
                reason: "away".into(),
                overloaded: false,
            }),
            false => Ok(()),
        }
    }
}

impl Store for Rows {
    fn get_by_natural_key(
        &self,
        _: &Arc<UserModel>,
        _: &Wants,
        name: &str,
        _: Instant,
    ) -> Result<Found, Error> {
        panic!("asked for the name {name}");
    }

    fn get_by_id(
        &self,
        _: &Arc<UserModel>,
        _: &Wants,
        id: &str,
        _: Instant,
    ) -> Result<Found, Error> {
        self.asks(format!("user {id}"))?;
        self.find(id)
    }

    fn session(
        &self,
        _: &Arc<UserModel>,
        _: &Wants,
        _: &str,
        id: Option<&str>,
        _: Instant,
    ) -> Result<(Option<Arc<SessionRow>>, Found), Error> {
        self.asks(format!("session {}", id.unwrap_or("alone")))?;
        let found = id.map_or(Ok(Found::Nobody), |id| self.find(id))?;
        Ok((Some(Arc::new(SessionRow::new(DATA.into(), self.expire_date.into()))), found))
    }

    fn exists(&self, _: &Query, _: &Values<'_>, _: Instant) -> Result<bool, Error> {
        Ok(false)
    }

    fn value(
        &self,
        _: &Query,
        _: &Values<'_>,
        _: Instant,
    ) -> Result<Option<Zeroizing<String>>, Error> {
        Ok(None)
    }

    fn timeout(&self) -> Duration {
        Duration::from_secs(5)
    }
}

fn site(rows: Rows) -> (Arc<Rows>, Site) {
    let rows = Arc::new(rows);
    let site = Site {
        store: Arc::clone(&rows) as _,
        model: Arc::default(),
        floor: Floor::default(),
        identity: String::new(),
        stale: Stale::default(),
        owners: Owners::default(),
    };
    (rows, site)
}

fn ask(site: &Site, keys: &[&str]) -> Result<Result<String, String>, Error> {
    let sessions = Sessions {
        settings: &Settings::new(Engine::Row),
        keys: &Keys::new(keys[0], &keys[1..]),
        clock: &Clock::default(),
    };
    let now = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let answer = session(site, sessions, &Wants::NOTHING, COOKIE, &Patience::default(), now)?;
    Ok(match answer {
        Session::Of(user) => Ok(user.username.clone()),
        Session::Nobody(reason) => Err(reason.to_string()),
    })
}

/// What was asked since it was last looked at.
fn asked(rows: &Rows) -> Vec<String> {
    std::mem::take(&mut rows.asked.lock().unwrap())
}

#[test]
fn one_query_is_enough_where_the_owner_is_known() {
    let (rows, site) = site(Rows::new());
    assert!(!site.owners.is_proven());
    assert_eq!(ask(&site, &[SECRET_KEY]), Ok(Ok("alice".into())));
    assert_eq!(asked(&rows), ["session alone", "user 1"]);
    assert!(site.owners.is_proven());
    assert_eq!(ask(&site, &["newer", SECRET_KEY]), Ok(Ok("alice".into())));
    assert_eq!(asked(&rows), ["session 1"]);
}

#[test]
fn what_was_remembered_decides_nothing() {
    let (rows, site) = site(Rows::new());
    let Ok(Place::Key(key)) = Settings::new(Engine::Row).find(COOKIE) else { panic!() };
    site.owners.ids.insert(digest(&key), "2".into());
    assert_eq!(ask(&site, &[SECRET_KEY]), Ok(Ok("alice".into())));
    assert_eq!(asked(&rows), ["session 2", "user 1"]);
    assert_eq!(ask(&site, &[SECRET_KEY]), Ok(Ok("alice".into())));
    assert_eq!(asked(&rows), ["session 1"]);
}

#[test]
fn nobody_is_let_in_by_less() {
    let refused = |rows: Rows, key: &str| {
        let (_, site) = site(rows);
        let reason = ask(&site, &[key]).unwrap().unwrap_err();
        assert!(!reason.contains("abcdefghijkl") && !reason.contains(key), "{reason}");
        assert!(!site.owners.is_proven());
        reason
    };
    let ended = Rows { expire_date: "2023-11-14 22:13:20", ..Rows::new() };
    assert_eq!(refused(ended, SECRET_KEY), "the session has ended");
    assert!(refused(Rows::new(), "another").contains("signature"));
    let with = |change: fn(&mut User)| {
        let mut rows = Rows::new();
        change(&mut rows.user);
        rows
    };
    let inactive = with(|user| user.is_active = false);
    assert_eq!(refused(inactive, SECRET_KEY), "the user is not active");
    let gone = with(|user| user.id = "2".into());
    assert_eq!(refused(gone, SECRET_KEY), "no such user");
    let changed = with(|user| user.password = Zeroizing::new("!".into()));
    assert!(refused(changed, SECRET_KEY).contains("present password"));
}

/// A login's outage is not bridged by what a session has seen to be over.
#[test]
fn what_a_session_finds_out_counts_for_logins() {
    let cache = Verified::new(&Key::new(&[1; 32]), None);
    let hashers = Hashers::parse(&["pbkdf2_sha256:1000"]).unwrap();
    let hashing = crate::authn::tests::hashing();
    let (lifetime, stale) = (None, Some(Duration::from_secs(60)));
    let verifier =
        Verifier { hashers: &hashers, hashing: &hashing, cache: &cache, lifetime, stale };
    let changes: [fn(&mut Rows); 3] = [
        |rows| rows.user.is_active = false,
        |rows| rows.user.id = "2".into(),
        // Neither is there any more.
        |rows| (rows.user.id, rows.expire_date) = ("2".into(), "2023-11-14 22:13:20"),
    ];
    for change in changes {
        let (rows, mut site) = site(Rows::new());
        // So that one query brings both.
        assert_eq!(ask(&site, &[SECRET_KEY]), Ok(Ok("alice".into())));
        let user = Arc::new(rows.user.clone());
        verifier.note(&site, "alice", b"secret", &user, Some(std::time::Instant::now()));
        assert_eq!(ask(&site, &[SECRET_KEY]), Ok(Ok("alice".into())));
        assert!(site.stale.knows("1"));
        let mut rows = Rows::new();
        change(&mut rows);
        site.store = Arc::new(rows);
        assert!(ask(&site, &[SECRET_KEY]).unwrap().is_err());
        assert!(!site.stale.knows("1"));
    }
}

#[test]
fn an_outage_is_an_error() {
    let (_, site) = site(Rows { fails: true, ..Rows::new() });
    assert!(matches!(ask(&site, &[SECRET_KEY]), Err(Error::Unavailable { .. })));
}
