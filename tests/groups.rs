//! `Require group` and `Require django-group`, with and without AuthGroupFile, whoever vouches for
//! the user.

use crate::common::client::{basic, get, send};
use crate::common::cluster::sqlite;
use crate::common::django::python;
use crate::common::httpd::{Httpd, Setup};
use crate::common::run;
use std::fs;
use std::path::Path;

/// `secret` in SHA-1, as `htpasswd -s` writes it.
const FILE_PASSWORD: &str = "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=";

fn base(path: &Path) -> String {
    format!(
        "AuthDjangoDatabase sqlite:{}\nAuthDjangoPasswordHashers pbkdf2_sha256:1000\n\
         <Location />\nAuthType Basic\nAuthName x\nAuthBasicProvider django\n</Location>\n",
        path.display()
    )
}

fn start(setup: Setup, files: &[(&str, &str)]) -> Httpd {
    let (dir, port) = setup.write();
    for (name, text) in files {
        fs::write(dir.join(name), text).unwrap();
    }
    setup.start_in(dir, port)
}

fn check(httpd: &Httpd, expected: &[(&str, &str, &str, u16)]) {
    for (path, user, password, status) in expected {
        assert_eq!(httpd.status(path, user, password), *status, "{path} {user}");
    }
}

/// Without credentials every Require asks for them.
fn asks(httpd: &Httpd, paths: &[&str]) {
    for path in paths {
        let response = httpd.get(path);
        assert_eq!(response.status, 401, "{path}");
        assert!(response.header("WWW-Authenticate").unwrap().starts_with("Basic"), "{path}");
    }
}

#[test]
fn rules_combine_as_httpd_combines_them() {
    let (path, _) = sqlite("auth.User");
    let rules = [
        ("one", "Require group secret-agents"),
        ("any", "Require group nobody-here \"top secret\""),
        ("django", "Require django-group secret-agents"),
        ("case", "Require group Secret-agents"),
        (
            "all",
            "<RequireAll>\nRequire group secret-agents\nRequire group \"top secret\"\n</RequireAll>",
        ),
        (
            "both",
            "<RequireAll>\nRequire group secret-agents\nRequire django-group \"nobody is in it\"\n</RequireAll>",
        ),
        ("either", "<RequireAny>\nRequire user bob\nRequire group secret-agents\n</RequireAny>"),
        ("not", "<RequireAll>\nRequire valid-user\nRequire not group secret-agents\n</RequireAll>"),
        (
            "none",
            "<RequireAll>\nRequire valid-user\n<RequireNone>\nRequire django-group secret-agents\n</RequireNone>\n</RequireAll>",
        ),
        ("expr", "Require group \"%{HTTP:X-Group}\""),
        ("trap", "Require valid-user\nRequire group secret-agents"),
    ];
    let mut config = base(&path);
    for (name, rule) in rules {
        config += &format!("<Location /{name}>\n{rule}\n</Location>\n");
    }
    let mut httpd = start(Setup::new("rules", config), &[]);
    httpd.expect_in_log("Require valid-user lets every user in");
    let alice = |path| (path, "alice", "alice secret");
    let bob = |path| (path, "bob", "bob secret");
    for ((path, user, password), status) in [
        (alice("/one"), 404),
        (bob("/one"), 401),
        (alice("/any"), 404),
        (bob("/any"), 401),
        (alice("/django"), 404),
        (bob("/django"), 401),
        (alice("/case"), 401),
        (bob("/case"), 401),
        (alice("/all"), 404),
        (bob("/all"), 401),
        (alice("/both"), 401),
        (bob("/both"), 401),
        (alice("/either"), 404),
        (bob("/either"), 404),
        (alice("/not"), 401),
        (bob("/not"), 404),
        (alice("/none"), 401),
        (bob("/none"), 404),
        (alice("/trap"), 404),
        (bob("/trap"), 404),
    ] {
        assert_eq!(httpd.status(path, user, password), status, "{path} {user}");
        assert_eq!(httpd.status(path, user, "wrong"), 401, "{path} {user}");
    }
    asks(
        &httpd,
        &["/one", "/any", "/django", "/case", "/all", "/both", "/either", "/not", "/none", "/expr"],
    );
    let with = |group: &str| {
        let headers = basic("alice", "alice secret") + &format!("X-Group: {group}\r\n");
        get(httpd.port, "/expr", &headers).status
    };
    assert_eq!((with("secret-agents"), with("top secret")), (404, 404));
    // What a client sends stays one word.
    assert_eq!(
        (with("nobody secret-agents"), with("x\" \"secret-agents"), with("")),
        (401, 401, 401)
    );
    httpd.finish();
}

#[test]
fn carol_is_not_active_and_is_in_no_group() {
    let (path, _) = sqlite("auth.User");
    let config = base(&path) + "<Location /secret>\nRequire group secret-agents\n</Location>\n";
    let httpd = start(Setup::new("carol", config), &[]);
    check(
        &httpd,
        &[("/secret/", "carol", "carol secret", 401), ("/secret/", "alice", "alice secret", 200)],
    );
    httpd.finish();
}

/// Users of the file may be members by the file alone; ours by Django or by the file.
#[test]
fn group_files_and_django_groups_stay_apart_whatever_the_order_of_modules() {
    let (path, _) = sqlite("auth.User");
    let config = base(&path)
        + "<Location /file>\nAuthBasicProvider file\nAuthUserFile {dir}/users\nAuthGroupFile {dir}/groups\n\
           Require group secret-agents\n</Location>\n\
           <Location /file/django>\nAuthBasicProvider file\nRequire django-group secret-agents\n</Location>\n\
           <Location /django>\nAuthGroupFile {dir}/groups\nRequire group secret-agents\n</Location>\n\
           <Location /nofile>\nAuthBasicProvider file\nAuthUserFile {dir}/users\nRequire group secret-agents\n</Location>\n";
    // bob is a member by the file, alice by Django; in the file's section alice is the file's.
    let files = [
        (
            "users",
            format!(
                "alice:{FILE_PASSWORD}\nbob:{FILE_PASSWORD}\ncarol:{FILE_PASSWORD}\nzoe:{FILE_PASSWORD}\n"
            ),
        ),
        ("groups", "secret-agents: bob zoe\n".to_owned()),
    ];
    let files: Vec<_> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
    for module_first in [false, true] {
        let mut setup = Setup::new("groupfile", &config).modules(&["authz_groupfile"]);
        setup.module_first = module_first;
        let httpd = start(setup, &files);
        check(
            &httpd,
            &[
                ("/file", "bob", "secret", 404),
                ("/file", "alice", "secret", 401),
                ("/file/django", "alice", "secret", 404),
                ("/file/django", "bob", "secret", 401),
                ("/file/django", "carol", "secret", 401),
                ("/file/django", "zoe", "secret", 401),
                ("/django", "alice", "alice secret", 404),
                ("/django", "bob", "bob secret", 404),
                ("/django", "bob", "secret", 401),
                ("/nofile", "alice", "secret", 404),
                ("/nofile", "bob", "secret", 401),
                ("/nofile", "zoe", "secret", 401),
            ],
        );
        asks(&httpd, &["/file", "/file/django", "/django", "/nofile"]);
        httpd.signal("USR1");
        std::thread::sleep(std::time::Duration::from_millis(700));
        check(&httpd, &[("/file", "bob", "secret", 404), ("/file", "alice", "secret", 401)]);
        httpd.finish();
    }
}

/// Two sites, in each of them an alice, with other passwords and other groups.
#[test]
fn a_namesake_of_another_site_lends_nobody_its_groups() {
    let (here, _) = sqlite("auth.User");
    let (there, _) = sqlite("auth.User");
    run(python("5.2", "change.py", there.to_str().unwrap(), "auth.User").args([
        "password=alice=there secret",
        "ungroup=alice=secret-agents",
        "group=alice=nobody is in it",
    ]));
    let config = format!(
        "AuthDjangoPasswordHashers pbkdf2_sha256:1000\n\
         <AuthnProviderAlias django here>\nAuthDjangoDatabase sqlite:{}\n</AuthnProviderAlias>\n\
         <AuthnProviderAlias django there>\nAuthDjangoDatabase sqlite:{}\n</AuthnProviderAlias>\n\
         <AuthzProviderAlias django-group agents \"secret-agents\">\nAuthDjangoDatabase sqlite:{0}\n</AuthzProviderAlias>\n\
         <Location />\nAuthType Basic\nAuthName x\nAuthBasicProvider here\nAuthDjangoDatabase sqlite:{0}\n</Location>\n\
         <Location /agents>\nAuthBasicProvider there\nRequire group secret-agents\n</Location>\n\
         <Location /other>\nAuthBasicProvider there\nRequire django-group \"nobody is in it\"\n</Location>\n\
         <Location /alias>\nAuthBasicProvider there\nRequire agents\n</Location>\n\
         <Location /here>\nRequire agents\n</Location>\n\
         <Location /chain>\nAuthBasicProvider here there\nRequire valid-user\n</Location>\n",
        here.display(),
        there.display(),
    );
    let httpd = start(Setup::new("namesake", config), &[]);
    check(
        &httpd,
        &[
            ("/agents", "alice", "there secret", 401),
            ("/agents", "alice", "alice secret", 401),
            ("/other", "alice", "there secret", 404),
            ("/other", "alice", "alice secret", 401),
            ("/alias", "alice", "there secret", 401),
            ("/here", "alice", "alice secret", 404),
            ("/here", "alice", "there secret", 401),
            ("/chain", "alice", "alice secret", 404),
            // The first site knows her, and this is not her password: denied, the chain ends.
            ("/chain", "alice", "there secret", 401),
            // carol is not active in either.
            ("/chain", "carol", "carol secret", 401),
        ],
    );
    httpd.finish();
}

#[test]
fn a_sub_request_into_another_section_uses_that_sections_user() {
    let (path, _) = sqlite("auth.User");
    let config = base(&path)
        + "<Location /members>\nRequire valid-user\n</Location>\n\
           <Location /secret>\nAuthBasicProvider file\nAuthUserFile {dir}/users\nAuthGroupFile {dir}/groups\nRequire group secret-agents\n</Location>\n\
           <Location /page.shtml>\nRequire valid-user\n</Location>\n\
           <Directory {dir}/htdocs>\nOptions +Includes\nAddOutputFilter INCLUDES .shtml\n</Directory>\n";
    let files = [
        // The same name and password, so that httpd sends both sections the same credentials.
        ("users", "alice:{SHA}nothing\n"),
        ("groups", "secret-agents: bob\n"),
        (
            "htdocs/page.shtml",
            "[<!--#include virtual=\"/members/\" -->][<!--#include virtual=\"/secret/\" -->]",
        ),
    ];
    let mut httpd = start(
        Setup::new("include", config).modules(&["include", "authz_groupfile", "mime"]),
        &files,
    );
    httpd.expect_in_log("unable to include \"/secret/\"");
    let page = httpd.get_as("/page.shtml", "alice", "alice secret");
    assert_eq!(page.status, 200);
    assert!(
        page.body.contains("this is htdocs/members") && !page.body.contains("secret\n"),
        "{}",
        page.body
    );
    httpd.finish();
}

#[test]
fn a_user_without_authentication_is_asked_for_it_and_never_an_error() {
    let (path, _) = sqlite("auth.User");
    let config =
        base(&path) + "<Location /secret>\nRequire django-group secret-agents\n</Location>\n";
    let httpd = start(Setup::new("noauth", config), &[]);
    for header in [
        "Authorization: Basic\r\n",
        "Authorization: Bearer x\r\n",
        "Authorization: Basic !!!\r\n",
        "",
    ] {
        let request = format!(
            "GET /secret/ HTTP/1.1\r\nHost: localhost\r\n{header}Connection: close\r\n\r\n"
        );
        assert_eq!(send(httpd.port, &request).unwrap().status, 401, "{header}");
    }
    httpd.finish();
}
