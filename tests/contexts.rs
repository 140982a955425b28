//! Two Django sites in one httpd, by virtual host, by directory, by provider and by alias; and what
//! .htaccess may hold.

use crate::common::client::{basic, send};
use crate::common::cluster::{Database, sqlite};
use crate::common::django::Oracle;
use crate::common::httpd::Setup;
use mod_authnz_django::config::DIRECTIVES;
use std::fmt::Write;
use std::fs;

/// `secret` in SHA-1, as `htpasswd -s` writes it.
const FILE_PASSWORD: &str = "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=";

/// Every Require line: its name and its words.
const RULES: [(&str, &str); 6] = [
    ("group", "permitted"),
    ("django-group", "permitted"),
    ("django-staff", ""),
    ("django-superuser", ""),
    ("django-permission", "auth.view_group"),
    ("django-query", "may permission-08"),
];

// Of populate.py's users: bit 0 inactive, 1 staff, 2 superuser, 3 direct permissions, 4 by group.
const USERS: [&str; 7] = [
    "permission-00",
    "permission-02",
    "permission-04",
    "permission-08",
    "permission-16",
    "permission-26",
    "permission-31",
];

/// In the other site the same names are other people's.
const SWAPPED: &str = "UPDATE auth_user SET is_staff = NOT is_staff, is_superuser = NOT is_superuser \
     WHERE username LIKE 'permission-%';
     DELETE FROM auth_user_groups;
     INSERT INTO auth_user_groups (user_id, group_id) SELECT u.id, g.id FROM auth_user u, auth_group g \
     WHERE g.name = 'permitted' AND u.username IN ('permission-00', 'permission-08')";

/// What Django says of a user to each of `RULES`.
fn answers(oracle: &mut Oracle, user: &str, may: bool) -> [bool; 6] {
    let [active, staff, superuser] = oracle.flags(user);
    let member = oracle.groups_for_user(user).iter().any(|group| group == "permitted");
    let permitted = oracle.has_perm(user, &["auth.view_group".into()])[0];
    [member, member, active && staff, active && superuser, permitted, active && may]
}

#[test]
fn two_sites_in_one_server_answer_each_for_itself() {
    let (one, _) = Database::start("sqlite", "auth.User");
    let (two, _) = Database::start("postgresql", "accounts.Colleague");
    one.sql(SWAPPED);
    let sites = [
        (
            "one",
            format!(
                "AuthDjangoDatabase {}\nAuthDjangoQuery may \"SELECT 1 FROM auth_user \
                 WHERE id = :user_id AND username = :word1\"\n",
                one.url()
            ),
        ),
        (
            "two",
            format!(
                "AuthDjangoDatabase {}\nAuthDjangoUserModel accounts.Employee table=accounts_person id=key \
                 child=accounts_employee.person_ptr_id username=name password=accounts_employee.password \
                 is_staff=accounts_employee.is_staff is_superuser=accounts_employee.is_superuser \
                 groups_table=accounts_employee_groups \
                 permissions_table=accounts_employee_user_permissions\n\
                 AuthDjangoQuery may \"SELECT 1 FROM accounts_person \
                 WHERE key = :user_id AND name <> :word1\"\n",
                two.url()
            ),
        ),
    ];
    let login = "AuthType Basic\nAuthName x\nAuthBasicProvider";
    let mut config = String::from("AuthDjangoPasswordHashers pbkdf2_sha256:1000\n");
    writeln!(config, "<Location /host>\n{login} django\n</Location>").unwrap();
    for (rule, words) in RULES {
        writeln!(config, "<Location /host/{rule}>\nRequire {rule} {words}\n</Location>").unwrap();
    }
    for (site, lines) in &sites {
        write!(
            config,
            "<Directory {{dir}}/htdocs/{site}>\n{lines}{login} django\n</Directory>\n\
             <AuthnProviderAlias django site-{site}>\n{lines}</AuthnProviderAlias>\n\
             <Location /provider/{site}>\n{login} site-{site}\n</Location>\n\
             <Location /alias/{site}>\n{login} file\nAuthUserFile {{dir}}/users\n</Location>\n\
             <VirtualHost *>\nServerName {site}\n{lines}</VirtualHost>\n"
        )
        .unwrap();
        for (rule, words) in RULES {
            write!(
                config,
                "<AuthzProviderAlias {rule} {site}-{rule} \"{words}\">\n{lines}</AuthzProviderAlias>\n\
                 <Location /{site}/{rule}>\nRequire {rule} {words}\n</Location>\n\
                 <Location /provider/{site}/{rule}>\nRequire {site}-{rule}\n</Location>\n\
                 <Location /alias/{site}/{rule}>\nRequire {site}-{rule}\n</Location>\n"
            )
            .unwrap();
        }
    }
    let setup = Setup::new("twosites", config);
    let (dir, port) = setup.write();
    let users = USERS.map(|user| format!("{user}:{FILE_PASSWORD}\n")).concat();
    fs::write(dir.join("users"), users).unwrap();
    for (site, _) in &sites {
        fs::create_dir(dir.join("htdocs").join(site)).unwrap();
    }
    let httpd = setup.start_in(dir, port);
    let status = |host: &str, path: &str, headers: &str| {
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{headers}Connection: close\r\n\r\n");
        send(httpd.port, &request).unwrap().status
    };
    let mut differ = 0;
    let mut oracles = [
        Oracle::start("5.2", &one.django(), "auth.User"),
        Oracle::start("5.2", &two.django(), "accounts.Colleague"),
    ];
    for user in USERS {
        let may = user == "permission-08";
        let [first, second] = &mut oracles;
        let expected = [answers(first, user, may), answers(second, user, !may)];
        for (rule, (name, _)) in RULES.iter().enumerate() {
            differ += usize::from(expected[0][rule] != expected[1][rule]);
            for (site, (host, _)) in sites.iter().enumerate() {
                for path in [
                    format!("/host/{name}"),
                    format!("/{host}/{name}"),
                    format!("/provider/{host}/{name}"),
                    format!("/alias/{host}/{name}"),
                ] {
                    let wanted = if expected[site][rule] { 404 } else { 401 };
                    let asked = format!("{host} {path} {user}");
                    assert_eq!(status(host, &path, &basic(user, "secret")), wanted, "{asked}");
                    assert_eq!(status(host, &path, &basic(user, "wrong")), 401, "{asked}");
                }
            }
        }
    }
    assert!(differ > 15, "{differ}");
    for (rule, _) in RULES {
        for path in ["host", "one", "provider/two", "alias/one"] {
            assert_eq!(status("one", &format!("/{path}/{rule}"), ""), 401, "{path} {rule}");
        }
    }
    httpd.finish();
}

fn base() -> String {
    let (path, _) = sqlite("auth.User");
    format!(
        "AuthDjangoDatabase sqlite:{}\nAuthDjangoPasswordHashers pbkdf2_sha256:1000\n\
         AuthDjangoQuery may \"SELECT 1 WHERE :username = :word1\"\n\
         <Location />\nAuthType Basic\nAuthName x\nAuthBasicProvider django\n</Location>\n",
        path.display()
    )
}

#[test]
fn htaccess_may_hold_every_require_line() {
    let setup = Setup::new("htaccess", base());
    let (dir, port) = setup.write();
    let file = dir.join("htdocs/members/.htaccess");
    let mut httpd = setup.start_in(dir, port);
    for (line, granted, refused) in [
        ("group permitted", "permission-16", "permission-08"),
        ("django-group permitted", "permission-16", "permission-08"),
        ("django-staff", "permission-02", "permission-04"),
        ("django-superuser", "permission-04", "permission-02"),
        ("django-permission auth.view_group", "permission-08", "permission-16"),
        ("django-query may permission-08", "permission-08", "permission-16"),
        ("django-query may %{REQUEST_METHOD}-08", "", "permission-08"),
    ] {
        fs::write(&file, format!("Require {line}\n")).unwrap();
        if !granted.is_empty() {
            assert_eq!(httpd.status("/members/", granted, "secret"), 200, "{line}");
        }
        assert_eq!(httpd.status("/members/", refused, "secret"), 401, "{line}");
        assert_eq!(httpd.status("/members/", "permission-31", "secret"), 401, "{line}");
        assert_eq!(httpd.get("/members/").status, 401, "{line}");
    }
    for (line, reason) in [
        ("group", "Require group: needs the name of a group"),
        ("django-permission view_group", "\"view_group\" is not a permission"),
        ("django-query", "Require django-query: needs the name"),
    ] {
        fs::write(&file, format!("Require {line}\n")).unwrap();
        httpd.expect_in_log(reason);
        assert_eq!(httpd.status("/members/", "permission-04", "secret"), 500, "{line}");
    }
    httpd.finish();
}

/// Whoever writes it could have other users let in. Whatever the server allows there.
#[test]
fn htaccess_holds_none_of_our_directives_and_the_log_says_why() {
    let names: Vec<&str> = DIRECTIVES.iter().map(|row| row.name.to_str().unwrap()).collect();
    let config = base()
        + &format!(
            "<Directory {{dir}}/htdocs/members>\nAllowOverride None\nAllowOverrideList Require {}\n</Directory>\n\
             <Directory {{dir}}/htdocs/secret>\nAllowOverride FileInfo\n</Directory>\n\
             <Location />\nRequire valid-user\n</Location>\n",
            names.join(" ")
        );
    let setup = Setup::new("htaccess", config);
    let (dir, port) = setup.write();
    let mut httpd = setup.start_in(dir.clone(), port);
    httpd.expect_in_log("never in .htaccess");
    let mut refused = 0;
    for name in &names {
        // AllowOverrideList does not name the sections.
        for (lines, folders) in [
            (format!("{name} default\n"), &["public", "secret", "members"][..]),
            (format!("<Files *>\n{name} sqlite:/tmp/x\n</Files>\n"), &["public", "secret"]),
            (format!("<If \"true\">\n{name} a b\n</If>\n"), &["public", "secret"]),
        ] {
            for folder in folders {
                let file = dir.join("htdocs").join(folder).join(".htaccess");
                fs::write(&file, &lines).unwrap();
                let status = httpd.status(&format!("/{folder}/"), "alice", "alice secret");
                assert_eq!(status, 500, "{folder} {lines}");
                fs::remove_file(&file).unwrap();
                assert_eq!(httpd.status(&format!("/{folder}/"), "alice", "alice secret"), 200);
                refused += 1;
            }
        }
        let text = format!("/.htaccess: {name}: belongs in the server's configuration, never in");
        assert_eq!(httpd.count_in_log(&text), 7, "{}", httpd.log());
    }
    assert_eq!(httpd.count_in_log("never in .htaccess"), refused);
    httpd.finish();
}
