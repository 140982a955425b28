//! How the cookies arrive: in one header field or in several, by HTTP/1.1 and HTTP/2. What counts is what
//! Django itself sees of them, behind mod_proxy and under mod_wsgi.

use crate::common::client::{Response, get, parse};
use crate::common::cluster::sqlite;
use crate::common::django::{Sessions, site_path};
use crate::common::httpd::{Httpd, MPMS};
use crate::common::session::{BASIC, NAVIGATE, assert_private, base, challenge, setup};
use crate::common::{required, run};
use crate::proxy::Process;
use std::path::Path;
use std::process::Command;

/// Header fields of one request, and whose it is by HTTP/1.1, where httpd joins them by a comma, and by
/// HTTP/2, where RFC 9113 has them joined by a semicolon. A and B stand for the sessions of alice and bob.
const FIELDS: &[(&[&str], &str, &str)] = &[
    (&["csrftoken=x; sessionid=A; theme=dark"], "alice", "alice"),
    (&["csrftoken=x", "sessionid=A", "theme=dark"], "", "alice"),
    (&["sessionid=A", "theme=dark"], "", "alice"),
    (&["theme=dark", "sessionid=A"], "", "alice"),
    // The last one counts.
    (&["sessionid=A", "sessionid=x"], "", ""),
    (&["sessionid=x", "sessionid=A"], "", "alice"),
    (&["sessionid=A", "sessionid=B"], "", "bob"),
    (&["sessionid=A", "sessionid="], "", ""),
    (&["sessionid=A; sessionid=B", "sessionid=x"], "", ""),
    (&["sessionid=B; theme=dark", "sessionid=A; theme=dark"], "bob", "alice"),
    // A semicolon of the client's own.
    (&["sessionid=A;", "theme=dark"], "alice", "alice"),
    (&["theme=dark", "; sessionid=A"], "alice", "alice"),
    // Nothing comes together that was apart.
    (&["session", "id=A"], "", ""),
    (&["sessionid", "A"], "", ""),
    (&["sessionid=\"A", "\""], "", ""),
    (&["theme=dark", "SESSIONID=A"], "", ""),
    (&["theme=dark, sessionid=A"], "", ""),
];

/// Places for Django and for us, by the same database; `X-User` is REMOTE_USER.
fn start(mpm: &str, database: &Path, site: &Process) -> Httpd {
    let config = base(&format!("sqlite:{}", database.display()), "db")
        + &format!(
            "<IfModule http2_module>\nProtocols h2c http/1.1\n</IfModule>\nAuthDjangoLoginURL /login/\n\
             Header always set X-User \"expr=%{{REMOTE_USER}}\"\n\
             WSGISocketPrefix {{dir}}/wsgi\n\
             WSGIDaemonProcess site threads=2 python-home={} python-path={}\n\
             WSGIScriptAlias /wsgi {}/tests/django/remote_wsgi.py process-group=site \
             application-group=%{{GLOBAL}}\n\
             ProxyPass /gunicorn http://{}/\n\
             <Location /members>\n{BASIC}Require valid-user\n</Location>\n\
             <Location /wsgi>\nRequire all granted\n</Location>\n",
            required("DJANGO_VENV"),
            site_path(),
            env!("CARGO_MANIFEST_DIR"),
            site.address(),
        );
    let mut modules = vec!["headers", "proxy", "proxy_http", "wsgi"];
    if mpm != "prefork" {
        modules.push("http2");
    }
    let mut setup = setup(config).mpm(mpm).modules(&modules);
    setup.environment.push(("DJANGO_DB".into(), database.display().to_string()));
    setup.environment.push(("PYTHONDONTWRITEBYTECODE".into(), "1".into()));
    setup.start()
}

/// The request by HTTP/2, with one field for each line.
fn by_http2(httpd: &Httpd, path: &str, headers: &str) -> Response {
    let mut curl = Command::new("curl");
    curl.args(["-s", "-S", "-i", "--http2-prior-knowledge"]);
    curl.args(headers.lines().flat_map(|line| ["-H", line]));
    let answer = run(curl.arg(format!("http://localhost:{}{path}", httpd.port)));
    assert!(answer.starts_with("HTTP/2 "), "{answer}");
    parse(&answer).unwrap()
}

#[test]
fn several_fields_are_what_they_are_to_django() {
    let (database, _) = sqlite("auth.User");
    let site = Process::start("one", database.to_str().unwrap(), &[], &[]).wait();
    let mut django = Sessions::start("db", database.to_str().unwrap());
    let (alice, bob) = (django.log_in("alice"), django.log_in("bob"));
    for mpm in MPMS {
        let httpd = start(mpm, &database, &site);
        let ask = |http2: bool, path: &str, headers: &str| match http2 {
            true => by_http2(&httpd, path, headers),
            false => get(httpd.port, path, headers),
        };
        for (fields, by_1, by_2) in FIELDS {
            let line = |field: &&str| {
                format!("Cookie: {}\r\n", field.replace('A', &alice).replace('B', &bob))
            };
            let headers: String = fields.iter().map(line).collect();
            for (http2, user) in [(false, by_1), (true, by_2)] {
                if http2 && mpm == "prefork" {
                    continue;
                }
                for path in ["/gunicorn/", "/wsgi/"] {
                    let django = ask(http2, path, &headers).json();
                    assert_eq!(django["user"], *user, "{mpm} {http2} {path} {fields:?} {django}");
                }
                let ours = ask(http2, "/members/", &headers);
                let known = ours.header("X-User").unwrap_or_default();
                assert_eq!(known, *user, "{mpm} {http2} {fields:?}");
                let expected = if user.is_empty() { 401 } else { 200 };
                assert_eq!(ours.status, expected, "{mpm} {http2} {fields:?}");
                assert_eq!(challenge(&ours), user.is_empty(), "{mpm} {http2} {fields:?}");
                assert_private(&ours);
            }
        }
        let sent = ask(mpm != "prefork", "/members/", NAVIGATE);
        assert_eq!((sent.status, sent.header("Location")), (302, Some("/login/?next=/members/")));
        assert_private(&sent);
        httpd.finish();
    }
}
