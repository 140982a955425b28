//! `apachectl -t -D DUMP_DJANGO`: what it says of configurations that work and that do not.

use crate::common::cluster::{Cluster, PASSWORD, ids, sqlite};
use crate::common::httpd::{PROGRAM, Setup, free_port};
use crate::common::mariadb::Mariadb;
use crate::common::{certificate, command_as};
use std::fs;
use std::io::Read;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

pub struct Report {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Report {
    /// The only line with that text.
    #[track_caller]
    pub fn line(&self, text: &str) -> &str {
        let lines: Vec<&str> = self.out.lines().filter(|line| line.contains(text)).collect();
        assert_eq!(lines.len(), 1, "lines with {text:?}\n{}{}", self.out, self.err);
        lines[0]
    }

    #[track_caller]
    pub fn failed(&self, texts: &[&str]) {
        assert_eq!(self.code, 1, "{}{}", self.out, self.err);
        assert!(!self.err.contains("Syntax OK"), "{}", self.err);
        let failures: Vec<&str> = self.out.lines().filter(|l| l.starts_with("FAIL ")).collect();
        for text in texts {
            assert!(failures.iter().any(|line| line.contains(text)), "{text}\n{}", self.out);
        }
    }

    #[track_caller]
    pub fn good(&self) {
        assert_eq!(self.code, 0, "{}{}", self.out, self.err);
        assert!(self.err.contains("Syntax OK"), "{}", self.err);
        assert!(!self.out.contains("FAIL"), "{}", self.out);
    }
}

fn test(config: &str, words: &[&str]) -> Report {
    let setup = Setup::new("selfcheck", config);
    let (dir, _) = setup.write();
    let report =
        report(Command::new(&*PROGRAM).arg("-t").args(words).arg("-f").arg(dir.join("httpd.conf")));
    fs::remove_dir_all(dir).unwrap();
    report
}

pub fn report(command: &mut Command) -> Report {
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let report = Report {
        code: output.status.code().unwrap(),
        out: text(&output.stdout),
        err: text(&output.stderr),
    };
    for secret in [PASSWORD, "hunter2", "$"] {
        assert!(!report.out.contains(secret) && !report.err.contains(secret), "{}", report.out);
    }
    report
}

fn check(config: &str) -> Report {
    test(config, &["-D", "DUMP_DJANGO"])
}

const CHEAP: &str = "AuthDjangoPasswordHashers pbkdf2_sha256:1000\n";

/// Only such rows as every test can accept.
const TIDY: &str = "UPDATE auth_user SET password = '!' \
    WHERE substr(password, 1, 19) <> 'pbkdf2_sha256$1000$'";

fn alter(path: &Path, sql: &str) {
    rusqlite::Connection::open(path).unwrap().execute_batch(sql).unwrap();
}

fn file(path: &Path) -> String {
    format!("AuthDjangoDatabase sqlite:{}\n", path.display())
}

fn cluster() -> Cluster {
    let (cluster, _) = Cluster::start("auth.User");
    cluster.sql("site", TIDY);
    cluster
}

#[test]
fn a_good_sqlite_file() {
    let (path, _) = sqlite("auth.User");
    alter(&path, TIDY);
    let config = file(&path) + CHEAP;
    let report = check(&config);
    report.good();
    for line in [
        "ok   user: everything is asked as www-data",
        "ok   connection: reached within ",
        "ok   journal mode: DELETE",
        "ok   session: read-only",
        "ok   grants: no right to write",
        "ok   users: all tables and columns can be read",
        "ok   groups: all tables and columns can be read",
        "ok   staff and superuser: all",
        "ok   permissions: all",
        "ok   sessions: all tables and columns can be read",
        "users with pbkdf2_sha256:1000",
        "ok   passwords: pbkdf2_sha256:1000 is preferred, and in use",
        "ok   login: ",
    ] {
        report.line(line);
    }
    assert!(report.line("set at ").contains("/httpd.conf:"));
    assert!(!report.out.contains("warn"), "{}", report.out);
    // As for any other -D, or none: not a word.
    for words in [&[][..], &["-D", "DUMP_OTHER"]] {
        let report = test(&config, words);
        report.good();
        assert_eq!((report.out.as_str(), report.err.as_str()), ("", "Syntax OK\n"));
    }
}

#[test]
fn a_good_postgresql_database_and_each_thing_that_can_be_wrong_with_it() {
    let cluster = cluster();
    let secret = cluster.dir.join("password");
    fs::write(&secret, PASSWORD).unwrap();
    // For root alone: it is read before root is given up.
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    let url = format!("AuthDjangoDatabase postgresql://apache@127.0.0.1:{}/site\n", cluster.port);
    let from = |path: &Path| format!("AuthDjangoDatabasePassword file:{}\n", path.display());
    let config = url.clone() + &from(&secret) + CHEAP;
    cluster.sql("site", "REVOKE SELECT ON auth_permission FROM apache");
    cluster.sql("site", "REVOKE SELECT (session_data) ON django_session FROM apache");
    let report = check(&config);
    report.good();
    for line in [
        ": PostgreSQL 15",
        "ok   TLS: none, and no network between",
        "ok   session: read-only",
        "ok   grants: no right to write",
        "ok   connections: 1 children × 4 = 4 of the server's 47",
        "ok   users: all tables and columns can be read",
        "ok   groups: all tables and columns can be read",
        "users with pbkdf2_sha256:1000",
    ] {
        report.line(line);
    }
    let line = report.line("ok   permissions: not readable, and no line asks for it");
    assert!(line.contains("GRANT SELECT"), "{line}");
    let line =
        report.line("ok   sessions: not readable, and no line asks for it (AuthDjangoSession)");
    assert!(line.contains("GRANT SELECT"), "{line}");

    // A Require line makes a failure of it.
    let asked = config.clone() + "<Location /x>\nRequire django-permission a.view_b\n</Location>\n";
    if Setup::new("selfcheck", asked.as_str()).configtest().is_ok() {
        check(&asked).failed(&["permissions: permission denied"]);
    }

    let wrong = cluster.dir.join("wrong");
    fs::write(&wrong, "hunter2").unwrap();
    fs::set_permissions(&wrong, fs::Permissions::from_mode(0o600)).unwrap();
    check(&(url.clone() + &from(&wrong) + CHEAP))
        .failed(&["connection: 127.0.0.1", "AuthDjangoDatabasePassword right?"]);

    let report = check(&(config.clone() + "AuthDjangoUserModel accounts.Nobody\n"));
    report.failed(&["users: relation \"accounts_nobody\" does not exist: AuthDjango"]);
    // Once is enough.
    report.line("FAIL");

    cluster.sql("site", "REVOKE SELECT ON auth_group FROM apache");
    let report = check(&config);
    report.good();
    report.line("ok   groups: not readable, and no line asks for it");
    let asking = config.clone() + "<Location />\nRequire django-group staff\n</Location>\n";
    check(&asking).failed(&["groups: permission denied for table auth_group: GRANT"]);
    cluster.sql("site", "GRANT SELECT ON auth_group TO apache");

    cluster.sql("site", "GRANT UPDATE (is_active) ON auth_user TO apache");
    let report = check(&config);
    report.good();
    report.line("warn grants: too much: auth_user can be written to");
    cluster.sql("site", "ALTER TABLE auth_group OWNER TO apache");
    check(&config).line("warn grants: too much: the role owns auth_group");
    cluster.sql("site", "ALTER ROLE apache SUPERUSER");
    check(&config).line("warn grants: too much: this is a superuser");
    cluster.sql("site", "ALTER ROLE apache NOSUPERUSER CONNECTION LIMIT 3");
    check(&config).line("warn connections: 1 children × 4 = 4 of the server's 3: lower max=");

    cluster.signal("STOP");
    let start = Instant::now();
    check(&(config + "AuthDjangoDatabase postgresql://apache@127.0.0.1/x timeout=1\n"))
        .failed(&["connection: "]);
    check(&(url.replace("site\n", "site timeout=1\n") + &from(&secret) + CHEAP))
        .failed(&["connection: 127.0.0.1", "no answer within"]);
    assert!(start.elapsed() < Duration::from_secs(16), "{:?}", start.elapsed());
}

/// Each right to write is noticed at whatever level it was granted, and what is missing is named.
#[test]
fn a_database_that_is_watched() {
    let cluster = cluster();
    let url = |words: &str| format!("AuthDjangoDatabase {} {words}\n{CHEAP}", cluster.url());
    let install = |words: &[&str]| {
        cluster.script("site", "authnz_django_watch.sql", &[&["channel=users"], words].concat());
    };
    // Nothing is installed.
    let report = check(&url("watch=users"));
    report.good();
    let line = report
        .line("watch=users: the trigger for INSERT, DELETE, TRUNCATE, UPDATE of id, username,");
    let end = "on \"auth_user\" is missing (psql -f authnz_django_watch.sql): every request reads the row";
    assert!(line.starts_with("warn ") && line.ends_with(end), "{line}");
    assert!(!report.out.contains("auth_user_groups"), "{}", report.out);
    let group = "<Location />\nRequire django-group staff\n</Location>\n";
    let report = check(&(url("watch=users") + group));
    report.line("on \"auth_user_groups\" is missing");
    report.line("on \"auth_group\" is missing");
    assert!(!report.out.contains("auth_permission"), "{}", report.out);
    report.line("ok   connections: 1 children × 5 = 5 of the server's 47");

    // All that the configuration asks for is looked at.
    install(&["permissions="]);
    let wide = "<Location /x>\nAuthType Basic\nAuthName x\nAuthBasicProvider django\n\
                AuthDjangoExport email\nRequire django-permission a.b\n</Location>\n";
    cluster.sql("site", "GRANT SELECT (email) ON auth_user TO apache");
    check(&url("watch=users")).line("ok   watch: PostgreSQL tells of every change");
    let report = check(&(url("watch=users") + wide));
    report.good();
    report.line("the trigger for UPDATE of email on \"auth_user\" is missing");
    report.line("on \"auth_user_user_permissions\" is missing");
    install(&["export=email"]);
    check(&(url("watch=users") + wide)).line("ok   watch:");
    cluster.sql("site", "ALTER TABLE auth_user DISABLE TRIGGER ALL");
    let report = check(&url("watch=users"));
    report.line("warn watch=users: the trigger for INSERT, DELETE, TRUNCATE, UPDATE of id, username, password, is_active on \"auth_user\" is disabled, or not");

    // The link cannot be had.
    let report = check(&url("watch=users watch_host=127.0.0.1:1"));
    report.good();
    report.line("warn watch=users: 127.0.0.1:1: connection refused");
    assert!(!check(&url("")).out.contains("watch"));
}

#[test]
fn a_good_mysql_database_and_each_thing_that_can_be_wrong_with_it() {
    let (server, population) = Mariadb::start("auth.User");
    server.sql("site", TIDY);
    let users = population.users.len();
    let config = format!("AuthDjangoDatabase {}\n{CHEAP}", server.url());
    let report = check(&config);
    report.good();
    for line in [
        ": MariaDB 10.",
        "ok   TLS: none, and no network between",
        "ok   session: read-only",
        "ok   grants: no right to write",
        "ok   connections: 1 children × 4 = 4 of the server's 50",
        "ok   users: all tables and columns can be read",
        "ok   groups: all tables and columns can be read",
        "ok   staff and superuser: all",
        "ok   permissions: all",
        "ok   sessions: all tables and columns can be read",
        &format!("ok   passwords: {users} users; of the active ones "),
        "users with pbkdf2_sha256:1000",
        "ok   passwords: pbkdf2_sha256:1000 is preferred, and in use",
        "ok   login: ",
    ] {
        report.line(line);
    }
    assert!(!report.out.contains("warn"), "{}", report.out);
    let socket = server.socket();
    let local = format!(
        "AuthDjangoDatabase mysql://apache:{PASSWORD}@/site?socket={}\n{CHEAP}",
        socket.display()
    );
    check(&local).line("ok   TLS: none, and no network between");

    for (right, on, told) in [
        ("UPDATE (is_active)", "site.auth_user", "auth_user"),
        ("INSERT", "site.auth_user_groups", "auth_user_groups"),
        ("DROP", "site.auth_group", "auth_group"),
        ("DELETE", "site.*", "every table of site"),
        ("INSERT", "`s\\_te`.*", "nothing"),
        ("INSERT", "`s_t%`.*", "every table of site"),
        ("UPDATE", "*.*", "every table of the server"),
    ] {
        server.sql("", &format!("GRANT {right} ON {on} TO apache"));
        let report = check(&config);
        report.good();
        if told == "nothing" {
            report.line("ok   grants: no right to write");
        } else {
            // Whatever it is, once.
            let line = report.line("warn ");
            let expected = format!("warn grants: too much: {told} can be written to");
            assert!(line.starts_with(&expected), "{right} ON {on}: {line}");
        }
        server.sql("", &format!("REVOKE {right} ON {on} FROM apache"));
    }
    server.sql("", "CREATE ROLE writer; GRANT UPDATE ON site.auth_user TO writer");
    server.sql("", "GRANT writer TO apache; SET DEFAULT ROLE writer FOR apache");
    check(&config).line("warn grants: too much: auth_user can be written to");
    server.sql("", "DROP ROLE writer; GRANT ALL ON *.* TO apache");
    check(&config).line("warn grants: too much: this is a superuser: make a user");
    server.sql(
        "",
        "REVOKE ALL ON *.* FROM apache; GRANT USAGE ON *.* TO apache WITH MAX_USER_CONNECTIONS 3",
    );
    check(&config).line("warn connections: 1 children × 4 = 4 of the server's 3: lower max=");

    server.sql("site", "REVOKE SELECT ON auth_permission FROM apache");
    let report = check(&config);
    report.good();
    let line = report.line("ok   permissions: not readable, and no line asks for it");
    assert!(line.contains("GRANT SELECT"), "{line}");
    server.sql("site", "REVOKE SELECT ON auth_group FROM apache");
    let report = check(&config);
    let line = report.line("ok   groups: not readable, and no line asks for it");
    assert!(line.contains("SELECT command denied to user 'apache'"), "{line}");
    check(&config.replace(PASSWORD, "hunter2"))
        .failed(&["connection: 127.0.0.1", "AuthDjangoDatabasePassword right"]);
}

#[test]
fn the_line_of_tls() {
    let files = certificate();
    let (crt, key) = (files.join("crt"), files.join("key"));
    // PostgreSQL reads a key that its own user alone can read, MariaDB's user here is another.
    let own = files.join("own");
    fs::copy(&key, &own).unwrap();
    let (user, group) = ids("postgres");
    chown(&own, Some(user), Some(group)).unwrap();
    fs::set_permissions(&own, fs::Permissions::from_mode(0o600)).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();

    let cluster = cluster();
    for (name, value) in [
        ("ssl_cert_file", crt.display().to_string()),
        ("ssl_key_file", own.display().to_string()),
        ("ssl", "on".to_owned()),
    ] {
        cluster.sql("postgres", &format!("ALTER SYSTEM SET {name} = '{value}'"));
    }
    cluster.sql("postgres", "SELECT pg_reload_conf()");
    let (mut server, _) = Mariadb::start("auth.User");
    server.sql("site", TIDY);
    server.restart_with(&[
        format!("--ssl-cert={}", crt.display()),
        format!("--ssl-key={}", key.display()),
    ]);
    let verified = format!("?sslmode=verify-full&sslrootcert={}", crt.display());
    for url in [cluster.url(), server.url()] {
        let (plain, tls) = (format!("{url}?sslmode=disable"), url.clone() + &verified);
        let tls = tls.replace("@127.0.0.1", "@localhost");
        let config = |url: &str| format!("AuthDjangoDatabase {url}\n{CHEAP}");
        let report = check(&config(&tls));
        report.good();
        let line = report.line(" TLS: ");
        assert!(line.starts_with("ok   TLS: TLSv1.3 TLS_"), "{line}");
        check(&config(&plain)).line("ok   TLS: none, and no network between");
    }
    fs::remove_dir_all(files).unwrap();
}

/// 15 s, whatever `timeout=` says; the sites behind are looked at, and nobody is left behind.
#[test]
fn a_site_that_never_answers_is_given_up() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let (path, _) = sqlite("auth.User");
    alter(&path, TIDY);
    let config = format!(
        "AuthDjangoDatabase postgresql://u:hunter2@127.0.0.1:{port}/x timeout=60\n{CHEAP}\
         <Location /x>\n{}</Location>\n",
        file(&path)
    );
    let start = Instant::now();
    let report = check(&config);
    let took = start.elapsed();
    assert!((15..18).contains(&took.as_secs()), "{took:?}");
    report.failed(&["not done within 15 s"]);
    report.line("FAIL");
    report.line("ok   login: ");
    report.line("sites: 2, failures: 1");
    let (mut line, _) = listener.accept().unwrap();
    line.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    let end = line.read_to_end(&mut Vec::new());
    assert!(end.is_ok(), "who asked is still there: {end:?}");
}

#[test]
fn who_is_not_root_asks_as_himself() {
    let (path, _) = sqlite("auth.User");
    alter(&path, TIDY);
    let secret = path.with_file_name("secret");
    fs::write(&secret, PASSWORD).unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    let config = file(&path)
        + CHEAP
        + &format!(
            "<Location /x>\nAuthDjangoDatabase postgresql://u@127.0.0.1/x\n\
             AuthDjangoDatabasePassword file:{}\n</Location>\n",
            secret.display()
        );
    let mut setup = Setup::new("selfcheck", config);
    // Where the clone lies, others may not come.
    let module = path.with_file_name("module.so");
    fs::copy(&setup.module, &module).unwrap();
    setup.module = module.display().to_string();
    let (dir, _) = setup.write();
    let mut command = command_as("www-data", &PROGRAM);
    command.args(["-t", "-D", "DUMP_DJANGO", "-f"]).arg(dir.join("httpd.conf")).current_dir("/");
    let report = report(&mut command);
    report.failed(&["AuthDjangoDatabasePassword file:"]);
    let line = report.line("FAIL");
    assert!(line.contains("ermission denied"), "{line}");
    assert!(!report.out.contains("everything is asked as"), "{}", report.out);
    report.line("ok   login: ");
    report.line("sites: 2, failures: 1");
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn algorithms_that_are_refused_and_costs_that_are_not_the_preferred() {
    let (path, _) = sqlite("auth.User");
    let report = check(&(file(&path) + "AuthDjangoPasswordHashers argon2:t=1,m=64,p=1 md5\n"));
    report.failed(&[
        "users with pbkdf2_sha256 cannot log in: not listed in AuthDjangoPasswordHashers: add it",
        "1 user with pbkdf2_sha512 cannot log in: unknown algorithm pbkdf2_sha512: each needs",
    ]);
    report.line("warn passwords: the preferred argon2:t=1,m=64,p=1 costs less than argon2:t=");
    let report = check(&(file(&path) + "AuthDjangoPasswordHashers pbkdf2_sha256\n"));
    report.failed(&["2000000000 iterations are more than the 10000000 that are accepted"]);
    report.line("warn passwords: the preferred pbkdf2_sha256:1500000 costs more than any user's");
    report.line("users with pbkdf2_sha256:1000");
}

#[test]
fn several_sites_each_with_its_place() {
    let (path, _) = sqlite("auth.User");
    alter(&path, TIDY);
    let port = free_port();
    let config = file(&path)
        + CHEAP
        + &format!(
            "<Location /away>\nAuthDjangoDatabase postgresql://u:hunter2@127.0.0.1:{port}/x\n\
             <If \"true\">\nAuthDjangoUserModel accounts.User\n</If>\n</Location>\n\
             <Location /same>\nAuthDjangoPasswordHashers pbkdf2_sha256:1000\n</Location>\n\
             <VirtualHost 127.0.0.2:1>\n<Location /none>\nAuthDjangoDatabase default\n</Location>\n\
             <Location /vhost>\nAuthDjangoUserModel no.Such\n</Location>\n</VirtualHost>\n"
        );
    let report = check(&config);
    report.failed(&[
        "connection: 127.0.0.1",
        "connection refused: is PostgreSQL running there?",
        "users: no such table: no_such: AuthDjangoUserModel",
    ]);
    report.line("site 4 of 4");
    report.line("sites: 4, failures: 3");
    for place in ["<Location /away>", "<If \"true\">", "<Location /same>", "<Location /vhost>"] {
        assert!(report.line(place).contains("/httpd.conf:"), "{place}");
    }
    assert!(!report.out.contains("<Location /none>"), "{}", report.out);
    report.line("users in accounts_user");
}

#[test]
fn files_that_httpds_user_cannot_use() {
    let (path, _) = sqlite("auth.User");
    alter(&path, TIDY);
    let config = file(&path) + CHEAP;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    check(&config).failed(&["connection: permission denied: httpd's user must be able to read it"]);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    check(&config).line("warn grants: too much: the file can be written to");

    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let (user, group) = ids("games");
    chown(&path, Some(user), Some(group)).unwrap();
    alter(&path, "PRAGMA journal_mode=WAL");
    let beside = |suffix: &str| fs::exists(format!("{}{suffix}", path.display())).unwrap();
    assert!(!beside("-wal"));
    check(&config).failed(&["WAL mode, belongs to another user", "journal_mode=DELETE"]);
    assert!(!beside("-wal") && !beside("-shm"));

    let missing = format!("AuthDjangoDatabase sqlite:{}.no\n", path.display());
    check(&missing).failed(&["connection: no such file"]);
    fs::write(&path, "no database at all, but long enough to be read as one").unwrap();
    check(&config).failed(&["is it an SQLite database?"]);
}

#[test]
fn a_secret_that_cannot_be_read_is_one_sites_failure() {
    let (path, _) = sqlite("auth.User");
    alter(&path, TIDY);
    let config = file(&path)
        + CHEAP
        + "<Location /x>\nAuthDjangoDatabase postgresql://u@127.0.0.1/x\n\
           AuthDjangoDatabasePassword env:NO_SUCH_VARIABLE\n</Location>\n";
    let report = check(&config);
    report.failed(&["AuthDjangoDatabasePassword env:NO_SUCH_VARIABLE: httpd was started without"]);
    report.line("ok   login: ");
}

#[test]
fn a_plain_test_asks_nobody() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let (path, _) = sqlite("auth.User");
    let program = path.with_file_name("program");
    let ran = path.with_file_name("ran");
    fs::write(&program, format!("#!/bin/sh\ntouch {}\necho x\n", ran.display())).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let config = format!(
        "AuthDjangoDatabase postgresql://u@127.0.0.1:{port}/x timeout=0.5\n\
         AuthDjangoDatabasePassword exec:{}\n",
        program.display()
    );
    let report = test(&config, &[]);
    report.good();
    assert_eq!(report.out, "");
    assert!(listener.accept().is_err() && !ran.exists());
    check(&config).failed(&["no answer within"]);
    assert!(listener.accept().is_ok() && ran.exists());
}

#[test]
fn nothing_to_look_at_is_said() {
    let report = check("");
    report.line("no AuthDjangoDatabase is set anywhere");
}
