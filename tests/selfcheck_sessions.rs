//! What `DUMP_DJANGO` says of sessions: it tries those that Django has made.

use crate::common::cluster::{Database, sqlite};
use crate::common::django::Sessions;
use crate::common::httpd::{PROGRAM, Setup};
use crate::common::session::SECRET_KEY;
use crate::selfcheck::{Report, report};
use serde_json::json;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

/// The report on a site with these sections, whose keys are FIRST and SECOND.
fn check(url: &str, config: &str, [first, second]: [&str; 2]) -> Report {
    let config =
        format!("AuthDjangoDatabase {url}\nAuthDjangoPasswordHashers pbkdf2_sha256:1000\n{config}");
    let (dir, _) = Setup::new("selfcheck", config).write();
    let mut command = Command::new(&*PROGRAM);
    command.args(["-t", "-D", "DUMP_DJANGO", "-f"]).arg(dir.join("httpd.conf"));
    let report = report(command.env("FIRST", first).env("SECOND", second));
    fs::remove_dir_all(dir).unwrap();
    assert!(!report.out.contains(SECRET_KEY), "{}", report.out);
    report
}

fn place(keys: &str, words: &str) -> String {
    format!(
        "AuthDjangoSecretKey {keys}\n<Location /media>\nAuthDjangoSession {words}\n</Location>\n"
    )
}

/// Some users' passwords are broken on purpose, so that only lines on sessions are looked for.
fn failures(report: &Report) -> Vec<&str> {
    report.out.lines().filter(|line| line.starts_with("FAIL sessions")).collect()
}

#[test]
fn they_are_tried_with_the_keys() {
    for kind in Database::KINDS {
        let (database, _) = Database::start(kind, "auth.User");
        let url = database.url();
        let check = |keys: &str, both: [&str; 2]| check(&url, &place(keys, "db optional"), both);
        let none = check("env:FIRST", [SECRET_KEY, ""]);
        none.line("sessions: there are none yet");
        let mut site = Sessions::start("db", &database.django());
        let cookie = site.log_in("alice");
        site.anonymous();
        // Django looks for no key so short.
        database.sql("INSERT INTO django_session VALUES ('short', '', '2099-01-01 00:00:00')");
        let right = check("env:FIRST env:SECOND", ["a newer key", SECRET_KEY]);
        right.line(
            "sessions in rows (db, cached_db), cookie=sessionid \
             backends=django.contrib.auth.backends.ModelBackend; AuthDjangoSecretKey: 2 keys",
        );
        right.line(
            "ok   sessions: the newest 2 are signed with AuthDjangoSecretKey, 1 of them of users",
        );
        assert!(!right.out.contains(&cookie) && failures(&right).is_empty(), "{}", right.out);
        let wrong = check("env:FIRST", ["a newer key", ""]);
        wrong.failed(&["sessions: of the newest 2 none counts", "SECRET_KEY of this site"]);
        let newer = json!({"SECRET_KEY": "a newer key"});
        site.log_in_with("bob", newer);
        let some = check("env:FIRST", ["a newer key", ""]);
        some.line("warn sessions: of the newest 3 2 do not count");
        assert!(failures(&some).is_empty(), "{}", some.out);
        // Who may not log in is not the keys' fault.
        site.change("active=alice=0");
        let both = check("env:FIRST env:SECOND", ["a newer key", SECRET_KEY]);
        both.line("ok   sessions: the newest 3 are signed with AuthDjangoSecretKey, 1 of them of users, and 1");
        database.sql("UPDATE django_session SET expire_date = '2001-01-01 00:00:00'");
        let ended = check("env:FIRST env:SECOND", ["a newer key", SECRET_KEY]);
        ended.line("warn sessions: of the newest 3 none counts: the session has ended");
        assert!(failures(&ended).is_empty(), "{}", ended.out);
    }
}

#[test]
fn files_are_read_as_children_read_them() {
    let (database, _) = sqlite("auth.User");
    let url = format!("sqlite:{}", database.display());
    let mut site = Sessions::start("file", database.to_str().unwrap());
    let words = site.words();
    let check = |key: &str| check(&url, &place("env:FIRST", &words), [key, ""]);
    check(SECRET_KEY).line("ok   sessions: there are none yet");
    let cookie = site.log_in("alice");
    let directory = words.strip_prefix("file path=").unwrap();
    for n in 0..6 {
        fs::write(format!("{directory}/sessionid{cookie}.bak{n}"), "somebody's").unwrap();
    }
    fs::write(format!("{directory}/README"), "somebody's").unwrap();
    let right = check(SECRET_KEY);
    right.line(&format!("sessions in files of {directory}, cookie=sessionid"));
    right.line(
        "ok   sessions: the newest 1 are signed with AuthDjangoSecretKey, 1 of them of users",
    );
    assert!(!right.out.contains(&cookie), "{}", right.out);
    check("another key").failed(&["sessions: of the newest 1 none counts"]);
    // As Django makes them.
    let file = format!("{directory}/sessionid{cookie}");
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
    let unreadable = check(SECRET_KEY);
    unreadable.failed(&["sessions: a session file in", "httpd's user must be able to read"]);
    assert!(!unreadable.out.contains(&cookie), "{}", unreadable.out);
}

#[test]
fn sections_with_other_sessions_are_other_sites() {
    let (database, _) = sqlite("auth.User");
    let url = format!("sqlite:{}", database.display());
    let mut site = Sessions::start("db", database.to_str().unwrap());
    site.log_in("alice");
    let config = place("env:FIRST", "db")
        + "<Location /optional>\nAuthDjangoSession db optional\n</Location>\n\
           <Location /public>\nAuthDjangoSession off\n</Location>\n\
           <Location /salt>\nAuthDjangoSession db salt=other\n</Location>\n\
           <Location /key>\nAuthDjangoSession db\nAuthDjangoSecretKey env:SECOND\n</Location>\n\
           <Location /cookies>\nAuthDjangoSession signed_cookies cookie=s\n</Location>\n";
    let report = check(&url, &config, [SECRET_KEY, "another key"]);
    report.line("sites: 4, failures:");
    report.line("sessions: the newest 1 are signed with AuthDjangoSecretKey");
    report.line("sessions in signed_cookies, cookie=s backends=");
    assert_eq!(failures(&report).len(), 2, "{}", report.out);
}
