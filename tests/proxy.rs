//! `apache/examples/proxy.conf`, in front of a Django site in two processes of gunicorn's, and of a
//! back end that shows what arrives.

use crate::common::client::{Response, basic, send};
use crate::common::cluster::sqlite;
use crate::common::httpd::{Httpd, MPMS, free_port};
use crate::common::{directory, django, example, required, run, wait_until};
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

const MODULES: [&str; 8] = [
    "headers",
    "socache_shmcb",
    "ssl",
    "proxy",
    "proxy_http",
    "slotmem_shm",
    "proxy_balancer",
    "lbmethod_byrequests",
];

/// A process of the site.
pub struct Process {
    port: u16,
    child: Child,
    log: PathBuf,
}

impl Process {
    pub fn start(name: &str, database: &str, environment: &[(&str, &str)], words: &[&str]) -> Self {
        let port = free_port();
        let log = directory("gunicorn").join("log");
        let child = Command::new(format!("{}/bin/python", required("DJANGO_VENV")))
            .args(["-m", "gunicorn", "--bind", &format!("127.0.0.1:{port}"), "--threads", "2"])
            .args(["--no-control-socket", "--log-file"])
            .arg(&log)
            .args(words)
            .arg("remote_wsgi")
            .env("PYTHONPATH", django::site_path())
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("DJANGO_DB", database)
            .env("REMOTE_PROCESS", name)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .process_group(0)
            .spawn()
            .unwrap();
        Self { port, child, log }
    }

    pub fn wait(mut self) -> Self {
        wait_until("gunicorn", 20, || {
            assert!(self.child.try_wait().unwrap().is_none(), "gunicorn: {}", self.log());
            TcpStream::connect(("127.0.0.1", self.port)).is_ok()
        });
        self
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    fn stop(&mut self) {
        if self.child.try_wait().unwrap().is_some() {
            return;
        }
        // With its worker.
        let group = format!("-{}", self.child.id());
        let _ = Command::new("kill").args(["-s", "KILL", "--", &group]).status();
        let _ = self.child.wait();
        // The worker, whose end nobody is told, may still have what is about to connect reset.
        let port = self.port;
        wait_until("gunicorn's end", 20, || TcpStream::connect(("127.0.0.1", port)).is_err());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
        if thread::panicking() {
            eprintln!("{}", self.log());
        }
        let _ = fs::remove_dir_all(self.log.parent().unwrap());
    }
}

/// Both processes of a site whose middleware and backend are these.
fn site(database: &str, middleware: &str, backend: &str, words: &[&str]) -> [Process; 2] {
    let environment = [("REMOTE_MIDDLEWARE", middleware), ("REMOTE_BACKEND", backend)];
    let both = ["one", "two"].map(|name| Process::start(name, database, &environment, words));
    both.map(Process::wait)
}

/// A back end that answers with the head of the request, byte for byte, and what follows it within a
/// moment.
fn mirror() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            thread::spawn(move || reflect(stream.unwrap()));
        }
    });
    port
}

fn reflect(stream: TcpStream) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut seen = Vec::new();
    while !seen.ends_with(b"\r\n\r\n") {
        if reader.read_until(b'\n', &mut seen).unwrap_or(0) == 0 {
            return;
        }
    }
    // A body and its trailer.
    stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    if !seen.starts_with(b"GET ") {
        while reader.read_until(b'\n', &mut seen).is_ok_and(|read| read > 0) {}
    }
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        seen.len()
    );
    let mut stream = stream;
    let _ = stream.write_all(&[head.as_bytes(), &seen].concat());
}

/// The example, for a site; its https port beside it.
struct Server {
    httpd: Httpd,
    https: u16,
    keys: PathBuf,
}

fn serve(mpm: &str, users: &Path, site: &[Process; 2], other: u16, login: &str) -> Server {
    let https = free_port();
    let keys = directory("keys");
    let (certificate, key) = (keys.join("crt"), keys.join("key"));
    run(Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"])
        .args(["-days", "2", "-subj", "/CN=intranet.example.org", "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .stderr(Stdio::null()));
    let [one, two] = site;
    let config = format!(
        // A system's OpenSSL may be older than the one that mod_ssl was built with, which it warns of.
        "LogLevel ssl:error\nListen 127.0.0.1:{https}\nAuthDjangoDatabase sqlite:{}\nAuthDjangoPasswordHashers pbkdf2_sha256:1000\n",
        users.display()
    );
    let defines = [
        ("PROXY_ONE", one.address()),
        ("PROXY_TWO", two.address()),
        ("PROXY_OTHER", format!("127.0.0.1:{other}")),
        ("PROXY_LOGIN", login.into()),
        ("PROXY_HTTPS", format!("127.0.0.1:{https}")),
        ("PROXY_CERTIFICATE", certificate.display().to_string()),
        ("PROXY_CERTIFICATE_KEY", key.display().to_string()),
    ];
    let defines: Vec<(&str, &str)> = defines.iter().map(|(n, v)| (*n, v.as_str())).collect();
    let httpd = example::setup("proxy", &defines, &config).mpm(mpm).modules(&MODULES).start();
    Server { httpd, https, keys }
}

impl Server {
    fn finish(self) {
        self.httpd.finish();
        fs::remove_dir_all(self.keys).unwrap();
    }

    fn ask(&self, method: &str, path: &str, headers: &str, body: &str) -> Response {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: intranet.example.org\r\nConnection: close\r\n{headers}\r\n{body}"
        );
        send(self.httpd.port, &request).unwrap_or_else(|e| panic!("{request:?}: {e}"))
    }

    fn get(&self, path: &str, headers: &str) -> Response {
        self.ask("GET", path, headers, "")
    }

    /// What Django knows.
    fn django(&self, path: &str, headers: &str) -> Value {
        self.get(path, headers).json()
    }

    /// The same by https.
    fn https(&self, path: &str, words: &[&str]) -> Value {
        let text = run(Command::new("curl")
            .args(["-s", "-k", "--max-time", "20", "--noproxy", "*", "--resolve"])
            .arg(format!("intranet.example.org:{}:127.0.0.1", self.https))
            .args(words)
            .arg(format!("https://intranet.example.org:{}{path}", self.https)));
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{text}: {e}"))
    }
}

/// The reference users, of whom two have e-mail addresses, and the tables of a site that shares them.
fn users() -> PathBuf {
    let (path, _) = sqlite("auth.User");
    django::prepare(&path, &[]);
    run(Command::new("sqlite3").arg(&path).arg(
        "UPDATE auth_user SET email = 'alice@example.org' WHERE username = 'alice';
         UPDATE auth_user SET email = 'mueller@example.org' WHERE username = 'müller';",
    ));
    path
}

/// A site with users of its own: bob, who is not active.
fn other_users() -> PathBuf {
    let path = directory("site").join("db.sqlite3");
    django::prepare(&path, &["-bob"]);
    path
}

fn alice() -> String {
    basic("alice", "alice secret")
}

#[test]
fn the_login_page_begins_a_session_and_the_balancer_keeps_to_it() {
    let users = users();
    let database = users.to_str().unwrap();
    let mut site = site(database, "remote_user.AtLogin", "remote_user.KnownUsers", &[]);
    let other = mirror();
    for mpm in MPMS {
        let server = serve(mpm, &users, &site, other, "/accounts/login/");
        let nobody = server.django("/", "");
        assert_eq!((&nobody["user"], &nobody["authenticated"]), (&"".into(), &false.into()));
        // Without a route, both processes have their turn.
        let mut turns: Vec<String> =
            (0..4).map(|_| server.django("/", "")["process"].as_str().unwrap().into()).collect();
        turns.sort_unstable();
        turns.dedup();
        assert_eq!(turns, ["one", "two"], "{mpm}");
        assert_eq!(server.get("/accounts/login/", "").status, 401);
        assert_eq!(server.get("/accounts/login/", &basic("carol", "carol secret")).status, 401);

        let login = server.get("/accounts/login/", &alice());
        let known = login.json();
        assert_eq!(known["user"], "alice", "{known}");
        assert_eq!(known["email"], "alice@example.org");
        assert_eq!(known["meta"]["HTTP_REMOTE_USER"], "alice");
        assert_eq!(known["meta"]["HTTP_REMOTE_EMAIL"], "alice@example.org");
        // As UTF-8, which WSGI shows as Latin-1.
        let groups = known["meta"]["HTTP_REMOTE_GROUPS"].as_str().unwrap();
        let mut groups: Vec<&str> = groups.split(',').collect();
        groups.sort_unstable();
        assert_eq!(groups, ["secret-agents", "top secret", "Ã\u{84}rzte"]);
        assert_eq!(known["meta"].get("HTTP_AUTHORIZATION"), None, "{known}");

        // From here on the session says it, and the route leads to the same process.
        let session = login.cookie("sessionid").unwrap();
        let route = login.cookie("DJANGO_ROUTE").unwrap();
        let process = known["process"].as_str().unwrap();
        assert_eq!(route, format!("DJANGO_ROUTE=.{process}"), "{mpm}");
        let cookies = format!("Cookie: {session}; {route}\r\n");
        for _ in 0..6 {
            let again = server.django("/", &cookies);
            assert_eq!(again["user"], "alice", "{again}");
            assert_eq!(again["process"], process, "{mpm}");
            assert_eq!(again["meta"].get("HTTP_REMOTE_USER"), None, "{again}");
        }
        // Another route is another process.
        for route in ["one", "two"] {
            let cookie = format!("Cookie: DJANGO_ROUTE=.{route}\r\n");
            assert_eq!(server.django("/", &cookie)["process"], route);
        }
        // The next who logs in with the same browser is somebody else.
        let headers = basic("bob", "bob secret") + &cookies;
        assert_eq!(server.django("/accounts/login/", &headers)["user"], "bob");
        server.finish();
    }

    // A process that is gone: the other one answers, for whoever had its route as well.
    let mut server = serve("event", &users, &site, other, "/accounts/login/");
    site[0].stop();
    for number in ["AH00957", "AH00959", "AH01114"] {
        server.httpd.expect_in_log(number);
    }
    for _ in 0..4 {
        let answer = server.get("/accounts/login/", &(alice() + "Cookie: DJANGO_ROUTE=.one\r\n"));
        assert_eq!(answer.cookie("DJANGO_ROUTE").unwrap(), "DJANGO_ROUTE=.two");
        let known = answer.json();
        assert_eq!((&known["user"], &known["process"]), (&"alice".into(), &"two".into()));
    }
    server.finish();
}

#[test]
fn the_site_knows_its_scheme_and_host() {
    let users = users();
    let site = site(users.to_str().unwrap(), "remote_user.Everywhere", "remote_user.Backend", &[]);
    let server = serve("event", &users, &site, mirror(), "/");
    let spoof = "X-Forwarded-Proto: https\r\nX-Forwarded-Host: evil.example\r\nX-Forwarded-Ssl: on\r\n\
                 X-Forwarded-Protocol: ssl\r\nX-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Server: evil\r\n";
    for headers in [alice(), alice() + spoof] {
        let http = server.django("/", &headers);
        assert_eq!(http["user"], "alice");
        assert_eq!(http["secure"], false, "{http}");
        assert_eq!(http["host"], "intranet.example.org");
        assert_eq!(http["address"], "http://intranet.example.org/");
        assert_eq!(http["meta"]["HTTP_X_FORWARDED_FOR"], "127.0.0.1", "{http}");
        assert!(!http.to_string().contains("evil"), "{http}");
    }
    let user = ["-u", "alice:alice secret"];
    let spoof = ["-H", "X-Forwarded-Proto: http", "-H", "X-Forwarded-Host: evil.example"];
    for words in [&user[..], &[user, [spoof[0], spoof[1]], [spoof[2], spoof[3]]].concat()] {
        let https = server.https("/", words);
        assert_eq!(https["user"], "alice");
        assert_eq!(https["secure"], true, "{https}");
        let host = format!("intranet.example.org:{}", server.https);
        assert_eq!(https["host"], *host);
        assert_eq!(https["address"], *format!("https://{host}/"));
    }
    server.finish();
}

#[test]
fn every_way_of_django_to_read_the_user() {
    let (users, own) = (users(), other_users());
    let own = own.to_str().unwrap();
    let other = mirror();
    // For alice, bob (not active there) and müller: who each is, and how many users the site has
    // when all have asked.
    for (middleware, backend, names, count) in [
        ("remote_user.Everywhere", "remote_user.KnownUsers", ["", "", ""], 1),
        (
            "remote_user.Detached",
            "django.contrib.auth.backends.ModelBackend",
            ["alice", "bob", "müller"],
            1,
        ),
        ("remote_user.Everywhere", "remote_user.Backend", ["alice", "", "müller"], 3),
        ("remote_user.AtLogin", "remote_user.InactiveToo", ["alice", "bob", "müller"], 3),
        // Django's own, as they are.
        (
            "remote_user.Everywhere",
            "django.contrib.auth.backends.RemoteUserBackend",
            ["alice", "", "mÃ¼ller"],
            4,
        ),
        (
            "remote_user.Everywhere",
            "django.contrib.auth.backends.AllowAllUsersRemoteUserBackend",
            ["alice", "bob", "mÃ¼ller"],
            4,
        ),
    ] {
        let site = site(own, middleware, backend, &[]);
        let server = serve("event", &users, &site, other, "/");
        for (person, name) in ["alice", "bob", "müller"].iter().zip(names) {
            let password = if *person == "müller" {
                "password of müller".into()
            } else {
                format!("{person} secret")
            };
            let known = server.django("/", &basic(person, password));
            assert_eq!(known["user"], name, "{backend}: {known}");
            assert_eq!(known["authenticated"], !name.is_empty(), "{backend}");
            assert_eq!(known["may"], false, "{backend}");
            if middleware == "remote_user.Detached" {
                let groups = known["groups"].as_array().unwrap();
                let groups: Vec<&str> = groups.iter().map(|name| name.as_str().unwrap()).collect();
                assert_eq!(groups.contains(&"Ärzte"), *person == "alice", "{known}");
            }
            if name == "alice" && backend != "django.contrib.auth.backends.RemoteUserBackend" {
                assert_eq!(known["email"], "alice@example.org", "{backend}");
            }
        }
        assert_eq!(server.django("/", &alice())["users"], count, "{backend}");
        server.finish();
    }
}

/// The names that a back end may write as it writes `name`: each dash may be an underscore, in any
/// case.
fn spellings(name: &str) -> Vec<String> {
    let parts: Vec<&str> = name.split('-').collect();
    let joints = parts.len() - 1;
    (0..1 << joints)
        .flat_map(|choice| {
            let mut text = parts[0].to_owned();
            for (index, part) in parts[1..].iter().enumerate() {
                text += if choice >> index & 1 == 0 { "-" } else { "_" };
                text += part;
            }
            [text.to_lowercase(), text.to_uppercase(), text]
        })
        .collect()
}

const NAMES: [&str; 3] = ["Remote-User", "Remote-Email", "Remote-Groups"];
const FOLDED: [&str; 3] = ["HTTP_REMOTE_EMAIL", "HTTP_REMOTE_GROUPS", "HTTP_REMOTE_USER"];

/// What clients try in order to be `mallory`.
fn attacks(name: &str) -> Vec<(String, String)> {
    let mut attacks = Vec::new();
    for spelling in spellings(name) {
        attacks.push((format!("{spelling}: mallory\r\n"), String::new()));
    }
    let pairs = [
        format!("{name}: mallory\r\n{name}: mallory\r\n"),
        format!("{}: mallory\r\n{name}: mallory\r\n", name.replace('-', "_")),
        format!("{name}:mallory\r\n{}:\tmallory\r\n", name.to_lowercase()),
        // What a lenient parser would read otherwise.
        format!("{name} : mallory\r\n"),
        format!("{name}\t: mallory\r\n"),
        format!(" {name}: mallory\r\n"),
        format!("X-Other: a\r\n {name}: mallory\r\n"),
        format!("X-Other: a\r{name}: mallory\r\n"),
        format!("X-Other: a\n{name}: mallory\r\n"),
        format!("{}: mallory\r\n", name.replace('-', ".")),
        format!("{}: mallory\r\n", name.replace('-', " ")),
        format!("{}: mallory\r\n", name.replace('-', "\u{2010}")),
        format!("{}: mallory\r\n", name.replacen('s', "ſ", 1).replacen('e', "\u{e9}", 1)),
        format!("HTTP_{}: mallory\r\n", name.replace('-', "_")),
        "REMOTE_USER: mallory\r\nREMOTE-USER: mallory\r\n".into(),
        format!("Connection: {name}\r\n{name}: mallory\r\n"),
        "Connection: Remote-User, Remote-Email, Remote-Groups, X-Forwarded-Proto\r\n".into(),
    ];
    attacks.extend(pairs.map(|headers| (headers, String::new())));
    let chunked = "Transfer-Encoding: chunked\r\n";
    for spelling in [name.to_owned(), name.replace('-', "_")] {
        for announced in [format!("Trailer: {spelling}\r\nTE: trailers\r\n"), String::new()] {
            let body = format!("3\r\nabc\r\n0\r\n{spelling}: mallory\r\n\r\n");
            attacks.push((format!("{chunked}{announced}"), body));
        }
    }
    attacks
}

/// Tries everything at the place `path`, as alice where she logs in there and as nobody else. What
/// arrives there under the three names, however they are written, is `expected`.
fn nobody_gets_through(
    server: &Server,
    path: &str,
    expected: &[(&str, &str)],
    arrived: impl Fn(&Response) -> Vec<(String, String)>,
) {
    let credentials = if expected.is_empty() { String::new() } else { alice() };
    for name in NAMES {
        let mut let_through = 0;
        for (headers, body) in attacks(name) {
            let method = if body.is_empty() { "GET" } else { "POST" };
            let answer = server.ask(method, path, &format!("{credentials}{headers}"), &body);
            let what = format!("{path} {headers:?}: {answer:?}");
            if answer.status != 200 {
                // httpd's own word on what is no header.
                assert_eq!(answer.status, 400, "{what}");
                continue;
            }
            let_through += 1;
            let mut found = arrived(&answer);
            found.retain(|(name, _)| FOLDED.contains(&name.as_str()));
            let found: Vec<(&str, &str)> = found.iter().map(|(n, v)| (&**n, &**v)).collect();
            assert_eq!(found, expected, "{what}");
        }
        assert!(let_through > 8, "the ways that httpd does not refuse: {let_through}");
    }
}

#[test]
fn no_client_says_who_it_is() {
    let users = users();
    let database = users.to_str().unwrap();
    // A back end that takes whatever name it is sent.
    let words = ["--header-map", "dangerous", "--forwarder-headers", "*"];
    let site = site(database, "remote_user.Everywhere", "remote_user.Backend", &words);
    // And one as it comes, which trusts its proxy.
    let usual = self::site(database, "remote_user.Everywhere", "remote_user.Backend", &[]);
    // So it is there to be fooled.
    for name in spellings("Remote-User") {
        let request = format!("GET / HTTP/1.0\r\nHost: localhost\r\n{name}: mallory\r\n\r\n");
        let fooled = send(site[0].port, &request).unwrap().json();
        assert_eq!(fooled["user"], "mallory", "{name}");
    }
    let other = mirror();
    let server = serve("event", &users, &site, other, "/accounts/login/");
    let site_saw = |answer: &Response| {
        let known = answer.json();
        let meta = known["meta"].as_object().unwrap();
        let meta = meta.iter().map(|(name, value)| (name.clone(), value.as_str().unwrap().into()));
        let mut meta: Vec<(String, String)> = meta.collect();
        meta.sort_unstable();
        meta
    };
    nobody_gets_through(&server, "/", &[], site_saw);
    let groups = server.django("/accounts/login/", &alice());
    let groups = groups["meta"]["HTTP_REMOTE_GROUPS"].as_str().unwrap();
    let expected = [
        ("HTTP_REMOTE_EMAIL", "alice@example.org"),
        ("HTTP_REMOTE_GROUPS", groups),
        ("HTTP_REMOTE_USER", "alice"),
    ];
    nobody_gets_through(&server, "/accounts/login/", &expected, site_saw);
    nobody_gets_through(&server, "/other/", &[("HTTP_REMOTE_USER", "alice")], |answer| {
        let lines = answer.body.lines().filter_map(|line| line.split_once(':'));
        let fold = |name: &str| format!("HTTP_{}", name.trim().to_uppercase().replace('-', "_"));
        lines.map(|(name, value)| (fold(name), value.trim().to_owned())).collect()
    });
    server.finish();
    // gunicorn would serve another address than the one that Apache has judged.
    let moved = "GET /open/secret HTTP/1.0\r\nHost: localhost\r\nSCRIPT_NAME: /open\r\n\r\n";
    assert_eq!(send(usual[0].port, moved).unwrap().json()["script"], "/open");
    let server = serve("event", &users, &usual, other, "/accounts/login/");
    for name in ["SCRIPT_NAME", "PATH_INFO", "script_name", "Script_Name", "SCRIPT-NAME"] {
        let known = server.django("/open/secret", &format!("{name}: /open\r\n"));
        assert_eq!(known["meta"].get("HTTP_PATH_INFO"), None, "{known}");
        assert_eq!(known["script"], "", "{name}: {known}");
    }
    server.finish();
}

#[test]
fn another_back_end_sees_neither_password_nor_session() {
    let users = users();
    let site = site(users.to_str().unwrap(), "remote_user.AtLogin", "remote_user.KnownUsers", &[]);
    let other = mirror();
    for mpm in MPMS {
        let server = serve(mpm, &users, &site, other, "/accounts/login/");
        assert_eq!(server.get("/other/", "").status, 401);
        assert_eq!(server.get("/other/", &basic("bob", "bob secret")).status, 403);
        let login = server.get("/accounts/login/", &alice());
        let session = login.cookie("sessionid").unwrap();
        let secret = session.strip_prefix("sessionid=").unwrap();
        let line = |text: &str, name: &str| {
            let found = text.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
            found.map(|value| value.trim_end().to_owned())
        };
        for (sent, arrives) in [
            (format!("Cookie: {session}\r\n"), None),
            (format!("Cookie: {session}; a=1\r\n"), Some("a=1")),
            (format!("Cookie: a=1; {session}\r\n"), Some("a=1")),
            (format!("Cookie: a=1; {session}; b=2\r\n"), Some("a=1; b=2")),
            (format!("Cookie: a=1;{session};{session};b=2\r\n"), Some("a=1;b=2")),
            (format!("Cookie: {session}; {session}; csrftoken=x\r\n"), Some("csrftoken=x")),
            (format!("Cookie: sessionid =  {secret} ; b=2\r\n"), Some("b=2")),
            (format!("Cookie: a=1\r\nCookie: {session}\r\n"), Some("a=1")),
            (format!("Cookie: {session}\r\nCookie: b=2\r\n"), Some("b=2")),
            // Others whose names look like it.
            (
                format!("Cookie: xsessionid=1; sessionid2=2; {session}\r\n"),
                Some("xsessionid=1; sessionid2=2"),
            ),
            ("Cookie: a=sessionid; b=2\r\n".into(), Some("a=sessionid; b=2")),
            (String::new(), None),
        ] {
            let answer = server.get("/other/page?x=1", &(alice() + &sent));
            assert_eq!(answer.status, 200, "{sent}");
            let seen = &answer.body;
            assert!(seen.starts_with("GET /page?x=1 HTTP/1.1\r\n"), "{seen}");
            assert_eq!(line(seen, "Cookie").as_deref(), arrives, "{mpm} {sent:?}: {seen}");
            assert!(!seen.contains(secret), "{seen}");
            assert!(!seen.to_lowercase().contains("authorization"), "{seen}");
            assert_eq!(line(seen, "Remote-User").as_deref(), Some("alice"), "{seen}");
        }
        // The site itself needs its cookie.
        let known = server.django("/", &format!("Cookie: a=1; {session}\r\n"));
        assert_eq!(known["user"], "alice");
        server.finish();
    }
}
