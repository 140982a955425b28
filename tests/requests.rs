//! What one request costs, how providers chain, and that refusals look alike.

use crate::common::client::{basic, get, send};
use crate::common::cluster::{Cluster, Database, sqlite};
use crate::common::httpd::{Httpd, MPMS, Setup};
use crate::common::mariadb::Mariadb;
use std::fs;

/// `secret` in SHA-1, as `htpasswd -s` writes it.
const FILE_PASSWORD: &str = "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=";

const SECTION: &str = "AuthType Basic\nAuthName x\nAuthBasicProvider django\n";

fn base(url: &str) -> String {
    format!("AuthDjangoDatabase {url}\nAuthDjangoPasswordHashers pbkdf2_sha256:1000\n")
}

#[test]
fn a_listing_of_thirty_files_verifies_once_and_asks_once() {
    let (cluster, _) = Cluster::start("auth.User");
    cluster.sql("postgres", "ALTER ROLE apache SET log_statement = 'all'");
    for mpm in MPMS {
        let config = base(&cluster.url())
            + &format!(
                "LogLevel authnz_django:debug\n<Directory {{dir}}/htdocs/list>\nOptions +Indexes\nIndexOptions FancyIndexing\n</Directory>\n\
                 <Location /list>\n{SECTION}<RequireAll>\nRequire valid-user\nRequire group secret-agents\nRequire django-group \"top secret\"\n</RequireAll>\n</Location>\n"
            );
        let setup = Setup::new("listing", config).mpm(mpm).modules(&["autoindex", "mime"]);
        let (dir, port) = setup.write();
        fs::create_dir(dir.join("htdocs/list")).unwrap();
        for n in 0..30 {
            fs::write(dir.join(format!("htdocs/list/file-{n}.txt")), "x").unwrap();
        }
        let httpd = setup.start_in(dir, port);
        let before = cluster.questions();
        let page = httpd.get_as("/list/", "alice", "alice secret");
        assert_eq!(page.status, 200);
        assert!(page.body.contains("file-29.txt"), "{}", page.body);
        assert_eq!(cluster.questions() - before, 1, "{mpm}");
        assert_eq!(httpd.count_in_log("user alice: password verified"), 1, "{mpm}");
        httpd.finish();
    }
}

#[test]
fn mysql_is_asked_once_too() {
    let (server, _) = Mariadb::start("auth.User");
    server.note();
    let config = base(&server.url())
        + &format!(
            "<Location /secret>\n{SECTION}<RequireAll>\nRequire group secret-agents\n\
             Require django-group \"top secret\"\nRequire not group nobody\n</RequireAll>\n</Location>\n"
        );
    for mpm in MPMS {
        let httpd = Setup::new("queries", config.as_str()).mpm(mpm).start();
        for (user, status) in [("alice", 200), ("bob", 401), ("zoe", 401)] {
            let before = server.statements("Execute", "auth_user");
            let password = format!("{user} secret");
            assert_eq!(httpd.status("/secret/", user, &password), status);
            assert_eq!(server.statements("Execute", "auth_user") - before, 1, "{mpm} {user}");
        }
        httpd.finish();
    }
}

#[test]
fn one_request_is_one_query_whoever_vouches() {
    let (cluster, _) = Cluster::start("auth.User");
    cluster.sql("postgres", "ALTER ROLE apache SET log_statement = 'all'");
    let config = base(&cluster.url())
        + "<Location /secret>\nAuthType Basic\nAuthName x\nAuthBasicProvider file\nAuthUserFile {dir}/users\n\
           <RequireAll>\nRequire group secret-agents\nRequire django-group \"top secret\"\nRequire not group nobody\n</RequireAll>\n</Location>\n";
    let setup = Setup::new("queries", config);
    let (dir, port) = setup.write();
    fs::write(dir.join("users"), format!("alice:{FILE_PASSWORD}\nzoe:{FILE_PASSWORD}\n")).unwrap();
    let httpd = setup.start_in(dir, port);
    for (user, status) in [("alice", 200), ("zoe", 401)] {
        let before = cluster.questions();
        assert_eq!(httpd.status("/secret/", user, "secret"), status);
        assert_eq!(cluster.questions() - before, 1, "{user}");
    }
    httpd.finish();
}

#[test]
fn providers_chain_as_httpd_documents() {
    for kind in Database::KINDS {
        let (database, _) = Database::start(kind, "auth.User");
        let mut config = base(&database.url());
        for (path, lines) in [
            ("/a", "AuthBasicProvider file django"),
            ("/b", "AuthBasicProvider django file"),
            ("/c", "AuthBasicProvider django\nAuthBasicAuthoritative Off"),
        ] {
            config += &format!(
                "<Location {path}>\nAuthType Basic\nAuthName x\n{lines}\nAuthUserFile {{dir}}/users\nRequire valid-user\n</Location>\n"
            );
        }
        let setup = Setup::new("chain", config);
        let (dir, port) = setup.write();
        // carol is not active in Django, zoe not known there; bob has another password here.
        let users: String = ["carol", "zoe", "bob"]
            .iter()
            .map(|name| format!("{name}:{FILE_PASSWORD}\n"))
            .collect();
        fs::write(dir.join("users"), users).unwrap();
        let mut httpd = setup.start_in(dir, port);
        httpd.expect_in_log("AH01796");
        for (path, user, password, status) in [
            ("/a", "alice", "alice secret", 404),
            ("/a", "zoe", "secret", 404),
            ("/a", "bob", "secret", 404),
            ("/a", "bob", "bob secret", 401),
            ("/b", "bob", "bob secret", 404),
            ("/b", "bob", "secret", 401),
            ("/b", "carol", "secret", 404),
            ("/b", "carol", "carol secret", 401),
            ("/b", "zoe", "secret", 404),
            ("/c", "alice", "alice secret", 404),
            ("/c", "alice", "wrong", 401),
            // Nobody else answers for a user whom we do not know (AH01796).
            ("/c", "zoe", "secret", 500),
        ] {
            assert_eq!(
                httpd.status(path, user, password),
                status,
                "{kind} {path} {user} {password}"
            );
        }
        httpd.finish();
    }
}

#[test]
fn refusals_look_alike() {
    let (path, _) = sqlite("auth.User");
    let config = base(&format!("sqlite:{}", path.display()))
        + &format!("<Location /members>\n{SECTION}Require valid-user\n</Location>\n");
    let mut httpd = Setup::new("alike", config).start();
    httpd.expect_in_log("the stored password is refused");
    let shape = |user: &str, password: &str| {
        let response = httpd.get_as("/members/", user, password);
        let mut headers = response.headers;
        headers.retain(|(name, _)| name != "Date");
        (response.status, headers, response.body)
    };
    let wrong = shape("alice", "wrong");
    assert_eq!(wrong.0, 401);
    for user in [
        "nobody",
        "carol",
        "unusable",
        "unusable-old",
        "malformed-00",
        "malformed-07",
        "poisoned bcrypt",
        "hasher-md5",
    ] {
        assert_eq!(shape(user, "secret"), wrong, "{user}");
    }
    httpd.finish();
}

#[test]
fn a_form_logs_in() {
    let (path, _) = sqlite("auth.User");
    let config = base(&format!("sqlite:{}", path.display()))
        + "<Location /members>\nAuthType form\nAuthFormProvider django\nAuthName x\nAuthFormLoginRequiredLocation /public/\n\
           Session On\nSessionCookieName session path=/\nRequire group secret-agents\n</Location>\n\
           <Location /login>\nSetHandler form-login-handler\nAuthType form\nAuthFormProvider django\nAuthName x\n\
           AuthFormLoginRequiredLocation /public/\nAuthFormLoginSuccessLocation /members/\nSession On\nSessionCookieName session path=/\nRequire all granted\n</Location>\n";
    let mut httpd = Setup::new("form", config)
        .modules(&["auth_form", "session", "session_cookie", "request"])
        .start();
    httpd.expect_in_log("AH01807");
    let post = |body: &str| {
        let request = format!(
            "POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        send(httpd.port, &request).unwrap()
    };
    let granted = post("httpd_username=alice&httpd_password=alice+secret");
    assert_eq!(granted.status, 302);
    assert!(granted.header("Location").unwrap().ends_with("/members/"), "{granted:?}");
    let cookie = granted.header("Set-Cookie").unwrap().split(';').next().unwrap().to_owned();
    assert_eq!(get(httpd.port, "/members/", &format!("Cookie: {cookie}\r\n")).status, 200);
    assert_eq!(get(httpd.port, "/members/", "").status, 302);
    let refused = post("httpd_username=alice&httpd_password=wrong");
    assert!(refused.header("Location").is_none_or(|to| !to.contains("/members/")), "{refused:?}");
    httpd.finish();
}

#[test]
fn methods_redirects_and_error_documents_are_httpds_own() {
    let (path, _) = sqlite("auth.User");
    let config = base(&format!("sqlite:{}", path.display()))
        + &format!(
            "ErrorDocument 401 /members/denied.html\nErrorDocument 404 /public/index.html\n\
             <Location /members>\n{SECTION}Require valid-user\n</Location>\n\
             <Location /secret>\n{SECTION}Require group secret-agents\nAuthzSendForbiddenOnFailure On\n</Location>\n"
        );
    let setup = Setup::new("methods", config);
    let (dir, port) = setup.write();
    fs::write(dir.join("htdocs/members/denied.html"), "please log in").unwrap();
    let httpd = setup.start_in(dir, port);
    let ask = |method: &str, path: &str, headers: &str| {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\n{headers}Connection: close\r\n\r\n"
        );
        send(port, &request).unwrap()
    };
    let alice = basic("alice", "alice secret");
    assert_eq!(ask("HEAD", "/members/", &alice).status, 200);
    assert_eq!(ask("HEAD", "/members/", "").status, 401);
    assert_eq!(ask("OPTIONS", "/members/", "").status, 401);
    assert_eq!(ask("DELETE", "/members/", "").status, 401);
    assert_eq!(ask("GET", "/members/../secret/", &basic("bob", "bob secret")).status, 403);
    assert_eq!(ask("GET", "/secret/", &alice).status, 200);
    assert_eq!(ask("GET", "/nowhere", &alice).status, 404);
    assert_eq!(
        ask("GET", "/secret/index.html", &format!("{alice}Range: bytes=0-3\r\n")).body,
        "this"
    );
    httpd.finish();
}

/// The server's own files are served as if the module were not there.
#[test]
fn what_is_not_protected_costs_no_question() {
    let config = "AuthDjangoDatabase postgresql://apache@127.0.0.1:1/site\n";
    let mut httpd: Httpd = Setup::new("public", config).start();
    httpd.expect_in_log("[authnz_django:warn]");
    for _ in 0..20 {
        assert_eq!(httpd.get("/public/").status, 200);
        assert_eq!(httpd.get_as("/public/", "alice", "alice secret").status, 200);
    }
    assert_eq!(httpd.count_in_log("authnz_django:error"), 0);
    httpd.finish();
}
