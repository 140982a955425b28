use super::*;
use crate::authn::tests::{Users, hashing, site, users};
use crate::authn::{Decision, Proof, check_password};
use crate::cache::{Key, Verified};
use crate::error::Error;
use crate::hashers::Hashers;
use crate::query::{Query, Values};
use crate::session::{SessionRow, UserId};
use crate::store::{Patience, Store};
use crate::user::UserModel;
use zeroize::Zeroizing;

/// A database that is away.
struct Away(Error);

impl Store for Away {
    fn get_by_natural_key(
        &self,
        _: &Arc<UserModel>,
        _: &Wants,
        _: &str,
        _: Instant,
    ) -> Result<Found, Error> {
        Err(self.0.clone())
    }

    fn get_by_id(
        &self,
        _: &Arc<UserModel>,
        _: &Wants,
        _: &str,
        _: Instant,
    ) -> Result<Found, Error> {
        Err(self.0.clone())
    }

    fn session(
        &self,
        _: &Arc<UserModel>,
        _: &Wants,
        _: &str,
        _: Option<&str>,
        _: Instant,
    ) -> Result<(Option<Arc<SessionRow>>, Found), Error> {
        Err(self.0.clone())
    }

    fn exists(&self, _: &Query, _: &Values<'_>, _: Instant) -> Result<bool, Error> {
        Err(self.0.clone())
    }

    fn value(
        &self,
        _: &Query,
        _: &Values<'_>,
        _: Instant,
    ) -> Result<Option<Zeroizing<String>>, Error> {
        Err(self.0.clone())
    }

    fn timeout(&self) -> Duration {
        Duration::from_secs(5)
    }
}

#[test]
fn an_outage_is_bridged_for_those_who_were_just_verified() {
    let cache = Verified::new(&Key::new(&[1; 32]), None);
    let hashers = Hashers::parse(&["pbkdf2_sha256:1000"]).unwrap();
    let (lifetime, stale) = (Some(Duration::from_secs(300)), Some(Duration::from_secs(60)));
    let verifier =
        Verifier { hashers: &hashers, hashing: &hashing(), cache: &cache, lifetime, stale };
    let mut site = site();
    let ask = |site: &Site, verifier, wants, username: &str, password: &str| {
        check_password(site, verifier, wants, username, password, &Patience::default())
    };
    let well = Arc::clone(&site.store);
    let (database, reason) = (String::new(), String::new());
    let away = Error::Unavailable {
        database: database.clone(),
        reason: reason.clone(),
        overloaded: false,
    };
    let (nothing, flags) = (&Wants::NOTHING, &Wants::FLAGS);
    let md5 = Hashers::parse(&["md5"]).unwrap();
    assert!(matches!(ask(&site, verifier, nothing, "alice", "secret"), Ok(Decision::Granted(..))));
    assert!(matches!(
        ask(&site, verifier, nothing, "carol", "secret"),
        Ok(Decision::UserNotFound(_))
    ));
    site.store = Arc::new(Away(away.clone()));
    let bridged = ask(&site, verifier, nothing, "alice", "secret");
    assert!(
        matches!(bridged, Ok(Decision::Granted(user, Proof::Stale(_))) if user.username == "alice")
    );
    // Nobody else, by no other password, for no more than was read, not elsewhere, not for ever.
    for (verifier, wants, username, password) in [
        (verifier, nothing, "alice", "Secret"),
        (verifier, nothing, "carol", "secret"),
        (verifier, nothing, "zoe", "secret"),
        (verifier, flags, "alice", "secret"),
        (Verifier { stale: None, ..verifier }, nothing, "alice", "secret"),
        (Verifier { stale: Some(Duration::ZERO), ..verifier }, nothing, "alice", "secret"),
        (Verifier { hashers: &md5, ..verifier }, nothing, "alice", "secret"),
    ] {
        let answer = ask(&site, verifier, wants, username, password);
        assert_eq!(answer.err(), Some(away.clone()), "{username} {password}");
    }
    // An error of SQL is no outage.
    let broken = Error::Query { database, reason };
    site.store = Arc::new(Away(broken.clone()));
    assert_eq!(ask(&site, verifier, nothing, "alice", "secret").err(), Some(broken));
    // Who was read to be inactive, or to have another password, is not served from before.
    for change in [
        (|alice: &mut User| alice.is_active = false) as fn(&mut User),
        |alice| *alice.password = "pbkdf2_sha256$1$salt$x".into(),
        |alice| alice.username = "alicia".into(),
    ] {
        let mut site = Site { store: Arc::clone(&well), ..crate::authn::tests::site() };
        assert!(matches!(
            ask(&site, verifier, nothing, "alice", "secret"),
            Ok(Decision::Granted(..))
        ));
        let mut users = users();
        users.iter_mut().filter(|user| user.username == "alice").for_each(change);
        site.store = Arc::new(Users(users));
        assert!(!matches!(
            ask(&site, verifier, nothing, "alice", "secret"),
            Ok(Decision::Granted(..))
        ));
        site.store = Arc::new(Away(away.clone()));
        assert_eq!(ask(&site, verifier, nothing, "alice", "secret").err(), Some(away.clone()));
    }
}

/// What any place has read counts, and what one asks for is not lost by what another one does.
#[test]
fn an_outage_is_bridged_by_what_was_read_last() {
    let cache = Verified::new(&Key::new(&[1; 32]), None);
    let hashers = Hashers::parse(&["pbkdf2_sha256:1000"]).unwrap();
    let lifetime = Some(Duration::from_secs(300));
    let (hashing, stale) = (hashing(), Some(Duration::from_secs(60)));
    let bridges = Verifier { hashers: &hashers, hashing: &hashing, cache: &cache, lifetime, stale };
    let plain = Verifier { stale: None, ..bridges };
    let fresh = || site();
    let mut site = site();
    let away =
        Error::Unavailable { database: String::new(), reason: String::new(), overloaded: false };
    let enter = |site: &Site, verifier, wants: &Wants| {
        check_password(site, verifier, wants, "alice", "secret", &Patience::default())
    };
    let groups = |user: &User| user.groups.clone();
    let bridged = |site: &mut Site, wants: &Wants| {
        let well = std::mem::replace(&mut site.store, Arc::new(Away(away.clone())));
        let answer = enter(site, bridges, wants);
        site.store = well;
        match answer {
            Ok(Decision::Granted(user, Proof::Stale(_))) => Some(groups(&user)),
            Ok(other) => panic!("{other:?}"),
            Err(error) => {
                assert_eq!(error, away);
                None
            }
        }
    };
    let with = |change: fn(&mut User)| -> Arc<dyn Store> {
        let mut users = users();
        users.iter_mut().filter(|user| user.username == "alice").for_each(change);
        Arc::new(Users(users))
    };
    let change = |site: &mut Site, change: fn(&mut User)| site.store = with(change);

    // A place that asks for less does not take anything away.
    let both = Wants::GROUPS.or(&Wants::FLAGS);
    change(&mut site, |alice| alice.groups = vec!["editors".into()]);
    assert!(matches!(enter(&site, bridges, &both), Ok(Decision::Granted(..))));
    assert!(matches!(enter(&site, bridges, &Wants::NOTHING), Ok(Decision::Granted(..))));
    assert_eq!(bridged(&mut site, &both), Some(vec!["editors".into()]));
    // What it sees to have changed is not served from before, nor is what others have kept or read
    // until then.
    let before = site.get_by_natural_key(&both, "alice", &Patience::default()).unwrap();
    change(&mut site, |alice| alice.groups = Vec::new());
    assert!(matches!(enter(&site, plain, &Wants::GROUPS), Ok(Decision::Granted(..))));
    let asked = Some(Instant::now());
    bridges.note(&site, "alice", b"secret", &before.one().unwrap(), asked);
    for wants in [&both, &Wants::GROUPS, &Wants::NOTHING] {
        assert_eq!(bridged(&mut site, wants), None);
    }

    // What one place has read long ago is not made young by what another one asks for.
    site = fresh();
    let brief = Verifier { stale: Some(Duration::from_millis(500)), ..bridges };
    assert!(matches!(enter(&site, bridges, &both), Ok(Decision::Granted(..))));
    std::thread::sleep(Duration::from_millis(510));
    assert!(matches!(enter(&site, bridges, &Wants::NOTHING), Ok(Decision::Granted(..))));
    let lately = |wants| brief.bridge(&site, wants, "alice", b"secret");
    assert!(lately(&both).is_none() && lately(&Wants::NOTHING).is_some());

    // Another spelling is another user, or the same one where case does not matter.
    for ignores_case in [false, true] {
        site = fresh();
        site.model = Arc::new(UserModel { ignores_case, ..UserModel::default() });
        assert!(matches!(enter(&site, bridges, &Wants::NOTHING), Ok(Decision::Granted(..))));
        change(&mut site, |alice| alice.username = "somebody".into());
        site.get_by_natural_key(&Wants::NOTHING, "ALICE", &Patience::default()).unwrap();
        assert_eq!(bridged(&mut site, &Wants::NOTHING).is_some(), !ignores_case);
    }

    // Not after a long wait for the hash: meanwhile he may be gone.
    let asked = Instant::now().checked_sub(FRESH * 2);
    site = fresh();
    let found = site.get_by_natural_key(&both, "alice", &Patience::default()).unwrap();
    bridges.note(&site, "alice", b"secret", &found.one().unwrap(), asked);
    assert_eq!(bridged(&mut site, &Wants::NOTHING), None);

    // Deactivated or gone, as a place without `stale=`, a Require line or a session finds out.
    let gone: [fn(&mut User); 3] = [
        |alice| alice.is_active = false,
        |alice| alice.id = "77".into(),
        |alice| (alice.id, alice.username) = ("78".into(), "somebody".into()),
    ];
    for gone in gone {
        for read in [
            (|site, plain| {
                let wants = &Wants::NOTHING;
                check_password(site, plain, wants, "alice", "secret", &Patience::default())
                    .unwrap();
            }) as fn(&Site, Verifier<'_>),
            |site, _| {
                site.get_by_natural_key(&Wants::NOTHING, "alice", &Patience::default()).unwrap();
            },
            |site, _| {
                let id = UserId::of("1");
                site.get_by_id(&Wants::NOTHING, &id, &Patience::default()).unwrap();
            },
        ] {
            site = fresh();
            assert!(matches!(enter(&site, bridges, &Wants::NOTHING), Ok(Decision::Granted(..))));
            assert!(bridged(&mut site, &Wants::NOTHING).is_some());
            change(&mut site, gone);
            read(&site, plain);
            assert_eq!(bridged(&mut site, &Wants::NOTHING), None);
        }
    }

    site = fresh();
    // Who answers others is not away.
    assert!(matches!(enter(&site, bridges, &Wants::NOTHING), Ok(Decision::Granted(..))));
    let busy =
        Error::Unavailable { database: String::new(), reason: String::new(), overloaded: true };
    site.store = Arc::new(Away(busy.clone()));
    assert_eq!(enter(&site, bridges, &Wants::NOTHING).err(), Some(busy));
}
