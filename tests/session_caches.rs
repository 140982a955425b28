//! What a session decided stays with its client: no other cache keeps it, mod_cache on the same server
//! neither, however it is set up.

use crate::common::client::{Response, basic, send};
use crate::common::cluster::{ids, sqlite};
use crate::common::django::Sessions;
use crate::common::httpd::{Httpd, MPMS, Setup};
use crate::common::session::{NAVIGATE, for_caches};
use std::fs;
use std::os::unix::fs::chown;
use std::path::Path;

/// Of the reference project.
const KEY: &str = "the reference project has nothing to hide";

/// The Cookie header of a user whom Django has logged in.
fn logged_in(database: &Path, name: &str) -> String {
    let cookie = Sessions::start("db", database.to_str().unwrap()).log_in(name);
    format!("Cookie: sessionid={cookie}\r\n")
}

/// A server where a session opens `/members` and `/secret`; `{port}` is its own.
fn start(database: &Path, mpm: &str, modules: &[&str], config: &str) -> Httpd {
    let config = format!(
        "AuthDjangoDatabase sqlite:{}\nAuthDjangoPasswordHashers pbkdf2_sha256:1000\n\
         AuthDjangoSecretKey env:SECRET_KEY\n\
         <LocationMatch ^/(members|secret|away)>\nAuthType Basic\nAuthName x\nAuthBasicProvider django\n\
         AuthDjangoSession db\nAuthDjangoLoginURL /login/\nAuthzSendForbiddenOnFailure On\n\
         Require valid-user\n</LocationMatch>\n\
         <Location /secret>\nRequire group secret-agents\n</Location>\n{config}",
        database.display()
    );
    let mut setup = Setup::new("sessions", config).mpm(mpm).modules(modules);
    setup.environment = vec![("SECRET_KEY".into(), KEY.into())];
    let (dir, port) = setup.write();
    let file = dir.join("httpd.conf");
    let text = fs::read_to_string(&file).unwrap().replace("{port}", &port.to_string());
    fs::write(file, text).unwrap();
    for name in ["members/a.shtml", "public/page.shtml"] {
        fs::write(
            dir.join("htdocs").join(name),
            "<!--#include virtual=\"/members/index.html\" -->\n",
        )
        .unwrap();
    }
    setup.start_in(dir, port)
}

fn ask(httpd: &Httpd, path: &str, headers: &str) -> Response {
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n");
    send(httpd.port, &request).unwrap()
}

#[test]
fn caches_are_told_whatever_the_answer() {
    let (database, _) = sqlite("auth.User");
    let (alice, bob) = (&*logged_in(&database, "alice"), &*logged_in(&database, "bob"));
    let header =
        |path: &str, line: &str| format!("<Location /members/{path}>\n{line}\n</Location>\n");
    let config = [
        "AliasMatch ^/members/header/ {dir}/htdocs/members/index.html\n".to_owned(),
        "AliasMatch ^/secret/document {dir}/htdocs/members/index.html\n".to_owned(),
        "ProxyPass /members/back http://127.0.0.1:{port}/public/\n".to_owned(),
        "Alias /list {dir}/htdocs\n<Location /list>\nOptions Indexes\nDirectoryIndex disabled\n</Location>\n".to_owned(),
        "<Location /list/members>\nAuthType Basic\nAuthName x\nAuthBasicProvider django\nAuthDjangoSession db\nRequire valid-user\n</Location>\n".to_owned(),
        "<Location /secret/document>\nErrorDocument 403 /public/index.html\n</Location>\n".to_owned(),
        "<Location /away>\nAuthDjangoDatabase postgresql://u@127.0.0.1:1/x\n</Location>\n".to_owned(),
        header("header/private", "Header set Cache-Control \"max-age=60, private\""),
        header("header/no-store", "Header always set Cache-Control no-store"),
        header("header/public", "Header set Cache-Control \"public, max-age=600\""),
        header("header/always", "Header always set Cache-Control \"public, s-maxage=9\""),
        header("header/expires", "ExpiresActive On\nExpiresDefault \"access plus 1 month\""),
        header("header/language", "Header set Vary Accept-Language"),
        header("header/cookie", "Header always set Vary \"Accept, cookie\""),
        header("header/any", "Header set Vary *"),
    ]
    .concat();
    let modules = ["alias", "headers", "expires", "proxy", "proxy_http", "autoindex"];
    for mpm in MPMS {
        let mut httpd = start(&database, mpm, &modules, &config);
        httpd.expect_in_log("is not available");
        let ours = ["Cookie", "private, no-cache", ""].map(str::to_owned);
        let whole = ask(&httpd, "/members/", alice);
        assert_eq!((whole.status, for_caches(&whole)), (200, ours.clone()), "{whole:?}");
        let etag = format!("{alice}If-None-Match: {}\r\n", whole.header("ETag").unwrap());
        for (path, headers, status) in [
            ("/members/", &*format!("{alice}Range: bytes=1-3\r\n"), 206),
            ("/members/", &*etag, 304),
            ("/members/none", alice, 404),
            ("/members", alice, 301),
            ("/members/back/", alice, 200),
            ("/members/", NAVIGATE, 302),
            ("/members/", "", 401),
            ("/members/", "Cookie: sessionid=0123456789abcdef\r\n", 401),
            ("/secret/", alice, 200),
            ("/secret/", bob, 403),
            ("/secret/document", bob, 403),
            ("/away/", alice, 503),
            ("/list/", alice, 200),
            ("/list/", "", 200),
        ] {
            let answer = ask(&httpd, path, headers);
            assert_eq!(
                (answer.status, for_caches(&answer)),
                (status, ours.clone()),
                "{path} {headers} {answer:?}"
            );
        }
        for (path, vary, control) in [
            ("private", "Cookie", "max-age=60, private"),
            ("no-store", "Cookie", "no-store"),
            ("public", "Cookie", "private, no-cache"),
            ("always", "Cookie", "private, no-cache"),
            ("expires", "Cookie", "private, no-cache"),
            ("language", "Accept-Language,Cookie", "private, no-cache"),
            ("cookie", "Accept,cookie", "private, no-cache"),
            ("any", "*", "private, no-cache"),
        ] {
            let answer = ask(&httpd, &format!("/members/header/{path}"), alice);
            // httpd leaves no spaces in a Vary.
            let got = for_caches(&answer);
            assert_eq!(
                (answer.status, got),
                (200, [vary, control, ""].map(str::to_owned)),
                "{path}"
            );
        }
        // Where no session has a part in the answer, nothing is said.
        let password = basic("alice", "alice secret");
        for (path, headers) in [("/public/", alice), ("/members/", &*password)] {
            let answer = ask(&httpd, path, headers);
            assert_eq!((answer.status, for_caches(&answer)), (200, Default::default()), "{path}");
        }
        httpd.finish();
    }
}

/// As permissive as mod_cache can be told to be.
const PERMISSIVE: &str = "CacheStorePrivate On\nCacheStoreNoStore On\nCacheStoreExpired On\n\
    CacheIgnoreCacheControl On\nCacheIgnoreNoLastMod On\nCacheIgnoreQueryString On\n\
    CacheIgnoreHeaders Cookie Set-Cookie Vary Cache-Control\nCacheDefaultExpire 3600\n\
    CacheMinExpire 3600\n";

#[test]
fn mod_cache_on_the_same_server_keeps_nothing_of_it() {
    let (database, _) = sqlite("auth.User");
    let alice = &*logged_in(&database, "alice");
    let modules = ["headers", "cache", "cache_disk", "include", "mime", "filter"];
    for quick in [
        "CacheQuickHandler on\n",
        "CacheQuickHandler off\n",
        "CacheQuickHandler off\nSetOutputFilter CACHE\n",
    ] {
        for (mpm, settings) in [("event", ""), ("prefork", PERMISSIVE)] {
            let config = format!(
                "CacheRoot {{dir}}/cache\nCacheEnable disk /\nCacheHeader on\n{quick}{settings}\
                 Header set Cache-Control \"public, max-age=3600\"\n\
                 AcceptPathInfo on\nAddType text/html .shtml\nAddOutputFilter INCLUDES .shtml\n\
                 <Directory {{dir}}/htdocs>\nOptions Includes\n</Directory>\n"
            );
            let mut httpd = {
                let httpd = start(&database, mpm, &modules, &config);
                let cache = httpd.dir.join("cache");
                fs::create_dir(&cache).unwrap();
                let (uid, gid) = ids("www-data");
                chown(&cache, Some(uid), Some(gid)).unwrap();
                httpd
            };
            // It does cache, and what it has is what it gives.
            let hit = |path: &str, headers: &str| {
                let answer = ask(&httpd, path, headers);
                let cache = answer.header("X-Cache").unwrap_or_default().to_owned();
                (["HIT", "REVALIDATE"].iter().any(|word| cache.starts_with(word)), answer)
            };
            assert!(!hit("/public/", "").0);
            assert!(hit("/public/", "").0, "{quick}{settings}");
            for path in ["/members/", "/members/?a=b", "/members/index.html", "/members/a.shtml"] {
                for _ in 0..2 {
                    let (from_cache, answer) = hit(path, alice);
                    assert_eq!(
                        (answer.status, from_cache),
                        (200, false),
                        "{quick}{settings}{path}"
                    );
                    assert!(answer.body.contains("this is htdocs/members"), "{answer:?}");
                }
                for headers in ["", NAVIGATE, "Cookie: sessionid=0123456789abcdef\r\n"] {
                    let (_, answer) = hit(path, headers);
                    assert!(
                        [302, 401].contains(&answer.status),
                        "{quick}{settings}{path} {answer:?}"
                    );
                    assert!(!answer.body.contains("this is htdocs/members"), "{answer:?}");
                }
            }
            // A part of a page for all, which is another address for each.
            let (_, answer) = hit("/public/page.shtml/alice", alice);
            assert!(answer.body.contains("this is htdocs/members"), "{answer:?}");
            let (_, answer) = hit("/public/page.shtml/nobody", "");
            assert_eq!(answer.status, 200);
            assert!(!answer.body.contains("this is htdocs/members"), "{quick}{settings}{answer:?}");
            httpd.expect_in_log("unable to include \"/members/index.html\"");
            httpd.finish();
        }
    }
}
