use super::*;
use crate::error::Error;
use crate::query::{Query, Values};
use crate::store::Found;
use crate::store::tests::open;
use crate::user::{User, UserModel, Wants};
use std::cell::Cell;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

const SCHEMA: &str = "
    CREATE TABLE auth_user (id INTEGER PRIMARY KEY, username, password, is_active);
    CREATE TABLE auth_group (id INTEGER PRIMARY KEY, name);
    CREATE TABLE auth_user_groups (id INTEGER PRIMARY KEY, user_id, group_id);
    INSERT INTO auth_user VALUES (1, 'alice', 'pbkdf2_sha256$1$a$b', 1), (2, 'bob', NULL, 0),
        (3, 42, 'x', NULL), (4, 'o''neil', '', 7), (5, 'twice', '', 1), (6, 'twice', '', 1),
        (7, 'true', '', 'true'), (8, 'blob', CAST(x'ff' AS TEXT), 1);
    INSERT INTO auth_group VALUES (1, 'secret agents'), (2, 'Ärzte \"A\"'), (3, NULL);
    INSERT INTO auth_user_groups VALUES (1, 1, 1), (2, 1, 2), (3, 1, 3);";

/// A folder of its own.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::SeqCst);
        let path =
            std::env::temp_dir().join(format!("authnz sqlite%{}-{count}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn database(&self, name: &str, mode: &str) -> rusqlite::Connection {
        let database = rusqlite::Connection::open(self.0.join(name)).unwrap();
        database.pragma_update(None, "journal_mode", mode).unwrap();
        database.execute_batch(SCHEMA).unwrap();
        database
    }

    fn url(&self, name: &str) -> String {
        let path = self.0.join(name).display().to_string();
        format!("sqlite:{}", path.replace('%', "%25").replace(' ', "%20"))
    }

    fn files(&self) -> Vec<String> {
        let mut files: Vec<_> = std::fs::read_dir(&self.0)
            .unwrap()
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .collect();
        files.sort();
        files
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn ask(store: &Arc<dyn Store>, username: &str) -> Result<Option<Arc<User>>, Error> {
    let deadline = Instant::now() + store.timeout();
    let model = Arc::default();
    store.get_by_natural_key(&model, &Wants::GROUPS, username, deadline).map(Found::one)
}

fn ask_model(store: &Arc<dyn Store>, words: &[&str]) -> Result<Option<Arc<User>>, Error> {
    let model = Arc::new(UserModel::parse(words).unwrap());
    let deadline = Instant::now() + store.timeout();
    store.get_by_natural_key(&model, &Wants::GROUPS, "alice", deadline).map(Found::one)
}

#[test]
fn a_user_with_groups_and_whatever_a_column_may_hold() {
    let folder = Folder::new();
    folder.database("db", "delete");
    let store = open(&[&folder.url("db")]);
    let alice = ask(&store, "alice").unwrap().unwrap();
    assert_eq!((alice.id.as_str(), alice.username.as_str(), alice.is_active), ("1", "alice", true));
    assert_eq!(alice.password.as_str(), "pbkdf2_sha256$1$a$b");
    assert_eq!(alice.groups, ["secret agents", "Ärzte \"A\""]);
    let bob = ask(&store, "bob").unwrap().unwrap();
    assert_eq!((bob.password.as_str(), bob.is_active, bob.groups.len()), ("", false, 0));
    assert!(ask(&store, "o'neil").unwrap().unwrap().is_active);
    assert!(ask(&store, "true").unwrap().unwrap().is_active);
    for nobody in ["Alice", "", "alice ", "alice\0", "' OR 1=1 --", "%"] {
        assert_eq!(ask(&store, nobody), Ok(None), "{nobody:?}");
    }
    let twice = ask(&store, "twice").unwrap_err().to_string();
    assert!(twice.contains("more than one row"), "{twice}");
    let blob = ask(&store, "blob").unwrap_err().to_string();
    assert!(blob.contains("not UTF-8"), "{blob}");
    assert_eq!(folder.files(), ["db"]);
}

#[test]
fn a_mistyped_name_is_an_error_and_no_text() {
    let folder = Folder::new();
    folder.database("db", "delete");
    let store = open(&[&folder.url("db")]);
    for words in [
        ["auth.User", "is_active=true"],
        ["auth.User", "username=alice"],
        ["auth.User", "group_name=x"],
        ["auth.User", "table=nobody"],
    ] {
        let error = ask_model(&store, &words).unwrap_err();
        assert!(
            matches!(&error, Error::Query { reason, .. } if reason.contains("AuthDjangoUserModel")),
            "{error}"
        );
    }
    let quoted = Query::parse("SELECT 1 FROM auth_user WHERE \"usrname\" = :word1").unwrap();
    let values = Values { words: &["usrname".into()], ..Values::default() };
    let error = store.exists(&quoted, &values, Instant::now() + store.timeout()).unwrap_err();
    assert!(error.to_string().contains("no such column"), "{error}");
    assert!(ask(&store, "alice").unwrap().is_some());
    let none = ask_model(&store, &["auth.User", "is_active=none", "groups_table=none"]);
    assert_eq!(none.unwrap().unwrap().groups.len(), 0);
}

#[test]
fn wal_with_a_writer_beside() {
    let folder = Folder::new();
    let writer = folder.database("db", "wal");
    let store = open(&[&folder.url("db")]);
    assert!(ask(&store, "alice").unwrap().is_some());
    writer.execute("UPDATE auth_user SET is_active = 0 WHERE id = 1", []).unwrap();
    assert!(!ask(&store, "alice").unwrap().unwrap().is_active, "the next request sees it");
}

/// The same value, not an equal one, is a row that was not read again.
#[test]
fn a_row_is_kept_until_the_file_changes_and_no_longer() {
    for mode in ["delete", "wal"] {
        let folder = Folder::new();
        let writer = folder.database("db", mode);
        let store = open(&[&folder.url("db")]);
        let alice = || ask(&store, "alice").unwrap().unwrap();
        let first = alice();
        assert!(Arc::ptr_eq(&first, &alice()) && Arc::ptr_eq(&first, &alice()), "{mode}");
        let nobody = ask(&store, "zoe").unwrap();
        assert!(nobody.is_none());
        for n in 0..20 {
            writer.execute("UPDATE auth_user SET password = ?1 WHERE id = 1", [n]).unwrap();
            assert_eq!(alice().password.as_str(), n.to_string(), "{mode}");
            assert!(Arc::ptr_eq(&alice(), &alice()), "{mode}");
        }
        writer.execute("INSERT INTO auth_user VALUES (9, 'zoe', '', 1)", []).unwrap();
        assert!(ask(&store, "zoe").unwrap().is_some(), "{mode}");
        // A change that is not committed is none.
        let before = alice();
        writer.execute_batch("BEGIN IMMEDIATE; UPDATE auth_user SET is_active = 0").unwrap();
        assert!(alice().is_active, "{mode}");
        writer.execute_batch("ROLLBACK").unwrap();
        assert_eq!(*alice(), *before, "{mode}");
        writer.execute_batch("BEGIN; UPDATE auth_user SET is_active = 0; COMMIT").unwrap();
        assert!(!alice().is_active, "{mode}");
        // Another file of the same name, and with the same numbers.
        folder.database("new", mode);
        drop(writer);
        for suffix in ["", "-wal", "-shm"] {
            let (new, old) = (format!("new{suffix}"), format!("db{suffix}"));
            let _ = std::fs::remove_file(folder.0.join(&old));
            let _ = std::fs::rename(folder.0.join(new), folder.0.join(old));
        }
        assert!(alice().is_active && ask(&store, "zoe").unwrap().is_none(), "{mode}");
    }
}

/// The row is asked for while somebody writes: whatever comes of it is never older than what was
/// committed before the question.
#[test]
fn a_kept_row_is_never_older_than_the_last_commit() {
    for mode in ["delete", "truncate", "persist", "memory", "wal"] {
        let folder = Folder::new();
        let writer = folder.database("db", mode);
        writer.execute_batch("PRAGMA busy_timeout = 5000").unwrap();
        let store = open(&[&folder.url("db")]);
        let committed = AtomicU32::new(0);
        writer.execute("UPDATE auth_user SET password = 0", []).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    while committed.load(Ordering::SeqCst) < 200 {
                        let least = committed.load(Ordering::SeqCst);
                        let user = ask(&store, "alice").unwrap().unwrap();
                        let seen: u32 = user.password.parse().unwrap();
                        assert!(seen >= least, "{mode}: {seen} after {least}");
                    }
                });
            }
            for n in 1..=200 {
                if n % 4 == 0 {
                    // In the file for a moment, but for its header, and taken back.
                    let spill = "PRAGMA cache_size = 1; BEGIN; UPDATE auth_user SET password = -1; \
                        CREATE TABLE large AS SELECT zeroblob(100000); ROLLBACK";
                    writer.execute_batch(spill).unwrap();
                }
                if n % 7 == 0 {
                    writer.execute_batch("PRAGMA wal_checkpoint(RESTART)").unwrap();
                }
                writer.execute("UPDATE auth_user SET password = ?1 WHERE id = 1", [n]).unwrap();
                committed.store(n, Ordering::SeqCst);
            }
        });
    }
}

/// A connection as a pool makes it.
fn connection(folder: &Folder) -> Connection {
    let file = Arc::new(DatabaseFile::new(folder.0.join("db")));
    let host: Arc<dyn Host> = Arc::new(crate::store::tests::FakeHost::default());
    let (watch, timeout) = (Watch::new(host.clone()), Duration::from_secs(1));
    Connections { file, watch, host, timeout }.connect(Instant::now() + timeout).unwrap()
}

#[test]
fn nobody_commits_while_the_header_is_read() {
    let folder = Folder::new();
    let writer = folder.database("db", "delete");
    writer.execute_batch("PRAGMA busy_timeout = 0").unwrap();
    let connection = connection(&folder);
    let (delete, refused) = (|| writer.execute("DELETE FROM auth_user", []), Cell::new(false));
    let beside = || refused.set(delete().is_err());
    let (before, mark) = mark::look_while(&connection, beside).unwrap();
    let look = || mark::look(&connection).unwrap();
    assert!(refused.get() && mark.as_ref().is_some_and(|mark| mark.holds() && look().0 == before));
    delete().unwrap();
    assert!(mark.is_some_and(|mark| !mark.holds()));
    let (after, mark) = look();
    assert!(after != before && mark.is_some_and(|mark| mark.holds()));
    // In WAL the file itself tells nothing, and this connection was made before.
    writer.pragma_update(None, "journal_mode", "wal").unwrap();
    assert!(look().1.is_none());
}

#[test]
fn a_commit_beside_the_look_at_a_log_is_not_overlooked() {
    let folder = Folder::new();
    let writer = folder.database("db", "wal");
    let connection = connection(&folder);
    let commit = |sql: &str| writer.execute_batch(sql).unwrap();
    let mut last = mark::look(&connection).unwrap();
    for (n, change) in [
        "UPDATE auth_user SET is_active = 0 WHERE id = 1",
        "DELETE FROM auth_user WHERE id = 2",
        "PRAGMA wal_checkpoint(RESTART); UPDATE auth_user SET is_active = 1",
        "PRAGMA wal_checkpoint(TRUNCATE); UPDATE auth_user SET is_active = 0",
    ]
    .into_iter()
    .enumerate()
    {
        let mark = last.1.as_ref().expect("a mark");
        commit("BEGIN; UPDATE auth_user SET username = 'x'; ROLLBACK");
        assert!(mark.holds(), "{n}: nothing was committed");
        let beside = mark::look_while(&connection, || commit(change)).unwrap();
        assert!(beside.0 == last.0 && beside.1.is_none() && !mark.holds(), "{n}");
        let now = mark::look(&connection).unwrap();
        assert_ne!(now.0, last.0, "{n}");
        last = now;
    }
}

/// The change counter is raised once for all that a writer does while it has the file for itself.
#[test]
fn a_writer_that_keeps_the_file_locked_is_not_overlooked() {
    let folder = Folder::new();
    let database = folder.database("db", "delete");
    let store = open(&[&folder.url("db"), "timeout=0.1"]);
    let password = || ask(&store, "alice").map(|alice| alice.unwrap().password.clone());
    let first = ask(&store, "alice").unwrap().unwrap();
    let set = |writer: &rusqlite::Connection, password: &str| {
        let update = "UPDATE auth_user SET password = ?1 WHERE id = 1";
        writer.execute(update, [password]).unwrap();
    };
    for round in 0..3 {
        let writer = rusqlite::Connection::open(folder.0.join("db")).unwrap();
        writer.pragma_update(None, "locking_mode", "exclusive").unwrap();
        // It reads, beside others, and nothing has changed yet.
        writer.query_row("SELECT 1 FROM auth_user", [], |_| Ok(())).unwrap();
        assert_eq!(round == 0, Arc::ptr_eq(&first, &ask(&store, "alice").unwrap().unwrap()));
        set(&writer, &format!("first {round}"));
        // What was committed cannot be read yet; what was before is not true any more.
        assert!(password().unwrap_err().to_string().contains("keeps the file locked"), "{round}");
        set(&writer, &format!("second {round}"));
        assert!(password().is_err(), "{round}");
        if round == 1 {
            writer.pragma_update(None, "locking_mode", "normal").unwrap();
            set(&writer, "third");
        } else {
            drop(writer);
        }
        let expected = if round == 1 { "third".to_owned() } else { format!("second {round}") };
        let freed = Instant::now();
        while password().is_err() && freed.elapsed() < Duration::from_secs(10) {
            std::thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(password().unwrap().as_str(), expected);
        set(&database, "fourth");
        assert_eq!(password().unwrap().as_str(), "fourth");
    }
}

#[test]
fn another_users_wal_without_its_files_is_left_alone() {
    let folder = Folder::new();
    drop(folder.database("db", "wal"));
    if std::os::unix::fs::chown(folder.0.join("db"), Some(65534), Some(65534)).is_err() {
        return; // Only root can give a file away; the live tests have two users.
    }
    let url = folder.url("db");
    let store = open(&[&url]);
    let error = ask(&store, "alice").unwrap_err().to_string();
    assert!(error.contains("journal_mode=DELETE"), "{error}");
    assert_eq!(folder.files(), ["db"]);
    let check = crate::store::Database::parse(&[&url]).unwrap().check().unwrap_err();
    assert!(check.contains("keep a Django connection open"), "{check}");
    // Django comes: within a moment all is well.
    let writer = rusqlite::Connection::open(folder.0.join("db")).unwrap();
    writer.execute("UPDATE auth_user SET is_active = 1", []).unwrap();
    std::thread::sleep(Duration::from_millis(1300));
    assert!(ask(&store, "alice").unwrap().is_some());
    writer.execute("UPDATE auth_user SET is_active = 0", []).unwrap();
    assert!(!ask(&store, "alice").unwrap().unwrap().is_active);
}

#[test]
fn a_replaced_file_counts_at_once() {
    let folder = Folder::new();
    folder.database("db", "delete");
    let store = open(&[&folder.url("db")]);
    assert!(ask(&store, "alice").unwrap().is_some());
    folder.database("new", "delete").execute("DELETE FROM auth_user WHERE id = 1", []).unwrap();
    std::fs::rename(folder.0.join("new"), folder.0.join("db")).unwrap();
    assert_eq!(ask(&store, "alice"), Ok(None));
    std::fs::remove_file(folder.0.join("db")).unwrap();
    let gone = ask(&store, "alice").unwrap_err().to_string();
    assert!(gone.ends_with("no such file"), "{gone}");
    folder.database("db", "delete");
    std::thread::sleep(Duration::from_millis(1300));
    assert!(ask(&store, "alice").unwrap().is_some());
}

#[test]
fn a_lock_is_waited_for_until_the_deadline() {
    let folder = Folder::new();
    let writer = folder.database("db", "delete");
    let store = open(&[&folder.url("db"), "timeout=0.5"]);
    assert!(ask(&store, "alice").unwrap().is_some());
    writer.execute_batch("BEGIN EXCLUSIVE").unwrap();
    // Nothing was committed, so what is kept still holds; what is not must wait.
    assert!(ask(&store, "alice").unwrap().is_some());
    let begun = Instant::now();
    let error = ask(&store, "bob").unwrap_err().to_string();
    assert!((400..900).contains(&begun.elapsed().as_millis()), "{:?}", begun.elapsed());
    assert!(error.contains("no answer within 0.5 s: another process keeps"), "{error}");
    writer.execute_batch("COMMIT").unwrap();
    std::thread::sleep(Duration::from_millis(700));
    assert!(ask(&store, "alice").unwrap().is_some());
}

#[test]
fn a_long_search_is_interrupted() {
    let folder = Folder::new();
    folder.database("db", "delete").execute_batch(
        "CREATE VIEW people AS SELECT 1 AS id, 'alice' AS username, '' AS password, (WITH RECURSIVE \
         n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n LIMIT 1000000000) SELECT count(*) FROM n) \
         AS is_active",
    ).unwrap();
    let store = open(&[&folder.url("db"), "timeout=0.3"]);
    let begun = Instant::now();
    let error = ask_model(&store, &["auth.User", "table=people", "groups_table=none"]).unwrap_err();
    assert!(begun.elapsed() < Duration::from_millis(800), "{:?}", begun.elapsed());
    assert!(error.to_string().ends_with("no answer within 0.3 s"), "{error}");
}

#[test]
fn what_is_no_database_is_said() {
    let folder = Folder::new();
    std::fs::write(folder.0.join("db"), "Hello, world! ".repeat(100)).unwrap();
    let error = ask(&open(&[&folder.url("db")]), "alice").unwrap_err().to_string();
    assert!(error.ends_with("is it an SQLite database?"), "{error}");
    std::fs::create_dir(folder.0.join("folder")).unwrap();
    let error = ask(&open(&[&folder.url("folder")]), "alice").unwrap_err().to_string();
    assert!(error.ends_with("is not a file"), "{error}");
}

#[test]
fn no_more_of_a_text_is_fetched_than_is_read() {
    let database = rusqlite::Connection::open_in_memory().unwrap();
    for (text, fetched) in [
        ("'abcd'", Some("abcd")),
        ("'abc' || CHAR(0)", Some("abc\0")),
        ("'abcde'", Some("xxxxx")),
        ("'abcd' || CHAR(0)", Some("xxxxx")),
        ("'abcdefghi'", Some("xxxxx")),
        ("'äöü'", Some("xxxxx")),
        // There is no such session.
        ("NULL", None),
    ] {
        let sql = format!("SELECT {} FROM (SELECT {text} AS a)", (DIALECT.up_to)("a", 5));
        let found: Option<String> = database.query_row(&sql, [], |row| row.get(0)).unwrap();
        assert_eq!(found.as_deref(), fetched, "{text}");
    }
}
