//! The store against a MariaDB of its own: collations, outages, TLS, sockets, refusals.

use crate::common::httpd::free_port;
use crate::common::mariadb::Mariadb;
use crate::common::store::{ask, ask_model, error, open, recovery};
use crate::common::{certificate, run, wait_until};
use mod_authnz_django::query::{Query, Values};
use mod_authnz_django::store::{Database, Found};
use mod_authnz_django::user::{UserModel, Wants};
use std::net::TcpListener;
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

const SCHEMA: &str = r#"
    CREATE DATABASE site CHARACTER SET utf8mb4 COLLATE utf8mb4_bin; USE site;
    CREATE TABLE auth_user (id int AUTO_INCREMENT PRIMARY KEY, username varchar(150) UNIQUE,
        password varchar(128), is_active bool);
    CREATE TABLE auth_group (id int AUTO_INCREMENT PRIMARY KEY, name varchar(150));
    CREATE TABLE auth_user_groups (id int AUTO_INCREMENT PRIMARY KEY, user_id int, group_id int);
    INSERT INTO auth_user (username, password, is_active) VALUES ('alice', 'pw$1', true),
        ('bob', NULL, NULL), ('o''neil "x" %s \\', '', false);
    INSERT INTO auth_group (name) VALUES ('secret agents'), ('Ärzte "A", \\{B} 😀'), (NULL);
    INSERT INTO auth_user_groups (user_id, group_id) VALUES (1, 1), (1, 2), (1, 3);
    CREATE TABLE odd (nr bigint, `E ``Mail` text, pw text, active smallint);
    INSERT INTO odd VALUES (7, 'alice', 'x', 1), (8, 'twice', '', 1), (9, 'twice', '', 1);
    CREATE TABLE fold (id int, username varchar(150), password varchar(128), is_active bool)
        CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci;
    INSERT INTO fold VALUES (1, 'alice', 'x', 1), (2, 'straße', 'x', 1);
    INSERT INTO fold VALUES (3, 'a_b', 'x', 1), (4, 'axb', 'x', 1), (5, 'c\\d', 'x', 1),
        (6, '50%', 'x', 1), (7, '500', 'x', 1), (8, 'Twice', 'x', 1), (9, 'TWICE', 'x', 1);
    CREATE TABLE django_content_type (id int, app_label varchar(100));
    CREATE TABLE auth_permission (id int, content_type_id int, codename varchar(100));
    CREATE TABLE auth_user_user_permissions (user_id int, permission_id int);
    CREATE TABLE auth_group_permissions (group_id int, permission_id int);
    INSERT INTO django_content_type VALUES (1, 'docs'), (2, 'shop');
    INSERT INTO auth_permission VALUES (1, 1, 'view_page'), (2, 2, 'add_"order"'), (3, 2, 'no');
    INSERT INTO auth_user_user_permissions VALUES (1, 1), (2, 3);
    INSERT INTO auth_group_permissions VALUES (1, 1), (2, 2);
    CREATE TABLE old (id int, username varchar(150), password varchar(128), is_active bool)
        CHARACTER SET latin1;
    INSERT INTO old VALUES (1, 'müller', 'x', 1);
    CREATE USER apache IDENTIFIED BY 's3cret'; GRANT SELECT ON site.* TO apache;
    CREATE USER nobody; GRANT SELECT (id) ON site.auth_user TO nobody;
    CREATE USER few WITH MAX_USER_CONNECTIONS 1; GRANT SELECT ON site.* TO few;
"#;

fn server(options: &[&str]) -> Mariadb {
    let server = Mariadb::empty(options);
    server.sql("", SCHEMA);
    server
}

fn url(server: &Mariadb, tail: &str) -> String {
    format!("mysql://apache:s3cret@127.0.0.1:{}/site{tail}", server.port)
}

/// The same value, not an equal one, is a row that was not read again.
#[test]
fn rows_are_kept_for_as_long_as_the_administrator_wishes() {
    let server = server(&[]);
    let always = open(&[&url(&server, "")]);
    let kept = open(&[&url(&server, ""), "rows=2"]);
    let alice = |store| ask(store, "alice").unwrap().unwrap();
    assert!(!Arc::ptr_eq(&alice(&always), &alice(&always)));
    let first = alice(&kept);
    assert!(Arc::ptr_eq(&first, &alice(&kept)));
    server.sql("site", "UPDATE auth_user SET is_active = 0 WHERE username = 'alice'");
    assert!(!alice(&always).is_active);
    let mut now = alice(&kept);
    wait_until("the end of the row", 10, || {
        now = alice(&kept);
        !now.is_active
    });
    assert!(!Arc::ptr_eq(&first, &now));
}

#[test]
fn users_and_their_groups() {
    let server = server(&[]);
    let store = open(&[&url(&server, "")]);
    let alice = ask(&store, "alice").unwrap().unwrap();
    assert_eq!((alice.id.as_str(), alice.password.as_str(), alice.is_active), ("1", "pw$1", true));
    let mut groups = alice.groups.clone();
    groups.sort();
    assert_eq!(groups, ["secret agents", "Ärzte \"A\", \\{B} 😀"]);
    let bob = ask(&store, "bob").unwrap().unwrap();
    assert_eq!((bob.password.as_str(), bob.is_active, bob.groups.len()), ("", false, 0));
    assert!(ask(&store, "o'neil \"x\" %s \\").unwrap().is_some());
    for nobody in ["Alice", "", "a\0", "' OR 1=1 -- ", "😀", "\\", &"x".repeat(100_000)] {
        assert_eq!(ask(&store, nobody), Ok(None));
    }
    let odd = ["a.B", "table=odd", "id=nr", "username=E `Mail", "password=pw", "is_active=active"];
    let odd = [&odd[..], &["groups_table=none"]].concat();
    let user = ask_model(&store, &odd, "alice").unwrap().unwrap();
    assert_eq!((user.id.as_str(), user.is_active, user.groups.len()), ("7", true, 0));
    let twice = ask_model(&store, &odd, "twice").unwrap_err().to_string();
    assert!(twice.contains("more than one row"), "{twice}");
    let column = ask_model(&store, &["auth.User", "password=pasword"], "alice").unwrap_err();
    assert!(column.to_string().contains("AuthDjangoUserModel names the columns"), "{column}");
    let table = ask_model(&store, &["site.User"], "alice").unwrap_err().to_string();
    assert!(table.contains("AuthDjangoUserModel names the tables"), "{table}");
}

/// MySQL compares a number with the number that a text begins with.
#[test]
fn a_number_is_no_text_that_begins_with_it() {
    let server = server(&[]);
    let store = open(&[&url(&server, "")]);
    let number = ["a.B", "table=odd", "id=nr", "username=nr", "password=pw", "is_active=none"];
    let number = [&number[..], &["groups_table=none"]].concat();
    assert_eq!(ask_model(&store, &number, "7").unwrap().unwrap().username, "7");
    for nobody in ["7abc", "7.0", " 7", "07", "7e0", "alice", "99999999999999999999999"] {
        assert_eq!(ask_model(&store, &number, nobody), Ok(None), "{nobody}");
    }
}

#[test]
fn names_match_as_the_columns_collation_says() {
    let server = server(&[]);
    let store = open(&[&url(&server, "")]);
    let fold = ["auth.User", "table=fold", "groups_table=none"];
    for name in ["alice", "ALICE", "Alicé"] {
        assert_eq!(ask_model(&store, &fold, name).unwrap().unwrap().username, "alice");
    }
    assert_eq!(ask_model(&store, &fold, "STRAßE").unwrap().unwrap().username, "straße");
    assert_eq!(ask_model(&store, &fold, "bob"), Ok(None));
    let old = ["auth.User", "table=old", "groups_table=none"];
    assert_eq!(ask_model(&store, &old, "MÜLLER").unwrap().unwrap().username, "müller");
    for nobody in ["😀", "日本"] {
        assert_eq!(ask_model(&store, &old, nobody), Ok(None));
    }
}

#[test]
fn a_lookup_without_case_is_no_pattern() {
    let server = server(&[]);
    let store = open(&[&url(&server, "")]);
    let fold = ["auth.User", "table=fold", "groups_table=none", "lookup=iexact"];
    for (name, found) in
        [("ALICE", "alice"), ("A_B", "a_b"), ("axb", "axb"), ("C\\D", "c\\d"), ("50%", "50%")]
    {
        assert_eq!(ask_model(&store, &fold, name).unwrap().unwrap().username, found);
    }
    for nobody in ["%", "al%", "a__", "_lice", "\\", "alice\\", "cd", "twice"] {
        assert_eq!(ask_model(&store, &fold, nobody), Ok(None), "{nobody}");
    }
}

#[test]
fn permissions_and_queries() {
    let server = server(&[]);
    let store = open(&[&url(&server, "")]);
    let wants = Wants { permissions: true, ..Wants::GROUPS };
    let deadline = || Instant::now() + store.timeout();
    let permissions = |name: &str| {
        let model = Arc::new(UserModel::parse(&["auth.User"]).unwrap());
        let found = store.get_by_natural_key(&model, &wants, name, deadline()).unwrap();
        let mut permissions = found.one().unwrap().permissions.clone();
        permissions.sort();
        permissions
    };
    assert_eq!(permissions("alice"), ["docs.view_page", "shop.add_\"order\""]);
    assert_eq!(permissions("bob"), ["shop.no"]);

    let words = ["alice".to_owned()];
    let values = |username| Values { username, words: &words, ..Values::default() };
    let query = |sql: &str| Query::parse(sql).unwrap();
    let both = query("SELECT 1 FROM auth_user WHERE username = :username AND username = :word1");
    assert_eq!(store.exists(&both, &values("alice"), deadline()), Ok(true));
    for nobody in ["bob", "' OR 1=1 -- ", "😀"] {
        assert_eq!(store.exists(&both, &values(nobody), deadline()), Ok(false));
    }
    let id = query("SELECT id FROM auth_user WHERE username = :username");
    let value = store.value(&id, &values("bob"), deadline()).unwrap();
    assert_eq!(value.as_ref().map(|value| value.as_str()), Some("2"));
    assert_eq!(store.value(&id, &values("nobody"), deadline()), Ok(None));
    let users = query("SELECT * FROM auth_user WHERE username = :username");
    let model = UserModel::parse(&["auth.User"]).unwrap();
    let model = Arc::new(UserModel { query: Some(users.into()), ..model });
    let found = store.get_by_natural_key(&model, &Wants::GROUPS, "alice", deadline()).unwrap();
    assert_eq!(found.one().unwrap().groups.len(), 2);
    let nobody = store.get_by_natural_key(&model, &Wants::GROUPS, "zoe", deadline());
    assert_eq!(nobody, Ok(Found::Nobody));
    // MySQL's comment: what is behind it is no parameter.
    let comment = query("SELECT 1 # :username");
    assert!(store.exists(&comment, &values("alice"), deadline()).is_err());
}

/// MariaDB cuts a list at the server's `group_concat_max_len`, even between two names.
#[test]
fn many_groups_and_permissions_are_whole() {
    let server = server(&["--group-concat-max-len=64"]);
    let names =
        "WITH RECURSIVE n AS (SELECT 10 i UNION ALL SELECT i + 1 FROM n WHERE i < 89) SELECT";
    server.sql(
        "site",
        &format!(
            "INSERT INTO auth_group (id, name) {names} i, CONCAT('group', i) FROM n;
             INSERT INTO auth_user_groups (user_id, group_id) {names} 2, i FROM n;
             INSERT INTO auth_permission {names} i, 1, CONCAT('may', i) FROM n;
             INSERT INTO auth_group_permissions {names} i, i FROM n"
        ),
    );
    let store = open(&[&url(&server, "")]);
    let wants = Wants { permissions: true, ..Wants::GROUPS };
    let deadline = Instant::now() + store.timeout();
    let found = store.get_by_natural_key(&Arc::default(), &wants, "bob", deadline).unwrap();
    let bob = found.one().unwrap();
    assert_eq!((bob.groups.len(), bob.permissions.len()), (80, 81));
}

#[test]
fn one_query_a_request_and_a_session_that_cannot_write() {
    let server = server(&[]);
    server.note();
    let store = open(&[&url(&server, ""), "timeout=1.5"]);
    for _ in 0..10 {
        assert!(ask(&store, "alice").unwrap().is_some());
    }
    assert_eq!(server.statements("Execute", "auth_user"), 10);
    assert_eq!(server.statements("Prepare", ""), 1);
    assert_eq!(server.statements("Query", "tx_read_only = 1"), 1);
    assert_eq!(server.statements("Query", "max_statement_time = 1.5"), 1);
    drop(store);
    thread::sleep(Duration::from_millis(300));
    assert_eq!(server.connections(), 0);
    let log = std::fs::read_to_string(server.dir.join("error.log")).unwrap();
    assert!(!log.lines().any(|line| line.contains("Aborted") && line.contains("apache")), "{log}");
}

#[test]
fn a_restart_costs_nothing_and_an_outage_a_moment() {
    let mut server = server(&[]);
    let store = open(&[&url(&server, "")]);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..50).for_each(|_| assert!(ask(&store, "alice").is_ok())));
        }
    });
    for _ in 0..3 {
        server.restart();
        assert!(ask(&store, "alice").unwrap().is_some());
    }
    // Killed by an administrator, and closed for having been idle.
    let threads = "SELECT group_concat('KILL ', id SEPARATOR '; ') FROM \
                   information_schema.processlist WHERE user = 'apache'";
    server.sql("", &server.sql("", threads));
    assert!(ask(&store, "alice").unwrap().is_some());
    server.sql("", "SET GLOBAL wait_timeout = 1");
    let idle = open(&[&url(&server, "")]);
    assert!(ask(&idle, "alice").unwrap().is_some());
    thread::sleep(Duration::from_millis(1500));
    assert!(ask(&idle, "alice").unwrap().is_some());

    server.stop();
    let begun = Instant::now();
    for _ in 0..50 {
        assert!(error(&store).contains("connection refused: is MySQL running there?"));
    }
    assert!(begun.elapsed() < Duration::from_millis(500), "{:?}", begun.elapsed());
    thread::sleep(Duration::from_secs(2));
    server.begin();
    let took = recovery(&store);
    eprintln!("recovery after a stop: {took:?}");
    assert!(took < Duration::from_secs(2), "{took:?}");
}

#[test]
fn a_server_that_is_silent() {
    let server = server(&[]);
    let store = open(&[&url(&server, ""), "timeout=1.5"]);
    assert!(ask(&store, "alice").is_ok());
    server.signal("STOP");
    let begun = Instant::now();
    let text = error(&store);
    let took = begun.elapsed().as_millis();
    assert!((1400..1900).contains(&took), "{took}");
    assert!(text.ends_with("no answer within 1.5 s"), "{text}");
    let begun = Instant::now();
    assert!(error(&store).contains("no answer"));
    assert!(begun.elapsed() < Duration::from_millis(50));
    let fresh = open(&[&url(&server, ""), "timeout=1"]);
    let begun = Instant::now();
    assert!(error(&fresh).contains("no answer within"));
    assert!(begun.elapsed() < Duration::from_millis(1400), "{:?}", begun.elapsed());
    thread::sleep(Duration::from_secs(3));
    server.signal("CONT");
    let took = recovery(&store);
    eprintln!("recovery after SIGSTOP: {took:?}");
    assert!(took < Duration::from_secs(2), "{took:?}");
    // A table that somebody keeps locked, and a view that never ends.
    thread::scope(|scope| {
        scope.spawn(|| server.sql("site", "LOCK TABLES auth_user WRITE; SELECT SLEEP(3)"));
        thread::sleep(Duration::from_millis(500));
        let begun = Instant::now();
        assert!(error(&store).ends_with("no answer within 1.5 s"));
        assert!(begun.elapsed() < Duration::from_millis(1900));
    });
    recovery(&store);
    server.sql("site", "CREATE VIEW slow AS SELECT *, SLEEP(5) AS nap FROM auth_user");
    let begun = Instant::now();
    let slow = ["auth.User", "table=slow", "is_active=nap", "groups_table=none"];
    let text = ask_model(&store, &slow, "alice").unwrap_err().to_string();
    assert!(text.ends_with("no answer within 1.5 s"), "{text}");
    assert!(begun.elapsed() < Duration::from_millis(1900));
    // The server gives it up too.
    thread::sleep(Duration::from_millis(700));
    let busy = "SELECT count(*) FROM information_schema.processlist WHERE info LIKE '%slow%' \
                AND command = 'Execute'";
    assert_eq!(server.sql("", busy).trim(), "0");
}

#[test]
fn certificates() {
    let plain = server(&[]);
    let text = error(&open(&[&url(&plain, "?sslmode=require")]));
    assert!(text.contains("the server has no TLS, which sslmode= demands"), "{text}");
    drop(plain);

    let files = certificate();
    let file = |name: &str| files.join(name).display().to_string();
    // One that the server can read, and one that nobody else can.
    run(Command::new("cp").args(["-p", &file("key"), &file("own")]));
    run(Command::new("chmod").args(["644", &file("key")]));
    let (cert, key) = (file("crt"), file("own"));
    let server = server(&[
        &format!("--ssl-cert={cert}"),
        &format!("--ssl-key={}", file("key")),
        &format!("--ssl-ca={cert}"),
    ]);
    server.sql("", "ALTER USER apache REQUIRE SSL");
    let local = |tail: &str| url(&server, tail).replace("127.0.0.1", "localhost");
    for good in [
        url(&server, ""),
        url(&server, "?sslmode=require"),
        url(&server, &format!("?sslmode=verify-ca&sslrootcert={cert}")),
        local(&format!("?sslmode=verify-full&sslrootcert={cert}")),
    ] {
        assert!(ask(&open(&[&good]), "alice").unwrap().is_some(), "{good}");
    }
    let text = error(&open(&[&url(&server, "?sslmode=disable")]));
    assert!(text.contains("access denied for user 'apache'"), "{text}");
    // The certificate is not for the number, nor signed by whom the system knows.
    let text = error(&open(&[&url(&server, &format!("?sslmode=verify-full&sslrootcert={cert}"))]));
    assert!(text.contains("not valid for name"), "{text}");
    let text = error(&open(&[&local("?sslmode=verify-full")]));
    assert!(text.contains("certificate"), "{text}");
    // Who wants to know us.
    server.sql("", "ALTER USER apache REQUIRE X509");
    let text = error(&open(&[&local("?sslmode=require")]));
    assert!(text.contains("access denied"), "{text}");
    let known = open(&[&local(&format!("?sslmode=require&sslcert={cert}&sslkey={key}"))]);
    assert!(ask(&known, "alice").unwrap().is_some());
    let open_key = url(&server, &format!("?sslcert={cert}&sslkey={}", file("key")));
    assert!(Database::parse(&[&open_key]).unwrap_err().contains("chmod o="));
    let words = url(&server, &format!("?sslcert={key}&sslkey={key}"));
    let text = Database::parse(&[&words]).unwrap().load().unwrap_err().to_string();
    assert!(text.contains("no certificate in PEM form") && !text.contains("s3cret"), "{text}");
}

#[test]
fn unix_sockets() {
    let server = server(&[]);
    let socket = server.socket();
    let socket = socket.display();
    for user in ["apache:s3cret@", "apache:s3cret@localhost"] {
        let store = open(&[&format!("mysql://{user}/site?socket={socket}&sslmode=require")]);
        assert!(ask(&store, "alice").unwrap().is_some(), "{user}");
    }
    // By the name of the process's own user.
    server.sql("", "ALTER USER root@localhost IDENTIFIED VIA unix_socket");
    let peer = open(&[&format!("mariadb://root@/site?socket={socket}")]);
    assert!(ask(&peer, "alice").unwrap().is_some());
    let text = error(&open(&[&format!("mysql://apache:s3cret@/site?socket={socket}.none")]));
    assert!(text.contains("no such socket: is MySQL running there?"), "{text}");
    let database = Database::parse(&["mysql://apache@/site?socket=/no/such/socket"]).unwrap();
    assert!(database.reach().unwrap_err().contains("/no/such/socket: No such file"));
    let words = format!("mysql://apache@/site?socket={socket}");
    assert_eq!(Database::parse(&[&words]).unwrap().reach(), Ok(()));
}

#[test]
fn several_hosts() {
    let server = server(&[]);
    // One that refuses, and one that accepts and never answers.
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    for first in [free_port(), mute.local_addr().unwrap().port()] {
        let hosts = format!("127.0.0.1:{first},127.0.0.1:{}", server.port);
        let store = open(&[&format!("mysql://apache:s3cret@{hosts}/site"), "timeout=2"]);
        let begun = Instant::now();
        assert!(ask(&store, "alice").unwrap().is_some());
        eprintln!("second of two hosts: {:?}", begun.elapsed());
    }
}

#[test]
fn refusals_name_their_remedy() {
    let server = server(&[]);
    for (from, to, cause, remedy) in [
        ("apache:s3cret", "nobody", "denied to user 'nobody'", "GRANT SELECT"),
        ("s3cret", "wrong", "access denied for user 'apache'", "AuthDjangoDatabasePassword"),
        ("apache:s3cret@", "who@", "access denied for user 'who'", "AuthDjangoDatabasePassword"),
        ("apache:s3cret", "django", "", ""),
        ("/site", "/sight", "access denied for user 'apache'", "GRANT SELECT"),
    ] {
        let store = open(&[&url(&server, "").replace(from, to)]);
        if cause.is_empty() {
            assert!(ask(&store, "alice").is_ok());
            continue;
        }
        let text = error(&store);
        assert!(text.contains(cause) && text.contains(remedy), "{text}");
    }
    let text = error(&open(&[&url(&server, "")
        .replace("apache:s3cret", "django")
        .replace("/site", "/sight")]));
    assert!(text.contains("unknown database 'sight': the URL names it after the host"), "{text}");
}

#[test]
fn no_more_connections() {
    let server = server(&["--max-connections=20"]);
    let few = url(&server, "").replace("apache:s3cret", "few");
    let store = open(&[&few]);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..20).for_each(|_| assert!(ask(&store, "alice").is_ok())));
        }
    });
    let other = error(&open(&[&few]));
    assert!(other.contains("max_user_connections") && other.contains("lower max="), "{other}");
    let full = thread::scope(|scope| {
        for _ in 0..25 {
            scope.spawn(|| {
                let _ = Command::new("mariadb")
                    .args(["--no-defaults", "-u", "django", "-e", "SELECT SLEEP(60)"])
                    .arg(format!("--socket={}", server.socket().display()))
                    .output();
            });
        }
        let mut full = None;
        wait_until("the server is full", 30, || {
            full = ask(&open(&[&url(&server, "")]), "alice").err();
            full.is_some()
        });
        // Ends those who sleep, too.
        server.signal("KILL");
        full.unwrap().to_string()
    });
    assert!(full.contains("too many connections") && full.contains("lower max="), "{full}");
}
