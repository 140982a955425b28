//! Servers that let in whom Django has logged in, and what clients send them.

use super::client::{self, Response, send};
use super::httpd::{Httpd, Setup};
use std::fs;
use std::os::unix::fs::PermissionsExt;

/// SECRET_KEY of the reference project.
pub const SECRET_KEY: &str = "the reference project has nothing to hide";

/// What a browser of today sends when somebody follows a link.
pub const NAVIGATE: &str =
    "Sec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\nAccept: text/html\r\n";

/// What one sends for a script.
pub const FETCH: &str = "Sec-Fetch-Mode: cors\r\nSec-Fetch-Dest: empty\r\nAccept: */*\r\n";

pub const BASIC: &str = "AuthType Basic\nAuthName x\nAuthBasicProvider django\n";

pub fn base(url: &str, sessions: &str) -> String {
    format!(
        "AuthDjangoDatabase {url}\nAuthDjangoPasswordHashers pbkdf2_sha256:1000\n\
         AuthDjangoSecretKey env:SECRET_KEY\nAuthDjangoSession {sessions}\n"
    )
}

pub fn setup(config: impl Into<String>) -> Setup {
    let mut setup = Setup::new("session", config);
    setup.environment = vec![
        ("SECRET_KEY".into(), SECRET_KEY.into()),
        ("NEWER_KEY".into(), "a newer key, of which no session knows".into()),
    ];
    setup
}

/// The header of a session.
pub fn cookie(session: &str) -> String {
    format!("Cookie: csrftoken=x; sessionid={session}; theme=dark\r\n")
}

pub fn get(httpd: &Httpd, path: &str, headers: &str) -> Response {
    client::get(httpd.port, path, headers)
}

pub fn status(httpd: &Httpd, path: &str, session: &str) -> u16 {
    get(httpd, path, &cookie(session)).status
}

pub fn ask(httpd: &Httpd, method: &str, path: &str, headers: &str) -> Response {
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\n{headers}Connection: close\r\n\r\n"
    );
    send(httpd.port, &request).unwrap()
}

pub fn challenge(answer: &Response) -> bool {
    answer.header("WWW-Authenticate").is_some()
}

/// A script that shows its environment.
pub const SCRIPT: &str = "#!/bin/sh\nprintf 'Content-Type: text/plain\\r\\n\\r\\n'\n\
    printf '%s|' \"$REMOTE_USER\" \"$AUTH_TYPE\" \"$AUTHENTICATE_ID\" \"$AUTHENTICATE_GROUPS\"\n";

/// Its line, out of the chunks.
pub fn told(answer: &Response) -> &str {
    answer.body.lines().find(|line| line.contains('|')).unwrap_or_default()
}

/// A server with the script as `{dir}/run`.
pub fn start_with_script(mut setup: Setup) -> Httpd {
    // mod_cgi, which fits prefork alone, and mod_cgid have the same name for what they do.
    let cgi = if setup.mpm == "prefork" { "cgi" } else { "cgid" };
    if cgi == "cgid" {
        setup.config += "ScriptSock {dir}/cgid.sock\n";
    }
    setup.modules.push(cgi.into());
    let (dir, port) = setup.write();
    fs::write(dir.join("run"), SCRIPT).unwrap();
    fs::set_permissions(dir.join("run"), fs::Permissions::from_mode(0o755)).unwrap();
    setup.start_in(dir, port)
}

/// All values of the headers that caches read: of Vary, Cache-Control and Expires.
pub fn for_caches(answer: &Response) -> [String; 3] {
    ["Vary", "Cache-Control", "Expires"].map(|name| {
        let values = answer.headers.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        values.map(|(_, value)| value.as_str()).collect::<Vec<_>>().join(" | ")
    })
}

/// Those of an answer that a session, or that there was none, had a part in.
#[track_caller]
pub fn assert_private(answer: &Response) {
    let expected = ["Cookie", "private, no-cache", ""].map(str::to_owned);
    assert_eq!(for_caches(answer), expected, "{answer:?}");
}
