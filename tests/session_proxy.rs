//! A forward proxy: the cookies that come along are the target's, and let nobody in here.

use crate::common::client::{Response, basic, send};
use crate::common::cluster::sqlite;
use crate::common::django::Sessions;
use crate::common::httpd::{Httpd, MPMS, Setup};
use crate::common::session::{BASIC, FETCH, NAVIGATE, base, cookie, get, setup};
use std::fs;

/// A request as a client sends it to its proxy.
fn by_proxy(httpd: &Httpd, url: &str, headers: &str) -> Response {
    let host = url.strip_prefix("http://").unwrap().split('/').next().unwrap();
    let request =
        format!("GET {url} HTTP/1.1\r\nHost: {host}\r\n{headers}Connection: close\r\n\r\n");
    send(httpd.port, &request).unwrap()
}

/// The same credentials, for a proxy.
fn for_proxy(user: &str, password: &str) -> String {
    format!("Proxy-{}", basic(user, password))
}

/// `proxy` is what stands in `<Proxy "*">`; `/back` is a reverse proxy, and `/members` a place of this
/// server's own, whose page is to explain a refusal: to httpd it is one of 401, which leaves as 407.
fn start(mpm: &str, database: &str, origin: &Httpd, proxy: &str) -> Httpd {
    let config = base(&format!("sqlite:{database}"), "off")
        + &format!(
            "ServerName localhost:{{port}}\nProxyRequests On\nAllowCONNECT {0}\nProxyPass /back http://127.0.0.1:{0}/public\n\
             ErrorDocument 401 /members/index.html\nErrorDocument 407 /members/index.html\n\
             <Proxy \"*\">\n{proxy}</Proxy>\n\
             <Location /members>\n{BASIC}AuthDjangoSession db\nRequire valid-user\n</Location>\n",
            origin.port
        );
    let modules = ["headers", "proxy", "proxy_http", "proxy_connect"];
    let setup = setup(config).mpm(mpm).modules(&modules);
    let (dir, port) = setup.write();
    let file = dir.join("httpd.conf");
    // Else httpd does not know its own address from another's.
    let text = fs::read_to_string(&file).unwrap().replace("{port}", &port.to_string());
    fs::write(file, text).unwrap();
    setup.start_in(dir, port)
}

#[test]
fn a_cookie_for_the_target_lets_nobody_through() {
    let (path, _) = sqlite("auth.User");
    let database = path.to_str().unwrap();
    let mut django = Sessions::start("db", database);
    let alice = cookie(&django.log_in("alice"));
    let origin = Setup::new("origin", "").start();
    let url = format!("http://127.0.0.1:{}/public/", origin.port);
    for mpm in MPMS {
        let sessions = "AuthDjangoSession db\nAuthDjangoLoginURL /login/\nRequire valid-user\n";
        let httpd = start(mpm, database, &origin, &format!("{BASIC}{sessions}"));
        for headers in ["", NAVIGATE, FETCH] {
            let headers = format!("{alice}{headers}");
            let answer = by_proxy(&httpd, &url, &headers);
            let what = format!("{mpm} {headers} {answer:?}");
            assert_eq!(answer.status, 407, "{what}");
            assert!(answer.header("Proxy-Authenticate").unwrap().starts_with("Basic"), "{what}");
            // Neither the target's page nor the one of ErrorDocument.
            assert!(!answer.body.contains("this is htdocs"), "{what}");
            let password = headers.clone() + &for_proxy("alice", "alice secret");
            let answer = by_proxy(&httpd, &url, &password);
            assert_eq!(answer.status, 200, "{mpm} {answer:?}");
            assert!(answer.body.contains("this is htdocs/public"), "{mpm} {answer:?}");
            assert_eq!(answer.header("Vary"), None, "{mpm} {answer:?}");
            let wrong = headers + &for_proxy("alice", "wrong");
            assert_eq!(by_proxy(&httpd, &url, &wrong).status, 407, "{mpm}");
        }
        let connect = format!(
            "CONNECT 127.0.0.1:{0} HTTP/1.1\r\nHost: 127.0.0.1:{0}\r\n{alice}\r\n",
            origin.port
        );
        assert_eq!(send(httpd.port, &connect).unwrap().status, 407, "{mpm}");
        // This server's own places, and its back ends, are its own by whatever address.
        let own = format!("http://localhost:{}/members/", httpd.port);
        assert_eq!(by_proxy(&httpd, &own, &alice).status, 200, "{mpm}");
        assert_eq!(by_proxy(&httpd, &own, "").status, 401, "{mpm}");
        for path in ["/members/", "/back/"] {
            assert_eq!(get(&httpd, path, &alice).status, 200, "{mpm} {path}");
            assert_eq!(get(&httpd, path, "").status, 401, "{mpm} {path}");
        }
        httpd.finish();
    }
    origin.finish();
}

#[test]
fn sessions_alone_are_no_way_into_a_forward_proxy() {
    let (path, _) = sqlite("auth.User");
    let database = path.to_str().unwrap();
    let mut django = Sessions::start("db", database);
    let alice = cookie(&django.log_in("alice"));
    let origin = Setup::new("origin", "").start();
    let url = format!("http://127.0.0.1:{}/public/", origin.port);
    for mpm in MPMS {
        let sessions = "AuthType Django\nAuthDjangoSession db\nRequire valid-user\n";
        let mut httpd = start(mpm, database, &origin, sessions);
        httpd.expect_in_log("AuthType Django has no use in a forward proxy");
        for headers in [alice.clone(), alice.clone() + &for_proxy("alice", "alice secret")] {
            let answer = by_proxy(&httpd, &url, &headers);
            assert_eq!(answer.status, 500, "{mpm} {answer:?}");
            assert!(!answer.body.contains("this is htdocs"), "{mpm} {answer:?}");
        }
        assert_eq!(get(&httpd, "/back/", &alice).status, 200, "{mpm}");
        httpd.finish();
    }
    origin.finish();
}

#[test]
fn nobody_is_known_in_an_open_forward_proxy() {
    let (path, _) = sqlite("auth.User");
    let database = path.to_str().unwrap();
    let mut django = Sessions::start("db", database);
    let alice = cookie(&django.log_in("alice"));
    let origin = Setup::new("origin", "").start();
    let url = format!("http://127.0.0.1:{}/public/", origin.port);
    for mpm in MPMS {
        for kind in ["", "AuthType Django\n", BASIC] {
            let sessions = format!(
                "{kind}AuthDjangoSession db optional\nRequire all granted\n\
                 Header set X-User \"expr=%{{REMOTE_USER}}\"\n"
            );
            let httpd = start(mpm, database, &origin, &sessions);
            for (url, user) in
                [(&*url, ""), (&*format!("http://localhost:{}/back/", httpd.port), "alice")]
            {
                let answer = by_proxy(&httpd, url, &alice);
                assert_eq!(answer.status, 200, "{mpm} {url} {answer:?}");
                assert_eq!(answer.header("X-User"), Some(user), "{mpm} {url} {answer:?}");
                let ours = (!user.is_empty()).then_some("Cookie");
                assert_eq!(answer.header("Vary"), ours, "{mpm} {url} {answer:?}");
            }
            httpd.finish();
        }
    }
    origin.finish();
}
