//! Django's sessions: whoever is logged in to the site is known to Apache.

use crate::common::client::{Response, basic, send};
use crate::common::cluster::{Cluster, Database, sqlite};
use crate::common::django::{Oracle, Population, Sessions};
use crate::common::httpd::{Httpd, MPMS, Setup};
use crate::common::session::{
    BASIC, FETCH, NAVIGATE, SECRET_KEY, ask, base, challenge, cookie, get, setup,
    start_with_script, status, told,
};
use serde_json::json;
use std::fs;
use std::os::unix::fs::PermissionsExt;

fn every_answer(engine: &'static str, mpm: &str) {
    let (path, _) = sqlite("auth.User");
    let mut django = Sessions::start(engine, path.to_str().unwrap());
    let words = django.words();
    let config = base(&format!("sqlite:{}", path.display()), &words)
        + &format!(
            "<Location />\n{BASIC}Require valid-user\n</Location>\n\
             <Location /rotated>\nAuthDjangoSecretKey env:NEWER_KEY env:SECRET_KEY\n</Location>\n\
             <Location /foreign>\nAuthDjangoSecretKey env:NEWER_KEY\n</Location>\n\
             <Location /backend>\nAuthDjangoSession {words} backends=site.Backend\n</Location>\n\
             <Location /both>\nAuthDjangoSession {words} \
             backends=site.Backend,django.contrib.auth.backends.ModelBackend\n</Location>\n\
             <Location /cookie>\nAuthDjangoSession {words} cookie=theme\n</Location>\n\
             <Location /salt>\nAuthDjangoSession {words} salt=other\n</Location>\n\
             <Location /off>\nAuthDjangoSession off\n</Location>\n\
             <Location /default>\nAuthDjangoSession default\n</Location>\n\
             <Location /alone>\nAuthType django\n</Location>\n"
        );
    let mut httpd = setup(config).mpm(mpm).start();
    // Where none of the keys fits, and this child knows of no session that one did.
    httpd.allow_in_log("said until a session was valid");
    let alice = django.log_in("alice");
    for (path, expected) in [
        ("/members/", 200),
        ("/rotated/", 404),
        ("/foreign/", 401),
        ("/backend/", 401),
        ("/both/", 404),
        ("/cookie/", 401),
        ("/salt/", 401),
        ("/off/", 401),
        ("/default/", 401),
        ("/alone/", 404),
    ] {
        assert_eq!(status(&httpd, path, &alice), expected, "{engine} {mpm} {path}");
    }
    let check = |session: &str, expected: u16| {
        assert_eq!(status(&httpd, "/members/", session), expected, "{engine} {mpm} {session}");
        let alone = get(&httpd, "/alone/", &cookie(session));
        assert_eq!(alone.status, if expected == 200 { 404 } else { 401 }, "{engine} {mpm}");
        assert!(!challenge(&alone), "{engine} {mpm}");
    };
    check(&django.log_in("bob"), 200);
    check(&django.anonymous(), 401);
    check(&django.log_in_by("site.Backend", "alice"), 401);
    check(&django.log_in_with("alice", json!({"SECRET_KEY": "stolen"})), 401);
    for tampered in [
        "".to_owned(),
        alice[1..].to_owned(),
        alice[..alice.len() - 1].to_owned(),
        format!("{alice}x"),
        format!("{}{}", if alice.starts_with('x') { 'y' } else { 'x' }, &alice[1..]),
        alice.to_uppercase(),
        format!("../{alice}"),
        format!("{alice}%00"),
        "x".repeat(6000),
        "' OR 1=1 --".to_owned(),
    ] {
        check(&tampered, 401);
    }
    let header = format!("Cookie: sessionid={alice}; sessionid=x\r\n");
    assert_eq!(get(&httpd, "/members/", &header).status, 401, "the last one counts");
    let header = format!("Cookie: sessionid=x; sessionid=\"{alice}\"\r\n");
    assert_eq!(get(&httpd, "/members/", &header).status, 200, "quoted");

    // A password that is sent along counts alone.
    let with = |user: &str, password: &str| cookie(&alice) + &basic(user, password);
    assert_eq!(get(&httpd, "/members/", &with("bob", "bob secret")).status, 200);
    let wrong = get(&httpd, "/members/", &with("alice", "wrong"));
    assert!(wrong.status == 401 && challenge(&wrong));
    assert_eq!(get(&httpd, "/alone/", &with("alice", "wrong")).status, 404, "{engine} {mpm}");
    assert_eq!(get(&httpd, "/alone/", &basic("bob", "bob secret")).status, 401);

    // What changes in Django counts at once.
    if engine == "signed_cookies" {
        let old = django.log_in_with("alice", json!({}));
        check(&old, 200);
    } else {
        let short = django.log_in("alice");
        check(&short, 200);
        django.log_out(&short);
        check(&short, 401);
        let ended = django.log_in("alice");
        check(&ended, 200);
        django.expire(&ended);
        check(&ended, 401);
    }
    check(&alice, 200);
    django.change("active=alice=0");
    check(&alice, 401);
    django.change("active=alice=1");
    check(&alice, 200);
    django.change("password=alice=another");
    check(&alice, 401);
    check(&django.log_in("alice"), 200);
    let gone = django.log_in("alice");
    django.change("delete=alice");
    check(&gone, 401);
    httpd.finish();
}

#[test]
fn sessions_in_rows_let_in() {
    for mpm in MPMS {
        every_answer("db", mpm);
    }
    every_answer("cached_db", "event");
}

#[test]
fn sessions_in_files_let_in() {
    for mpm in MPMS {
        every_answer("file", mpm);
    }
}

#[test]
fn sessions_in_cookies_let_in() {
    for mpm in MPMS {
        every_answer("signed_cookies", mpm);
    }
}

/// The rows of a site without USE_TZ stand by its own clock.
#[test]
fn a_row_ends_by_the_clock_of_its_site() {
    let (path, _) = sqlite("auth.User");
    let mut django = Sessions::start("db", path.to_str().unwrap());
    let config = base(&format!("sqlite:{}", path.display()), "db")
        + &format!(
            "<Location />\n{BASIC}Require valid-user\n</Location>\n\
             <Location /tokyo>\nAuthDjangoSession db timezone=Asia/Tokyo\n</Location>\n\
             <Location /honolulu>\nAuthDjangoSession db timezone=Pacific/Honolulu\n</Location>\n"
        );
    let httpd = setup(config).start();
    let of = |zone: &str| json!({"USE_TZ": false, "TIME_ZONE": zone, "SESSION_COOKIE_AGE": 3600});
    let tokyo = django.log_in_with("alice", of("Asia/Tokyo"));
    assert_eq!(status(&httpd, "/tokyo/", &tokyo), 404);
    let honolulu = django.log_in_with("alice", of("Pacific/Honolulu"));
    assert_eq!(status(&httpd, "/honolulu/", &honolulu), 404);
    // By another clock it has ended long ago.
    assert_eq!(status(&httpd, "/members/", &honolulu), 401);
    let ended = json!({"USE_TZ": false, "TIME_ZONE": "Asia/Tokyo", "SESSION_COOKIE_AGE": -60});
    let ended = django.log_in_with("alice", ended);
    assert_eq!(status(&httpd, "/tokyo/", &ended), 401);
    httpd.finish();
}

fn location(answer: &Response) -> &str {
    assert_eq!(answer.status, 302, "{answer:?}");
    answer.header("Location").unwrap()
}

#[test]
fn a_browser_is_sent_to_the_login_page_and_back() {
    let (path, _) = sqlite("auth.User");
    let mut django = Sessions::start("signed_cookies", path.to_str().unwrap());
    let config = base(&format!("sqlite:{}", path.display()), "signed_cookies")
        + &format!(
            "ServerName https://site.example\nUseCanonicalName Off\n\
             AuthDjangoLoginURL /accounts/login/\n\
             SetEnvIfExpr \"%{{HTTP:X-Test}} == 'never'\" authnz-django-redirect=0\n\
             SetEnvIfExpr \"%{{HTTP:X-Test}} == 'always'\" authnz-django-redirect=1\n\
             RewriteEngine On\nRewriteRule ^/rewritten/(.*) /members/$1 [PT]\n\
             <Location />\n{BASIC}Require valid-user\n</Location>\n\
             <Location /alone>\nAuthType Django\n</Location>\n\
             <Location /elsewhere>\nAuthDjangoLoginURL https://login.example/?a=b\n</Location>\n\
             <Location /here>\nAuthDjangoLoginURL https://site.example/login\n</Location>\n\
             <Location /plain>\nAuthDjangoLoginURL default\n</Location>\n\
             <Location /open>\nRequire all granted\n</Location>\n"
        );
    for mpm in MPMS {
        let setup = setup(config.clone()).mpm(mpm).modules(&["setenvif", "rewrite"]);
        let mut httpd = setup.start();
        httpd.expect_in_log(
            "the login page \"/accounts/login/\" of AuthDjangoLoginURL is protected",
        );
        let next = |path: &str, headers: &str| {
            location(&get(&httpd, path, &format!("{NAVIGATE}{headers}"))).to_owned()
        };
        let login = "/accounts/login/?next=";
        for path in ["/members/", "/alone/", "/rewritten/", "/no/such/page"] {
            assert_eq!(next(path, ""), format!("{login}{path}"), "{mpm}");
            assert_eq!(next(path, &cookie("tampered")), format!("{login}{path}"), "{mpm}");
        }
        assert_eq!(
            next("/a%20b/?c=d&next=//evil", ""),
            format!("{login}/a%2520b/%3Fc%3Dd%26next%3D//evil")
        );
        // What a client sends has no part in it, and leads nowhere else.
        let forged = "X-Forwarded-Host: evil.example\r\nX-Forwarded-Proto: gopher\r\nForwarded: host=evil.example\r\n\
                      Referer: https://evil.example/\r\n";
        assert_eq!(next("/members/", forged), format!("{login}/members/"));
        assert_eq!(
            next("/elsewhere/?x", forged),
            "https://login.example/?a=b&next=https%3A//site.example/elsewhere/%3Fx"
        );
        assert_eq!(next("/here/", ""), "https://site.example/login?next=/here/");
        for path in ["//evil.example/", "///evil.example/", "http://evil.example/evil.example/"] {
            assert_eq!(next(path, ""), format!("{login}/evil.example/"), "{path}");
        }
        for path in ["/\\evil.example/", "/%5Cevil.example/", "/%2F/evil.example/", "/%09/evil"] {
            let answer = get(&httpd, path, NAVIGATE);
            // Some of these httpd itself does not take.
            if ![400, 404].contains(&answer.status) {
                let to = location(&answer);
                assert!(to.starts_with("/accounts/login/?next=/%25"), "{path}: {to}");
                assert!(!to.contains('\\') && !to.contains("%5C"), "{path}: {to}");
            }
        }
        let request = format!(
            "GET /elsewhere/ HTTP/1.1\r\nHost: evil.example\r\n{NAVIGATE}Connection: close\r\n\r\n"
        );
        let answer = send(httpd.port, &request).unwrap();
        let to = location(&answer);
        assert_eq!(to, "https://login.example/?a=b&next=https%3A//site.example/elsewhere/");

        // Who does not come to look is told so, and a script's user is not asked for a password.
        let xhr = format!("X-Requested-With: XMLHttpRequest\r\n{NAVIGATE}");
        let picture = "Sec-Fetch-Mode: no-cors\r\nSec-Fetch-Dest: image\r\nAccept: image/png\r\n";
        let frame = "Sec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: iframe\r\nAccept: text/html\r\n";
        for (method, path, headers, asked) in [
            ("GET", "/members/", "", true),
            ("GET", "/members/", "Accept: */*\r\n", true),
            ("GET", "/plain/", NAVIGATE, true),
            ("POST", "/members/", NAVIGATE, true),
            ("PROPFIND", "/members/", NAVIGATE, true),
            ("GET", "/members/", &format!("{NAVIGATE}X-Test: never\r\n"), true),
            ("GET", "/members/", FETCH, false),
            ("GET", "/members/", picture, false),
            ("GET", "/members/", frame, false),
            ("GET", "/members/", &xhr, false),
            ("GET", "/alone/", "", false),
            ("GET", "/alone/", FETCH, false),
            ("POST", "/alone/", NAVIGATE, false),
            ("GET", "/accounts/login/", NAVIGATE, true),
        ] {
            let answer = ask(&httpd, method, path, headers);
            assert_eq!(
                (answer.status, challenge(&answer)),
                (401, asked),
                "{method} {path} {headers}"
            );
        }
        for headers in ["X-Test: always\r\n", "Accept: text/html\r\n"] {
            assert_eq!(location(&get(&httpd, "/members/", headers)), format!("{login}/members/"));
        }
        let head = ask(&httpd, "HEAD", "/members/", NAVIGATE);
        assert_eq!(location(&head), format!("{login}/members/"));
        let password = basic("alice", "alice secret") + NAVIGATE;
        assert_eq!(get(&httpd, "/members/", &password).status, 200);
        let wrong = get(&httpd, "/members/", &(basic("alice", "wrong") + NAVIGATE));
        assert!(wrong.status == 401 && challenge(&wrong));
        assert_eq!(get(&httpd, "/open/", NAVIGATE).status, 404);
        let session = cookie(&django.log_in("alice")) + NAVIGATE;
        assert_eq!(get(&httpd, "/members/", &session).status, 200);
        httpd.finish();
    }
}

#[test]
fn a_cookie_alone_changes_nothing() {
    let (path, _) = sqlite("auth.User");
    let mut django = Sessions::start("signed_cookies", path.to_str().unwrap());
    let config = base(&format!("sqlite:{}", path.display()), "signed_cookies")
        + &format!(
            "DavLockDB {{dir}}/locks\nAuthDjangoLoginURL /login/\n\
             <Directory {{dir}}/htdocs>\nDav On\n</Directory>\n\
             <Location />\n{BASIC}Require valid-user\n</Location>\n\
             <Location /members>\nAuthDjangoSession signed_cookies unsafe-methods=allow\n</Location>\n\
             <Location /alone>\nAuthType Django\n</Location>\n"
        );
    let setup = setup(config).modules(&["dav", "dav_fs"]);
    let (dir, port) = setup.write();
    fs::set_permissions(dir.join("htdocs/secret"), fs::Permissions::from_mode(0o777)).unwrap();
    fs::set_permissions(dir.join("htdocs/members"), fs::Permissions::from_mode(0o777)).unwrap();
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o777)).unwrap();
    let httpd = setup.start_in(dir, port);
    let session = cookie(&django.log_in("alice")) + NAVIGATE;
    let put = "Content-Length: 0\r\n";
    for (method, path, status) in [
        ("GET", "/secret/", 200),
        ("HEAD", "/secret/", 200),
        ("OPTIONS", "/secret/", 200),
        ("PROPFIND", "/secret/index.html", 207),
        ("POST", "/secret/", 403),
        ("PUT", "/secret/new", 403),
        ("DELETE", "/secret/index.html", 403),
        ("MKCOL", "/secret/folder", 403),
        ("PROPPATCH", "/secret/", 403),
        ("get", "/secret/", 403),
        ("PUT", "/alone/new", 403),
        ("PUT", "/members/new", 201),
    ] {
        let headers = format!("{session}{put}Depth: 1\r\n");
        let answer = ask(&httpd, method, path, &headers);
        assert_eq!(answer.status, status, "{method} {path}");
        assert!(!challenge(&answer), "{method} {path}");
    }
    assert!(httpd.count_in_log("is refused to a session's cookie alone") >= 6);
    // A password is what no form on another site can send.
    let password = format!("{session}{put}{}", basic("alice", "alice secret"));
    assert_eq!(ask(&httpd, "PUT", "/secret/new", &password).status, 201);
    let nobody = ask(&httpd, "PUT", "/secret/other", &format!("{NAVIGATE}{put}"));
    assert!(nobody.status == 401 && challenge(&nobody));
    // A program that has the cookie alone can be asked for it; a page cannot.
    let alice = cookie(&django.log_in("alice"));
    let program = ask(&httpd, "PUT", "/secret/other", &format!("{alice}{put}"));
    assert!(program.status == 401 && challenge(&program));
    let page = format!("{alice}{put}Origin: https://evil.example\r\n");
    assert_eq!(ask(&httpd, "PUT", "/secret/other", &page).status, 403);
    let socket = "Connection: Upgrade\r\nUpgrade: WebSocket\r\nOrigin: https://evil.example\r\n";
    let socket = format!("{alice}{socket}");
    assert_eq!(ask(&httpd, "GET", "/secret/", &socket).status, 403);
    assert_eq!(ask(&httpd, "GET", "/members/", &socket).status, 200);
    httpd.finish();
}

/// A listing is looked at by sub-requests, each with the headers of the client's.
#[test]
fn a_listing_hides_what_is_for_others() {
    let (path, _) = sqlite("auth.User");
    let mut django = Sessions::start("db", path.to_str().unwrap());
    let config = base(&format!("sqlite:{}", path.display()), "db")
        + &format!(
            "AuthDjangoLoginURL /login/\n\
             <Directory {{dir}}/htdocs/list>\nOptions +Indexes\n\
             <Files hidden.txt>\n{BASIC}Require valid-user\n</Files>\n</Directory>\n"
        );
    for mpm in MPMS {
        let setup = setup(config.clone()).mpm(mpm).modules(&["autoindex", "mime"]);
        let (dir, port) = setup.write();
        fs::create_dir(dir.join("htdocs/list")).unwrap();
        for name in ["hidden.txt", "open.txt"] {
            fs::write(dir.join("htdocs/list").join(name), "x").unwrap();
        }
        let httpd = setup.start_in(dir, port);
        let alice = cookie(&django.log_in("alice"));
        for (headers, shown) in [("", false), (NAVIGATE, false), (alice.as_str(), true)] {
            let page = get(&httpd, "/list/", headers);
            assert!(page.status == 200 && page.body.contains("open.txt"), "{mpm} {}", page.body);
            assert_eq!(page.body.contains("hidden.txt"), shown, "{mpm} {headers} {}", page.body);
        }
        assert_eq!(get(&httpd, "/list/hidden.txt", NAVIGATE).status, 302, "{mpm}");
        httpd.finish();
    }
}

/// A login page that sends whoever is logged in straight back would do so without end.
#[test]
fn who_is_logged_in_by_another_back_end_goes_in_no_circles() {
    let (path, _) = sqlite("auth.User");
    let mut django = Sessions::start("db", path.to_str().unwrap());
    let config = base(&format!("sqlite:{}", path.display()), "db")
        + &format!(
            "AuthDjangoLoginURL /login/\n<Location />\n{BASIC}Require valid-user\n</Location>\n"
        );
    let mut httpd = setup(config).start();
    httpd.expect_in_log("name it in backends= of AuthDjangoSession");
    let other = cookie(&django.log_in_by("site.Backend", "alice"));
    assert_eq!(get(&httpd, "/members/", &format!("{other}{NAVIGATE}")).status, 403);
    let program = get(&httpd, "/members/", &other);
    assert!(program.status == 401 && challenge(&program));
    assert_eq!(get(&httpd, "/members/", NAVIGATE).status, 302);
    httpd.finish();
}

#[test]
fn a_place_that_demands_a_user_and_asks_for_none_is_told_of() {
    let (path, _) = sqlite("auth.User");
    let mut django = Sessions::start("db", path.to_str().unwrap());
    let config = base(&format!("sqlite:{}", path.display()), "db optional")
        + "<Location />\nAuthType None\nRequire valid-user\n</Location>\n";
    let mut httpd = setup(config).start();
    httpd.expect_in_log("no AuthType says how to ask for one");
    assert_eq!(get(&httpd, "/members/", NAVIGATE).status, 401);
    assert_eq!(status(&httpd, "/members/", &django.log_in("alice")), 200);
    httpd.finish();
}

fn rules(population: &Population) -> Vec<(String, String)> {
    let mut rules: Vec<(String, String)> = [
        ("user", "user alice"),
        ("valid-user", "valid-user"),
        ("group", "group secret-agents"),
        ("django-group", "django-group \"top secret\""),
        ("django-staff", "django-staff"),
        ("django-superuser", "django-superuser"),
        ("django-query", "django-query named alice"),
    ]
    .iter()
    .map(|(path, rule)| ((*path).to_owned(), (*rule).to_owned()))
    .collect();
    for (n, permission) in population.permissions.iter().enumerate() {
        rules.push((format!("permission-{n}"), format!("django-permission \"{permission}\"")));
    }
    rules
}

#[test]
fn every_rule_judges_a_session_as_a_password() {
    let (path, population) = sqlite("auth.User");
    let mut django = Sessions::start("db", path.to_str().unwrap());
    let mut config = base(&format!("sqlite:{}", path.display()), "db")
        + &format!(
            "AuthDjangoQuery named \"SELECT 1 WHERE :username = :word1\"\n\
             <Location />\n{BASIC}AuthzSendForbiddenOnFailure On\n</Location>\n"
        );
    let rules = rules(&population);
    for (path, rule) in &rules {
        config += &format!("<Location /{path}>\nRequire {rule}\n</Location>\n");
    }
    let httpd = setup(config).start();
    let mut oracle = Oracle::start("5.2", path.to_str().unwrap(), "auth.User");
    let (mut granted, mut refused) = (0, 0);
    for name in ["alice", "bob", "permission-02", "permission-04", "permission-26", "permission-30"]
    {
        let session = cookie(&django.log_in(name));
        let person = population.users.iter().find(|person| person.username == name).unwrap();
        let password = basic(name, &person.password);
        for (path, _) in &rules {
            let path = format!("/{path}/");
            let answer = get(&httpd, &path, &session).status;
            assert_eq!(answer, get(&httpd, &path, &password).status, "{name} {path}");
            if answer == 404 {
                granted += 1
            } else {
                refused += 1
            }
            assert!([404, 403].contains(&answer), "{name} {path}: {answer}");
        }
        let [_, staff, superuser] = oracle.flags(name);
        let is = |path: &str| get(&httpd, path, &session).status == 404;
        assert_eq!((is("/django-staff/"), is("/django-superuser/")), (staff, superuser), "{name}");
    }
    assert!(granted > 30 && refused > 30, "{granted} granted, {refused} refused");
    httpd.finish();
}

#[test]
fn who_is_logged_in_and_may_not_is_never_asked_for_a_password() {
    let (path, _) = sqlite("auth.User");
    let mut django = Sessions::start("db", path.to_str().unwrap());
    let config = base(&format!("sqlite:{}", path.display()), "db")
        + &format!(
            "AuthDjangoLoginURL /login/\n<Location />\n{BASIC}Require group secret-agents\n</Location>\n\
             <Location /alone>\nAuthType Django\n</Location>\n\
             <Location /forbidden>\nAuthzSendForbiddenOnFailure On\n</Location>\n"
        );
    for mpm in MPMS {
        let mut httpd = setup(config.clone()).mpm(mpm).start();
        httpd.expect_in_log("AuthzSendForbiddenOnFailure On in its section makes it 403 Forbidden");
        let bob = cookie(&django.log_in("bob")) + NAVIGATE;
        for (path, status) in [("/secret/", 401), ("/alone/", 401), ("/forbidden/", 403)] {
            for _ in 0..3 {
                let answer = get(&httpd, path, &bob);
                assert_eq!((answer.status, challenge(&answer)), (status, false), "{mpm} {path}");
            }
        }
        let alice = cookie(&django.log_in("alice")) + NAVIGATE;
        assert_eq!(get(&httpd, "/secret/", &alice).status, 200);
        // With a password it is as ever.
        let answer = get(&httpd, "/secret/", &basic("bob", "bob secret"));
        assert_eq!((answer.status, challenge(&answer)), (401, true), "{mpm}");
        let children = if mpm == "prefork" { 12 } else { 1 };
        assert!(httpd.count_in_log("makes it 403 Forbidden") <= children, "{mpm}");
        httpd.finish();
    }
}

#[test]
fn a_script_is_told_who_it_is() {
    let (path, _) = sqlite("auth.User");
    let mut django = Sessions::start("db", path.to_str().unwrap());
    let config = base(&format!("sqlite:{}", path.display()), "db")
        + &format!(
            "AuthDjangoLoginURL /login/\nAuthDjangoExport id groups\n\
             SetEnvIf Request_URI . AUTHENTICATE_ID=forged AUTHENTICATE_GROUPS=forged\n\
             ScriptAlias /members/run {{dir}}/run\nScriptAlias /optional/run {{dir}}/run\n\
             ScriptAlias /basic/run {{dir}}/run\nScriptAlias /none/run {{dir}}/run\n\
             ScriptAlias /either/run {{dir}}/run\nScriptAlias /unsafe/run {{dir}}/run\n\
             <Location /members>\n{BASIC}Require valid-user\n</Location>\n\
             <Location /optional>\nAuthDjangoSession db optional\nAuthType Django\nRequire all granted\n</Location>\n\
             <Location /none>\nAuthDjangoSession db optional\nRequire all granted\n</Location>\n\
             <Location /basic>\nAuthDjangoSession db optional\n{BASIC}Require all granted\n</Location>\n\
             <Location /unsafe>\nAuthDjangoSession db optional unsafe-methods=allow\nRequire all granted\n</Location>\n\
             <Location /either>\nAuthDjangoSession db optional\n{BASIC}Require valid-user\n</Location>\n\
             <Location /demanded>\nAuthDjangoSession db optional\nAuthType Django\nRequire valid-user\n</Location>\n"
        );
    for mpm in MPMS {
        let setup = setup(config.clone()).mpm(mpm).modules(&["alias", "setenvif"]);
        let httpd = start_with_script(setup);
        let alice = cookie(&django.log_in("alice"));
        let known = "alice|Django|1|";
        for path in ["/members/run", "/optional/run", "/none/run", "/basic/run", "/either/run"] {
            let answer = get(&httpd, path, &(alice.clone() + NAVIGATE));
            let told = told(&answer);
            assert!(
                told.starts_with(known) && told.contains("secret-agents"),
                "{mpm} {path}: {told}"
            );
        }
        let forged = "Remote-User: alice\r\nREMOTE_USER: alice\r\nAuthenticate-Id: 1\r\n";
        for headers in [NAVIGATE.to_owned(), cookie("tampered") + FETCH, forged.to_owned()] {
            for path in ["/optional/run", "/none/run", "/basic/run"] {
                let answer = get(&httpd, path, &headers);
                assert_eq!((answer.status, told(&answer)), (200, "||||"), "{mpm} {path}");
            }
        }
        // A place that demands one after all.
        let nobody = get(&httpd, "/either/run", NAVIGATE);
        assert_eq!((nobody.status, challenge(&nobody)), (401, true), "{mpm}");
        let nobody = get(&httpd, "/demanded/", NAVIGATE);
        assert_eq!((nobody.status, challenge(&nobody)), (401, false), "{mpm}");
        let password = get(&httpd, "/either/run", &basic("alice", "alice secret"));
        assert!(told(&password).starts_with("alice|Basic|1|"), "{}", password.body);
        // By a form of another site's, nobody in particular.
        let post = ask(&httpd, "POST", "/none/run", &format!("{alice}Content-Length: 0\r\n"));
        assert_eq!((post.status, told(&post)), (200, "||||"), "{mpm}");
        let post = ask(&httpd, "POST", "/unsafe/run", &format!("{alice}Content-Length: 0\r\n"));
        assert!(told(&post).starts_with(known), "{mpm}: {}", post.body);
        httpd.finish();
    }
}

/// The questions that the role's server was sent.
fn questions(cluster: &Cluster) -> usize {
    let log = fs::read_to_string(cluster.dir.join("log")).unwrap();
    let asked = |line: &&str| {
        line.contains("LOG:  execute")
            && (line.contains("auth_user") || line.contains("django_session"))
    };
    log.lines().filter(asked).count()
}

#[test]
fn a_listing_reads_its_session_once() {
    let (cluster, _) = Cluster::start("auth.User");
    let mut django = Sessions::start("db", &cluster.django());
    cluster.sql("postgres", "ALTER ROLE apache SET log_statement = 'all'");
    let config = base(&cluster.url(), "db")
        + &format!(
            "LogLevel authnz_django:debug\n<Directory {{dir}}/htdocs/list>\nOptions +Indexes\n\
             IndexOptions FancyIndexing\n</Directory>\n\
             <Location /list>\n{BASIC}<RequireAll>\nRequire valid-user\nRequire group secret-agents\n\
             </RequireAll>\n</Location>\n"
        );
    for mpm in MPMS {
        let mut setup = setup(config.clone()).mpm(mpm).modules(&["autoindex", "mime"]);
        if mpm == "prefork" {
            setup.mpm_lines = "StartServers 1\nServerLimit 1\nMaxRequestWorkers 1\n".into();
        }
        let (dir, port) = setup.write();
        fs::create_dir(dir.join("htdocs/list")).unwrap();
        for n in 0..30 {
            fs::write(dir.join(format!("htdocs/list/file-{n}.txt")), "x").unwrap();
        }
        let httpd = setup.start_in(dir, port);
        let alice = cookie(&django.log_in("alice"));
        // Whose session it is, this child learns by the first.
        for (n, expected) in [(1, 2), (2, 1), (3, 1)] {
            let before = questions(&cluster);
            let page = get(&httpd, "/list/", &alice);
            assert!(page.status == 200 && page.body.contains("file-29.txt"), "{}", page.body);
            assert_eq!(questions(&cluster) - before, expected, "{mpm} {n}");
            assert_eq!(httpd.count_in_log("user alice: session verified"), n, "{mpm}");
        }
        httpd.finish();
    }
}

#[test]
fn an_outage_is_503_and_never_a_password_box() {
    let (cluster, _) = Cluster::start("auth.User");
    let mut django = Sessions::start("db", &cluster.django());
    let config = base(&cluster.url(), "db")
        + &format!(
            "AuthDjangoLoginURL /login/\nAuthDjangoUnavailable not-found\n\
             <Location />\n{BASIC}Require valid-user\n</Location>\n\
             <Location /alone>\nAuthType Django\n</Location>\n\
             <Location /stale>\nAuthDjangoUnavailable stale=60\n</Location>\n\
             <Location /optional>\nAuthDjangoSession db optional\nRequire all granted\n</Location>\n"
        );
    for mpm in MPMS {
        let mut httpd = setup(config.clone()).mpm(mpm).start();
        httpd.expect_in_log("is not available");
        let alice = cookie(&django.log_in("alice")) + NAVIGATE;
        assert_eq!(get(&httpd, "/members/", &alice).status, 200);
        assert_eq!(get(&httpd, "/stale/", &alice).status, 404);
        cluster.stop();
        for path in ["/members/", "/alone/", "/stale/"] {
            let answer = get(&httpd, path, &alice);
            assert_eq!((answer.status, challenge(&answer)), (503, false), "{mpm} {path}");
            assert_eq!(answer.header("Retry-After"), Some("10"), "{mpm} {path}");
            // Who brings no cookie needs no database to be sent to the login page.
            assert_eq!(get(&httpd, path, NAVIGATE).status, 302, "{mpm} {path}");
        }
        let optional = get(&httpd, "/optional/", &alice);
        assert_eq!((optional.status, optional.header("Retry-After")), (404, None), "{mpm}");
        cluster.begin();
        crate::common::wait_until("the database's return", 15, || {
            get(&httpd, "/members/", &alice).status == 200
        });
        drop(django);
        httpd.finish();
        django = Sessions::start("db", &cluster.django());
    }
}

#[test]
fn keys_come_from_files_and_outlive_a_restart() {
    let (path, _) = sqlite("auth.User");
    let mut django = Sessions::start("db", path.to_str().unwrap());
    let config = format!(
        "AuthDjangoDatabase sqlite:{}\nAuthDjangoSecretKey file:{{dir}}/key \"exec:/bin/cat {{dir}}/older\"\n\
         <Location />\nAuthDjangoSession db\nAuthType Django\nRequire valid-user\n</Location>\n",
        path.display()
    );
    let setup = Setup::new("keys", config);
    let (dir, port) = setup.write();
    let write = |name: &str, text: &str| {
        fs::write(dir.join(name), text).unwrap();
        fs::set_permissions(dir.join(name), fs::Permissions::from_mode(0o600)).unwrap();
    };
    write("key", "newer\n");
    write("older", &format!("{SECRET_KEY}\n"));
    let mut httpd = setup.start_in(dir.clone(), port);
    let older = django.log_in("alice");
    let newer = django.log_in_with("alice", json!({"SECRET_KEY": "newer"}));
    let both =
        |httpd: &Httpd| (status(httpd, "/members/", &older), status(httpd, "/members/", &newer));
    assert_eq!(both(&httpd), (200, 200));
    // A restart takes what it can read.
    fs::remove_file(dir.join("older")).unwrap();
    httpd.expect_in_log("AuthDjangoSecretKey exec:/bin/cat");
    // The program's own words.
    httpd.expect_in_log("older: No such file or directory");
    httpd.expect_in_log("this restart goes on with the one read before");
    httpd.signal("USR1");
    crate::common::wait_until("the restart", 20, || httpd.log().contains("read before"));
    assert_eq!(both(&httpd), (200, 200));
    httpd.finish();
}

#[test]
fn configtest_runs_no_program_for_a_key() {
    let dir = crate::common::directory("vault");
    let (vault, asked) = (dir.join("vault"), dir.join("asked"));
    let script = format!("#!/bin/sh\necho asked >>{}\necho {SECRET_KEY}\n", asked.display());
    fs::write(&vault, script).unwrap();
    fs::set_permissions(&vault, fs::Permissions::from_mode(0o700)).unwrap();
    let (path, _) = sqlite("auth.User");
    let config = format!(
        "AuthDjangoDatabase sqlite:{}\nAuthDjangoSecretKey exec:{}\n\
         <Location />\nAuthDjangoSession db\nAuthType Django\nRequire valid-user\n</Location>\n",
        path.display(),
        vault.display()
    );
    Setup::new("vault", &*config).configtest().unwrap();
    assert!(!asked.exists());
    // httpd itself does.
    let mut django = Sessions::start("db", path.to_str().unwrap());
    let httpd = Setup::new("vault", config).start();
    assert_eq!(status(&httpd, "/members/", &django.log_in("alice")), 200);
    assert_eq!(fs::read_to_string(asked).unwrap(), "asked\n", "once for both rounds of a start");
    httpd.finish();
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn what_does_not_fit_together_is_said_by_configtest() {
    let (path, _) = sqlite("auth.User");
    let database = format!("AuthDjangoDatabase sqlite:{}\n", path.display());
    let key = "AuthDjangoSecretKey env:SECRET_KEY\n";
    let place =
        "<Location />\nAuthDjangoSession db\nAuthType Django\nRequire valid-user\n</Location>\n";
    let test = |config: String| setup(config).configtest();
    assert!(test(format!("{database}{key}{place}")).unwrap().contains("Syntax OK"));
    assert!(test(format!("{place}{key}{database}")).unwrap().contains("Syntax OK"));
    for (config, reason) in [
        (format!("{database}{place}"), "add AuthDjangoSecretKey"),
        (format!("{key}{place}"), "add AuthDjangoDatabase"),
        (format!("{database}{key}AuthDjangoSession cache\n"), "cached_db"),
        (format!("{database}{key}AuthDjangoSession file\n"), "SESSION_FILE_PATH"),
        (format!("{database}{key}AuthDjangoSession file path=/etc/passwd\n"), "is not a directory"),
        (format!("{database}{key}AuthDjangoSession db timezone=Mars/Olympus\n"), "Mars/Olympus"),
        (format!("{database}AuthDjangoSecretKey hunter2\n"), "must be file:PATH"),
        (format!("{database}AuthDjangoSecretKey file:/etc/passwd\n"), "open to every user"),
        ("AuthDjangoLoginURL //evil.example/\n".into(), "name of a server"),
        ("AuthDjangoLoginURL login\n".into(), "must be a path"),
        ("AuthDjangoLoginURL javascript:alert(1)\n".into(), "must be a path"),
        ("AuthDjangoLoginURL /\\\\evil.example/\n".into(), "backslashes"),
        (
            format!(
                "{database}{key}AuthDjangoQuery people \"SELECT 1\"\n\
                 AuthDjangoUserModel auth.User query=people\nAuthDjangoSession db\n"
            ),
            "needs a table of users",
        ),
    ] {
        let message = test(config.clone()).unwrap_err();
        assert!(message.contains(reason) && !message.contains("hunter2"), "{config}{message}");
    }
}

#[test]
fn a_place_that_lacks_something_is_an_error_of_ours() {
    let (path, _) = sqlite("auth.User");
    let mut django = Sessions::start("db", path.to_str().unwrap());
    let config = format!(
        "AuthDjangoDatabase sqlite:{}\n<Location />\nAuthDjangoSession db\nAuthType Django\n\
         Require valid-user\n</Location>\n\
         <Location /other>\nAuthDjangoSecretKey env:SECRET_KEY\n</Location>\n\
         <Location /none>\nAuthDjangoSession off\n</Location>\n",
        path.display()
    );
    let mut httpd = setup(config).start();
    httpd.expect_in_log("no AuthDjangoSecretKey is set for this place");
    httpd.expect_in_log("AuthType Django lets in by sessions alone");
    let alice = django.log_in("alice");
    assert_eq!(status(&httpd, "/other/", &alice), 404);
    assert_eq!(status(&httpd, "/members/", &alice), 500);
    assert_eq!(status(&httpd, "/none/", &alice), 500);
    httpd.finish();
}

#[test]
fn a_foreign_key_is_told_to_the_administrator() {
    let (database, _) = Database::start("sqlite", "auth.User");
    let mut django = Sessions::start("db", &database.django());
    let config = base(&database.url(), "db")
        + &format!(
            "AuthDjangoSecretKey env:NEWER_KEY\n<Location />\n{BASIC}Require valid-user\n</Location>\n"
        );
    let mut httpd = setup(config).start();
    httpd.expect_in_log("is AuthDjangoSecretKey the SECRET_KEY of this site");
    let alice = django.log_in("alice");
    assert_eq!(status(&httpd, "/members/", &alice), 401);
    let log = httpd.log();
    assert!(!log.contains(&alice), "{log}");
    // What no Django has written is no news.
    let told = httpd.count_in_log("is AuthDjangoSecretKey the SECRET_KEY");
    assert_eq!(status(&httpd, "/members/", "abcdefghijklmnopqrstuvwxyz012345"), 401);
    assert_eq!(httpd.count_in_log("is AuthDjangoSecretKey the SECRET_KEY"), told);
    httpd.finish();
}
