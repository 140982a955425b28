//! Where httpd asks itself, by internal redirects and sub-requests: the session is read once for the
//! client's request, nothing gets out that would not have been given, and caches are told.

use crate::common::client::Response;
use crate::common::cluster::sqlite;
use crate::common::django::Sessions;
use crate::common::httpd::{Httpd, MPMS};
use crate::common::session::{
    BASIC, FETCH, NAVIGATE, assert_private, base, challenge, cookie, get, setup,
};
use std::fs;
use std::path::Path;

/// What no answer to nobody, or to bob, may hold.
const SECRET: &str = "for secret agents only";

/// Sections by what they let in; `AuthDjangoLoginURL` only where a test says so.
fn start(
    database: &Path,
    mpm: &str,
    modules: &[&str],
    config: &str,
    files: &[(&str, &str)],
) -> Httpd {
    let config = base(&format!("sqlite:{}", database.display()), "db")
        + &format!(
            "LogLevel authnz_django:debug\n<Location />\nAuthzSendForbiddenOnFailure On\n</Location>\n\
             <Location /members>\n{BASIC}Require valid-user\n</Location>\n\
             <Location /secret>\n{BASIC}Require group secret-agents\n</Location>\n\
             <Location /django>\nAuthType Django\nRequire valid-user\n</Location>\n{config}"
        );
    let setup = setup(config).mpm(mpm).modules(modules);
    let (dir, port) = setup.write();
    for (name, text) in files {
        let file = dir.join("htdocs").join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }
    fs::write(dir.join("htdocs/secret/index.html"), SECRET).unwrap();
    setup.start_in(dir, port)
}

/// The answer, and how often a session was read for it.
fn reads(httpd: &Httpd, path: &str, headers: &str) -> (Response, usize) {
    let count =
        || httpd.count_in_log(": session verified for") + httpd.count_in_log(" no session for ");
    let before = count();
    let answer = get(httpd, path, headers);
    let reads = count() - before;
    (answer, reads)
}

#[test]
fn a_page_for_an_error_shows_what_its_own_place_allows() {
    let (database, _) = sqlite("auth.User");
    let mut django = Sessions::start("db", database.to_str().unwrap());
    let (alice, bob) = (cookie(&django.log_in("alice")), cookie(&django.log_in("bob")));
    let page = |path: &str, status: u16, document: &str| {
        format!("<Location {path}>\nErrorDocument {status} {document}\n</Location>\n")
    };
    let config = [
        page("/members/open", 401, "/public/page.html"),
        page("/members/closed", 401, "/members/page.html"),
        page("/members/self", 401, "/members/self"),
        page("/django/open", 401, "/public/page.html"),
        page("/django/closed", 401, "/django/page.html"),
        page("/secret/open", 403, "/public/page.html"),
        page("/secret/closed", 403, "/secret/index.html"),
        page("/secret/known", 403, "/members/page.html"),
        page("/members/none", 404, "/secret/index.html"),
        page("/nowhere", 404, "/members/page.html"),
        page("/nowhere/to", 404, "/redirects/page.html"),
        format!(
            "<Location /redirects>\n{BASIC}AuthDjangoLoginURL /login/\nRequire valid-user\n</Location>\n"
        ),
    ]
    .concat();
    let files = [
        ("public/page.html", "a page for all"),
        ("members/page.html", "a page for members"),
        ("django/page.html", "a page for members"),
        ("redirects/page.html", "a page for members"),
    ];
    let (all, members, none) = ("a page for all", "a page for members", "");
    for mpm in MPMS {
        let httpd = start(&database, mpm, &[], &config, &files);
        for (path, headers, status, text, challenged) in [
            // Nobody: who may see the page does, and else httpd's own words are the end of it.
            ("/members/open", "", 401, all, true),
            ("/members/open", FETCH, 401, all, false),
            ("/members/closed", "", 401, none, true),
            ("/members/closed", NAVIGATE, 401, none, true),
            ("/members/closed", FETCH, 401, none, false),
            ("/members/self", "", 401, none, true),
            ("/django/open", NAVIGATE, 401, all, false),
            ("/django/closed", NAVIGATE, 401, none, false),
            ("/nowhere", NAVIGATE, 404, none, false),
            ("/nowhere/to", NAVIGATE, 404, none, false),
            // Somebody, who may not.
            ("/secret/open", &*bob, 403, all, false),
            ("/secret/closed", &*bob, 403, none, false),
            ("/secret/known", &*bob, 403, members, false),
            ("/members/none", &*bob, 404, none, false),
            // Somebody who may.
            ("/members/none", &*alice, 404, SECRET, false),
            ("/nowhere", &*bob, 404, members, false),
            ("/nowhere/to", &*bob, 404, members, false),
        ] {
            let (answer, reads) = reads(&httpd, path, headers);
            let what = format!("{mpm} {path} {headers} {answer:?}");
            assert_eq!((answer.status, reads), (status, 1), "{what}");
            for known in [all, members, SECRET] {
                assert_eq!(answer.body.contains(known), known == text, "{what}");
            }
            assert_eq!(answer.header("Location"), None, "{what}");
            if status == 401 {
                assert_eq!(challenge(&answer), challenged, "{what}");
            }
            assert_private(&answer);
        }
        httpd.finish();
    }
}

#[test]
fn an_index_a_variant_and_a_rewritten_address_are_asked_for_once() {
    let (database, _) = sqlite("auth.User");
    let mut django = Sessions::start("db", database.to_str().unwrap());
    let (alice, bob) = (cookie(&django.log_in("alice")), cookie(&django.log_in("bob")));
    let config = format!(
        "AddLanguage en .en\nAddLanguage de .de\n\
         <Directory {{dir}}/htdocs/index>\nDirectoryIndex inner.html index.html\n\
         <Files inner.html>\n{BASIC}Require group secret-agents\n</Files>\n</Directory>\n\
         <Directory {{dir}}/htdocs/login>\nDirectoryIndex inner.html\nAuthDjangoLoginURL /accounts/\n\
         <Files inner.html>\n{BASIC}Require group secret-agents\n</Files>\n</Directory>\n\
         <Directory {{dir}}/htdocs/many>\nOptions +MultiViews\nAuthDjangoLoginURL /accounts/\n\
         <Files page.html.de>\n{BASIC}Require group secret-agents\n</Files>\n</Directory>\n\
         RewriteEngine On\n\
         RewriteCond %{{LA-U:REMOTE_USER}} ^alice$\n\
         RewriteRule ^/secret/mine$ /secret/index.html [L]\n\
         <Directory {{dir}}/htdocs/rewritten>\nRewriteEngine On\nRewriteBase /rewritten/\n\
         RewriteRule ^in$ /secret/index.html [L]\n\
         RewriteRule ^round$ /rewritten/in [L]\n</Directory>\n\
         <Directory {{dir}}/htdocs/members>\nRewriteEngine On\n\
         RewriteRule ^out$ /public/index.html [L]\n\
         RewriteRule ^further$ /secret/index.html [L]\n\
         FallbackResource /secret/index.html\n</Directory>\n"
    );
    let files = [
        ("index/inner.html", SECRET),
        ("index/index.html", "an index for all"),
        ("login/inner.html", SECRET),
        ("many/page.html.de", SECRET),
        ("many/page.html.en", "in English"),
        ("rewritten/other", ""),
    ];
    let german = |headers: &str| format!("{headers}Accept-Language: de, en;q=0.5\r\n");
    let bad = cookie("0123456789abcdef0123456789abcdef");
    for mpm in MPMS {
        let modules = ["mime", "negotiation", "rewrite"];
        let httpd = start(&database, mpm, &modules, &config, &files);
        for (path, headers, status, text) in [
            ("/secret/", &*alice, 200, SECRET),
            ("/secret/", &*bob, 403, ""),
            ("/secret/", &*bad, 401, ""),
            // httpd looks for the next index, or none.
            ("/index/", &*alice, 200, SECRET),
            ("/index/", &*bob, 200, "an index for all"),
            ("/index/", NAVIGATE, 200, "an index for all"),
            ("/index/", &*bad, 200, "an index for all"),
            ("/login/", &*alice, 200, SECRET),
            ("/login/", &*bob, 403, ""),
            ("/login/", NAVIGATE, 302, ""),
            ("/login/", "", 401, ""),
            ("/many/page", &*german(&alice), 200, SECRET),
            ("/many/page", &*german(&bob), 200, "in English"),
            ("/many/page", &*german(NAVIGATE), 200, "in English"),
            ("/many/page", &*german(&bad), 200, "in English"),
            ("/many/page.html", &*german(&alice), 200, SECRET),
            ("/many/page.html.de", &*german(&bob), 403, ""),
            // The rules of where the address leads.
            ("/secret/mine", &*alice, 200, SECRET),
            ("/secret/mine", &*bob, 403, ""),
            ("/secret/mine", "", 401, ""),
            ("/rewritten/in", &*alice, 200, SECRET),
            ("/rewritten/in", &*bob, 403, ""),
            ("/rewritten/in", &*bad, 401, ""),
            ("/rewritten/round", &*alice, 200, SECRET),
            ("/rewritten/round", &*bob, 403, ""),
            ("/members/out", &*bob, 200, "this is htdocs/public"),
            ("/members/out", &*bad, 401, ""),
            ("/members/further", &*alice, 200, SECRET),
            ("/members/further", &*bob, 403, ""),
            ("/members/fallback", &*alice, 200, SECRET),
            ("/members/fallback", &*bob, 403, ""),
            ("/members/fallback", "", 401, ""),
        ] {
            let (answer, reads) = reads(&httpd, path, headers);
            let what = format!("{mpm} {path} {headers} {answer:?}");
            assert_eq!((answer.status, reads), (status, 1), "{what}");
            assert!(answer.body.contains(text), "{what}");
            assert_eq!(answer.body.contains(SECRET), text == SECRET, "{what}");
            let [vary, control, expires] = crate::common::session::for_caches(&answer);
            // mod_negotiation has more to say.
            let varies: Vec<&str> = vary.split([',', '|']).map(str::trim).collect();
            assert_eq!(varies.iter().filter(|name| **name == "Cookie").count(), 1, "{what}");
            assert_eq!((&*control, &*expires), ("private, no-cache", ""), "{what}");
            if status == 302 {
                assert_eq!(answer.header("Location"), Some("/accounts/?next=/login/"), "{what}");
            }
        }
        httpd.finish();
    }
}

/// The body, which comes in chunks.
fn page(answer: &Response) -> String {
    assert_eq!(answer.header("Transfer-Encoding"), Some("chunked"), "{answer:?}");
    let (mut page, mut rest) = (String::new(), answer.body.as_str());
    while let Some((length, chunk)) = rest.split_once("\r\n") {
        let (chunk, more) = chunk.split_at(usize::from_str_radix(length, 16).unwrap());
        page += chunk;
        rest = more.strip_prefix("\r\n").unwrap_or_default();
    }
    page
}

#[test]
fn a_page_shows_the_parts_that_its_user_may_see() {
    let (database, _) = sqlite("auth.User");
    let mut django = Sessions::start("db", database.to_str().unwrap());
    let (alice, bob) = (cookie(&django.log_in("alice")), cookie(&django.log_in("bob")));
    let config = "AddType text/html .shtml\nAddOutputFilter INCLUDES .shtml\nAuthDjangoLoginURL /login/\n\
         <Directory {dir}/htdocs>\nOptions Includes\n</Directory>\n";
    let whole = "<!--#echo var=\"REMOTE_USER\" -->|<!--#include virtual=\"/members/part.html\" -->|\
         <!--#include virtual=\"/secret/index.html\" -->|<!--#include virtual=\"/members/inner.shtml\" -->";
    let inner = "<!--#include virtual=\"/secret/index.html\" -->";
    let files = [
        ("members/page.shtml", whole),
        ("members/inner.shtml", inner),
        ("members/part.html", "for members"),
    ];
    for mpm in MPMS {
        let modules = ["include", "mime", "filter"];
        let mut httpd = start(&database, mpm, &modules, config, &files);
        httpd.expect_in_log("unable to include \"/secret/index.html\"");
        let (answer, count) = reads(&httpd, "/members/page.shtml", &format!("{alice}{NAVIGATE}"));
        assert_eq!((answer.status, count), (200, 1), "{mpm} {answer:?}");
        assert_private(&answer);
        let expected = format!("alice|for members|{SECRET}|{SECRET}");
        assert_eq!(page(&answer), expected, "{mpm}");
        let (answer, count) = reads(&httpd, "/members/page.shtml", &format!("{bob}{NAVIGATE}"));
        assert_eq!((answer.status, count), (200, 1), "{mpm} {answer:?}");
        assert_private(&answer);
        let text = page(&answer);
        let parts: Vec<&str> = text.split('|').collect();
        assert_eq!((parts.len(), parts[0], parts[1]), (4, "bob", "for members"), "{mpm} {text}");
        assert!(parts[2..].iter().all(|part| part.contains("an error occurred")), "{mpm} {text}");
        assert!(!text.contains(SECRET), "{mpm} {text}");
        let (answer, count) = reads(&httpd, "/members/page.shtml", NAVIGATE);
        assert_eq!((answer.status, count), (302, 1), "{mpm} {answer:?}");
        assert_private(&answer);
        httpd.finish();
    }
}
