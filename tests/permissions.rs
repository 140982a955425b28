//! `Require django-staff`, `django-superuser` and `django-permission`, asked of Apache and of Django.

use crate::common::cluster::{Cluster, Database, sqlite};
use crate::common::django::{Oracle, Population, user_model};
use crate::common::httpd::{Httpd, Setup};
use std::fmt::Write;
use std::fs;

/// `secret` in SHA-1, as `htpasswd -s` writes it.
const FILE_PASSWORD: &str = "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=";

const SECTION: &str = "AuthType Basic\nAuthName x\nAuthBasicProvider django\n";

fn base(url: &str, model: &str) -> String {
    format!(
        "AuthDjangoDatabase {url}\n{}AuthDjangoPasswordHashers pbkdf2_sha256:1000\n\
         <Location />\n{SECTION}</Location>\n",
        user_model(model)
    )
}

/// All that there are, and some that only look like them.
fn asked(population: &Population) -> Vec<String> {
    let mut permissions = population.permissions.clone();
    for other in [
        "auth.view_GROUP",
        "Auth.view_group",
        "auth.view_grou",
        "auth.view_group2",
        "auth.sign",
        "contenttypes.view_group",
        "auth.*",
        "no.such",
    ] {
        assert!(!permissions.iter().any(|known| known == other));
        permissions.push(other.to_owned());
    }
    permissions
}

fn agrees_with_django(kind: &str, model: &str) {
    let (database, population) = Database::start(kind, model);
    let permissions = asked(&population);
    let mut config = base(&database.url(), model);
    for (n, permission) in permissions.iter().enumerate() {
        let line = format!("Require django-permission \"{permission}\"");
        writeln!(config, "<Location /permission/{n}>\n{line}\n</Location>").unwrap();
    }
    for rule in ["django-staff", "django-superuser", "django-group permitted"] {
        let path = rule.split(' ').next().unwrap();
        writeln!(config, "<Location /{path}>\nRequire {rule}\n</Location>").unwrap();
    }
    let httpd = Setup::new("permissions", config).start();
    let mut oracle = Oracle::start("5.2", &database.django(), model);
    let (mut granted, mut refused) = (0, 0);
    let users = population.users.iter().filter(|person| {
        let name = person.username.split('@').next().unwrap();
        person.kind == "permission" || ["alice", "carol", "everywhere"].contains(&name)
    });
    for person in users {
        let mut check = |path: &str, expected: bool| {
            let status = httpd.status(path, &person.username, &person.password);
            let expected_status = if expected { 404 } else { 401 };
            assert_eq!(status, expected_status, "{kind} {model} {path} {}", person.username);
            if expected { granted += 1 } else { refused += 1 }
        };
        let [active, staff, superuser] = oracle.flags(&person.username);
        check("/django-staff/", active && staff);
        check("/django-superuser/", active && superuser);
        let groups = oracle.groups_for_user(&person.username);
        check("/django-group/", groups.iter().any(|group| group == "permitted"));
        let answers = oracle.has_perm(&person.username, &permissions);
        for (n, answer) in answers.into_iter().enumerate() {
            check(&format!("/permission/{n}/"), answer);
        }
    }
    assert!(granted > 200 && refused > 400, "{granted} granted, {refused} refused");
    httpd.finish();
}

#[test]
fn permissions_are_djangos() {
    for kind in Database::KINDS {
        agrees_with_django(kind, "auth.User");
    }
}

#[test]
fn permissions_are_djangos_for_a_custom_user_model() {
    for kind in Database::KINDS {
        agrees_with_django(kind, "accounts.User");
    }
}

#[test]
fn permissions_are_djangos_for_a_user_model_whose_names_follow_no_rule() {
    for kind in Database::KINDS {
        agrees_with_django(kind, "accounts.Odd");
    }
}

fn check(httpd: &Httpd, expected: &[(&str, &str, u16)]) {
    for (path, user, status) in expected {
        assert_eq!(httpd.status(path, user, "secret"), *status, "{path} {user}");
        assert_eq!(httpd.status(path, user, "wrong"), 401, "{path} {user}");
    }
}

// Of populate.py's users: bit 0 inactive, 1 staff, 2 superuser, 3 direct permissions, 4 by group.
const NOBODY: &str = "permission-00";
const STAFF: &str = "permission-02";
const SUPERUSER: &str = "permission-04";
const INACTIVE: &str = "permission-31";
const DIRECT: &str = "permission-08";
const BY_GROUP: &str = "permission-16";
const STAFF_BOTH: &str = "permission-26";

#[test]
fn permissions_combine_as_httpd_combines_them() {
    let (path, _) = sqlite("auth.User");
    let mut config = base(&format!("sqlite:{}", path.display()), "auth.User");
    config += "<AuthzProviderAlias django-permission may-view auth.view_group>\n</AuthzProviderAlias>\n\
               <AuthzProviderAlias django-staff crew>\n</AuthzProviderAlias>\n";
    let all = "<RequireAll>\nRequire django-staff\nRequire django-permission auth.view_group\n\
               Require django-permission auth.ünïcode\n</RequireAll>";
    let not = "<RequireAll>\nRequire valid-user\nRequire not django-staff\n\
               Require not django-permission auth.view_group\n</RequireAll>";
    let rules = [
        ("staff", "Require django-staff"),
        ("superuser", "Require django-superuser"),
        ("any", "Require django-permission no.such auth.ünïcode auth.view_group"),
        ("quoted", "Require django-permission \"auth.sign.contracts\""),
        ("all", all),
        ("not", not),
        (
            "none",
            "<RequireAll>\nRequire valid-user\n<RequireNone>\nRequire django-superuser\n</RequireNone>\n</RequireAll>",
        ),
        ("expr", "Require django-permission \"auth.%{HTTP:X-May}\""),
        ("alias", "Require may-view"),
        ("crew", "Require crew"),
    ];
    for (name, rule) in rules {
        writeln!(config, "<Location /{name}>\n{rule}\n</Location>").unwrap();
    }
    let setup = Setup::new("combine", config);
    let (dir, port) = setup.write();
    fs::write(dir.join("htdocs/members/.htaccess"), "Require django-permission auth.view_group\n")
        .unwrap();
    fs::write(dir.join("htdocs/secret/.htaccess"), "Require django-permission view_group\n")
        .unwrap();
    let mut httpd = setup.start_in(dir, port);
    httpd.expect_in_log("\"view_group\" is not a permission");
    check(
        &httpd,
        &[
            ("/staff", STAFF, 404),
            ("/staff", SUPERUSER, 401),
            ("/staff", INACTIVE, 401),
            ("/superuser", SUPERUSER, 404),
            ("/superuser", STAFF, 401),
            ("/superuser", INACTIVE, 401),
            ("/any", DIRECT, 404),
            ("/any", BY_GROUP, 404),
            ("/any", SUPERUSER, 404),
            ("/any", STAFF, 401),
            ("/any", NOBODY, 401),
            ("/any", INACTIVE, 401),
            ("/quoted", DIRECT, 404),
            ("/quoted", BY_GROUP, 401),
            ("/all", STAFF_BOTH, 404),
            ("/all", STAFF, 401),
            ("/all", DIRECT, 401),
            ("/all", SUPERUSER, 401),
            ("/not", NOBODY, 404),
            ("/not", BY_GROUP, 404),
            ("/not", DIRECT, 401),
            ("/not", STAFF, 401),
            ("/not", SUPERUSER, 401),
            ("/none", NOBODY, 404),
            ("/none", SUPERUSER, 401),
            ("/expr", SUPERUSER, 404),
            ("/expr", DIRECT, 401),
            ("/alias", DIRECT, 404),
            ("/alias", NOBODY, 401),
            ("/crew", STAFF, 404),
            ("/crew", NOBODY, 401),
            ("/members/", DIRECT, 200),
            ("/members/", BY_GROUP, 401),
        ],
    );
    assert_eq!(httpd.status("/secret/", SUPERUSER, "secret"), 500);
    // Without credentials every line asks for them.
    for path in
        rules.map(|(name, _)| format!("/{name}")).iter().map(String::as_str).chain(["/members/"])
    {
        let response = httpd.get(path);
        assert_eq!(response.status, 401, "{path}");
        assert!(response.header("WWW-Authenticate").unwrap().starts_with("Basic"), "{path}");
    }
    httpd.finish();
}

/// Permissions come with the row, however many lines ask; an alias, whose line is not the
/// section's, costs one question more; whom a file lets in, one.
#[test]
fn permissions_are_one_query() {
    let (cluster, _) = Cluster::start("auth.User");
    cluster.sql("postgres", "ALTER ROLE apache SET log_statement = 'all'");
    let many = "<RequireAll>\nRequire django-staff\nRequire not django-superuser\n\
                Require django-permission auth.view_group\nRequire django-permission auth.ünïcode\n\
                Require group permitted\nRequire not group nobody\n</RequireAll>\n";
    let config = base(&cluster.url(), "auth.User")
        + "<AuthzProviderAlias django-permission may-view auth.view_group>\n</AuthzProviderAlias>\n"
        + &format!(
            "<Location /members>\n{many}</Location>\n\
             <Location /secret>\nAuthBasicProvider file\nAuthUserFile {{dir}}/users\n{many}</Location>\n\
             <Location /alias>\nRequire may-view\n</Location>\n\
             <Location /plain>\nRequire valid-user\n</Location>\n"
        );
    let setup = Setup::new("onequery", config);
    let (dir, port) = setup.write();
    let names = [STAFF_BOTH, SUPERUSER, INACTIVE, "zoe"];
    let users: String = names.iter().map(|name| format!("{name}:{FILE_PASSWORD}\n")).collect();
    fs::write(dir.join("users"), users).unwrap();
    let httpd = setup.start_in(dir, port);
    let log = || fs::read_to_string(cluster.dir.join("log")).unwrap();
    let statements = || {
        let log = log();
        log.lines().filter(|line| line.contains("execute") && line.contains("auth_user")).count()
    };
    for (path, user, status, queries) in [
        ("/members/", STAFF_BOTH, 200, 1),
        ("/members/", SUPERUSER, 401, 1),
        ("/secret/", STAFF_BOTH, 200, 1),
        ("/secret/", SUPERUSER, 401, 1),
        ("/secret/", INACTIVE, 401, 1),
        ("/secret/", "zoe", 401, 1),
        ("/alias", DIRECT, 404, 2),
    ] {
        let before = statements();
        assert_eq!(httpd.status(path, user, "secret"), status, "{path} {user}");
        assert_eq!(statements() - before, queries, "{path} {user}");
    }
    // What no line asks for is not read.
    let before = log().len();
    assert_eq!(httpd.status("/plain", DIRECT, "secret"), 404);
    assert!(!log()[before..].contains("auth_permission"), "{}", &log()[before..]);
    httpd.finish();
}
