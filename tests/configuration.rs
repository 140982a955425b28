//! What must not start, with its message; and which settings hold where.

use crate::common::cluster::{PASSWORD, sqlite};
use crate::common::httpd::Setup;
use crate::common::wait_until;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::thread;
use std::time::Duration;

/// Configurations that must not start, and what `apachectl configtest` must say.
#[test]
fn wrong_values_stop_configtest_with_reason_and_remedy() {
    let basic = "AuthType Basic\nAuthName x\n";
    let cases: &[(&str, &[&str])] = &[
        ("AuthDjangoDatabase", &["AuthDjangoDatabase", "needs"]),
        ("AuthDjangoDatabase oracle://host/db", &["oracle", "postgresql", "sqlite"]),
        ("AuthDjangoDatabase sqlite:relative.db", &["whole path"]),
        ("AuthDjangoDatabase sqlite:/x max=0", &["max"]),
        ("AuthDjangoDatabase sqlite:/x max=many", &["max", "many"]),
        ("AuthDjangoDatabase sqlite:/x timeout=0", &["timeout"]),
        ("AuthDjangoDatabase sqlite:/x speed=fast", &["speed"]),
        ("AuthDjangoDatabase sqlite:/x statements=prepared", &["statements"]),
        ("AuthDjangoDatabase postgresql://h/d?sslmode=maybe", &["sslmode", "verify-full"]),
        ("AuthDjangoDatabase postgresql://h/d?sslrootcert=/no/such/file", &["/no/such/file"]),
        ("AuthDjangoDatabase postgresql://u:hunter2@h/d?colour=red", &["colour"]),
        ("AuthDjangoDatabase postgresql://u:hunter2@h:port/d", &["AuthDjangoDatabase"]),
        (
            "AuthDjangoDatabase postgresql://u:hunter2@h/d statements=often",
            &["statements", "unnamed"],
        ),
        ("AuthDjangoDatabase mysql://u:hunter2@h/d?sslmode=maybe", &["sslmode", "verify-full"]),
        ("AuthDjangoDatabase mysql://u:hunter2@h/d?colour=red", &["colour", "socket"]),
        ("AuthDjangoDatabase mysql://u:hunter2@h", &["database", "mysql://user@host/"]),
        ("AuthDjangoDatabase mariadb://u:hunter2@h/d statements=unnamed", &["statements"]),
        ("AuthDjangoDatabasePassword hunter2", &["file:PATH", "exec:PROGRAM"]),
        ("AuthDjangoDatabasePassword file:/no/such/file", &["/no/such/file"]),
        ("AuthDjangoDatabasePassword file:/etc/passwd", &["/etc/passwd", "chmod o="]),
        ("AuthDjangoDatabasePassword exec:/etc/passwd", &["not a program"]),
        ("AuthDjangoUserModel User", &["app_label.Model"]),
        ("AuthDjangoUserModel auth.User name=x", &["name=", "username"]),
        ("AuthDjangoPasswordHashers pbkdf2", &["pbkdf2", "pbkdf2_sha256"]),
        ("AuthDjangoPasswordHashers pbkdf2_sha256:0", &["pbkdf2_sha256", "0"]),
        ("AuthDjangoPasswordHashers pbkdf2_sha256:lots", &["lots"]),
        ("AuthDjangoPasswordHashers pbkdf2_sha256:2000000000", &["2000000000"]),
        ("<Location />\nRequire group\n</Location>", &["Require group", "name of a group"]),
        (
            "<Location />\nRequire django-group\n</Location>",
            &["Require django-group", "name of a group"],
        ),
        (
            "<Location />\nRequire django-staff yes\n</Location>",
            &["django-staff", "takes no words"],
        ),
        (
            "<Location />\nRequire django-superuser alice\n</Location>",
            &["Require django-superuser", "takes no words"],
        ),
        (
            "<Location />\nRequire django-permission\n</Location>",
            &["Require django-permission", "app_label.codename"],
        ),
        (
            "<Location />\nRequire django-permission docs.view_page view_page\n</Location>",
            &["\"view_page\" is not a permission", "docs.view_page"],
        ),
        ("<Location />\nRequire django-permission docs.\n</Location>", &["\"docs.\""]),
        (
            "<AuthzProviderAlias django-permission may view_page>\n</AuthzProviderAlias>",
            &["view_page", "app_label.codename"],
        ),
        ("AuthDjangoUnavailable maybe", &["\"maybe\"", "not-found"]),
        ("AuthDjangoExport", &["needs columns", "permissions"]),
        ("AuthDjangoExport email Email", &["AUTHENTICATE_EMAIL"]),
        ("AuthDjangoExport email password", &["\"password\"", "passwords"]),
        (
            "AuthDjangoExport hash\nAuthDjangoUserModel auth.User password=HASH",
            &["AuthDjangoExport: \"hash\"", "passwords"],
        ),
        ("<Location />\nRequire group \"%{nonsense:\"\n</Location>", &["not an expression"]),
        ("AuthGroupFile /etc/group", &["AuthGroupFile", "not allowed here"]),
        (
            "<Location />\nAuthGroupFile /etc/group\n</Location>",
            &["AuthGroupFile", "mod_authz_groupfile"],
        ),
    ];
    let mut poor = Vec::new();
    for (config, expected) in cases {
        let message = Setup::new("configtest", format!("{config}\n# {basic}"))
            .configtest()
            .expect_err(&format!("passed: {config}"));
        let mut missing: Vec<_> =
            expected.iter().filter(|text| !message.contains(**text)).collect();
        if config.starts_with("AuthDjango") && !config.contains('\n') {
            let directive = config.split_whitespace().next().unwrap();
            assert!(message.contains(&format!("{directive}: ")), "{message}");
        }
        assert!(!message.contains("hunter2"), "{message}");
        missing.dedup();
        if !missing.is_empty() {
            poor.push(format!("{config}\nwithout {missing:?}: {message}"));
        }
    }
    assert!(poor.is_empty(), "{}", poor.join("\n"));
}

#[test]
fn good_values_pass_configtest_without_a_word_to_the_database() {
    let config = "AuthDjangoDatabase postgresql://apache@db.invalid,db2.invalid:5433/site?sslmode=require&target_session_attrs=any max=2 min=1 idle=60 timeout=3 statements=unnamed\n\
                  AuthDjangoUserModel accounts.User username=email\n\
                  AuthDjangoPasswordHashers argon2:t=2,m=102400,p=8 pbkdf2_sha256\n\
                  <Location />\nAuthDjangoDatabase default\nAuthDjangoUserModel default\n\
                  AuthDjangoPasswordHashers default\nAuthDjangoDatabasePassword default\n</Location>";
    let message = Setup::new("configtest", config).configtest().unwrap();
    assert!(message.contains("Syntax OK"), "{message}");
}

#[test]
fn an_unreachable_database_is_a_warning_at_start() {
    let mut httpd = Setup::new(
        "unreachable",
        "AuthDjangoDatabase postgresql://apache:hunter2@127.0.0.1:1/site\n",
    )
    .start();
    httpd.expect_in_log("[authnz_django:warn]");
    assert_eq!(httpd.get("/public/").status, 200);
    assert!(!httpd.log().contains("hunter2"));
    httpd.finish();
}

#[test]
fn a_password_that_cannot_be_read_stops_the_start() {
    let setup = Setup::new(
        "nopassword",
        "AuthDjangoDatabase postgresql://apache@127.0.0.1/site\nAuthDjangoDatabasePassword env:NO_SUCH_VARIABLE\n",
    );
    let (dir, _) = setup.write();
    let status = std::process::Command::new(&*crate::common::httpd::PROGRAM)
        .args(["-DFOREGROUND", "-f"])
        .arg(dir.join("httpd.conf"))
        .status()
        .unwrap();
    let log = fs::read_to_string(dir.join("error.log")).unwrap();
    assert!(!status.success(), "{log}");
    assert!(log.contains("authnz_django:crit") && log.contains("env:NO_SUCH_VARIABLE"), "{log}");
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn a_place_without_a_database_is_one_clear_line_and_500() {
    let (path, _) = sqlite("auth.User");
    let config = format!(
        "AuthDjangoDatabase sqlite:{}\nAuthDjangoPasswordHashers pbkdf2_sha256:1000\n\
         <Location />\nAuthType Basic\nAuthName x\nAuthBasicProvider django\nRequire valid-user\n</Location>\n\
         <Location /secret>\nAuthDjangoDatabase default\n</Location>\n\
         <Location /public>\nAuthDjangoDatabase default\nAuthBasicProvider file\nAuthUserFile {{dir}}/users\n\
         Require group agents\n</Location>\n",
        path.display()
    );
    let setup = Setup::new("nodatabase", config);
    let (dir, port) = setup.write();
    // "alice" in SHA-1, as htpasswd -s writes it.
    fs::write(dir.join("users"), "alice:{SHA}Uisnajv4q0TriFGMlxxvtnYlO0c=\n").unwrap();
    let mut httpd = setup.start_in(dir, port);
    httpd.expect_in_log("no AuthDjangoDatabase is set for this place");
    assert_eq!(httpd.status("/members/", "alice", "alice secret"), 200);
    assert_eq!(httpd.status("/secret/", "alice", "alice secret"), 500);
    assert_eq!(httpd.count_in_log("no AuthDjangoDatabase"), 1);
    assert_eq!(httpd.get("/public/").status, 401);
    httpd.finish();
}

#[test]
fn sections_inherit_override_and_set_back() {
    let (path, _) = sqlite("auth.User");
    let (mails, _) = sqlite("accounts.User");
    let (path, mails) = (path.display(), mails.display());
    let basic = "AuthType Basic\nAuthName x\nAuthBasicProvider django\nRequire valid-user\n";
    let config = format!(
        "AuthDjangoDatabase sqlite:{path}\nAuthDjangoPasswordHashers pbkdf2_sha256:1000 pbkdf2_sha1\n\
         <Location /members>\n{basic}</Location>\n\
         <Location /members/mail>\nAuthDjangoDatabase sqlite:{mails}\nAuthDjangoUserModel accounts.User username=email\n</Location>\n\
         <Location /members/mail/back>\nAuthDjangoDatabase sqlite:{path}\nAuthDjangoUserModel default\n</Location>\n\
         <Location /members/strict>\nAuthDjangoPasswordHashers argon2:t=1,m=256,p=2\n</Location>\n\
         <Location /members/strict/default>\nAuthDjangoPasswordHashers default\n</Location>\n\
         <If \"%{{HTTP:X-Site}} == 'mail'\">\nAuthDjangoDatabase sqlite:{mails}\nAuthDjangoUserModel accounts.User username=email\n</If>\n\
         <VirtualHost *>\nServerName localhost\n</VirtualHost>\n\
         <VirtualHost *>\nServerName mail\nAuthDjangoDatabase sqlite:{mails}\nAuthDjangoUserModel accounts.User username=email\n\
         <Location /members>\n{basic}</Location>\n</VirtualHost>\n"
    );
    let mut httpd = Setup::new("merge", config).start();
    httpd.expect_in_log("is not listed in AuthDjangoPasswordHashers");
    let (django, mail) = ("alice", "alice@example.org");
    let status = |path: &str, user: &str, headers: &str| {
        let headers = crate::common::client::basic(user, "alice secret") + headers;
        let request = format!("GET {path} HTTP/1.1\r\n{headers}Connection: close\r\n");
        let host = if headers.contains("Host:") { "" } else { "Host: localhost\r\n" };
        crate::common::client::send(httpd.port, &format!("{request}{host}\r\n")).unwrap().status
    };
    for (path, user, headers, expected) in [
        ("/members/", django, "", 200),
        ("/members/", mail, "", 401),
        ("/members/mail/", mail, "", 404),
        ("/members/mail/", django, "", 401),
        ("/members/mail/back/", django, "", 404),
        ("/members/mail/back/", mail, "", 401),
        ("/members/strict/", django, "", 401),
        ("/members/strict/", "hasher-argon2", "", 401),
        ("/members/strict/default/", django, "", 404),
        ("/members/", mail, "X-Site: mail\r\n", 200),
        ("/members/", django, "X-Site: mail\r\n", 401),
        ("/members/", mail, "Host: mail\r\n", 200),
        ("/members/", django, "Host: mail\r\n", 401),
    ] {
        assert_eq!(status(path, user, headers), expected, "{path} {user} {headers}");
    }
    assert_eq!(httpd.status("/members/strict/", "hasher-argon2", "secret"), 404);
    assert_eq!(httpd.status("/members/", "hasher-argon2", "secret"), 401);
    httpd.finish();
}

/// A vault that is down at the hour of logrotate must not take the server with it.
#[test]
fn a_restart_goes_on_with_the_secret_it_had() {
    let (cluster, _) = crate::common::cluster::Cluster::start("auth.User");
    let config = format!(
        "AuthDjangoDatabase postgresql://apache@127.0.0.1:{}/site\n\
         AuthDjangoDatabasePassword exec:{{dir}}/vault\nAuthDjangoPasswordHashers pbkdf2_sha256:1000\n\
         <Location /members>\nAuthType Basic\nAuthName x\nAuthBasicProvider django\nRequire valid-user\n</Location>\n",
        cluster.port
    );
    let setup = Setup::new("vault", config);
    let (dir, port) = setup.write();
    let script = format!(
        "#!/bin/sh\necho asked >>{0}/asked\nsleep 0.3\ntest ! -e {0}/down && echo {PASSWORD}\n",
        dir.display()
    );
    fs::write(dir.join("vault"), script).unwrap();
    fs::set_permissions(dir.join("vault"), fs::Permissions::from_mode(0o700)).unwrap();
    let mut httpd = setup.start_in(dir.clone(), port);
    let asked = || fs::read_to_string(dir.join("asked")).unwrap().lines().count();
    // It listens before it has read its configuration a second time.
    httpd.wait_for_start();
    assert_eq!(asked(), 1, "once for both rounds of a start");
    httpd.expect_in_log("this restart goes on with the one read before");
    assert_eq!(httpd.status("/members/", "alice", "alice secret"), 200);
    fs::write(dir.join("down"), "").unwrap();
    httpd.signal("USR1");
    wait_until("the restart", 10, || httpd.count_in_log("this restart goes on") == 1);
    wait_until("the new child", 10, || httpd.count_in_log("resuming normal operations") == 2);
    assert_eq!(httpd.status("/members/", "alice", "alice secret"), 200);
    // A second signal while the program still runs is no failure of it.
    fs::remove_file(dir.join("down")).unwrap();
    httpd.signal("USR1");
    thread::sleep(Duration::from_millis(100));
    httpd.signal("USR1");
    wait_until("both restarts", 10, || httpd.count_in_log("resuming normal operations") >= 3);
    thread::sleep(Duration::from_millis(800));
    assert_eq!(httpd.status("/members/", "alice", "alice secret"), 200);
    assert_eq!(httpd.count_in_log("this restart goes on"), 1);
    httpd.finish();
}

/// A section that names another server does not send it the password of the one around it.
#[test]
fn a_password_stays_with_its_database() {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let (cluster, _) = crate::common::cluster::Cluster::start("auth.User");
    let config = format!(
        "AuthDjangoDatabase postgresql://apache@127.0.0.1:{}/site\nAuthDjangoDatabasePassword env:OUTER\n\
         <Location /secret>\nAuthType Basic\nAuthName x\nAuthBasicProvider django\nRequire valid-user\n\
         AuthDjangoDatabase postgresql://b@127.0.0.1:{port}/other?sslmode=disable timeout=1\n</Location>\n",
        cluster.port
    );
    let mut setup = Setup::new("otherserver", config);
    setup.environment.push(("OUTER".into(), PASSWORD.into()));
    let mut httpd = setup.start();
    httpd.expect_in_log("is not available");
    // A server that asks for the password in the clear, as any server may.
    let server = thread::spawn(move || {
        let mut got = Vec::new();
        for stream in listener.incoming().take(2) {
            let mut stream = stream.unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
            let mut part = [0; 1024];
            let Ok(1..) = stream.read(&mut part) else { continue };
            stream.write_all(b"R\0\0\0\x08\0\0\0\x03").unwrap();
            if let Ok(count) = stream.read(&mut part) {
                got.extend_from_slice(&part[..count]);
            }
            return got;
        }
        got
    });
    assert_eq!(httpd.status("/secret/", "alice", "alice secret"), 500);
    let got = server.join().unwrap();
    assert!(!String::from_utf8_lossy(&got).contains(PASSWORD), "{got:?}");
    httpd.finish();
}

#[test]
fn no_page_of_httpd_shows_the_password_of_a_database() {
    let mut httpd = Setup::new(
        "modinfo",
        "AuthDjangoDatabase postgresql://apache:hunter2@127.0.0.1:1/site?password=hunter2 max=2\n\
         <Location /info>\nSetHandler server-info\nRequire all granted\n</Location>\n",
    )
    .modules(&["info"])
    .start();
    httpd.expect_in_log("[authnz_django:warn]");
    let page = httpd.get("/info").body;
    assert!(page.contains("AuthDjangoDatabase") && page.contains("*****"), "{page}");
    assert!(!page.contains("hunter2"), "{page}");
    httpd.finish();
}
