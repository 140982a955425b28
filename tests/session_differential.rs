//! Sessions that real Djangos have put into real databases, asked of Django's own SessionMiddleware and
//! `get_user` and of the module, by the same Cookie header: both see the same user, or nobody.
//!
//! `DJANGO_SEED` repeats a run. Both have the clock of the case, so that each end of a session is met
//! to the microsecond.

use crate::common::cluster::Database;
use crate::common::directory;
use crate::common::django::python;
use crate::common::store::open;
use crate::session_core::{bytes, cases, may_deny, seed, settings};
use crate::store_sessions::EMPLOYEE;
use mod_authnz_django::authn::{Owners, Session, Sessions, Site, Stale, session};
use mod_authnz_django::hashers::Floor;
use mod_authnz_django::session::{Clock, Settings};
use mod_authnz_django::store::Patience;
use mod_authnz_django::user::{UserModel, Wants};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

const VERSIONS: [&str; 4] = ["3.2", "4.2", "5.2", "6"];
const ENGINES: [&str; 4] = ["db", "cached_db", "file", "signed_cookies"];

/// Cases of each Django and database; a quarter more are of a site without USE_TZ.
const ROUNDS: usize = 192;

/// What the oracle's AUTHENTICATION_BACKENDS are.
const BACKENDS: [&str; 2] = ["ModelBackend", "RemoteUserBackend"];

/// Whom both saw, by engine.
#[derive(Default, Debug)]
struct Seen {
    users: usize,
    nobody: usize,
}

/// A user whom somebody has seen: the key, however the database writes it, and the name.
type Who = (String, String);

fn who(id: &str, name: &str) -> Who {
    (id.replace('-', ""), name.to_owned())
}

/// A site as a child of httpd has it.
fn site(database: &Database, model: &[&str]) -> Site {
    Site {
        store: open(&[&database.url()]),
        model: UserModel::parse(model).unwrap().into(),
        floor: Floor::default(),
        identity: String::new(),
        stale: Stale::default(),
        owners: Owners::default(),
    }
}

fn ours(
    site: &Site,
    version: &str,
    database: &Database,
    case: &Value,
    files: &Path,
) -> Option<Who> {
    let (settings, keys) = settings(version, case, files);
    let backends = BACKENDS.map(|name| format!("django.contrib.auth.backends.{name}")).to_vec();
    let settings = Settings { backends, ..settings };
    // PostgreSQL has moments, and needs no time zone for them.
    let zone = case["timezone"].as_str().filter(|_| !matches!(database, Database::Postgresql(_)));
    let clock = zone.map_or_else(Clock::default, |zone| Clock::named(zone).unwrap());
    let sessions = Sessions { settings: &settings, keys: &keys, clock: &clock };
    let now = UNIX_EPOCH + Duration::from_micros(case["now"].as_u64().unwrap());
    let header = bytes(&case["header"]);
    let ask = || session(site, sessions, &Wants::GROUPS, &header, &Patience::default(), now);
    let user = |answer| match answer {
        Ok(Session::Of(user)) => Some(who(&user.id, &user.username)),
        Ok(Session::Nobody(_)) => None,
        Err(error) => panic!("{error}: {case}"),
    };
    let first = user(ask());
    // Now it is known whose session it was.
    assert_eq!(user(ask()), first, "asked again: {case}");
    first
}

/// A user id that Django reads and never writes: the README says which may be nobody here. PostgreSQL
/// knows no `urn:uuid:` and no hyphen before a UUID.
fn is_odd(kind: &str, id: &Value) -> bool {
    match id {
        Value::String(text) => {
            !text.is_ascii()
                || text.contains('_')
                || kind == "postgresql" && text.starts_with(['u', '-'])
        }
        number => !number.is_i64(),
    }
}

/// The same cases asked of Django of that version and of us.
fn compare(
    version: &str,
    kind: &str,
    database: &Database,
    model: &str,
    site: &Site,
    rounds: usize,
) {
    let (seed, files) = (seed(), directory("sessions"));
    let script = python(version, "session_differential.py", &database.django(), model);
    let cases = cases(version, script.arg(&seed).arg(rounds.to_string()).arg(&files));
    let mut seen: BTreeMap<String, Seen> = BTreeMap::new();
    let mut denied = 0;
    for case in &cases {
        let about = || format!("{version} on {kind}: {case}; DJANGO_SEED={seed}");
        let name = |of: &str| case["answer"][of].as_str();
        let theirs = name("id").map(|id| who(id, name("name").unwrap()));
        // Django itself takes the cases for what they are meant to be.
        match case["way"].as_str().unwrap() {
            "any" | "spelling" | "key" => {}
            "intact" => assert!(theirs.is_some(), "{}", about()),
            _ => assert!(theirs.is_none(), "{}", about()),
        }
        let ours = ours(site, version, database, case, &files);
        let may_deny = may_deny(version, case) || is_odd(kind, &case["id"]);
        if theirs.is_some() && ours.is_none() && may_deny {
            denied += 1;
            continue;
        }
        assert_eq!(ours, theirs, "Django sees {theirs:?}: {}", about());
        let seen = seen.entry(case["engine"].as_str().unwrap().to_owned()).or_default();
        if theirs.is_some() { seen.users += 1 } else { seen.nobody += 1 }
    }
    println!("Django {version} on {kind}, {model}: {seen:?}, and {denied} denied on purpose");
    for engine in ENGINES {
        let Seen { users, nobody } = seen[engine];
        // A third and a quarter of the cases, at least.
        assert!(users >= rounds / 12 && nobody >= rounds / 16, "{version} on {kind}: {seen:?}");
    }
    fs::remove_dir_all(files).unwrap();
}

#[test]
fn sessions_of_users_with_a_uuid_in_two_tables_are_of_whom_django_sees() {
    let model = "accounts.Colleague";
    for kind in Database::KINDS {
        let (database, _) = Database::start(kind, model);
        let site = site(&database, EMPLOYEE);
        for version in ["3.2", "6"] {
            compare(version, kind, &database, model, &site, ROUNDS / 2);
        }
    }
}

fn every_django(kind: &str) {
    let (database, _) = Database::start(kind, "auth.User");
    let site = site(&database, &["auth.User"]);
    for version in VERSIONS {
        // Half of them with the collation that MariaDB has by itself, to which a key's case is nothing.
        if (kind, version) == ("mysql", "5.2") {
            database.sql(
                "ALTER TABLE django_session CONVERT TO CHARACTER SET utf8mb4 \
                 COLLATE utf8mb4_general_ci",
            );
        }
        compare(version, kind, &database, "auth.User", &site, ROUNDS);
    }
}

#[test]
fn sessions_on_sqlite_are_of_whom_django_sees() {
    every_django("sqlite");
}

#[test]
fn sessions_on_postgresql_are_of_whom_django_sees() {
    every_django("postgresql");
}

#[test]
fn sessions_on_mysql_are_of_whom_django_sees() {
    every_django("mysql");
}
