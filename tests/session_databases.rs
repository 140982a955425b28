//! Sessions in rows of each database, through httpd: whatever Django changes counts at the next request.

use crate::common::cluster::Database;
use crate::common::django::Sessions;
use crate::common::httpd::MPMS;
use crate::common::session::{BASIC, NAVIGATE, base, challenge, cookie, get, setup};
use crate::common::store::open;
use crate::common::wait_until;
use mod_authnz_django::session::{Engine, Refusal, Settings, SigningRefusal};
use mod_authnz_django::signing::Keys;
use mod_authnz_django::user::Wants;
use std::fs;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

/// A server that is stopped; a file that is elsewhere.
fn go_away(database: &mut Database) {
    match database {
        Database::Sqlite(path) => fs::rename(&*path, path.with_extension("away")).unwrap(),
        Database::Postgresql(cluster) => cluster.stop(),
        Database::Mysql(server) => server.stop(),
    }
}

fn come_back(database: &mut Database) {
    match database {
        Database::Sqlite(path) => fs::rename(path.with_extension("away"), &*path).unwrap(),
        Database::Postgresql(cluster) => cluster.begin(),
        Database::Mysql(server) => server.begin(),
    }
}

fn every_change_counts(kind: &str) {
    let (mut database, _) = Database::start(kind, "auth.User");
    for mpm in MPMS {
        let mut django = Sessions::start("db", &database.django());
        let config = base(&database.url(), "db")
            + &format!(
                "AuthDjangoLoginURL /login/\n<Location />\n{BASIC}AuthzSendForbiddenOnFailure On\n\
                 Require valid-user\n</Location>\n\
                 <Location /secret>\nRequire group secret-agents\n</Location>\n\
                 <Location /alone>\nAuthType Django\n</Location>\n"
            );
        let mut httpd = setup(config).mpm(mpm).start();
        httpd.expect_in_log("is not available");
        let check = |session: &str, expected: u16| {
            let headers = cookie(session);
            let answer = get(&httpd, "/members/", &headers);
            let what = format!("{kind} {mpm} {answer:?}");
            assert_eq!((answer.status, challenge(&answer)), (expected, expected == 401), "{what}");
            let alone = get(&httpd, "/alone/", &headers);
            assert_eq!(alone.status, if expected == 200 { 404 } else { 401 }, "{what}");
            let sent = get(&httpd, "/members/", &format!("{headers}{NAVIGATE}"));
            assert_eq!(sent.status, if expected == 200 { 200 } else { 302 }, "{what}");
        };
        let (alice, bob) = (django.log_in("alice"), django.log_in("bob"));
        check(&alice, 200);
        check(&bob, 200);
        assert_eq!(get(&httpd, "/secret/", &cookie(&alice)).status, 200, "{kind} {mpm}");
        assert_eq!(get(&httpd, "/secret/", &cookie(&bob)).status, 403, "{kind} {mpm}");
        check(&django.anonymous(), 401);
        for other in [&alice[1..], &alice.to_uppercase(), "%", "' OR 1=1 --", "", "schlüssel"] {
            check(other, 401);
        }
        let left = django.log_in("alice");
        check(&left, 200);
        django.log_out(&left);
        check(&left, 401);
        let ended = django.log_in("alice");
        check(&ended, 200);
        django.expire(&ended);
        check(&ended, 401);
        check(&alice, 200);
        django.change("active=alice=0");
        check(&alice, 401);
        django.change("active=alice=1");
        check(&alice, 200);
        django.change("password=alice=another");
        check(&alice, 401);
        django.change("password=alice=alice secret");
        // The same password is another hash.
        check(&alice, 401);
        let alice = django.log_in("alice");
        check(&alice, 200);
        check(&bob, 200);
        drop(django);
        go_away(&mut database);
        for path in ["/members/", "/secret/", "/alone/"] {
            for headers in [cookie(&alice), cookie(&alice) + NAVIGATE] {
                let answer = get(&httpd, path, &headers);
                let what = format!("{kind} {mpm} {path} {answer:?}");
                assert_eq!((answer.status, challenge(&answer)), (503, false), "{what}");
                assert_eq!(answer.header("Retry-After"), Some("10"), "{what}");
                assert!(!answer.body.contains("this is htdocs"), "{what}");
            }
        }
        come_back(&mut database);
        let children = if mpm == "prefork" { 4 } else { 1 };
        let mut times = 0;
        wait_until("the database's return", 15, || {
            let well = get(&httpd, "/members/", &cookie(&alice)).status == 200;
            times = if well { times + 1 } else { 0 };
            times > children * 3
        });
        check(&bob, 200);
        httpd.finish();
    }
}

#[test]
fn every_change_in_sqlite_counts() {
    every_change_counts("sqlite");
}

#[test]
fn every_change_in_postgresql_counts() {
    every_change_counts("postgresql");
}

#[test]
fn every_change_in_mysql_counts() {
    every_change_counts("mysql");
}

/// Puts a session of so many characters into the database, which makes them itself.
fn insert(database: &Database, key: &str, character: char, length: usize) {
    let data = match database {
        Database::Sqlite(_) => format!("printf('%.*c', {length}, '{character}')"),
        _ => format!("REPEAT('{character}', {length})"),
    };
    database.sql(&format!(
        "INSERT INTO django_session (session_key, session_data, expire_date) \
         VALUES ('{key}', {data}, '2099-01-01 00:00:00')"
    ));
}

#[test]
fn no_more_of_a_session_is_fetched_than_is_read() {
    const READ: usize = 1024 * 1024;
    let too_long = Refusal::Signed(SigningRefusal::TooLong);
    let unsigned = Refusal::Signed(SigningRefusal::Signature);
    for kind in Database::KINDS {
        let (database, _) = Database::start(kind, "auth.User");
        if let Database::Mysql(server) = &database {
            server.sql("", "SET GLOBAL max_allowed_packet = 128 * 1024 * 1024");
        }
        let (store, model) = (open(&[&database.url()]), Arc::default());
        // SQLite counts bytes, the others characters.
        let bytes = if kind == "sqlite" { READ + 1 } else { READ + 2 };
        let (settings, keys) = (Settings::new(Engine::Row), Keys::new("key", &[]));
        for (key, character, length, fetched, refusal) in [
            ("a-session-that-is-not-too-long", 'x', READ, READ, &unsigned),
            ("a-session-that-is-just-too-long", 'x', READ + 1, READ + 1, &too_long),
            ("a-session-of-too-many-bytes-at-all", 'é', READ / 2 + 1, bytes, &too_long),
            ("a-session-that-is-far-too-long", 'x', 50_000_000, READ + 1, &too_long),
        ] {
            insert(&database, key, character, length);
            for id in [None, Some("1")] {
                let deadline = Instant::now() + store.timeout();
                let (row, user) = store.session(&model, &Wants::GROUPS, key, id, deadline).unwrap();
                let row = row.unwrap();
                assert_eq!(row.data.len(), fetched, "{kind} {key}");
                let told = row.claims(&settings, &keys, SystemTime::now()).unwrap_err();
                assert_eq!(told, *refusal, "{kind} {key}");
                assert_eq!(user.one().is_some(), id.is_some(), "{kind} {key}");
            }
        }
        // To a client it is as any other session of nobody.
        let config = base(&database.url(), "db")
            + &format!("<Location />\n{BASIC}Require valid-user\n</Location>\n");
        let httpd = setup(config).start();
        let answer = get(&httpd, "/members/", &cookie("a-session-that-is-far-too-long"));
        assert_eq!(answer.status, 401, "{kind} {answer:?}");
        httpd.finish();
    }
}

#[test]
fn what_stands_behind_a_nul_counts() {
    for kind in Database::KINDS {
        let behind = match kind {
            "sqlite" => "session_data || CHAR(0) || 'x'",
            "mysql" => "CONCAT(session_data, CHAR(0), 'x')",
            // It has no texts with a NUL.
            _ => continue,
        };
        let (database, _) = Database::start(kind, "auth.User");
        let mut django = Sessions::start("db", &database.django());
        let config = base(&database.url(), "db")
            + &format!("<Location />\n{BASIC}Require valid-user\n</Location>\n");
        let mut httpd = setup(config).start();
        httpd.allow_in_log("said until a session was valid");
        let alice = cookie(&django.log_in("alice"));
        assert_eq!(get(&httpd, "/members/", &alice).status, 200, "{kind}");
        database.sql(&format!("UPDATE django_session SET session_data = {behind}"));
        assert_eq!(get(&httpd, "/members/", &alice).status, 401, "{kind}");
        httpd.finish();
    }
}
