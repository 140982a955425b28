//! What README.md says is true: of the table of directives, of httpd, PostgreSQL and MySQL.

use crate::common::cluster::{Cluster, PASSWORD};
use crate::common::httpd::Setup;
use crate::common::mariadb::Mariadb;
use crate::common::store::open;
use crate::common::{directory, required};
use mod_authnz_django::config::DIRECTIVES;
use mod_authnz_django::store::Found;
use mod_authnz_django::user::Wants;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

const README: &str = include_str!("../README.md");

/// The blocks of that language, without their fences.
fn blocks(language: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut lines = README.lines();
    while let Some(line) = lines.next() {
        let Some(opened) = line.strip_prefix("```") else { continue };
        let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        if opened == language {
            found.push(block.join("\n") + "\n");
        }
    }
    found
}

#[test]
fn every_directive_stands_there_as_in_the_table() {
    let headings: Vec<&str> = README
        .lines()
        .filter_map(|line| line.strip_prefix("### ").filter(|title| title.starts_with("Auth")))
        .collect();
    let names: Vec<&str> = DIRECTIVES.iter().map(|row| row.name.to_str().unwrap()).collect();
    assert_eq!(headings, names, "in the order of the table");
    for (row, name) in DIRECTIVES.iter().zip(names) {
        let default = match row.default {
            "none" => "none".to_owned(),
            default => format!("`{name} {default}`"),
        };
        let block = format!(
            "\n### {name}\n\n- Syntax: `{name} {}`\n- Default: {default}\n\
             - Context: server config{}\n\n",
            row.syntax,
            if row.global { "" } else { ", virtual host, directory" },
        );
        assert!(README.contains(&block), "README.md lacks:{block}");
    }
}

#[test]
fn no_directive_is_named_that_does_not_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = vec![root.join("README.md"), root.join("tests/demo.sh")];
    for folder in ["apache", "docker", "docker/intranet"] {
        files.extend(fs::read_dir(root.join(folder)).unwrap().map(|entry| entry.unwrap().path()));
    }
    files.retain(|path| {
        path.extension().is_some_and(|e| ["md", "sh", "conf", "py"].iter().any(|k| e == *k))
    });
    assert!(files.len() >= 3, "{files:?}");
    for path in files {
        let text = fs::read_to_string(&path).unwrap();
        for word in text.split(|c: char| !c.is_ascii_alphabetic()) {
            assert!(
                !word.starts_with("AuthDjango")
                    || DIRECTIVES.iter().any(|row| row.name.to_bytes() == word.as_bytes()),
                "{}: there is no directive {word}",
                path.display()
            );
        }
    }
}

/// httpd's own word on `text`; what it names under /etc/apache2 is there.
fn passes(text: &str) {
    let etc = directory("readme");
    for name in ["password", "secret_key", "cache_key"] {
        let path = etc.join(format!("authnz_django.{name}"));
        fs::write(&path, "secret\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }
    let config = text.replace("/etc/apache2/", &format!("{}/", etc.display()));
    let modules = ["authz_groupfile", "auth_digest", "headers", "socache_shmcb", "socache_redis"];
    let result = Setup::new("readme", config).modules(&modules).configtest();
    fs::remove_dir_all(etc).unwrap();
    let message = result.unwrap_or_else(|message| panic!("{text}\n{message}"));
    assert!(message.contains("Syntax OK"), "{text}\n{message}");
}

#[test]
fn every_configuration_of_the_readme_passes_configtest() {
    let blocks = blocks("apache");
    assert!(blocks.len() >= 5, "{blocks:?}");
    blocks.iter().for_each(|block| passes(block));
}

#[test]
fn the_installed_examples_pass_configtest() {
    let file = include_str!("../apache/authnz_django.conf");
    passes(file);
    // A comment has one space behind its #, an example none or its indentation.
    let examples: Vec<&str> = file
        .lines()
        .filter_map(|line| line.strip_prefix('#'))
        .filter(|line| !line.starts_with(' ') || line.starts_with("    "))
        .collect();
    assert!(examples.len() > 5, "{examples:?}");
    passes(&examples.join("\n"));
}

/// What PostgreSQL answers to the role of the README.
fn ask(cluster: &Cluster, sql: &str) -> Result<String, String> {
    let output = Command::new(format!("{}/psql", required("PGBIN")))
        .args(["-X", "-q", "-t", "-A", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1"])
        .args(["-p", &cluster.port.to_string(), "-U", "apache", "-d", "intranet", "-c", sql])
        .env("PGPASSWORD", PASSWORD)
        .env("LC_ALL", "C")
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

fn denied(cluster: &Cluster, statements: &[&str]) {
    for sql in statements {
        let error = ask(cluster, sql).expect_err(sql);
        assert!(error.contains("permission denied for table"), "{sql}: {error}");
    }
}

#[test]
fn the_role_of_the_readme_is_enough_and_can_do_no_more() {
    let blocks = blocks("sql");
    let [sql, more, sessions] = &blocks[..] else { panic!("{blocks:?}") };
    let (cluster, _) = Cluster::start("auth.User");
    // The cluster's own role and database make way for the README's.
    cluster.sql("site", "DROP OWNED BY apache");
    cluster.sql("postgres", "DROP ROLE apache");
    cluster.sql("postgres", "ALTER DATABASE site RENAME TO intranet");
    cluster.sql("intranet", sql);
    cluster.sql("postgres", &format!("ALTER ROLE apache PASSWORD '{PASSWORD}'"));

    let config = format!(
        "AuthDjangoDatabase postgresql://apache:{PASSWORD}@127.0.0.1:{}/intranet\n\
         AuthDjangoPasswordHashers pbkdf2_sha256:1000\n\
         <Location /secret>\nAuthType Basic\nAuthName x\nAuthBasicProvider django\n\
         Require group secret-agents\n</Location>\n",
        cluster.port
    );
    let httpd = Setup::new("role", config).start();
    assert_eq!(httpd.status("/secret/", "alice", "alice secret"), 200);
    assert_eq!(httpd.status("/secret/", "alice", "wrong"), 401);
    assert_eq!(httpd.status("/secret/", "bob", "bob secret"), 401);
    httpd.finish();

    denied(&cluster, &["SELECT codename FROM auth_permission", "SELECT is_staff FROM auth_user"]);
    cluster.sql("intranet", more);
    let config = format!(
        "AuthDjangoDatabase postgresql://apache:{PASSWORD}@127.0.0.1:{}/intranet\n\
         AuthDjangoPasswordHashers pbkdf2_sha256:1000\n\
         <Location /secret>\nAuthType Basic\nAuthName x\nAuthBasicProvider django\n\
         AuthDjangoExport is_staff is_superuser permissions\n\
         <RequireAll>\nRequire django-staff\nRequire not django-superuser\n\
         Require django-permission auth.view_group\n</RequireAll>\n</Location>\n",
        cluster.port
    );
    let httpd = Setup::new("role", config).start();
    assert_eq!(httpd.status("/secret/", "permission-26", "secret"), 200);
    assert_eq!(httpd.status("/secret/", "permission-30", "secret"), 401);
    httpd.finish();

    denied(&cluster, &["SELECT session_data FROM django_session"]);
    cluster.sql("intranet", sessions);
    reads_sessions(&format!("postgresql://apache:{PASSWORD}@127.0.0.1:{}/intranet", cluster.port));
    assert_eq!(ask(&cluster, "SHOW default_transaction_read_only").unwrap(), "on");
    assert_eq!(ask(&cluster, "SHOW statement_timeout").unwrap(), "5s");
    let refused = [
        "SELECT email FROM auth_user",
        "SELECT * FROM auth_user",
        "SELECT name FROM auth_permission",
        "SET transaction_read_only = off; UPDATE auth_user SET is_active = true",
        "SET transaction_read_only = off; INSERT INTO auth_group (name) VALUES ('x')",
        "SET transaction_read_only = off; DELETE FROM auth_user_groups",
        "SET transaction_read_only = off; DELETE FROM auth_user_user_permissions",
        "SET transaction_read_only = off; DELETE FROM django_session",
    ];
    denied(&cluster, &refused);
    let error = ask(&cluster, "DELETE FROM auth_user_groups").unwrap_err();
    assert!(error.contains("read-only transaction"), "{error}");
}

/// Whether sessions can be looked for.
fn reads_sessions(url: &str) {
    let store = open(&[url]);
    let deadline = Instant::now() + store.timeout();
    let none = store.session(&Arc::default(), &Wants::NOTHING, "none", Some("1"), deadline);
    assert!(matches!(none, Ok((None, Found::One(_)))), "{none:?}");
}

/// The README's SQL names the database `intranet`; here it is `site`.
fn for_site(sql: &str, grants: usize) -> String {
    assert_eq!(sql.matches(" ON intranet.").count(), grants, "{sql}");
    sql.replace(" ON intranet.", " ON site.")
}

#[test]
fn the_mysql_user_of_the_readme_is_enough_and_can_do_no_more() {
    let blocks = blocks("mysql");
    let [sql, more, sessions] = &blocks[..] else { panic!("{blocks:?}") };
    let (server, _) = Mariadb::start("auth.User");
    // The server's own user makes way for the README's.
    server.sql("", "DROP USER apache");
    server.sql("", &for_site(sql, 3));
    server.sql("", &format!("ALTER USER apache IDENTIFIED BY '{PASSWORD}'"));
    let denied = |statements: &[&str]| {
        for sql in statements {
            let output = Command::new("mariadb")
                .args(["--no-defaults", "-u", "apache", &format!("-p{PASSWORD}")])
                .args(["-e", sql, "site"])
                .arg(format!("--socket={}", server.socket().display()))
                .output()
                .unwrap();
            let error = String::from_utf8_lossy(&output.stderr);
            assert!(error.contains("command denied to user 'apache'"), "{sql}: {error}");
        }
    };
    let config = |rules: &str| {
        format!(
            "AuthDjangoDatabase {}\nAuthDjangoPasswordHashers pbkdf2_sha256:1000\n\
             <Location /secret>\nAuthType Basic\nAuthName x\nAuthBasicProvider django\n\
             {rules}</Location>\n",
            server.url()
        )
    };

    let httpd = Setup::new("mysql-user", config("Require group secret-agents\n")).start();
    assert_eq!(httpd.status("/secret/", "alice", "alice secret"), 200);
    assert_eq!(httpd.status("/secret/", "alice", "wrong"), 401);
    assert_eq!(httpd.status("/secret/", "bob", "bob secret"), 401);
    httpd.finish();

    denied(&["SELECT codename FROM auth_permission", "SELECT is_staff FROM auth_user"]);
    server.sql("", &for_site(more, 5));
    let rules = "AuthDjangoExport is_staff is_superuser permissions\n\
                 <RequireAll>\nRequire django-staff\nRequire not django-superuser\n\
                 Require django-permission auth.view_group\n</RequireAll>\n";
    let httpd = Setup::new("mysql-user", config(rules)).start();
    assert_eq!(httpd.status("/secret/", "permission-26", "secret"), 200);
    assert_eq!(httpd.status("/secret/", "permission-30", "secret"), 401);
    httpd.finish();

    denied(&["SELECT session_data FROM django_session"]);
    server.sql("", &for_site(sessions, 1));
    reads_sessions(&server.url());
    denied(&[
        "SELECT email FROM auth_user",
        "SELECT * FROM auth_user",
        "SELECT name FROM auth_permission",
        "UPDATE auth_user SET is_active = true",
        "INSERT INTO auth_group (name) VALUES ('x')",
        "DELETE FROM auth_user_groups",
        "DELETE FROM auth_user_user_permissions",
        "DELETE FROM django_session",
    ]);
}
