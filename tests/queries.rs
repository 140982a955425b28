//! Queries of the administrator's own: `Require django-query`, `query=NAME`, and the hashes of
//! Digest.

use crate::common::client::{basic, get};
use crate::common::cluster::Database;
use crate::common::httpd::{Httpd, Setup};
use crate::common::run;
use md5::{Digest, Md5};
use std::fs;
use std::process::Command;

/// `secret` in SHA-1, as `htpasswd -s` writes it.
const FILE_PASSWORD: &str = "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=";

fn base(database: &Database) -> String {
    format!(
        "AuthDjangoDatabase {}\nAuthDjangoPasswordHashers pbkdf2_sha256:1000\n\
         <Location />\nAuthType Basic\nAuthName x\nAuthBasicProvider django\n</Location>\n",
        database.url()
    )
}

fn check(httpd: &Httpd, expected: &[(&str, &str, u16)]) {
    for (path, user, status) in expected {
        assert_eq!(httpd.status(path, user, format!("{user} secret")), *status, "{path} {user}");
    }
}

/// Tables of the project's own.
fn create(database: &Database, sql: &str, tables: &str) {
    database.sql(sql);
    if !matches!(database, Database::Sqlite(_)) {
        // MySQL takes one table a statement.
        for table in tables.split(", ") {
            database.sql(&format!("GRANT SELECT ON {table} TO apache"));
        }
    }
    if matches!(database, Database::Mysql(_)) && tables.contains("media_access") {
        // Its usual collations take no notice of a space at the end.
        database.sql("ALTER TABLE media_access MODIFY project text COLLATE utf8mb4_nopad_bin");
    }
}

const ACCESS: &str = "CREATE TABLE media_access (user_id integer, project text);
    INSERT INTO media_access SELECT id, 'apollo' FROM auth_user WHERE username IN ('alice', 'carol');
    INSERT INTO media_access SELECT id, 'it''s' FROM auth_user WHERE username = 'alice';
    INSERT INTO media_access SELECT id, 'a b' FROM auth_user WHERE username = 'alice';
    INSERT INTO media_access SELECT id, '' FROM auth_user WHERE username = 'alice';";

const MAY_READ: &str = "AuthDjangoQuery may-read \"SELECT 1 FROM media_access \
    WHERE user_id = :user_id AND project = :word1\"\n";

#[test]
fn rights_to_each_object_come_from_the_url() {
    for kind in Database::KINDS {
        let (database, _) = Database::start(kind, "auth.User");
        create(&database, ACCESS, "media_access");
        let config = base(&database)
            + MAY_READ
            + "AuthDjangoQuery second \"SELECT 1 WHERE :word1 = '' AND :word2 = 'b' AND :username = 'alice'\"\n\
               AuthDjangoQuery number \"SELECT 1 FROM media_access WHERE user_id = :word1\"\n\
               <AuthzProviderAlias django-query apollo \"may-read apollo\">\n</AuthzProviderAlias>\n\
               <LocationMatch \"^/media/(?<project>[^/]+)/\">\n\
               Require django-query may-read %{env:MATCH_PROJECT}\n</LocationMatch>\n\
               <Location /not>\n<RequireAll>\nRequire valid-user\n\
               Require not django-query may-read apollo\n</RequireAll>\n</Location>\n\
               <Location /alias>\nRequire apollo\n</Location>\n\
               <Location /second>\nRequire django-query second %{HTTP:X-A} %{HTTP:X-B}\n</Location>\n\
               <Location /number>\nRequire django-query number %{HTTP:X-A}\n</Location>\n\
               <Location /inner>\nAuthDjangoQuery may-read \"SELECT 1 WHERE :username = 'bob'\"\n\
               Require django-query may-read apollo\n</Location>\n\
               <Location /file>\nAuthBasicProvider file\nAuthUserFile {dir}/users\n\
               Require django-query may-read apollo\n</Location>\n";
        let setup = Setup::new("queries", config);
        let (dir, port) = setup.write();
        let users =
            ["alice", "bob", "carol", "zoe"].map(|user| format!("{user}:{FILE_PASSWORD}\n"));
        fs::write(dir.join("users"), users.concat()).unwrap();
        let htaccess = dir.join("htdocs/secret/.htaccess");
        fs::write(htaccess, "Require django-query may-read apollo\n").unwrap();
        let httpd = setup.start_in(dir, port);
        check(
            &httpd,
            &[
                ("/media/apollo/x", "alice", 404),
                ("/media/apollo/x", "bob", 401),
                ("/media/apollo/x", "carol", 401),
                ("/media/gemini/x", "alice", 401),
                ("/media/it's/x", "alice", 404),
                ("/media/it%27s/x", "alice", 404),
                ("/media/it%27s/x", "bob", 401),
                ("/media/a%20b/x", "alice", 404),
                ("/not", "alice", 401),
                ("/not", "bob", 404),
                ("/secret/", "alice", 200),
                ("/secret/", "bob", 401),
                ("/alias", "alice", 404),
                ("/alias", "bob", 401),
                ("/inner", "bob", 404),
                ("/inner", "alice", 401),
            ],
        );
        for word in [
            "x'%20OR%201=1--",
            "x%27%20OR%20%271%27=%271",
            "apollo%27",
            "apollo%20",
            "APOLLO",
            "%22%22",
            ":word1",
            "%25",
            "%C3%28",
            "$1",
            "apollo%20OR%201",
            "gemini%20apollo",
            "\"apollo\"",
            "x%5C%27%20OR%201=1",
        ] {
            check(
                &httpd,
                &[
                    (&format!("/media/{word}/x"), "alice", 401),
                    (&format!("/media/{word}/x"), "bob", 401),
                ],
            );
        }
        for (user, status) in [("alice", 404), ("bob", 401), ("carol", 401), ("zoe", 401)] {
            assert_eq!(httpd.status("/file", user, "secret"), status, "{user}");
        }
        for path in ["/media/apollo/x", "/not", "/alias", "/second", "/inner", "/file"] {
            let response = httpd.get(path);
            assert_eq!(response.status, 401, "{path}");
            assert!(response.header("WWW-Authenticate").unwrap().starts_with("Basic"), "{path}");
        }
        // A word that comes to nothing keeps its place.
        let with = |path: &str, headers: &str| {
            get(httpd.port, path, &(basic("alice", "alice secret") + headers)).status
        };
        assert_eq!(with("/second", "X-B: b\r\n"), 404, "{kind}");
        assert_eq!(with("/second", "X-A: b\r\n"), 401, "{kind}");
        // What cannot be a value of the column is no value of it.
        for number in ["x", "1;", "99999999999999999999", ""] {
            // MySQL reads a text for a number as far as it is one; the README says so.
            let expected = if (kind, number) == ("mysql", "1;") { 404 } else { 401 };
            assert_eq!(with("/number", &format!("X-A: {number}\r\n")), expected, "{kind} {number}");
        }
        // Nothing is kept for the next request.
        database.sql("DELETE FROM media_access");
        check(&httpd, &[("/media/apollo/x", "alice", 401), ("/not", "alice", 404)]);
        httpd.finish();
    }
}

#[test]
fn a_query_that_cannot_be_asked_is_one_clear_error() {
    for kind in Database::KINDS {
        let (database, _) = Database::start(kind, "auth.User");
        create(&database, ACCESS, "media_access");
        let config = base(&database)
            + MAY_READ
            + "AuthDjangoQuery broken \"SELECT 1 FROM no_such_table WHERE user_id = :user_id\"\n\
               <Location /unknown>\nRequire django-query nowhere\n</Location>\n\
               <Location /forgotten>\nAuthDjangoQuery default\n\
               Require django-query may-read apollo\n</Location>\n\
               <Location /words>\nRequire django-query may-read\n</Location>\n\
               <Location /broken>\nRequire django-query broken\n</Location>\n\
               <Location /not>\n<RequireAll>\nRequire valid-user\n\
               Require not django-query broken\n</RequireAll>\n</Location>\n";
        let mut httpd = Setup::new("badquery", config).start();
        for path in ["/unknown", "/forgotten", "/words", "/broken", "/not"] {
            assert_eq!(httpd.status(path, "alice", "alice secret"), 500, "{path}");
            assert_eq!(httpd.status(path, "alice", "wrong"), 401, "{path}");
            assert_eq!(httpd.get(path).status, 401, "{path}");
        }
        for text in [
            "no AuthDjangoQuery nowhere is set for this place: add it",
            "no AuthDjangoQuery may-read is set for this place",
            "AuthDjangoQuery may-read: the query uses :word1",
            ": AuthDjangoQuery broken: ",
        ] {
            httpd.expect_in_log(text);
            assert_eq!(httpd.count_in_log(text), 1, "{text}");
        }
        httpd.finish();
    }
}

#[test]
fn what_is_wrong_with_queries_stops_configtest() {
    let inside = |lines: &str| format!("<Location /x>\n{lines}\n</Location>\n");
    for (config, texts) in [
        ("AuthDjangoQuery".to_owned(), &["AuthDjangoQuery: needs a name"][..]),
        (
            "AuthDjangoQuery a SELECT 1".into(),
            &["AuthDjangoQuery: a: put the whole query in quotes"],
        ),
        ("AuthDjangoQuery A \"SELECT 1\"".into(), &["\"A\" is not a name", "a-z"]),
        ("AuthDjangoQuery a \"DROP TABLE x\"".into(), &["a: the query must be one SELECT"]),
        ("AuthDjangoQuery a \"SELECT :user\"".into(), &["unknown parameter :user", ":username"]),
        ("AuthDjangoRealmHash".into(), &["AuthDjangoRealmHash: takes one word"]),
        ("AuthDjangoUserModel auth.User query=A".into(), &["query=", "\"A\" is not a name"]),
        (inside("Require django-query"), &["Require django-query", "needs the name"]),
        (inside("Require django-query %{REMOTE_USER}"), &["no expression"]),
        (inside("Require django-query May"), &["\"May\" is not a name"]),
        (inside("Require django-query may %{no_such"), &["is not an expression"]),
        (
            inside("AuthDjangoQuery a \"SELECT :word2\"\nRequire django-query a x"),
            &["Require django-query: a: the query uses :word2", "up to :word1"],
        ),
    ] {
        let message = Setup::new("badqueries", &config).configtest().expect_err(&config);
        for text in texts {
            assert!(message.contains(text), "{config}: {message}");
        }
    }
}

#[test]
fn users_may_come_from_a_query() {
    for kind in Database::KINDS {
        let (database, _) = Database::start(kind, "auth.User");
        let people = "SELECT id, username AS login, password, is_active FROM auth_user WHERE";
        let config = base(&database)
            + &format!(
                "AuthDjangoQuery people \"{people} username = lower(:username)\"\n\
                 AuthDjangoQuery all \"{people} is_active\"\n\
                 AuthDjangoQuery twins \"{people} username IN ('alice', 'bob') AND :username = 'alice'\"\n\
                 AuthDjangoUserModel auth.User query=people username=login\n"
            )
            + "<Location /any>\nRequire valid-user\n</Location>\n\
               <Location /alice>\nRequire user alice\n</Location>\n\
               <Location /secret>\nRequire group secret-agents\n</Location>\n\
               <Location /inner>\nAuthDjangoQuery people \"SELECT 1 AS id, 'x' AS login, '' AS password, '1' AS is_active WHERE :username = ''\"\n\
               Require valid-user\n</Location>\n\
               <Location /none>\nAuthDjangoUserModel auth.User query=nobody\nRequire valid-user\n</Location>\n\
               <Location /all>\nAuthDjangoUserModel auth.User query=all username=login\nRequire valid-user\n</Location>\n\
               <Location /twins>\nAuthDjangoUserModel auth.User query=twins username=login\nRequire valid-user\n</Location>\n\
               <Location /case>\nAuthDjangoUserModel auth.User query=twins username=login lookup=iexact\nRequire valid-user\n</Location>\n\
               <Location /column>\nAuthDjangoUserModel auth.User query=people\nRequire valid-user\n</Location>\n";
        let mut httpd = Setup::new("people", config).start();
        for text in [
            "no AuthDjangoQuery nobody is set for this place",
            "AuthDjangoQuery all: a query of users must use :username",
            "AuthDjangoQuery twins: more than one row is this user's",
            "more than one user has this name",
            ": AuthDjangoQuery people: ",
        ] {
            httpd.expect_in_log(text);
        }
        for (path, user, password, status) in [
            ("/any", "alice", "alice secret", 404),
            ("/any", "ALICE", "alice secret", 404),
            ("/any", "ALICE", "wrong", 401),
            ("/any", "carol", "carol secret", 401),
            ("/any", "x' OR '1'='1", "alice secret", 401),
            ("/alice", "ALICE", "alice secret", 404),
            ("/secret/", "Alice", "alice secret", 200),
            ("/secret/", "bob", "bob secret", 401),
            ("/inner", "alice", "alice secret", 401),
            ("/none", "alice", "alice secret", 500),
            ("/all", "alice", "alice secret", 500),
            ("/twins", "alice", "alice secret", 500),
            ("/twins", "bob", "bob secret", 401),
            ("/case", "alice", "alice secret", 401),
            ("/column", "alice", "alice secret", 500),
        ] {
            assert_eq!(httpd.status(path, user, password), status, "{kind} {path} {user}");
        }
        httpd.finish();
    }
}

/// Whom a query finds by one column may have another's name in the next.
#[test]
fn a_lookup_after_the_login_is_of_the_same_user() {
    let (database, _) = Database::start("sqlite", "auth.User");
    database.sql(
        "UPDATE auth_user SET email = username || '@example.org', is_superuser = 0;
         UPDATE auth_user SET is_superuser = 1 WHERE username = 'alice';
         UPDATE auth_user SET username = 'alice@example.org' WHERE username = 'bob'",
    );
    let config = base(&database)
        + "AuthDjangoQuery mail \"SELECT * FROM auth_user WHERE email = :username\"\n\
           AuthDjangoUserModel auth.User query=mail\n\
           <AuthzProviderAlias django-superuser boss>\n</AuthzProviderAlias>\n\
           <Location /any>\nRequire valid-user\n</Location>\n\
           <Location /line>\nRequire django-superuser\n</Location>\n\
           <Location /alias>\nRequire boss\n</Location>\n";
    let httpd = Setup::new("lookup", config).start();
    for (path, status) in [("/any", 404), ("/line", 401), ("/alias", 401)] {
        assert_eq!(httpd.status(path, "bob@example.org", "bob secret"), status, "{path}");
    }
    httpd.finish();
}

/// What the django-digest package keeps.
fn partial_digests() -> String {
    let hash = |user: &str| hex(&Md5::digest(format!("{user}:DJANGO:digest secret")));
    let row = |user: &str, hash: &str| {
        format!(
            "INSERT INTO django_digest_partialdigest (user_id, login, partial_digest, confirmed) \
             SELECT id, username, '{hash}', is_active = is_active FROM auth_user WHERE username = '{user}';"
        )
    };
    String::from(
        "CREATE TABLE django_digest_partialdigest (user_id integer NOT NULL, \
         login varchar(128) NOT NULL, partial_digest varchar(100) NOT NULL, confirmed bool NOT NULL);",
    ) + &row("alice", &hash("alice").to_uppercase())
        + &row("carol", &hash("carol"))
        + &row("bob", "nonsense-in-the-table")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn digest(httpd: &Httpd, path: &str, user: &str, password: &str) -> u16 {
    let url = format!("http://127.0.0.1:{}{path}", httpd.port);
    let output = run(Command::new("curl")
        .args(["-q", "-s", "--noproxy", "*", "--digest", "-o", "/dev/null", "-w", "%{http_code}"])
        .args(["-u", &format!("{user}:{password}"), &url]));
    output.trim().parse().unwrap()
}

#[test]
fn digest_is_verified_by_a_query_and_for_active_users_alone() {
    for kind in Database::KINDS {
        let (database, _) = Database::start(kind, "auth.User");
        create(&database, &partial_digests(), "django_digest_partialdigest");
        let config = base(&database)
            + "AuthDjangoQuery ha1 \"SELECT partial_digest FROM django_digest_partialdigest \
               WHERE user_id = :user_id AND login = :username AND confirmed\"\n\
               AuthDjangoQuery ha1-here \"SELECT partial_digest FROM django_digest_partialdigest \
               WHERE user_id = :user_id AND :realm = 'here'\"\n\
               AuthDjangoQuery everybody \"SELECT '0123456789abcdef0123456789abcdef' WHERE :username <> ''\"\n\
               AuthDjangoRealmHash ha1\n\
               <Location /digest>\nAuthType Digest\nAuthName DJANGO\nAuthDigestProvider django\n\
               Require valid-user\n</Location>\n\
               <Location /digest/secret>\nRequire group secret-agents\n</Location>\n\
               <Location /digest/bob>\nRequire user bob\n</Location>\n\
               <Location /digest/realm>\nAuthDjangoRealmHash ha1-here\n</Location>\n\
               <Location /digest/everybody>\nAuthDjangoRealmHash everybody\n</Location>\n\
               <Location /digest/missing>\nAuthDjangoRealmHash default\n</Location>\n\
               <Location /digest/unknown>\nAuthDjangoRealmHash nowhere\n</Location>\n\
               <Location /basic>\nAuthName DJANGO\nAuthBasicUseDigestAlgorithm MD5\nRequire group secret-agents\n</Location>\n\
               <Location /basic/missing>\nAuthDjangoRealmHash default\n</Location>\n";
        let mut httpd = Setup::new("digest", config).modules(&["auth_digest"]).start();
        for text in [
            "Django's password hashes cannot serve Digest",
            "no AuthDjangoQuery nowhere is set for this place",
            "the query's value is not 32 hexadecimal digits",
            "password mismatch",
        ] {
            httpd.expect_in_log(text);
        }
        let secret = "digest secret";
        for (path, user, password, status) in [
            ("/digest", "alice", secret, 404),
            ("/digest", "alice", "alice secret", 401),
            ("/digest", "carol", secret, 401),
            ("/digest", "bob", secret, 401),
            ("/digest", "nobody", secret, 401),
            ("/digest/secret", "alice", secret, 404),
            ("/digest/bob", "alice", secret, 401),
            ("/digest/realm", "alice", secret, 401),
            ("/digest/everybody", "carol", secret, 401),
            ("/digest/everybody", "alice", secret, 401),
            ("/digest/missing", "alice", secret, 500),
            ("/digest/unknown", "alice", secret, 500),
        ] {
            assert_eq!(digest(&httpd, path, user, password), status, "{kind} {path} {user}");
        }
        for (path, user, password, status) in [
            ("/basic", "alice", secret, 404),
            ("/basic", "alice", "alice secret", 401),
            ("/basic", "carol", secret, 401),
            ("/basic", "bob", secret, 401),
            ("/basic/missing", "alice", secret, 500),
        ] {
            assert_eq!(httpd.status(path, user, password), status, "{kind} {path} {user}");
        }
        let log = httpd.log();
        assert!(!log.contains("nonsense-in-the-table"), "{log}");
        httpd.finish();
    }
}

/// As an alias of another site, whose alice is not this one's.
#[test]
fn a_digest_of_another_site_lends_nobody_its_namesakes_groups() {
    let (here, _) = Database::start("sqlite", "auth.User");
    let (there, _) = Database::start("sqlite", "auth.User");
    there.sql(&partial_digests());
    there.sql("DELETE FROM auth_user_groups");
    let config = base(&here)
        + &format!(
            "AuthDjangoQuery ha1 \"SELECT partial_digest FROM django_digest_partialdigest \
             WHERE user_id = :user_id\"\nAuthDjangoRealmHash ha1\n\
             <AuthnProviderAlias django there>\nAuthDjangoDatabase {}\n</AuthnProviderAlias>\n",
            there.url()
        )
        + "<Location />\nAuthType Digest\nAuthName DJANGO\nAuthDigestProvider there\n</Location>\n\
           <Location /any>\nRequire valid-user\n</Location>\n\
           <Location /secret>\nRequire group secret-agents\n</Location>\n";
    let httpd = Setup::new("namesake", config).modules(&["auth_digest"]).start();
    assert_eq!(digest(&httpd, "/any", "alice", "digest secret"), 404);
    assert_eq!(digest(&httpd, "/secret/", "alice", "digest secret"), 401);
    httpd.finish();
}
