//! `AuthDjangoExport`: what reaches the environment, and what never does.

use crate::common::client::{basic, get};
use crate::common::cluster::{Cluster, sqlite};
use crate::common::django::python;
use crate::common::httpd::{Httpd, Setup};
use crate::common::run;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

const SECTION: &str = "AuthType Basic\nAuthName x\nAuthBasicProvider django\nRequire valid-user\n";

const NAMES: [&str; 8] =
    ["id", "username", "is_staff", "is_superuser", "groups", "permissions", "email", "last_login"];

/// The variable as a header of the answer, where it is set.
fn echo(name: &str) -> String {
    let variable = format!("AUTHENTICATE_{}", name.to_uppercase());
    format!("Header always set X-{name} \"expr=[%{{reqenv:{variable}}}]\" env={variable}\n")
}

fn base(url: &str) -> String {
    let echoes: String = NAMES.iter().map(|name| echo(name)).collect();
    format!("AuthDjangoDatabase {url}\nAuthDjangoPasswordHashers pbkdf2_sha256:1000\n{echoes}")
}

fn change(path: &Path, words: &[&str]) {
    run(python("5.2", "change.py", path.to_str().unwrap(), "auth.User").args(words));
}

fn exported(httpd: &Httpd, path: &str, user: &str, password: &str, name: &str) -> Option<String> {
    let response = httpd.get_as(path, user, password);
    response.header(&format!("X-{name}")).map(str::to_owned)
}

#[test]
fn exports_are_those_of_the_row_in_one_query() {
    let (cluster, _) = Cluster::start("auth.User");
    cluster.sql("postgres", "ALTER ROLE apache SET log_statement = 'all'");
    cluster.sql("site", "GRANT SELECT (email, last_login) ON auth_user TO apache");
    cluster.sql(
        "site",
        "UPDATE auth_user SET email = 'a,b@é.example' WHERE username = 'permission-26'",
    );
    let names = NAMES.join(" ");
    let config = base(&cluster.url())
        + &format!("<Location /members>\n{SECTION}AuthDjangoExport {names}\n</Location>\n");
    let httpd = Setup::new("export", config).modules(&["headers"]).start();
    let statements = || {
        let log = fs::read_to_string(cluster.dir.join("log")).unwrap();
        log.lines().filter(|line| line.contains("execute") && line.contains("auth_user")).count()
    };
    let before = statements();
    let response = httpd.get_as("/members/", "permission-26", "secret");
    assert_eq!((response.status, statements() - before), (200, 1));
    let sql = "SELECT id FROM auth_user WHERE username = 'permission-26'";
    let id = format!("[{}]", cluster.sql("site", sql).trim());
    for (name, expected) in [
        ("id", Some(id.as_str())),
        ("username", Some("[permission-26]")),
        ("is_staff", Some("[1]")),
        ("is_superuser", Some("[0]")),
        ("groups", Some("[permitted]")),
        ("email", Some("[a,b@é.example]")),
        ("last_login", None),
    ] {
        assert_eq!(response.header(&format!("X-{name}")), expected, "{name}");
    }
    let permissions = response.header("X-permissions").unwrap().trim_matches(['[', ']']);
    let mut permissions: Vec<_> = permissions.split(',').collect();
    permissions.sort_unstable();
    assert_eq!(
        permissions,
        [
            "auth.View_group",
            "auth.change_user",
            "auth.sign.contracts",
            "auth.view_group",
            "auth.ünïcode",
            "contenttypes.view_contenttype"
        ]
    );
    let response = httpd.get_as("/members/", "permission-00", "secret");
    for name in ["groups", "permissions", "email"] {
        assert_eq!(response.header(&format!("X-{name}")), Some("[]"), "{name}");
    }
    // Who is not let in leaves nothing.
    for (user, password) in [("permission-26", "wrong"), ("permission-27", "secret"), ("zoe", "")] {
        let response = httpd.get_as("/members/", user, password);
        assert_eq!(response.status, 401);
        let left: Vec<_> =
            response.headers.iter().filter(|(name, _)| name.starts_with("X-")).collect();
        assert!(left.is_empty(), "{user}: {left:?}");
    }
    httpd.finish();
}

#[test]
fn exports_take_the_place_of_what_was_there_and_hold_no_control_characters() {
    let (path, _) = sqlite("auth.User");
    change(
        &path,
        &[
            "set=alice=email=alice@example.org",
            "set=bob=email=x\r\nX-Admin: 1",
            "set=bob=last_name=B",
        ],
    );
    let section =
        |path: &str, lines: &str| format!("<Location {path}>\n{SECTION}{lines}\n</Location>\n");
    let config = "SetEnvIf Host . AUTHENTICATE_EMAIL=stale AUTHENTICATE_LAST_LOGIN=stale AUTHENTICATE_OTHER=kept\n".to_owned()
        + "LogLevel authnz_django:debug\n"
        + &base(&format!("sqlite:{}", path.display()))
        + &echo("other")
        + &section("/members", "AuthDjangoExport email last_login")
        + &section("/members/id", "AuthDjangoExport id")
        + &section("/members/none", "AuthDjangoExport default")
        + &section("/hash", "AuthDjangoUserModel auth.User username=username password=last_name\nAuthDjangoPasswordHashers pbkdf2_sha256:1000")
        // The section around it named the column.
        + "<Location /merged>\nAuthDjangoUserModel auth.User password=PASSWORD is_active=is_active\n</Location>\n"
        + &section("/merged/inner", "AuthDjangoExport email")
        + &section("/unknown", "AuthDjangoExport e-mail");
    let mut httpd = Setup::new("stale", config).modules(&["headers", "setenvif"]).start();
    httpd.expect_in_log("no such column: u.e-mail");
    httpd.expect_in_log("the stored password is refused");
    let ask = |path: &str, user: &str, name: &str| {
        exported(&httpd, path, user, &format!("{user} secret"), name)
    };
    assert_eq!(ask("/members/", "alice", "email").as_deref(), Some("[alice@example.org]"));
    assert_eq!(ask("/members/", "alice", "last_login"), None);
    assert_eq!(ask("/members/", "alice", "other").as_deref(), Some("[kept]"));
    assert_eq!(ask("/members/", "bob", "email"), None);
    assert_eq!(ask("/members/", "bob", "admin"), None);
    assert!(
        httpd
            .log()
            .contains("AUTHENTICATE_EMAIL is not set for \"/members/\": the value has control")
    );
    assert_eq!(exported(&httpd, "/members/", "alice", "wrong", "email"), None);
    assert!(ask("/members/id/", "alice", "id").is_some());
    assert_eq!(ask("/members/none/", "alice", "id"), None);
    assert_eq!(ask("/merged/inner/", "alice", "email").as_deref(), Some("[alice@example.org]"));
    assert_eq!(httpd.status("/hash/", "bob", "bob secret"), 401);
    assert_eq!(httpd.status("/unknown/", "alice", "alice secret"), 500);
    assert!(!httpd.log().contains("X-Admin"), "{}", httpd.log());
    httpd.finish();
}

/// The model of an outer section, the export of an inner one: what is the password is still not
/// asked for.
#[test]
fn exports_never_hold_the_password() {
    let (path, _) = sqlite("auth.User");
    let (password, _) = ("first_name", ());
    let sql = format!(
        "ALTER TABLE auth_user RENAME COLUMN {password} TO spare; ALTER TABLE auth_user RENAME COLUMN password TO first_name;"
    );
    let script = format!(
        "import sqlite3; sqlite3.connect({:?}).executescript({sql:?})",
        path.display().to_string()
    );
    run(std::process::Command::new("python3").args(["-c", &script]));
    let config = base(&format!("sqlite:{}", path.display()))
        + "LogLevel authnz_django:debug\nAuthDjangoUserModel auth.User password=first_name\n"
        + &echo("first_name")
        + &format!("<Location /members>\n{SECTION}AuthDjangoExport First_Name id\n</Location>\n");
    let httpd = Setup::new("secretcolumn", config).modules(&["headers"]).start();
    let response = httpd.get_as("/members/", "alice", "alice secret");
    assert_eq!(response.status, 200);
    assert!(response.header("X-id").is_some() && response.header("X-first_name").is_none());
    assert!(httpd.log().contains("AUTHENTICATE_FIRST_NAME is not set"), "{}", httpd.log());
    assert!(!httpd.log().contains("pbkdf2"), "{}", httpd.log());
    httpd.finish();
}

/// As the README has it: what a client sends under the name never arrives.
#[test]
fn exports_reach_a_backend_by_a_header_that_no_client_can_set() {
    let (path, _) = sqlite("auth.User");
    change(&path, &["set=alice=email=alice@example.org", "set=bob=email=b\tob"]);
    let config = "RequestHeader unset X-Email early\n".to_owned()
        + &base(&format!("sqlite:{}", path.display()))
        + &format!(
            "<Location /members>\n{SECTION}AuthDjangoExport email\n\
             RequestHeader set X-Email \"expr=%{{reqenv:AUTHENTICATE_EMAIL}}\" env=AUTHENTICATE_EMAIL\n\
             Header set X-Arrived \"expr=[%{{HTTP:X-Email}}]\"\n</Location>\n\
             <Location /public>\nHeader set X-Arrived \"expr=[%{{HTTP:X-Email}}]\"\n</Location>\n"
        );
    let httpd = Setup::new("backend", config).modules(&["headers"]).start();
    for forged in ["", "X-Email: root@example.org\r\n", "x-email: a\r\nX-EMAIL: b\r\n"] {
        for (path, user, expected) in [
            ("/members/", "alice", "[alice@example.org]"),
            ("/members/", "bob", "[]"),
            ("/public/", "alice", "[]"),
        ] {
            let headers = basic(user, format!("{user} secret")) + forged;
            let response = get(httpd.port, path, &headers);
            assert_eq!(response.status, 200);
            assert_eq!(response.header("X-Arrived"), Some(expected), "{path} {user} {forged}");
        }
    }
    httpd.finish();
}

/// A sub-request has its own section's variables, and none of those of the page around it.
#[test]
fn exports_of_sub_requests_are_their_own_sections() {
    let (path, _) = sqlite("auth.User");
    change(&path, &["set=alice=email=alice@example.org", "set=alice=last_name=Liddell"]);
    let config = base(&format!("sqlite:{}", path.display()))
        + &format!(
            "LogLevel authnz_django:debug\n\
             <Directory {{dir}}/htdocs>\nOptions +Includes +ExecCGI\nAddOutputFilter INCLUDES .shtml\nAddHandler cgi-script .cgi\n</Directory>\n\
             <Location /members>\n{SECTION}AuthDjangoExport email\n</Location>\n\
             <Location /secret>\n{SECTION}AuthDjangoExport last_name is_staff\n</Location>\n\
             <Location /public>\n{SECTION}</Location>\n"
        );
    let setup = Setup::new("subrequest", config).modules(&["headers", "include", "cgi", "mime"]);
    let (dir, port) = setup.write();
    let mut page = String::new();
    for folder in ["members", "secret", "public"] {
        let script = dir.join("htdocs").join(folder).join("show.cgi");
        let text = "#!/bin/sh\necho Content-Type: text/plain\necho\necho \"[$AUTHENTICATE_EMAIL|$AUTHENTICATE_LAST_NAME|$AUTHENTICATE_IS_STAFF]\"\n";
        fs::write(&script, text).unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        page += &format!("{folder}<!--#include virtual=\"/{folder}/show.cgi\" -->");
    }
    fs::write(dir.join("htdocs/members/page.shtml"), page).unwrap();
    let httpd = setup.start_in(dir, port);
    let response = httpd.get_as("/members/page.shtml", "alice", "alice secret");
    for expected in ["[alice@example.org||]", "[|Liddell|0]", "[||]"] {
        assert!(response.body.contains(expected), "{expected}: {}", response.body);
    }
    assert_eq!(httpd.count_in_log("user alice: password verified"), 1);
    httpd.finish();
}
