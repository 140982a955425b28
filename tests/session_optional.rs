//! `AuthDjangoSession … optional`: whoever has a session is known, nobody must have one, and no cache
//! mixes the two up.

use crate::common::client::{Response, basic};
use crate::common::cluster::{ids, sqlite};
use crate::common::django::Sessions;
use crate::common::httpd::{Httpd, MPMS};
use crate::common::session::{
    BASIC, FETCH, NAVIGATE, ask, assert_private, base, challenge, cookie, get, setup,
    start_with_script, told,
};
use std::fs;
use std::os::unix::fs::chown;
use std::path::Path;

/// A script in places without an AuthType, with either, and as the back end behind them.
fn start(database: &Path, mpm: &str, caches: &str) -> Httpd {
    let config = base(&format!("sqlite:{}", database.display()), "off")
        + &format!(
            "AuthDjangoExport id groups\nAuthDjangoLoginURL /login/\n\
             ScriptAliasMatch ^/(open|django|basic|public)/run$ {{dir}}/run\n\
             <Directory {{dir}}>\nRequire all granted\n</Directory>\n\
             <LocationMatch ^/(open|django|basic)>\nAuthDjangoSession db optional\n\
             Require all granted\n</LocationMatch>\n\
             <Location /django>\nAuthType Django\n</Location>\n\
             <Location /basic>\n{BASIC}</Location>\n{caches}"
        );
    let modules = ["alias", "headers", "cache", "cache_disk"];
    start_with_script(setup(config).mpm(mpm).modules(&modules))
}

/// The script's answer for a user, who must be told of.
#[track_caller]
fn is_for(answer: &Response, user: &str, what: &str) {
    assert_eq!((answer.status, challenge(answer)), (200, false), "{what} {answer:?}");
    let line = told(answer);
    if user.is_empty() {
        assert_eq!(line, "||||", "{what} {answer:?}");
    } else {
        assert!(line.starts_with(&format!("{user}|Django|")), "{what} {answer:?}");
        assert_eq!(line.contains("secret-agents"), user == "alice", "{what} {answer:?}");
    }
}

#[test]
fn caches_are_told_whoever_comes() {
    let (database, _) = sqlite("auth.User");
    let mut django = Sessions::start("db", database.to_str().unwrap());
    for mpm in MPMS {
        let httpd = start(&database, mpm, "");
        let (alice, ended) = (django.log_in("alice"), django.log_in("bob"));
        django.log_out(&ended);
        let (known, bad) = (cookie(&alice), cookie(&ended));
        for place in ["/open", "/django", "/basic"] {
            let path = &*format!("{place}/run");
            for (headers, user) in [
                (&*known, "alice"),
                (&*format!("{known}{NAVIGATE}"), "alice"),
                (&*bad, ""),
                ("", ""),
                (NAVIGATE, ""),
                (FETCH, ""),
                ("Cookie: theme=dark\r\n", ""),
            ] {
                let answer = get(&httpd, path, headers);
                is_for(&answer, user, &format!("{mpm} {path} {headers}"));
                assert_private(&answer);
                assert_private(&ask(&httpd, "HEAD", path, headers));
            }
            // Another site's form could have sent it: nobody, and a GET would have been another.
            let post = ask(&httpd, "POST", path, &format!("{known}Content-Length: 0\r\n"));
            is_for(&post, "", &format!("{mpm} POST {path}"));
            assert_private(&post);
            // What is not there, too, is an answer for this client.
            let none = get(&httpd, &format!("{place}/none"), &known);
            assert_eq!(none.status, 404, "{mpm}");
            assert_private(&none);
        }
        // A password that nothing asks for says nothing, and one without it could have a session.
        let answer = get(&httpd, "/basic/run", &(known.clone() + &basic("bob", "wrong")));
        is_for(&answer, "", mpm);
        assert_private(&answer);
        // Where the header has no say, the session has.
        let answer = get(&httpd, "/django/run", &(known.clone() + &basic("bob", "wrong")));
        is_for(&answer, "alice", mpm);
        let public = get(&httpd, "/public/run", &known);
        is_for(&public, "", mpm);
        assert_eq!((public.header("Vary"), public.header("Cache-Control")), (None, None), "{mpm}");
        httpd.finish();
    }
}

#[test]
fn mod_cache_in_front_mixes_nobody_up() {
    let (database, _) = sqlite("auth.User");
    let mut django = Sessions::start("db", database.to_str().unwrap());
    for quick in ["CacheQuickHandler on\n", "CacheQuickHandler off\n"] {
        for mpm in MPMS {
            let caches = format!(
                "CacheRoot {{dir}}/htdocs/cache\nCacheEnable disk /\nCacheHeader on\n{quick}\
                 CacheStorePrivate On\nCacheStoreNoStore On\nCacheIgnoreCacheControl On\n\
                 CacheIgnoreNoLastMod On\nCacheDefaultExpire 3600\nCacheMinExpire 3600\n\
                 CacheIgnoreHeaders Cookie Set-Cookie Vary Cache-Control\n\
                 Header set Cache-Control \"public, max-age=3600\"\n"
            );
            let httpd = start(&database, mpm, &caches);
            let cache = httpd.dir.join("htdocs/cache");
            fs::create_dir(&cache).unwrap();
            let (uid, gid) = ids("www-data");
            chown(&cache, Some(uid), Some(gid)).unwrap();
            let (alice, bob) = (cookie(&django.log_in("alice")), cookie(&django.log_in("bob")));
            let what = format!("{mpm} {quick}");
            let hit = |answer: &Response| {
                answer.header("X-Cache").is_some_and(|cache| cache.starts_with("HIT"))
            };
            // It does cache.
            assert!(!hit(&get(&httpd, "/public/run", "")), "{what}");
            assert!(hit(&get(&httpd, "/public/run", "")), "{what}");
            for path in ["/open/run", "/django/run", "/basic/run"] {
                for _ in 0..2 {
                    for (headers, user) in [("", ""), (&*alice, "alice"), (&*bob, "bob")] {
                        let answer = get(&httpd, path, headers);
                        is_for(&answer, user, &what);
                        assert!(!hit(&answer), "{what} {path}");
                        assert_private(&answer);
                    }
                }
            }
            httpd.finish();
        }
    }
}
