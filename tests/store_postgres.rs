//! The store against a PostgreSQL of its own: outages, TLS, several hosts, PgBouncer.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use crate::common::store::{Server, ask, ask_model, error, open, open_on, recovery};
use mod_authnz_django::store::{Database, Store};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

const SCHEMA: &str = r#"
    CREATE TABLE auth_user (id serial PRIMARY KEY, username varchar(150) UNIQUE,
        password varchar(128), is_active boolean);
    CREATE TABLE auth_group (id serial PRIMARY KEY, name varchar(150));
    CREATE TABLE auth_user_groups (id serial PRIMARY KEY, user_id int, group_id int);
    INSERT INTO auth_user (username, password, is_active) VALUES ('alice', 'pw$1', true),
        ('bob', NULL, NULL), ('o''neil "x" %s', '', false);
    INSERT INTO auth_group (name) VALUES ('secret agents'), ('Ärzte "A", {B}');
    INSERT INTO auth_user_groups (user_id, group_id) VALUES (1, 1), (1, 2);
    CREATE TABLE odd (nr bigint, "E Mail" text, pw text, active smallint);
    INSERT INTO odd VALUES (7, 'alice', 'x', 1), (8, 'twice', '', 1), (9, 'twice', '', 1);
    CREATE TABLE days (id int, day date, pw text); INSERT INTO days VALUES (1, '2024-02-29', '');
    CREATE ROLE apache LOGIN PASSWORD 's3cret'; CREATE ROLE nobody LOGIN;
    CREATE ROLE few LOGIN CONNECTION LIMIT 1;
    GRANT SELECT ON ALL TABLES IN SCHEMA public TO apache, few;
"#;

fn bin(name: &str) -> PathBuf {
    let dir = std::env::var("PGBIN").unwrap_or_else(|_| "/usr/lib/postgresql/15/bin".into());
    Path::new(&dir).join(name)
}

/// A command as a user who may run PostgreSQL.
fn command(program: &Path) -> Command {
    let mut command = Command::new("runuser");
    command.args(["-u", "postgres", "--"]).arg(program).current_dir("/");
    command
}

fn run(command: &mut Command) -> Output {
    let output = command.output().expect("PostgreSQL is not installed, or this is not root");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {error}");
    output
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

struct Cluster {
    dir: PathBuf,
    port: u16,
}

impl Cluster {
    fn new() -> Self {
        let output = run(command(Path::new("mktemp")).args(["-d", "/tmp/store_pg.XXXXXX"]));
        let dir = PathBuf::from(String::from_utf8(output.stdout).unwrap().trim());
        let new = Self { dir, port: free_port() };
        run(command(&bin("initdb"))
            .arg("-D")
            .arg(new.data())
            .args(["-A", "trust", "-N", "-E", "UTF8"]));
        let ssl = new.dir.join("server");
        run(command(Path::new("openssl"))
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"])
            .args([
                "-nodes",
                "-days",
                "2",
                "-subj",
                "/CN=db",
                "-addext",
                "subjectAltName=DNS:localhost",
            ])
            .arg("-keyout")
            .arg(ssl.with_extension("key"))
            .arg("-out")
            .arg(ssl.with_extension("crt")));
        let settings = format!(
            "port = {}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = '{dir}'\n\
             fsync = off\nmax_connections = 20\nsuperuser_reserved_connections = 1\nssl = on\n\
             ssl_cert_file = '{dir}/server.crt'\nssl_key_file = '{dir}/server.key'\n",
            new.port,
            dir = new.dir.display()
        );
        let conf = new.data().join("postgresql.conf");
        std::fs::write(&conf, std::fs::read_to_string(&conf).unwrap() + &settings).unwrap();
        let hba = "local all all trust\nhost all apache 127.0.0.1/32 scram-sha-256\n\
                   host all few 127.0.0.1/32 trust\nhost all nobody 127.0.0.1/32 trust\n\
                   host all postgres 127.0.0.1/32 trust\n";
        std::fs::write(new.data().join("pg_hba.conf"), hba).unwrap();
        new.start();
        new.sql(SCHEMA);
        new
    }

    fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    fn ctl(&self, words: &[&str]) {
        let log = self.dir.join("log");
        run(command(&bin("pg_ctl"))
            .arg("-D")
            .arg(self.data())
            .arg("-l")
            .arg(log)
            .args(words)
            .stdout(Stdio::null()));
    }

    fn start(&self) {
        self.ctl(&["start", "-w"]);
    }

    fn stop(&self) {
        self.ctl(&["stop", "-w", "-m", "immediate"]);
    }

    fn sql(&self, sql: &str) -> String {
        self.sql_in("postgres", sql)
    }

    fn sql_in(&self, database: &str, sql: &str) -> String {
        let output = run(command(&bin("psql")).arg("-h").arg(&self.dir).args([
            "-p",
            &self.port.to_string(),
            "-qAt",
            "-v",
            "ON_ERROR_STOP=1",
            "-c",
            sql,
            database,
        ]));
        String::from_utf8(output.stdout).unwrap()
    }

    fn url(&self, tail: &str) -> String {
        format!("postgresql://apache:s3cret@127.0.0.1:{}/postgres{tail}", self.port)
    }

    /// Sends a signal to all of the cluster's processes.
    fn signal(&self, signal: &str) {
        let pid = std::fs::read_to_string(self.data().join("postmaster.pid")).unwrap();
        let pid = pid.lines().next().unwrap().to_owned();
        let children = Command::new("pgrep").args(["-P", &pid]).output().unwrap();
        let children = String::from_utf8(children.stdout).unwrap();
        let all = std::iter::once(pid.as_str()).chain(children.split_whitespace());
        let _ = Command::new("kill").arg(signal).args(all).status();
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.signal("-CONT");
        let _ = command(&bin("pg_ctl"))
            .arg("-D")
            .arg(self.data())
            .args(["stop", "-w", "-m", "immediate"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

#[test]
fn users_and_their_groups() {
    let cluster = Cluster::new();
    for words in ["statements=prepared", "statements=unnamed"] {
        let store = open(&[&cluster.url(""), words]);
        let alice = ask(&store, "alice").unwrap().unwrap();
        assert_eq!(
            (alice.id.as_str(), alice.password.as_str(), alice.is_active),
            ("1", "pw$1", true)
        );
        assert_eq!(alice.groups, ["secret agents", "Ärzte \"A\", {B}"]);
        let bob = ask(&store, "bob").unwrap().unwrap();
        assert_eq!((bob.password.as_str(), bob.is_active, bob.groups.len()), ("", false, 0));
        assert!(ask(&store, "o'neil \"x\" %s").unwrap().is_some());
        for nobody in ["Alice", "", "alice ", "a\0", "' OR 1=1 --"] {
            assert_eq!(ask(&store, nobody), Ok(None));
        }
        let odd = [
            "a.B",
            "table=odd",
            "id=nr",
            "username=E Mail",
            "password=pw",
            "is_active=active",
            "groups_table=none",
        ];
        let user = ask_model(&store, &odd, "alice").unwrap().unwrap();
        assert_eq!((user.id.as_str(), user.is_active, user.groups.len()), ("7", true, 0));
        let twice = ask_model(&store, &odd, "twice").unwrap_err().to_string();
        assert!(twice.contains("more than one row"), "{twice}");
        let number = [
            "a.B",
            "table=odd",
            "id=nr",
            "username=nr",
            "password=pw",
            "is_active=none",
            "groups_table=none",
        ];
        assert_eq!(ask_model(&store, &number, "7").unwrap().unwrap().username, "7");
        for nobody in ["alice", "99999999999999999999999"] {
            assert_eq!(ask_model(&store, &number, nobody), Ok(None));
        }
        let day = [
            "a.B",
            "table=days",
            "username=day",
            "password=pw",
            "is_active=none",
            "groups_table=none",
        ];
        assert!(ask_model(&store, &day, "2024-02-29").unwrap().is_some());
        for nobody in ["alice", "2023-02-29", "2024-02-29 25:00"] {
            assert_eq!(ask_model(&store, &day, nobody), Ok(None), "{nobody}");
        }
        let column = ask_model(&store, &["auth.User", "password=pasword"], "alice");
        let column = column.unwrap_err().to_string();
        assert!(column.contains("AuthDjangoUserModel names the columns"), "{column}");
        let table = ask_model(&store, &["site.User"], "alice").unwrap_err().to_string();
        assert!(table.contains("AuthDjangoUserModel names the tables"), "{table}");
    }
    let local = format!(
        "postgresql://nobody@/postgres?host={}&port={}",
        cluster.dir.display(),
        cluster.port
    );
    let denied = error(&open(&[&local]));
    let remedy = ": GRANT SELECT on the columns that it reads to this role, as the README has it";
    assert!(denied.ends_with(remedy), "{denied}");
    let settings = cluster.sql("SELECT current_setting('default_transaction_read_only')");
    assert_eq!(settings.trim(), "off");
    let wrong = error(&open(&[&cluster.url("").replace("s3cret", "wrong")]));
    assert!(wrong.contains("AuthDjangoDatabasePassword"), "{wrong}");
    let pg_hba = error(&open(&[&cluster.url("").replace("apache", "other")]));
    assert!(pg_hba.contains("pg_hba.conf"), "{pg_hba}");
    let primary = open(&[&cluster.url("?target_session_attrs=read-write")]);
    assert!(ask(&primary, "alice").unwrap().is_some());
    let replica = error(&open(&[&cluster.url("?target_session_attrs=read-only")]));
    assert!(replica.contains("not read only"), "{replica}");
}

/// Those who wait are asked for together; nobody is given another one's row, whatever else is asked.
#[test]
fn many_at_once_and_each_his_own() {
    let cluster = Cluster::new();
    cluster.sql(
        "INSERT INTO auth_user (username, password, is_active) \
             SELECT 'user' || n, 'pw' || n, n % 3 > 0 FROM generate_series(0, 99) n; \
         INSERT INTO auth_user_groups (user_id, group_id) \
             SELECT id, 1 FROM auth_user WHERE username LIKE 'user%5'; \
         CREATE TABLE numbers AS SELECT n AS id, n AS nr, 'pw' || n AS pw \
             FROM generate_series(0, 99) n; GRANT SELECT ON numbers TO apache",
    );
    let number = [
        "a.B",
        "table=numbers",
        "username=nr",
        "password=pw",
        "is_active=none",
        "groups_table=none",
    ];
    for words in ["max=1", "max=4"] {
        let store = open(&[&cluster.url(""), words]);
        thread::scope(|scope| {
            for thread in 0..32 {
                let store = &store;
                scope.spawn(move || {
                    for round in 0..60 {
                        let n = (thread * 37 + round * 11) % 100;
                        match (thread + round) % 6 {
                            0 => assert_eq!(ask(store, &format!("nobody{n}")), Ok(None)),
                            // A value that the column cannot hold fails whoever is asked for with it.
                            1 => {
                                assert_eq!(ask_model(store, &number, &format!("user{n}")), Ok(None))
                            }
                            2 => {
                                let user =
                                    ask_model(store, &number, &n.to_string()).unwrap().unwrap();
                                assert_eq!(user.password.as_str(), format!("pw{n}"));
                            }
                            _ => {
                                let user = ask(store, &format!("user{n}")).unwrap().unwrap();
                                let found =
                                    (user.password.as_str(), user.is_active, user.groups.len());
                                assert_eq!(user.username, format!("user{n}"));
                                let expected = format!("pw{n}");
                                assert_eq!(
                                    found,
                                    (&*expected, n % 3 > 0, usize::from(n % 10 == 5))
                                );
                            }
                        }
                    }
                });
            }
        });
    }
}

/// A name that the server's encoding has no letters for is nobody's.
#[test]
fn a_database_of_another_encoding() {
    let cluster = Cluster::new();
    cluster.sql("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0");
    let sql = "CREATE TABLE auth_user (id int, username text, password text, is_active boolean); \
               INSERT INTO auth_user VALUES (1, U&'J\\00FCrgen', '', true); \
               GRANT SELECT ON auth_user TO apache";
    cluster.sql_in("latin", sql);
    for words in ["statements=prepared", "statements=unnamed"] {
        let store = open(&[&cluster.url("").replace("/postgres", "/latin"), words]);
        let model = ["auth.User", "groups_table=none"];
        assert_eq!(ask_model(&store, &model, "Jürgen").unwrap().unwrap().username, "Jürgen");
        for nobody in ["日本", "Jürgen\u{20ac}", "\u{fffd}"] {
            assert_eq!(ask_model(&store, &model, nobody), Ok(None), "{nobody}");
        }
        assert!(ask_model(&store, &model, "Jürgen").unwrap().is_some());
    }
}

#[test]
fn a_restart_costs_nothing_and_an_outage_a_moment() {
    let cluster = Cluster::new();
    let store = open(&[&cluster.url("")]);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..50).for_each(|_| assert!(ask(&store, "alice").is_ok())));
        }
    });
    for _ in 0..3 {
        cluster.ctl(&["restart", "-w", "-m", "fast"]);
        assert!(ask(&store, "alice").unwrap().is_some());
    }
    cluster.stop();
    let begun = Instant::now();
    for _ in 0..50 {
        assert!(error(&store).contains("connection refused"));
    }
    assert!(begun.elapsed() < Duration::from_millis(500), "{:?}", begun.elapsed());
    thread::sleep(Duration::from_secs(2));
    cluster.start();
    let took = recovery(&store);
    eprintln!("recovery after a stop: {took:?}");
    assert!(took < Duration::from_secs(2), "{took:?}");
}

#[test]
fn a_server_that_is_silent() {
    let cluster = Cluster::new();
    let store = open(&[&cluster.url(""), "timeout=1.5"]);
    assert!(ask(&store, "alice").is_ok());
    let (fresh, place) = (open(&[&cluster.url(""), "timeout=1"]), cluster.port);
    let hasty = open(&[&cluster.url("?connect_timeout=1"), "timeout=1.5"]);
    cluster.signal("-STOP");
    let begun = Instant::now();
    let text = error(&store);
    let took = begun.elapsed().as_millis();
    assert!((1400..1900).contains(&took), "{took}");
    assert!(text.ends_with("no answer within 1.5 s"), "{text}");
    let begun = Instant::now();
    assert!(error(&store).contains("no answer"));
    assert!(begun.elapsed() < Duration::from_millis(50));
    let begun = Instant::now();
    // What is configured, not what was measured, or each would be an error of its own in the log.
    for store in [&fresh, &hasty] {
        let text = error(store);
        assert!(text.ends_with(&format!(":{place}: no answer within 1 s")), "{text}");
    }
    assert!(begun.elapsed() < Duration::from_millis(2800), "{:?}", begun.elapsed());
    thread::sleep(Duration::from_secs(3));
    cluster.signal("-CONT");
    let took = recovery(&store);
    eprintln!("recovery after SIGSTOP: {took:?}");
    assert!(took < Duration::from_secs(2), "{took:?}");
    // A table that somebody keeps locked.
    let locker = thread::spawn({
        let port = cluster.port.to_string();
        let mut psql = command(&bin("psql"));
        psql.arg("-h").arg(&cluster.dir).args([
            "-p",
            &port,
            "-qc",
            "BEGIN; LOCK TABLE auth_user; SELECT pg_sleep(3); COMMIT",
            "postgres",
        ]);
        move || run(&mut psql)
    });
    thread::sleep(Duration::from_millis(500));
    let begun = Instant::now();
    assert!(error(&store).ends_with("no answer within 1.5 s"));
    assert!(begun.elapsed() < Duration::from_millis(1900));
    locker.join().unwrap();
    recovery(&store);
}

#[test]
fn certificates() {
    let cluster = Cluster::new();
    let root = cluster.dir.join("server.crt").display().to_string();
    let used = |store: &Arc<dyn Store>| ask(store, "alice").map(|_| ());
    let local = |tail: &str| cluster.url(tail).replace("127.0.0.1", "localhost");
    assert_eq!(used(&open(&[&local("?sslmode=require")])), Ok(()));
    assert_eq!(cluster.sql("SELECT count(*) FROM pg_stat_ssl WHERE ssl").trim(), "0");
    let store = open(&[&local(&format!("?sslmode=verify-full&sslrootcert={root}"))]);
    assert_eq!(used(&store), Ok(()));
    assert_eq!(cluster.sql("SELECT count(*) FROM pg_stat_ssl WHERE ssl").trim(), "1");
    // The certificate is not for the number.
    let named = open(&[&cluster.url(&format!("?sslmode=verify-full&sslrootcert={root}"))]);
    let text = error(&named);
    assert!(text.contains("not valid for name"), "{text}");
    assert_eq!(
        used(&open(&[&cluster.url(&format!("?sslmode=verify-ca&sslrootcert={root}"))])),
        Ok(())
    );
    // A certificate that is trusted as it is must be in its time, too.
    let new = "openssl req -new -key server.key -subj /CN=db -addext subjectAltName=DNS:localhost | \
               openssl x509 -req -signkey server.key -days -1 -copy_extensions copyall -out old.crt";
    run(command(Path::new("sh")).args(["-c", new]).current_dir(&cluster.dir));
    let old = cluster.dir.join("old.crt").display().to_string();
    cluster.sql(&format!("ALTER SYSTEM SET ssl_cert_file = '{old}'"));
    cluster.ctl(&["reload"]);
    let url = local(&format!("?sslmode=verify-full&sslrootcert={old}"));
    let mut text = String::new();
    for _ in 0..50 {
        text = ask(&open(&[&url]), "alice").map_or_else(|error| error.to_string(), |_| "in".into());
        if !text.contains("UnknownIssuer") {
            break; // The server has read it.
        }
        thread::sleep(Duration::from_millis(100));
    }
    assert!(text.ends_with("invalid peer certificate: Expired"), "{text}");
    cluster.sql("ALTER SYSTEM RESET ssl_cert_file");
    cluster.ctl(&["reload"]);
    let system = error(&open(&[&local("?sslmode=verify-full")]));
    assert!(system.contains("certificate"), "{system}");
    let plain = open(&[&local("?sslmode=disable")]);
    assert_eq!(used(&plain), Ok(()));
    let key = cluster.dir.join("server.key").display().to_string();
    let words = cluster.url(&format!("?sslcert={key}&sslkey={key}"));
    let text = Database::parse(&[&words]).unwrap().load().unwrap_err().to_string();
    assert!(text.contains("no certificate in PEM form") && !text.contains("s3cret"), "{text}");
}

#[test]
fn several_hosts() {
    let cluster = Cluster::new();
    // One that refuses, and one that accepts and never answers.
    let refusing = free_port();
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    for first in [refusing, mute.local_addr().unwrap().port()] {
        let hosts = format!("127.0.0.1:{first},127.0.0.1:{}", cluster.port);
        let url = format!("postgresql://apache:s3cret@{hosts}/postgres");
        let store = open(&[&url, "timeout=2"]);
        let begun = Instant::now();
        assert!(ask(&store, "alice").unwrap().is_some());
        eprintln!("second of two hosts: {:?}", begun.elapsed());
    }
}

#[test]
fn no_more_connections() {
    let cluster = Cluster::new();
    let url = cluster.url("").replace("apache:s3cret", "few");
    let store = open(&[&url]);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..20).for_each(|_| assert!(ask(&store, "alice").is_ok())));
        }
    });
    let other = error(&open(&[&url]));
    assert!(other.contains("too many connections") && other.contains("lower max="), "{other}");
}

struct Bouncer(Child);

impl Drop for Bouncer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn behind_pgbouncer() {
    let cluster = Cluster::new();
    let port = free_port();
    let ini = cluster.dir.join("pgbouncer.ini");
    std::fs::write(&ini, format!(
        "[databases]\npostgres = host={dir} port={} user=apache\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
         listen_port = {port}\nunix_socket_dir =\nauth_type = any\npool_mode = transaction\n\
         default_pool_size = 3\nmin_pool_size = 3\nserver_round_robin = 1\n", cluster.port, dir = cluster.dir.display()
    )).unwrap();
    let child = Command::new("setpriv")
        .args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--", "pgbouncer", "-q"])
        .arg(&ini)
        .stderr(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let _bouncer = Bouncer(child);
    let url = format!("postgresql://apache@127.0.0.1:{port}/postgres?sslmode=disable");
    thread::sleep(Duration::from_millis(500));
    // A request or two of one child would do with one connection of PgBouncer's.
    let quiet: Arc<Server> = Arc::default();
    let unnamed = open_on(&quiet, &[&url, "statements=unnamed"]);
    let all = (0..100).any(|_| {
        thread::sleep(Duration::from_millis(100));
        assert!(ask(&unnamed, "alice").unwrap().is_some());
        let count = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'apache'";
        cluster.sql(count).trim() == "3"
    });
    assert!(all);
    // Two children, whose statements have the same names for different tables.
    let servers: [Arc<Server>; 2] = Default::default();
    let stores = servers.each_ref().map(|server| open_on(server, &[&url]));
    thread::scope(|scope| {
        for store in &stores {
            for _ in 0..6 {
                scope.spawn(move || {
                    for _ in 0..50 {
                        let alice = ask(store, "alice").unwrap().unwrap();
                        assert_eq!(alice.groups.len(), 2);
                        assert_eq!(ask(store, "nobody"), Ok(None));
                    }
                });
            }
        }
    });
    for server in &servers {
        let notices = server.0.lock().unwrap();
        assert_eq!(notices.len(), 1, "{notices:?}");
        assert!(notices[0].contains("statements=unnamed"), "{notices:?}");
    }
    assert!(quiet.0.lock().unwrap().is_empty());
}
