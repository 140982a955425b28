//! Other ways to log in than Basic, as `apache/examples/digest.conf` and `form.conf` set them up.

use crate::common::client::{Response, send};
use crate::common::cluster::Database;
use crate::common::httpd::{Httpd, MPMS};
use crate::common::{directory, example, run};
use base64::{Engine, engine::general_purpose::STANDARD};
use md5::{Digest, Md5};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

fn base(database: &Database) -> String {
    format!(
        "AuthDjangoDatabase {}\nAuthDjangoPasswordHashers pbkdf2_sha256:1000\n\
         LogLevel authnz_django:debug\n",
        database.url()
    )
}

/// What Digest knows of a password.
fn ha1(user: &str, password: &str) -> String {
    let hash = Md5::digest(format!("{user}:DJANGO:{password}"));
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn digest_by_django_digest_and_by_a_file_for_others() {
    let (database, _) = Database::start("sqlite", "auth.User");
    let row = |user: &str, confirmed: u8| {
        database.sql(&format!(
            "INSERT INTO django_digest_partialdigest SELECT id, username, '{}', {confirmed} \
             FROM auth_user WHERE username = '{user}'",
            ha1(user, "digest secret")
        ));
    };
    // As the models of django-digest have it.
    database.sql(
        "CREATE TABLE django_digest_partialdigest (user_id integer NOT NULL, \
         login varchar(128) NOT NULL, partial_digest varchar(100) NOT NULL, confirmed bool NOT NULL)",
    );
    row("alice", 1);
    row("carol", 1);
    row("everywhere", 0);
    let dir = directory("digest-files");
    fs::create_dir(dir.join("feeds")).unwrap();
    fs::write(dir.join("feeds/news.xml"), "<feed/>").unwrap();
    let file: String = ["alice", "bob", "carol", "everywhere", "zoe"]
        .iter()
        .map(|user| format!("{user}:DJANGO:{}\n", ha1(user, "file secret")))
        .collect();
    fs::write(dir.join("htdigest"), file).unwrap();
    let (root, file) = (dir.join("feeds"), dir.join("htdigest"));
    let defines =
        [("DIGEST_ROOT", root.to_str().unwrap()), ("DIGEST_FILE", file.to_str().unwrap())];
    for mpm in MPMS {
        let mut httpd = example::setup("digest", &defines, &base(&database))
            .mpm(mpm)
            .modules(&["alias", "auth_digest", "mime"])
            .start();
        for text in ["password mismatch", "AH01781"] {
            httpd.expect_in_log(text);
        }
        let url = format!("http://127.0.0.1:{}/feeds/news.xml", httpd.port);
        let curl = |user: &str, password: &str| {
            let output = run(Command::new("curl")
                .args(["-q", "-s", "--noproxy", "*", "--digest", "-w", "%{http_code}"])
                .args(["-u", &format!("{user}:{password}"), &url]));
            let (body, status) = output.split_at(output.len() - 3);
            assert_eq!(body == "<feed/>", status == "200", "{output}");
            status.to_owned()
        };
        for (user, password, status) in [
            ("alice", "digest secret", "200"),
            // Her password for Basic is not one for Digest.
            ("alice", "alice secret", "401"),
            // Who is in Django with a hash is not the file's.
            ("alice", "file secret", "401"),
            // Not active, not confirmed, without a hash, not in Django: all are the file's.
            ("carol", "digest secret", "401"),
            ("carol", "file secret", "200"),
            ("everywhere", "digest secret", "401"),
            ("everywhere", "file secret", "200"),
            ("bob", "file secret", "200"),
            ("zoe", "file secret", "200"),
            ("zoe", "wrong", "401"),
            ("nobody", "file secret", "401"),
        ] {
            assert_eq!(curl(user, password), status, "{mpm} {user}, {password}");
        }
        let asked = httpd.get("/feeds/news.xml");
        assert_eq!(asked.status, 401);
        let challenge = asked.header("WWW-Authenticate").unwrap();
        assert!(challenge.starts_with("Digest realm=\"DJANGO\""), "{challenge}");
        assert_eq!(httpd.status("/feeds/news.xml", "alice", "alice secret"), 401);
        httpd.finish();
    }
    fs::remove_dir_all(dir).unwrap();
}

/// A browser, as far as it keeps one cookie.
struct Browser<'a> {
    httpd: &'a Httpd,
    cookie: Option<String>,
}

impl Browser<'_> {
    fn ask(&mut self, method: &str, path: &str, body: &str) -> Response {
        let cookie = self.cookie.as_ref().map(|cookie| format!("Cookie: {cookie}\r\n"));
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{}\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
            cookie.unwrap_or_default(),
            body.len()
        );
        let response = send(self.httpd.port, &request).unwrap();
        let set = response.headers.iter().filter(|(name, _)| name == "Set-Cookie");
        for (_, text) in set {
            let (cookie, rest) = text.split_once(';').unwrap();
            let gone = cookie == "members=";
            self.cookie = (!gone).then(|| cookie.to_owned());
            assert!(cookie.starts_with("members="), "{text}");
            for attribute in ["path=/members", "HttpOnly", "Secure", "SameSite=Lax"] {
                assert!(rest.split(';').any(|part| part.trim() == attribute), "{text}");
            }
        }
        response
    }

    fn get(&mut self, path: &str) -> Response {
        self.ask("GET", path, "")
    }

    fn login(&mut self, path: &str, user: &str, password: &str) -> Response {
        let quote =
            |text: &str| -> String { text.bytes().map(|byte| format!("%{byte:02X}")).collect() };
        let body = format!("httpd_username={}&httpd_password={}", quote(user), quote(password));
        self.ask("POST", path, &body)
    }
}

fn browser(httpd: &Httpd) -> Browser<'_> {
    Browser { httpd, cookie: None }
}

/// The server of the example; its login page and members' page.
fn form(mpm: &str, database: &Database, dir: &Path) -> Httpd {
    for (folder, page, text) in [
        ("members", "index.html", "for members"),
        ("members/a b", "page.html", "another page"),
        ("login", "login.html", "<form method=\"post\">"),
    ] {
        fs::create_dir_all(dir.join(folder)).unwrap();
        fs::write(dir.join(folder).join(page), text).unwrap();
    }
    let key = dir.join("session.key");
    fs::write(&key, "0123456789abcdef0123456789abcdef\n").unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    let place = |name: &str| dir.join(name).to_str().unwrap().to_owned();
    let (root, login) = (place("members"), place("login"));
    let defines = [
        ("FORM_ROOT", root.as_str()),
        ("FORM_LOGIN", login.as_str()),
        ("FORM_KEY", key.to_str().unwrap()),
    ];
    let modules =
        ["alias", "mime", "request", "session", "session_cookie", "session_crypto", "auth_form"];
    example::setup("form", &defines, &base(database)).mpm(mpm).modules(&modules).start()
}

#[test]
fn a_form_logs_in_and_every_request_is_verified_by_the_session() {
    for mpm in MPMS {
        let (database, _) = Database::start("sqlite", "auth.User");
        let dir = directory("form-files");
        let mut httpd = form(mpm, &database, &dir);
        // A wrong password, nobody of that name, and cookies that the key did not make.
        for text in ["AH01807", "AH01808", "AH01842", "AH01817"] {
            httpd.expect_in_log(text);
        }
        let mut alice = browser(&httpd);

        let page = alice.get("/members/");
        assert_eq!((page.status, page.body.as_str()), (401, "<form method=\"post\">"), "{mpm}");
        assert_eq!(page.header("WWW-Authenticate"), None);
        assert_eq!(alice.login("/members/", "alice", "wrong").status, 401);
        assert_eq!(alice.get("/members/").status, 401, "{mpm}");

        let answer = alice.login("/members/a%20b/page.html", "alice", "alice secret");
        assert_eq!(answer.status, 302, "{mpm} {answer:?}");
        let location = answer.header("Location").unwrap();
        assert!(location.ends_with("/members/a%20b/page.html"), "{location}");
        let verified = httpd.count_in_log("user alice: password verified");
        assert_eq!(verified, 1, "{mpm}");
        for n in 1..=3 {
            let page = alice.get("/members/a%20b/page.html");
            assert_eq!((page.status, page.body.as_str()), (200, "another page"), "{mpm}");
            assert_eq!(httpd.count_in_log("user alice: password verified"), 1 + n, "{mpm}");
        }

        // The cookie holds the password, but not for its reader.
        let cookie = alice.cookie.clone().unwrap();
        let value = cookie.strip_prefix("members=").unwrap();
        let plain = STANDARD.decode(value).unwrap();
        for text in [cookie.as_bytes(), &plain] {
            let text = String::from_utf8_lossy(text);
            assert!(!text.contains("secret") && !text.contains("alice"), "{mpm} {text}");
        }
        let mut forger = browser(&httpd);
        let (last, rest) = value.split_at(1);
        let other = if last == "A" { "B" } else { "A" };
        for forged in
            [format!("members={other}{rest}"), "members=Members-user=alice&Members-pw=x".into()]
        {
            forger.cookie = Some(forged);
            assert_eq!(forger.get("/members/").status, 401, "{mpm}");
        }

        // What Django changes counts at the next request.
        database.sql("UPDATE auth_user SET is_active = 0 WHERE username = 'alice'");
        assert_eq!(alice.get("/members/").status, 401, "{mpm}");
        database.sql("UPDATE auth_user SET is_active = 1 WHERE username = 'alice'");
        alice.cookie = Some(cookie);
        assert_eq!(alice.get("/members/").status, 200, "{mpm}");

        let out = alice.get("/members/logout");
        assert_eq!(out.status, 307, "{mpm} {out:?}");
        assert!(out.header("Location").unwrap().ends_with("/login/login.html"));
        assert_eq!(alice.get("/login/login.html").status, 200);
        assert_eq!(alice.get("/members/").status, 401, "{mpm}");

        for (user, password, status) in [
            ("unicode-pbkdf2_sha256", "pässwörd€😀", 302),
            ("carol", "carol secret", 401),
            ("nobody", "secret", 401),
            ("bob", "", 401),
        ] {
            let mut browser = browser(&httpd);
            assert_eq!(browser.login("/members/", user, password).status, status, "{mpm} {user}");
            let page = browser.get("/members/");
            assert_eq!(page.status == 200, status == 302, "{mpm} {user}");
        }
        assert!(!httpd.log().contains("alice secret"), "{mpm}");
        httpd.finish();
        fs::remove_dir_all(dir).unwrap();
    }
}
