//! `Require valid-user` beside a line of ours lets everybody in, and the module says so.

use crate::common::cluster::sqlite;
use crate::common::httpd::{Httpd, MPMS, Setup};
use crate::common::wait_until;
use std::fs;

const WORDS: &str = "Require valid-user lets every user in, whatever Require ";

/// What a test of the configuration says to these lines in a section.
fn said(lines: &str) -> Vec<String> {
    let config = format!(
        "AuthDjangoQuery may-read \"SELECT 1 WHERE :username = :word1\"\n\
         <AuthzProviderAlias django-staff employees>\n</AuthzProviderAlias>\n\
         <AuthzProviderAlias django-group agents \"secret-agents\">\n</AuthzProviderAlias>\n\
         <AuthzProviderAlias ip here \"127.0.0.1\">\n</AuthzProviderAlias>\n\
         <Directory /x>\nAuthType Basic\nAuthName x\nAuthBasicProvider django\n{lines}\n</Directory>\n"
    );
    let setup = Setup::new("two-lines", config).modules(&["authz_host"]);
    let text = setup.configtest().unwrap_or_else(|text| panic!("{lines}\n{text}"));
    text.lines().filter(|line| line.contains(WORDS)).map(str::to_owned).collect()
}

#[test]
fn a_test_of_the_configuration_names_the_two_lines_once() {
    let group = "group secret-agents";
    let inside = |section: &str, line: &str| format!("<{section}>\nRequire {line}\n</{section}>");
    let ours = [
        group,
        "django-group secret-agents",
        "django-staff",
        "django-superuser",
        "django-permission auth.view_group",
        "django-query may-read x",
        "employees",
        "agents",
    ];
    for line in ours {
        let rule = line.split(' ').next().unwrap();
        for lines in [
            format!("Require {line}\nRequire valid-user"),
            format!("Require valid-user\nRequire user zoe\nRequire {line}\nRequire {line}"),
        ] {
            let said = said(&lines);
            let [text] = &said[..] else { panic!("{lines}\n{said:?}") };
            assert!(text.contains("authnz_django:warn"), "{text}");
            let (valid_user, rest) = text.split_once(&format!(": {WORDS}{rule} (")).unwrap();
            let number = |text: &str| text.rsplit_once(':').unwrap().1.parse::<usize>().unwrap();
            let (valid_user, ours) = (number(valid_user), number(rest.split_once(')').unwrap().0));
            let position = |line: &str| lines.lines().position(|other| other == line).unwrap();
            let (a, b) = (position("Require valid-user"), position(&format!("Require {line}")));
            assert_eq!(valid_user + b, ours + a, "{text}");
        }
    }
    let (any, all) = (inside("RequireAny", group), inside("RequireAll", group));
    let trap = format!("Require {group}\nRequire valid-user");
    for lines in [
        format!("<RequireAny>\n{trap}\n</RequireAny>"),
        format!("<RequireAll>\nRequire here\n<RequireAny>\n{trap}\n</RequireAny>\n</RequireAll>"),
        format!("{any}\nRequire valid-user"),
        format!("Require {group}\n{}", inside("RequireAny", "valid-user")),
        format!("{all}\nRequire valid-user"),
        format!("Require valid-user\n<LimitExcept GET>\nRequire {group}\n</LimitExcept>"),
        format!("<Limit POST>\nRequire {group}\nRequire valid-user\n</Limit>"),
        format!("<Files x>\n{trap}\n</Files>"),
        format!("<If \"true\">\n{trap}\n</If>"),
        format!(
            "<IfModule authz_core_module>\nrequire {group}\n</IfModule>\nREQUIRE \"valid-user\""
        ),
    ] {
        assert_eq!(said(&lines).len(), 1, "{lines}");
    }
    for lines in [
        format!("Require {group}"),
        "Require valid-user".into(),
        "Require valid-user\nRequire here\nRequire ip 127.0.0.1".into(),
        format!("Require user valid-user\nRequire {group}"),
        format!("<RequireAll>\n{trap}\n</RequireAll>"),
        format!("<RequireAll>\nRequire valid-user\nRequire not {group}\n</RequireAll>"),
        format!("<RequireAll>\nRequire valid-user\n{any}\n</RequireAll>"),
        format!(
            "<RequireAll>\nRequire valid-user\n{}\n</RequireAll>",
            inside("RequireNone", group)
        ),
        format!("Require {group}\n<RequireAll>\nRequire valid-user\nRequire here\n</RequireAll>"),
        format!(
            "<Limit GET>\nRequire valid-user\n</Limit>\n<LimitExcept GET>\nRequire {group}\n</LimitExcept>"
        ),
        format!("Require {group}\n<Files x>\nRequire valid-user\n</Files>"),
    ] {
        assert_eq!(said(&lines), [""; 0], "{lines}");
    }
}

/// How often it was said, of the places whose file ends so.
fn count(httpd: &Httpd, file: &str) -> usize {
    httpd.count_in_log(&format!("{file}: {WORDS}"))
}

#[test]
fn a_start_says_it_once_and_so_does_a_restart_and_htaccess_now_and_then() {
    let (path, _) = sqlite("auth.User");
    let config = format!(
        "AuthDjangoDatabase sqlite:{}\nAuthDjangoPasswordHashers pbkdf2_sha256:1000\n\
         <Directory {{dir}}/htdocs>\nAuthType Basic\nAuthName x\nAuthBasicProvider django\n\
         Require valid-user\nRequire group secret-agents\n</Directory>\n",
        path.display()
    );
    for mpm in MPMS {
        let setup = Setup::new("valid-user", &config).mpm(mpm);
        let (dir, port) = setup.write();
        let line = 1 + fs::read_to_string(dir.join("httpd.conf"))
            .unwrap()
            .lines()
            .position(|line| line == "Require valid-user")
            .unwrap();
        for (folder, lines) in [
            ("public", "Require group secret-agents\nRequire valid-user\n"),
            (
                "members",
                "Require valid-user\n<RequireAll>\nRequire group secret-agents\n</RequireAll>\n",
            ),
            (
                "secret",
                "<RequireAny>\nRequire valid-user\nRequire group x\n</RequireAny>\nRequire django-staff\n",
            ),
            ("files", "<Files index.html>\nRequire group x\nRequire valid-user\n</Files>\n"),
            ("good", "Require group secret-agents\n<Files x>\nRequire valid-user\n</Files>\n"),
        ] {
            let folder = dir.join("htdocs").join(folder);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("index.html"), "").unwrap();
            fs::write(folder.join(".htaccess"), lines).unwrap();
        }
        let mut httpd = setup.start_in(dir, port);
        httpd.expect_in_log(WORDS);
        let main = format!("httpd.conf:{line}");
        wait_until("the start", 20, || httpd.count_in_log("resuming normal operations") == 1);
        assert_eq!(httpd.count_in_log(WORDS), 1, "{}", httpd.log());
        assert_eq!(count(&httpd, &main), 1);

        let children = httpd.children().len();
        for _ in 0..3 {
            for (folder, status) in [
                ("", 200),
                ("public", 200),
                ("members", 200),
                ("secret", 200),
                ("files", 200),
                ("good", 401),
            ] {
                assert_eq!(httpd.status(&format!("/{folder}/"), "bob", "bob secret"), status);
            }
        }
        for file in
            ["public/.htaccess:2", "members/.htaccess:1", "secret/.htaccess:2", "files/.htaccess:3"]
        {
            let said = count(&httpd, file);
            assert!((1..=children).contains(&said), "{mpm} {file}: {said}\n{}", httpd.log());
        }
        assert_eq!(count(&httpd, "good/.htaccess:3"), 0);

        httpd.signal("USR1");
        wait_until("the restart", 20, || httpd.count_in_log("resuming normal operations") == 2);
        assert_eq!(count(&httpd, &main), 2);
        httpd.finish();
    }
}
