//! `watch=`: rows are kept while PostgreSQL tells of every change, and not a moment longer.

use crate::common::cluster::{Cluster, PASSWORD};
use crate::common::django::Resident;
use crate::common::httpd::{MPMS, Setup, free_port};
use crate::common::store::{Server, open_on};
use crate::common::{directory, required, wait_until};
use mod_authnz_django::store::{Found, Store};
use mod_authnz_django::user::{User, UserModel, Wants};
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

/// What a change may take at most until it is seen, on a machine that is busy.
const SOON: Duration = Duration::from_secs(1);

/// What may take a few looks.
const PATIENCE: Duration = Duration::from_secs(15);

/// What the link's backend was last asked.
const LINK: &str =
    "pg_stat_activity WHERE usename = 'apache' AND query LIKE '%authnz_django.link%'";

/// The word of the script that watches sessions.
pub const SESSIONS: &str = "sessions=django_session";

/// A store that watches, and whom it told what.
struct Watcher {
    server: Arc<Server>,
    store: Arc<dyn Store>,
    model: Arc<UserModel>,
    wants: Wants,
}

impl Watcher {
    fn new(words: &[&str], model: &[&str], wants: Wants) -> Self {
        let server: Arc<Server> = Arc::default();
        let store = open_on(&server, words);
        Self { server, store, model: Arc::new(UserModel::parse(model).unwrap()), wants }
    }

    fn on(cluster: &Cluster, wants: Wants) -> Self {
        Self::new(&[&cluster.url(), "watch=users"], &["auth.User"], wants)
    }

    fn get(&self, name: &str) -> Option<Arc<User>> {
        let deadline = Instant::now() + self.store.timeout();
        self.store
            .get_by_natural_key(&self.model, &self.wants, name, deadline)
            .map(Found::one)
            .unwrap()
    }

    /// Whether the row need not be read.
    fn keeps(&self, name: &str) -> bool {
        Arc::ptr_eq(&self.get(name).unwrap(), &self.get(name).unwrap())
    }

    /// The row, once it is kept.
    #[track_caller]
    fn kept(&self, name: &str) -> Arc<User> {
        let begun = Instant::now();
        while !self.keeps(name) {
            assert!(begun.elapsed() < PATIENCE, "{name} is not kept: {:?}", self.notices());
            thread::sleep(Duration::from_millis(5));
        }
        self.get(name).unwrap()
    }

    /// How long it takes after `change` until the row is another.
    #[track_caller]
    fn changes(&self, name: &str, what: &str, change: impl FnOnce()) -> Duration {
        let before = self.kept(name);
        change();
        let begun = Instant::now();
        while self.get(name).is_some_and(|now| Arc::ptr_eq(&now, &before)) {
            assert!(begun.elapsed() < SOON, "{what}: the row is still kept");
            thread::sleep(Duration::from_millis(1));
        }
        begun.elapsed()
    }

    #[track_caller]
    fn stays(&self, name: &str, what: &str, change: impl FnOnce()) {
        let before = self.kept(name);
        change();
        thread::sleep(Duration::from_millis(150));
        let same = Arc::ptr_eq(&before, &self.get(name).unwrap());
        assert!(same, "{what}: the row was read again: {:?}", self.notices());
    }

    /// Rows are read at each request, and the log says why.
    #[track_caller]
    fn gives_up(&self, name: &str, notice: &str) {
        let begun = Instant::now();
        let told = || self.notices().iter().any(|line| line.contains(notice));
        while self.keeps(name) || !told() {
            assert!(begun.elapsed() < PATIENCE, "{name}: {notice}: {:?}", self.notices());
            thread::sleep(Duration::from_millis(5));
        }
        let notices = self.notices();
        assert!(notices.iter().all(|line| !line.contains(PASSWORD)), "{notices:?}");
        let once = notices.iter().filter(|line| line.contains(notice)).count();
        assert_eq!(once, 1, "{notices:?}");
    }

    fn notices(&self) -> Vec<String> {
        self.server.0.lock().unwrap().clone()
    }
}

pub fn watched(model: &str, words: &[&str]) -> Cluster {
    let (cluster, _) = Cluster::start(model);
    cluster.script("site", "authnz_django_watch.sql", &[&["channel=users"], words].concat());
    cluster
}

#[test]
fn every_change_counts_at_once_and_a_login_is_none() {
    let cluster = watched("auth.User", &[]);
    let watcher = Watcher::on(&cluster, Wants::PERMISSIONS.or(&Wants::GROUPS));
    let mut django = Resident::start("postgres", &cluster.django(), "auth.User");
    let mut longest = Duration::ZERO;
    for change in [
        "password=alice=new",
        "active=alice=0",
        "bulk=alice=is_active=1",
        "bulk=bob=is_staff=1",
        "set=bob=is_superuser=1",
        "group=alice=permitted",
        "ungroup=alice=permitted",
        "permit=alice=auth.view_group",
        "forbid=alice=auth.view_group",
        "allow=permitted=auth.view_user",
        "deny=permitted=auth.view_user",
        "delete=carol",
        "create=zoe",
    ] {
        longest = longest.max(watcher.changes("alice", change, || django.change(change)));
    }
    // What httpd does not read.
    for change in ["login=alice", "bulk=alice=last_name=x", "set=bob=email=b@example.org"] {
        watcher.stays("alice", change, || django.change(change));
    }
    for sql in [
        "UPDATE auth_user SET password = password, is_active = is_active",
        "BEGIN; UPDATE auth_user SET is_active = false; ROLLBACK",
    ] {
        watcher.stays("alice", sql, || drop(cluster.sql("site", sql)));
    }
    let read_anew = |sql: &str| {
        watcher.changes("alice", sql, || drop(cluster.sql("site", sql)));
    };
    read_anew("UPDATE auth_user SET username = upper(username) WHERE username LIKE 'hasher%'");
    read_anew("UPDATE auth_group SET name = 'renamed' WHERE name = 'permitted'");
    read_anew("UPDATE auth_permission SET codename = 'x' WHERE codename = 'view_group'");
    read_anew("UPDATE django_content_type SET app_label = 'x' WHERE model = 'group'");
    read_anew("SET session_replication_role = replica; UPDATE auth_user SET password = 'x'");
    read_anew(
        "INSERT INTO auth_user_groups (user_id, group_id) SELECT u.id, g.id \
               FROM auth_user u, auth_group g WHERE username = 'zoe' AND name = 'secret-agents'",
    );
    assert_eq!(watcher.kept("zoe").groups, ["secret-agents"]);
    read_anew("DELETE FROM auth_user_groups WHERE user_id = 1");
    for table in ["auth_user_groups", "auth_group_permissions", "auth_user_user_permissions"] {
        read_anew(&format!("TRUNCATE {table}"));
        assert!(table != "auth_user_groups" || watcher.kept("zoe").groups.is_empty());
    }
    // Who is nobody is remembered too, and not for long.
    assert!(watcher.get("adam").is_none());
    cluster.sql("site", "UPDATE auth_user SET username = 'adam' WHERE username = 'zoe'");
    wait_until("adam", 1, || watcher.get("adam").is_some());
    assert_eq!(watcher.notices(), [""; 0]);
    eprintln!("watch: Django's changes were seen within {longest:?}");
}

/// From before the commit, by the database's own clock, to the answer.
#[test]
fn a_revocation_is_seen_soon_after_its_commit() {
    let cluster = watched("auth.User", &[]);
    let watcher = Watcher::on(&cluster, Wants::GROUPS);
    let mut all = Vec::new();
    for active in (0..21).map(|round| round % 2 == 1) {
        watcher.kept("bob");
        let seen = thread::scope(|scope| {
            let seen = scope.spawn(|| {
                let begun = Instant::now();
                while watcher.get("bob").unwrap().is_active != active {
                    assert!(begun.elapsed() < Duration::from_secs(10));
                    thread::sleep(Duration::from_micros(200));
                }
                SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap()
            });
            let changed = cluster.sql(
                "site",
                &format!(
                    "UPDATE auth_user SET is_active = {active} WHERE username = 'bob' \
                     RETURNING extract(epoch FROM clock_timestamp())"
                ),
            );
            let changed = Duration::from_secs_f64(changed.trim().parse().unwrap());
            seen.join().unwrap().saturating_sub(changed)
        });
        all.push(seen);
    }
    are_soon(all);
}

/// Within 100 ms of the commit; a busy machine stands still at times, but not half of the time.
#[track_caller]
fn are_soon(mut revocations: Vec<Duration>) {
    revocations.sort_unstable();
    eprintln!("watch: a revocation is seen after {revocations:?}");
    let (median, all_but_one) = (revocations.len() / 2, revocations.len() - 2);
    let are = |place: usize, bound| revocations[place] < bound;
    assert!(are(median, Duration::from_millis(100)) && are(all_but_one, SOON), "{revocations:?}");
}

#[test]
fn user_models_of_a_sites_own() {
    let cluster = watched(
        "accounts.User",
        &["users=accounts_user", "columns=id,email,password,is_active,is_superuser"],
    );
    let keys = ["accounts.User", "username=email", "is_staff=none"];
    let words = [&cluster.url(), "watch=users"];
    let watcher = Watcher::new(&words, &keys, Wants::PERMISSIONS.or(&Wants::GROUPS));
    let mut django = Resident::start("postgres", &cluster.django(), "accounts.User");
    let name = "alice@example.org";
    for change in ["active=alice@example.org=0", "ungroup=alice@example.org=secret-agents"] {
        watcher.changes(name, change, || django.change(change));
    }
    watcher.stays(name, "login", || django.change("login=alice@example.org"));

    // A column that is exported and not watched, until the script is told of it.
    let wants = Wants { columns: vec!["last_login".into()], ..Wants::GROUPS };
    cluster.sql("site", "GRANT SELECT (last_login) ON accounts_user TO apache");
    let exporting = Watcher::new(&words, &keys, wants);
    exporting
        .gives_up(name, "the trigger for UPDATE of last_login on \"accounts_user\" is missing");
    cluster.script(
        "site",
        "authnz_django_watch.sql",
        &[
            "channel=users",
            "users=accounts_user",
            "columns=id,email,password,is_active",
            "export=last_login",
        ],
    );
    exporting.changes(name, "an exported column", || django.change("login=alice@example.org"));

    // Names that need their quotes, and two tables.
    cluster.sql(
        "site",
        r#"CREATE SCHEMA hr; CREATE TABLE hr."Odd ""User's"" Täble" ("Serial No" int, "Log In" text, pw text);
           CREATE TABLE hr.person (ptr int, "Is, Active?" bool);
           INSERT INTO hr."Odd ""User's"" Täble" VALUES (1, 'odd', 'x'); INSERT INTO hr.person VALUES (1, true);
           GRANT USAGE ON SCHEMA hr TO apache; GRANT SELECT ON ALL TABLES IN SCHEMA hr TO apache;
           SELECT authnz_django_watch('users', 'hr."Odd ""User''s"" Täble"', '{Serial No,Log In,pw}');
           SELECT authnz_django_watch('users', 'hr.person', '{ptr,"Is, Active?"}')"#,
    );
    let keys = [
        "a.B",
        "schema=hr",
        "table=Odd \"User's\" Täble",
        "child=person.ptr",
        "id=Serial No",
        "username=Log In",
        "password=pw",
        "is_active=person.Is, Active?",
        "groups_table=none",
    ];
    let odd = Watcher::new(&words, &keys, Wants::GROUPS);
    for sql in [
        r#"UPDATE hr.person SET "Is, Active?" = false"#,
        r#"UPDATE hr."Odd ""User's"" Täble" SET pw = 'y'"#,
    ] {
        odd.changes("odd", sql, || drop(cluster.sql("site", sql)));
    }
    let refused = |sql: &str| {
        let sql = format!(
            "DO $$ BEGIN PERFORM {sql}; RAISE 'taken'; EXCEPTION WHEN OTHERS THEN \
                           IF SQLERRM = 'taken' THEN RAISE; END IF; END $$"
        );
        cluster.sql("site", &sql);
    };
    refused("authnz_django_watch('users; DROP', 'hr.person')");
    refused("authnz_django_watch('users', 'hr.person', '{nothing}')");
}

/// A page of many pictures is one question, until the session or its user changes.
#[test]
fn sessions_are_kept_where_the_triggers_for_them_are() {
    let cluster = watched("auth.User", &[]);
    cluster.sql("postgres", "ALTER ROLE apache SET log_statement = 'all'");
    let install =
        || cluster.script("site", "authnz_django_watch.sql", &["channel=users", SESSIONS]);
    let watcher = Watcher::on(&cluster, Wants::GROUPS);
    let mut django = Resident::start("root", &cluster.django(), "auth.User");
    let session = django.log_in("alice");
    let key = session.key.as_str();
    let get = || {
        let (store, id) = (&watcher.store, Some(session.user_id.as_str()));
        let deadline = Instant::now() + store.timeout();
        let (row, user) = store.session(&watcher.model, &watcher.wants, key, id, deadline).unwrap();
        (row, user.one().unwrap())
    };
    let keeps = || match (get(), get()) {
        ((Some(row), user), (Some(again), same)) => {
            (Arc::ptr_eq(&row, &again), Arc::ptr_eq(&user, &same))
        }
        (before, after) => panic!("{before:?} {after:?}"),
    };
    let kept = || wait_until("a session that is kept", 15, || keeps() == (true, true));

    // Users are kept all the same.
    wait_until("a user who is kept", 15, || keeps() == (false, true));
    let lack = "the trigger for DELETE, TRUNCATE, UPDATE of session_key, session_data, expire_date on \
                \"django_session\" is missing (psql -v sessions=django_session -f authnz_django_watch.sql)";
    wait_until("the notice", 5, || watcher.notices().iter().any(|notice| notice.contains(lack)));
    install();
    kept();
    let before = cluster.questions();
    (0..100).for_each(|_| assert!(get().0.is_some()));
    // But for a heartbeat that was late.
    assert!(cluster.questions() - before < 5);

    // A new session tells nobody, and that there was none is not remembered.
    let other = django.log_in("bob");
    let stranger = |id: &str| {
        let deadline = Instant::now() + watcher.store.timeout();
        watcher.store.session(&watcher.model, &watcher.wants, "new", Some(id), deadline).unwrap()
    };
    let copy = |key: &str| {
        let sql = format!(
            "INSERT INTO django_session SELECT '{key}', session_data, expire_date \
             FROM django_session WHERE session_key = '{}'",
            other.key
        );
        cluster.sql("site", &sql);
    };
    kept();
    let was = get().0.unwrap();
    assert_eq!(stranger("no integer"), (None, Found::Nobody));
    assert!(matches!(stranger(&other.user_id), (None, Found::One(_))));
    copy("new");
    thread::sleep(Duration::from_millis(150));
    assert!(Arc::ptr_eq(&was, &get().0.unwrap()));
    assert!(matches!(stranger("no integer"), (Some(_), Found::Nobody)));
    let deadline = Instant::now() + watcher.store.timeout();
    let nobody = watcher.store.get_by_id(&watcher.model, &watcher.wants, "no integer", deadline);
    assert_eq!(nobody, Ok(Found::Nobody));

    let changes = |what: &str, change: &mut dyn FnMut()| {
        kept();
        let was = get();
        change();
        let begun = Instant::now();
        while get() == was {
            assert!(begun.elapsed() < SOON, "{what}");
            thread::sleep(Duration::from_millis(1));
        }
    };
    for change in [
        format!("remember={key}=x"),
        format!("expire={key}=-100"),
        "password=alice=new".into(),
        "active=alice=0".into(),
        "ungroup=alice=secret-agents".into(),
    ] {
        changes(&change, &mut || django.change(change.as_str()));
    }
    // It has ended, which is for the caller to see.
    let (row, user) = get();
    let now = "SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')";
    assert!(row.unwrap().expire_date.as_str() < cluster.sql("site", now).trim());
    assert!(!user.is_active);
    for sql in [
        "UPDATE django_session SET expire_date = expire_date + interval '1 day'",
        "SET session_replication_role = replica; UPDATE django_session SET session_data = 'x'",
    ] {
        changes(sql, &mut || drop(cluster.sql("site", sql)));
    }
    let delete = format!("DELETE FROM django_session WHERE session_key = '{key}'");
    for what in ["logout", &delete, "TRUNCATE django_session"] {
        changes(what, &mut || match what {
            "logout" => django.change(format!("logout={key}")),
            sql => drop(cluster.sql("site", sql)),
        });
        assert!(get().0.is_none(), "{what}");
        if what != "TRUNCATE django_session" {
            copy(key);
        }
    }
    assert!(matches!(&watcher.notices()[..], [notice] if notice.contains(lack)));
    cluster.script("site", "authnz_django_unwatch.sql", &[]);
    let left = "SELECT count(*) FROM pg_proc p FULL JOIN pg_trigger t ON t.tgfoid = p.oid \
                WHERE p.proname LIKE 'authnz_django%' OR t.tgname LIKE 'authnz_django%'";
    assert_eq!(cluster.sql("site", left).trim(), "0");
}

#[test]
fn without_all_triggers_each_row_is_read() {
    let cluster = watched("auth.User", &[]);
    let install = || cluster.script("site", "authnz_django_watch.sql", &["channel=users"]);
    let triggers = "SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'authnz_django_users_%'";
    let count = || cluster.sql("site", triggers).trim().to_owned();
    // As often as one likes, and beside those of another channel.
    install();
    cluster.script("site", "authnz_django_watch.sql", &["channel=others", "permissions="]);
    assert_eq!(count(), "21");
    let watcher = Watcher::on(&cluster, Wants::PERMISSIONS.or(&Wants::GROUPS));
    let on = "on \"auth_user\" is disabled, or not ENABLE ALWAYS (psql -f authnz_django_watch.sql)";
    for (sql, notice) in [
        (
            "ALTER TABLE auth_user DISABLE TRIGGER authnz_django_users_update",
            format!(
                "the trigger for UPDATE of id, username, password, is_active, is_staff, is_superuser {on}"
            ),
        ),
        // What pg_restore --disable-triggers leaves behind.
        (
            "ALTER TABLE auth_user ENABLE TRIGGER authnz_django_users_rows",
            format!("the trigger for INSERT, DELETE {on}"),
        ),
        (
            "DROP TRIGGER authnz_django_users_truncate ON auth_group",
            "the trigger for TRUNCATE on \"auth_group\" is missing".into(),
        ),
        (
            "ALTER TABLE auth_group ENABLE ROW LEVEL SECURITY",
            "\"auth_group\" has row security".into(),
        ),
        (
            "CREATE TABLE more () INHERITS (auth_permission)",
            "\"auth_permission\" has tables that inherit from it".into(),
        ),
        (
            "ALTER TABLE auth_group_permissions RENAME TO elsewhere; \
             CREATE VIEW auth_group_permissions AS SELECT * FROM elsewhere; \
             GRANT SELECT ON auth_group_permissions TO apache",
            "\"auth_group_permissions\" is no plain table".into(),
        ),
    ] {
        watcher.kept("alice");
        cluster.sql("site", sql);
        watcher.gives_up("alice", &format!("watch=users: {notice}"));
        cluster.sql(
            "site",
            "ALTER TABLE auth_group DISABLE ROW LEVEL SECURITY; DROP TABLE IF EXISTS more; \
             DO $$ BEGIN IF to_regclass('elsewhere') IS NOT NULL THEN DROP VIEW auth_group_permissions; \
             ALTER TABLE elsewhere RENAME TO auth_group_permissions; END IF; END $$",
        );
        // PostgreSQL remembers that a table once had children, until it is analysed.
        cluster.sql("site", "VACUUM ANALYZE auth_permission");
        install();
    }
    // Away for a moment, in which something changed, between two looks.
    let before = watcher.kept("alice");
    cluster.sql(
        "site",
        "BEGIN; ALTER TABLE auth_user DISABLE TRIGGER ALL; UPDATE auth_user SET password = 'unheard'; \
         ALTER TABLE auth_user ENABLE ALWAYS TRIGGER authnz_django_users_update; \
         ALTER TABLE auth_user ENABLE ALWAYS TRIGGER authnz_django_users_rows; \
         ALTER TABLE auth_user ENABLE ALWAYS TRIGGER authnz_django_users_truncate; COMMIT",
    );
    wait_until("the next look", 4, || !Arc::ptr_eq(&before, &watcher.get("alice").unwrap()));
    assert_eq!(watcher.kept("alice").password.as_str(), "unheard");

    cluster.script("site", "authnz_django_unwatch.sql", &[]);
    cluster.script("site", "authnz_django_unwatch.sql", &[]);
    assert_eq!(count(), "0");
    let left = "SELECT count(*) FROM pg_proc WHERE proname LIKE 'authnz_django%'";
    assert_eq!(cluster.sql("site", left).trim(), "0");
    let all =
        "the trigger for INSERT, DELETE, TRUNCATE, UPDATE of id, username, password, is_active";
    watcher.gives_up(
        "alice",
        &format!("watch=users: {all}, is_staff, is_superuser on \"auth_user\" is missing"),
    );
    // Where nobody ever installed anything.
    let other = Watcher::new(&[&cluster.url(), "watch=nobody"], &["auth.User"], Wants::GROUPS);
    other.gives_up("alice", &format!("watch=nobody: {all} on \"auth_user\" is missing"));
    assert_eq!(other.notices().len(), 1);
}

#[test]
fn a_link_that_is_killed_or_silent() {
    let cluster = watched("auth.User", &[]);
    let watcher = Watcher::on(&cluster, Wants::GROUPS);
    let pid = || {
        let mut pid = String::new();
        wait_until("the link", 10, || {
            pid = cluster.sql("site", &format!("SELECT pid FROM {LINK}")).trim().to_owned();
            !pid.is_empty()
        });
        pid
    };
    watcher.changes("alice", "a killed link", || {
        cluster.sql("site", &format!("SELECT pg_terminate_backend({})", pid()));
    });
    watcher.kept("alice");
    let notices = watcher.notices();
    let lost = "watch=users: the link is lost, for a while: terminating connection due to administrator \
                command: every request reads the row";
    assert_eq!(notices, [lost]);

    // The socket looks well, and nothing comes: what is changed meanwhile is seen all the same.
    let silent = pid();
    let signal = |name: &str| {
        assert!(Command::new("kill").args(["-s", name, &silent]).status().unwrap().success());
    };
    let before = watcher.kept("alice");
    signal("STOP");
    cluster.sql("site", "UPDATE auth_user SET password = 'unheard' WHERE username = 'alice'");
    let begun = Instant::now();
    let mut longest = None;
    while begun.elapsed() < Duration::from_millis(5500) {
        let same = Arc::ptr_eq(&before, &watcher.get("alice").unwrap());
        if same {
            longest = Some(begun.elapsed());
        }
        thread::sleep(Duration::from_millis(5));
    }
    eprintln!("watch: a silent link is believed for {longest:?}");
    assert!(longest.unwrap() < Duration::from_millis(3500), "{longest:?}");
    // It was given up for another, which hears.
    assert_eq!(watcher.kept("alice").password.as_str(), "unheard");
    signal("CONT");

    // A restart of the server, which is another one then.
    watcher.kept("alice");
    cluster.restart();
    cluster.sql("site", "UPDATE auth_user SET password = 'restarted' WHERE username = 'alice'");
    assert_eq!(watcher.get("alice").unwrap().password.as_str(), "restarted");
    watcher.changes("alice", "after the restart", || {
        cluster.sql("site", "UPDATE auth_user SET password = 'again' WHERE username = 'alice'");
    });
    drop(watcher);
    wait_until("the link's end", 10, || cluster.connections() == 0);
}

#[test]
fn a_link_that_nobody_needs_is_given_back() {
    let cluster = watched("auth.User", &[]);
    let words = [&cluster.url(), "watch=users", "idle=1"];
    let watcher = Watcher::new(&words, &["auth.User"], Wants::GROUPS);
    for _ in 0..2 {
        watcher.kept("alice");
        wait_until("no connection", 10, || cluster.connections() == 0);
    }
    cluster.sql("site", "UPDATE auth_user SET password = 'new' WHERE username = 'alice'");
    assert_eq!(watcher.get("alice").unwrap().password.as_str(), "new");
    assert_eq!(watcher.notices(), [""; 0]);
}

#[test]
fn rows_of_a_standby_are_not_kept() {
    let cluster = watched("auth.User", &[]);
    let standby = cluster.standby();
    let place = format!("watch_host=127.0.0.1:{}", cluster.port);
    let words = [&standby.url(), "watch=users", &place];
    let watcher = Watcher::new(&words, &["auth.User"], Wants::GROUPS);
    watcher.gives_up("alice", "rows come from a standby, or another server");
    let alone = Watcher::new(&words[..2], &["auth.User"], Wants::GROUPS);
    alone.gives_up("alice", "cannot execute LISTEN during recovery");
    assert!(!watcher.keeps("alice") && !alone.keeps("alice"));
    // The other way round: from where the rows are, to one that follows.
    let place = format!("watch_host=127.0.0.1:{}", standby.port);
    let words = [&cluster.url(), "watch=users", &place];
    Watcher::new(&words, &["auth.User"], Wants::GROUPS).gives_up("alice", "during recovery");
}

struct Bouncer(Child, u16);

impl Bouncer {
    fn start(cluster: &Cluster, more: &str) -> Self {
        let port = free_port();
        let dir = directory("bouncer");
        let users = format!("\"apache\" \"{PASSWORD}\"\n");
        fs::write(dir.join("users"), users).unwrap();
        let ini = format!(
            "[databases]\nsite = host={socket} port={}\nother = host={socket} port={} dbname=site\n\
             [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
             auth_type = plain\nauth_file = {}/users\npool_mode = transaction\n{more}\n",
            cluster.port,
            cluster.port,
            dir.display(),
            socket = cluster.dir.display(),
        );
        fs::write(dir.join("ini"), ini).unwrap();
        let child = Command::new("setpriv")
            .args([
                "--reuid=postgres",
                "--regid=postgres",
                "--clear-groups",
                "--",
                "pgbouncer",
                "-q",
            ])
            .arg(dir.join("ini"))
            .stderr(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        wait_until("PgBouncer", 10, || TcpStream::connect(("127.0.0.1", port)).is_ok());
        Self(child, port)
    }
}

impl Drop for Bouncer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn behind_pgbouncer_the_link_goes_to_the_server_itself() {
    let cluster = watched("auth.User", &[]);
    let socket = format!("watch_host={}:{}", cluster.dir.display(), cluster.port);
    let place = format!("watch_host=127.0.0.1:{}", cluster.port);
    // Whether it refuses our settings or swallows them, it is no link.
    for more in ["", "ignore_startup_parameters = options"] {
        let bouncer = Bouncer::start(&cluster, more);
        let url =
            cluster.url().replace(&format!(":{}/", cluster.port), &format!(":{}/", bouncer.1));
        let words = |more: &'static str| format!("{url}?sslmode=disable{more}");
        for host in [&socket, &place] {
            let url = words("");
            let all = [&url, "statements=unnamed", "watch=users", host];
            let watcher = Watcher::new(&all, &["auth.User"], Wants::GROUPS);
            watcher.changes("bob", "behind PgBouncer", || {
                cluster.sql(
                    "site",
                    "UPDATE auth_user SET is_active = NOT is_active WHERE username = 'bob'",
                );
            });
        }
        let url = words("");
        let all = [&url, "statements=unnamed", "watch=users"];
        let watcher = Watcher::new(&all, &["auth.User"], Wants::GROUPS);
        watcher.gives_up("bob", "does not keep connections apart");
        assert!(!watcher.keeps("bob"));
    }
    // The server has a database of the name that PgBouncer gives to another.
    cluster.sql("postgres", "CREATE DATABASE other TEMPLATE site");
    let bouncer = Bouncer::start(&cluster, "");
    let url =
        format!("postgresql://apache:{PASSWORD}@127.0.0.1:{}/other?sslmode=disable", bouncer.1);
    let all = [url.as_str(), "statements=unnamed", "watch=users", &place];
    let watcher = Watcher::new(&all, &["auth.User"], Wants::GROUPS);
    watcher.gives_up("bob", "another server, database or search_path");
}

/// Stands between the pool and the server, and can keep an answer for itself for a while.
struct Proxy {
    port: u16,
    armed: Arc<AtomicBool>,
    held: Arc<(Mutex<bool>, Condvar)>,
}

impl Proxy {
    fn start(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = Self {
            port: listener.local_addr().unwrap().port(),
            armed: Arc::default(),
            held: Arc::default(),
        };
        let (armed, held) = (proxy.armed.clone(), proxy.held.clone());
        thread::spawn(move || {
            for client in listener.incoming() {
                let client = client.unwrap();
                let server = TcpStream::connect(("127.0.0.1", server)).unwrap();
                let (mut up, mut down) = (server.try_clone().unwrap(), client.try_clone().unwrap());
                let (mut from, mut to) = (client, server);
                thread::spawn(move || {
                    let _ = std::io::copy(&mut from, &mut up);
                    let _ = up.shutdown(std::net::Shutdown::Both);
                });
                let (armed, held) = (armed.clone(), held.clone());
                thread::spawn(move || {
                    let mut part = [0; 65536];
                    while let Ok(count @ 1..) = to.read(&mut part) {
                        if armed.swap(false, Ordering::SeqCst) {
                            let mut holds = held.0.lock().unwrap();
                            *holds = true;
                            held.1.notify_all();
                            drop(held.1.wait_while(holds, |holds| *holds).unwrap());
                        }
                        if down.write_all(&part[..count]).is_err() {
                            return;
                        }
                    }
                });
            }
        });
        proxy
    }

    /// Keeps the next answer.
    fn arm(&self) {
        self.armed.store(true, Ordering::SeqCst);
    }

    /// Until it has one.
    fn wait(&self) {
        let holds = self.held.0.lock().unwrap();
        drop(self.held.1.wait_while(holds, |holds| !*holds).unwrap());
    }

    fn release(&self) {
        *self.held.0.lock().unwrap() = false;
        self.held.1.notify_all();
    }
}

/// A commit between the question and its answer: the answer is given, being what was true when it
/// was asked for, and is not kept.
#[test]
fn what_changes_while_the_answer_is_under_way_is_not_kept() {
    let cluster = watched("auth.User", &[]);
    let proxy = Proxy::start(cluster.port);
    let url = cluster.url().replace(&format!(":{}/", cluster.port), &format!(":{}/", proxy.port));
    let (url, place) =
        (format!("{url}?sslmode=disable"), format!("watch_host=127.0.0.1:{}", cluster.port));
    let words = [&url, "watch=users", &place];
    let watcher = Watcher::new(&words, &["auth.User"], Wants::GROUPS);
    let sql = |password: &str, name: &str| {
        let sql = format!("UPDATE auth_user SET password = '{password}' WHERE username = '{name}'");
        cluster.sql("site", &sql);
    };
    for change in [false, true] {
        sql("old", "alice");
        // On one connection, which has the statement ready.
        watcher.kept("alice");
        watcher.kept("carol");
        watcher
            .changes("bob", "everybody is to be read again", || sql(&format!("{change}"), "carol"));
        thread::scope(|scope| {
            watcher.kept("bob");
            proxy.arm();
            let asked = scope.spawn(|| watcher.get("alice").unwrap());
            proxy.wait();
            if change {
                // The answer lies in the proxy. That the commit was heard, bob's row tells.
                watcher.changes("bob", "heard", || sql("new", "alice"));
                watcher.kept("bob");
            }
            proxy.release();
            let answer = asked.join().unwrap();
            assert_eq!(answer.password.as_str(), "old");
            let next = watcher.get("alice").unwrap();
            assert_eq!(next.password.as_str(), if change { "new" } else { "old" });
            assert_eq!(Arc::ptr_eq(&answer, &next), !change);
        });
    }
}

#[test]
fn in_httpd() {
    let cluster = watched("auth.User", &[]);
    for mpm in MPMS {
        let config = format!(
            "AuthDjangoDatabase {} watch=users timeout=1\nAuthDjangoPasswordHashers pbkdf2_sha256:1000\n\
             <Location /secret>\nAuthType Basic\nAuthName x\nAuthBasicProvider django\n\
             Require group secret-agents\n</Location>\n",
            cluster.url()
        );
        let mut httpd = Setup::new("watch", config).mpm(mpm).start();
        httpd.expect_in_log("is not available");
        let alice = || httpd.status("/secret/", "alice", "alice secret");
        let group = |name: &str| {
            let sql =
                format!("UPDATE auth_group SET name = '{name}' WHERE name LIKE 'secret-agents%'");
            cluster.sql("site", &sql);
        };
        // Where the table is locked, a row that is kept is one that nobody asks for.
        let served_while_locked = || {
            let mut psql = Command::new(format!("{}/psql", required("PGBIN")))
                .args(["-X", "-q", "-U", "django", "-d", "site", "-p", &cluster.port.to_string()])
                .arg("-h")
                .arg(&cluster.dir)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            psql.stdin
                .as_mut()
                .unwrap()
                .write_all(b"BEGIN; LOCK auth_user;\n\\echo locked\n")
                .unwrap();
            psql.stdout.as_mut().unwrap().read_exact(&mut [0; 7]).unwrap();
            let statuses = [alice(), alice(), httpd.status("/secret/", "bob", "bob secret")];
            drop(psql.stdin.take());
            psql.wait().unwrap();
            statuses == [200, 200, 500]
        };
        wait_until("a row that is kept", 30, || {
            wait_until("the table's return", 10, || alice() == 200);
            // In each child.
            (0..20).for_each(|_| {
                alice();
            });
            served_while_locked()
        });
        wait_until("the table's return", 10, || (0..20).all(|_| alice() == 200));
        let revocation = |_| {
            group("secret-agents no more");
            let committed = Instant::now();
            // When the last one came that was let in; children hear of it each for itself.
            let (mut last, mut refused) = (Duration::ZERO, 0);
            while refused < 20 {
                let asked = committed.elapsed();
                match alice() {
                    401 => refused += 1,
                    200 => (last, refused) = (asked, 0),
                    // A child that has yet to see that the table is back.
                    500 => {}
                    status => panic!("{status}"),
                }
                assert!(asked < PATIENCE, "she is still let in");
            }
            group("secret-agents");
            wait_until("the grant", 1, || alice() == 200);
            wait_until("the grant in each child", 10, || (0..8).all(|_| alice() == 200));
            last
        };
        are_soon((0..9).map(revocation).collect());
        assert!(!httpd.log().contains("watch="), "{}", httpd.log());
        httpd.finish();
    }
}
