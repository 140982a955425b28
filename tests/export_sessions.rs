//! What `apache/django_export.py` prints of a site's sessions: it starts, and knows whom Django knows.

use crate::common::client::get;
use crate::common::cluster::{Database, ids};
use crate::common::directory;
use crate::common::httpd::Setup;
use crate::common::mariadb::Mariadb;
use crate::common::{required, run};
use crate::export::{Export, PASSWORD, Way, encoded, export, in_project, role};
use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::{Command, Stdio};

/// Lines behind those of the reference project.
const SITE: &str = "
from settings import *
print('what settings print is no key')
MIDDLEWARE = ['django.contrib.sessions.middleware.SessionMiddleware']
ENGINE = 'django.contrib.sessions.backends.'
";

/// Classes that the settings may name.
const SITE_CODE: &str = "
from django.contrib.auth.backends import ModelBackend
from django.contrib.sessions.backends.cached_db import SessionStore as CachedStore
from django.contrib.sessions.backends.db import SessionStore as RowStore
from django.contrib.sessions.middleware import SessionMiddleware

class Backend(ModelBackend):
    pass

class OwnUsers(ModelBackend):
    def get_user(self, pk):
        return None

class Middleware(SessionMiddleware):
    pass

class Mine(CachedStore):
    pass

class Reader(RowStore):
    def load(self):
        return {}

SessionStore = Mine
";

const OLD_KEY: &str = "an older key of the same site, with ' and \\ and é";

/// The settings module `special` in `dir`.
fn settings(dir: &Path, lines: &str) {
    fs::write(dir.join("special.py"), format!("{SITE}{lines}\n")).unwrap();
    fs::write(dir.join("site_code.py"), SITE_CODE).unwrap();
    fs::write(
        dir.join("reader.py"),
        "from site_code import Reader\nclass SessionStore(Reader): pass\n",
    )
    .unwrap();
}

/// `tests/django/open_sessions.py` for that site.
fn sessions(version: &str, database: &str, dir: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(format!("{}/bin/python", required("DJANGO_VENV")));
    let script = format!("{}/tests/django/open_sessions.py", env!("CARGO_MANIFEST_DIR"));
    command.arg(script).args(words).env("DJANGO_SETTINGS_MODULE", "special");
    in_project(&mut command, version, (database, "auth.User"), dir);
    command
}

/// The last line: what settings print comes before it.
fn last(output: &str) -> &str {
    output.lines().last().unwrap()
}

/// Whom Django knows by each header.
fn ask(version: &str, database: &str, dir: &Path, headers: &[&str]) -> Vec<Option<String>> {
    let mut child = sessions(version, database, dir, &["ask"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = headers.join("\n") + "\n";
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    serde_json::from_str(last(&String::from_utf8(output.stdout).unwrap())).unwrap()
}

/// The lines of the place, without their marks, and the commands that make its keys.
fn place(export: &Export) -> (String, String) {
    let from = export.text.find("\n#AuthDjangoSecretKey").expect(&export.text) + 1;
    let lines = export.text[from..].lines().map(|line| &line[1..]);
    let end = lines.clone().position(|line| line == "</Location>").unwrap();
    let place: Vec<&str> = lines.take(end + 1).collect();
    let is_command = |line: &&str| {
        line.starts_with("#    umask") || line.starts_with("#    DJANGO_SETTINGS_MODULE=")
    };
    let commands: Vec<&str> =
        export.text.lines().filter(is_command).map(|line| &line[1..]).collect();
    let place = place.join("\n").replace(r#"group "the name of a group""#, "valid-user");
    (place + "\n", commands.join("\n"))
}

/// The printed commands make the files, and nobody else can read them.
fn make_keys(commands: &str, keys: &[&str], version: &str, database: &str, dir: &Path) {
    let path = format!("{}/bin:{}", required("DJANGO_VENV"), std::env::var("PATH").unwrap());
    let mut command = Command::new("sh");
    command.args(["-ec", commands]).env("PATH", path);
    run(in_project(&mut command, version, (database, "auth.User"), dir));
    for (n, key) in keys.iter().enumerate() {
        let name = match n {
            0 => "secret_key".to_owned(),
            n => format!("secret_key_fallbacks_{}", n - 1),
        };
        let file = dir.join("authnz_django").join(name);
        assert_eq!(fs::read_to_string(&file).unwrap(), format!("{key}\n"));
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

/// A server with what was printed knows whom this Django knows.
fn knows_whom_django_knows(export: &Export, version: &str, database: &str, dir: &Path) {
    let (place, _) = place(export);
    let output = run(&mut sessions(version, database, dir, &["open", "alice", "carol"]));
    let cases: Vec<(String, String)> = serde_json::from_str(last(&output)).unwrap();
    if dir.join("sessions").exists() {
        // Whoever runs the site owns them, and httpd runs as that user.
        let (uid, gid) = ids("www-data");
        for file in fs::read_dir(dir.join("sessions")).unwrap() {
            chown(file.unwrap().path(), Some(uid), Some(gid)).unwrap();
        }
    }
    let config =
        format!("{}{place}Header always set X-User \"expr=%{{REMOTE_USER}}\"\n", export.text);
    let mut httpd = Setup::new("exported", config).modules(&["headers"]).start();
    // mpm_event's own race, where it is stopped right after an answer (`close_worker_sockets`).
    httpd.allow_in_log("AH00468: error closing socket");
    let answers: Vec<_> = cases
        .iter()
        .map(|(_, header)| {
            let answer = get(httpd.port, "/media/", &format!("Cookie: {header}\r\n"));
            match answer.status {
                404 => answer.header("X-User").map(str::to_owned),
                302 | 401 => None,
                status => panic!("{status} for {header}"),
            }
        })
        .collect();
    httpd.finish();
    let headers: Vec<&str> = cases.iter().map(|(_, header)| header.as_str()).collect();
    let expected = ask(version, database, dir, &headers);
    for ((case, ours), theirs) in cases.iter().zip(&answers).zip(&expected) {
        assert_eq!(ours, theirs, "{version} {database} {}\n{}", case.0, export.text);
    }
    let known = expected.iter().filter(|name| name.as_deref() == Some("alice")).count();
    assert!((3..=4).contains(&known) && expected.len() > 15, "{expected:?}");
}

#[test]
fn sessions_of_sqlite_and_files_answer_as_django() {
    let (database, _) = Database::start("sqlite", "auth.User");
    let dir = directory("ex'port");
    let files = dir.join("sessions");
    let key = "the reference project has nothing to hide";
    let old = format!("SECRET_KEY_FALLBACKS = [{}]\n", serde_json::json!(OLD_KEY));
    let path = format!("SESSION_ENGINE = ENGINE + 'file'\nSESSION_FILE_PATH = {files:?}\n");
    for (version, lines, words) in [
        ("5.2", "", "AuthDjangoSession db\n"),
        ("3.2", "", "AuthDjangoSession db legacy\n"),
        ("3.2", "DEFAULT_HASHING_ALGORITHM = 'sha1'\n", "AuthDjangoSession db legacy\n"),
        (
            "6",
            &format!(
                "{old}SESSION_ENGINE = 'site_code'\nSESSION_COOKIE_NAME = 'site'\nUSE_TZ = False\n\
                 TIME_ZONE = 'Asia/Kolkata'\nMIDDLEWARE = ['site_code.Middleware']\n\
                 AUTHENTICATION_BACKENDS = ['site_code.Backend', 'site_code.OwnUsers']\n"
            ),
            "AuthDjangoSession cached_db cookie=site salt=django.contrib.sessions.Mine \
             backends=site_code.Backend timezone=Asia/Kolkata\n",
        ),
        (
            "4.2",
            &format!(
                "{old}SESSION_ENGINE = ENGINE + 'signed_cookies'\nSESSION_COOKIE_AGE = 9000\n"
            ),
            "AuthDjangoSession signed_cookies age=9000\n",
        ),
        (
            "5.2",
            &format!("{path}SESSION_COOKIE_AGE = 9000\n"),
            &format!("AuthDjangoSession file \"path={}\" age=9000\n", files.display()),
        ),
    ] {
        settings(&dir, lines);
        let _ = fs::remove_dir_all(&files);
        if lines.contains("FILE_PATH") {
            fs::create_dir(&files).unwrap();
        }
        let sqlite = database.django();
        let export = export(version, Way::Script, (&sqlite, "auth.User"), "special", &dir, &[]);
        assert!(export.complete, "{}", export.diagnostics);
        assert!(export.text.contains(words), "{words}{}", export.text);
        assert!(export.text.contains("\n#    AuthDjangoLoginURL /accounts/login/\n"));
        assert!(!export.text.contains(OLD_KEY) && !export.text.contains("GRANT"));
        assert_eq!(export.diagnostics.contains("site_code.OwnUsers has opened"), version == "6");
        let (_, commands) = place(&export);
        let keys = if lines.contains("FALLBACKS") { vec![key, OLD_KEY] } else { vec![key] };
        make_keys(&commands, &keys, version, &sqlite, &dir);
        knows_whom_django_knows(&export, version, &sqlite, &dir);
        fs::remove_dir_all(dir.join("authnz_django")).unwrap();
    }
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn sessions_of_postgresql_answer_as_django() {
    let (database, _) = Database::start("postgresql", "auth.User");
    let Database::Postgresql(cluster) = &database else { panic!() };
    let dir = directory("export");
    settings(&dir, "LOGIN_URL = '/log in/'\nUSE_TZ = False\nTIME_ZONE = 'Asia/Kolkata'\n");
    let url = format!("postgresql://apache:{}@127.0.0.1:{}/site", encoded(PASSWORD), cluster.port);
    let export = export("5.2", Way::Script, (&url, "auth.User"), "special", &dir, &[]);
    assert!(export.text.contains("AuthDjangoSession db\n"), "{}", export.text);
    assert!(export.text.contains("AuthDjangoLoginURL /log%20in/\n"), "{}", export.text);
    assert!(export.text.contains("-v sessions=django_session -f authnz_django_watch.sql"));
    let (_, commands) = place(&export);
    make_keys(&commands, &[], "5.2", &cluster.django(), &dir);
    // The cluster's own role makes way for the one whose rights the script prints.
    cluster.sql("site", "DROP OWNED BY apache");
    cluster.sql("postgres", "DROP ROLE apache");
    cluster.sql("site", &role(&export.text));
    let quoted = PASSWORD.replace('\'', "''");
    cluster.sql("site", &format!("ALTER ROLE apache PASSWORD '{quoted}'"));
    knows_whom_django_knows(&export, "5.2", &cluster.django(), &dir);
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn sessions_of_mariadb_answer_as_django() {
    let (server, _) = Mariadb::start("auth.User");
    let dir = directory("export");
    settings(&dir, "USE_TZ = False\nTIME_ZONE = 'America/Lima'\n");
    let url = format!("mysql://apache:{}@127.0.0.1:{}/site", encoded(PASSWORD), server.port);
    let export = export("5.2", Way::Script, (&url, "auth.User"), "special", &dir, &[]);
    assert!(
        export.text.contains("AuthDjangoSession db timezone=America/Lima\n"),
        "{}",
        export.text
    );
    let (_, commands) = place(&export);
    make_keys(&commands, &[], "5.2", &server.django(), &dir);
    // The server's own user makes way for the one whose rights the script prints.
    server.sql("", "DROP USER apache");
    server.sql("site", &role(&export.text));
    let quoted = PASSWORD.replace('\\', "\\\\").replace('\'', "\\'");
    server.sql("", &format!("ALTER USER apache IDENTIFIED BY '{quoted}'"));
    knows_whom_django_knows(&export, "5.2", &server.django(), &dir);
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn sessions_that_cannot_be_read_are_a_remark() {
    let dir = directory("export");
    fs::write(dir.join("site.sqlite3"), "").unwrap();
    for (lines, remark) in [
        (
            "SESSION_ENGINE = ENGINE + 'cache'",
            "in a cache alone, which only Python can read: cached_db",
        ),
        ("SESSION_ENGINE = 'reader'", "the SessionStore of reader has a load() of its own"),
        ("SESSION_ENGINE = 'no_such_module'", "ModuleNotFoundError in the project"),
        ("SESSION_SERIALIZER = 'pickle.Pickler'", "something else than JSON"),
        (
            "AUTHENTICATION_BACKENDS = ['site_code.OwnUsers']",
            "none of AUTHENTICATION_BACKENDS finds",
        ),
        ("SECRET_KEY = 'two\\nlines'", "SECRET_KEY is not one line of text"),
        ("SECRET_KEY_FALLBACKS = ['\\r']", "SECRET_KEY_FALLBACKS[0] is not one line of text"),
        (
            "class Router:\n    def db_for_read(self, model, **hints):\n        \
             return 'default' if model._meta.app_label == 'auth' else 'other'\n\
             DATABASES['other'] = DATABASES['default']\nDATABASE_ROUTERS = [Router()]",
            "in another database, 'other', than the users",
        ),
    ] {
        settings(&dir, lines);
        let export =
            export("5.2", Way::Script, ("site.sqlite3", "auth.User"), "special", &dir, &[]);
        // The rest is as it would be without them.
        assert!(export.complete, "{lines}: {}", export.diagnostics);
        let remark = format!("sessions of the site cannot be read: {remark}");
        let told = remark.split(": ").all(|part| export.text.contains(part));
        assert!(told && export.diagnostics.contains("cannot be read"), "{lines}: {}", export.text);
        assert!(!export.text.contains("AuthDjangoSession"), "{}", export.text);
    }
    // Without the middleware there is nothing to say.
    settings(&dir, "MIDDLEWARE = []");
    let none = export("5.2", Way::Script, ("site.sqlite3", "auth.User"), "special", &dir, &[]);
    assert!(none.complete && !none.text.contains("ession"), "{}", none.text);
    for (lines, url) in [
        ("LOGIN_URL = '/login/?a=b'", Some("/login/?a=b")),
        ("LOGIN_URL = 'https://login.example/'", Some("https://login.example/")),
        ("LOGIN_URL = 'login'", None),
        ("LOGIN_URL = '//login.example/'", None),
    ] {
        settings(&dir, lines);
        let export =
            export("5.2", Way::Script, ("site.sqlite3", "auth.User"), "special", &dir, &[]);
        let told = url.map(|url| export.text.contains(&format!("    AuthDjangoLoginURL {url}\n")));
        assert_eq!(told, url.map(|_| true), "{}", export.text);
        assert_eq!(export.text.contains("# LOGIN_URL is no address"), url.is_none());
    }
    fs::remove_dir_all(dir).unwrap();
}
