//! SQLite between two users: Django writes as one, httpd's children read as another, and whatever
//! happens, Django can go on writing.

use crate::common::client::{basic, send};
use crate::common::cluster::{ids, sqlite};
use crate::common::django::Resident;
use crate::common::httpd::{Httpd, MPMS, Setup};
use crate::common::{module, run, wait_until};
use serde_json::json;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// The user that Django runs as; httpd's is www-data.
const OWNER: &str = "games";

const WAL: &str = "belongs to another user and has no -wal file: run httpd as the same user, keep a \
    Django connection open, or set PRAGMA journal_mode=DELETE";

fn resident(user: &str, path: &Path) -> Resident {
    Resident::start(user, path.to_str().unwrap(), "auth.User")
}

/// A site's database in a folder of its owner's.
struct Site {
    dir: PathBuf,
    path: PathBuf,
}

impl Site {
    /// `shared`: httpd's user, too, may make files in the folder.
    fn new(owner: &str, shared: bool, journal: &str) -> Self {
        let (path, _) = sqlite("auth.User");
        let dir = path.parent().unwrap().to_owned();
        let (uid, gid) = ids(owner);
        chown(&path, Some(uid), Some(gid)).unwrap();
        chown(&dir, Some(uid), Some(if shared { ids("www-data").1 } else { gid })).unwrap();
        mode(&dir, if shared { 0o775 } else { 0o755 });
        let mut django = resident(owner, &path);
        assert_eq!(django.sql(&format!("PRAGMA journal_mode={journal}")), json!([journal]));
        django.close();
        let site = Self { dir, path };
        assert_eq!(site.files(), ["db.sqlite3"]);
        site
    }

    fn django(&self) -> Resident {
        resident(OWNER, &self.path)
    }

    fn httpd(&self) -> Httpd {
        Setup::new("sqlite", self.config("")).start()
    }

    fn config(&self, words: &str) -> String {
        let mut config = format!(
            "AuthDjangoDatabase sqlite:{} {words}\nAuthDjangoPasswordHashers pbkdf2_sha256:1000\n",
            self.path.display()
        );
        for (path, require) in [
            ("/members", "valid-user"),
            ("/secret", "group secret-agents"),
            ("/write", "valid-user"),
        ] {
            config += &format!(
                "<Location {path}>\nAuthType Basic\nAuthName x\nAuthBasicProvider django\nRequire {require}\n</Location>\n"
            );
        }
        config
    }

    fn files(&self) -> Vec<String> {
        let names: BTreeSet<_> = fs::read_dir(&self.dir)
            .unwrap()
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .collect();
        names.into_iter().collect()
    }

    /// Nothing here belongs to anybody but `owner`.
    fn belongs_to(&self, owner: &str) {
        let uid = ids(owner).0;
        for name in self.files() {
            // What a writer just removed belongs to nobody.
            let Ok(file) = fs::metadata(self.dir.join(&name)) else { continue };
            assert_eq!(file.uid(), uid, "{name} is not {owner}'s: {:?}", self.files());
        }
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn mode(path: &Path, bits: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(bits)).unwrap();
}

fn alice(httpd: &Httpd) -> u16 {
    httpd.status("/secret/", "alice", "alice secret")
}

/// Every change that Django makes counts at the very next request.
fn changes_count(httpd: &Httpd, django: &mut Resident, rounds: usize) {
    let bob = |path: &str, password: &str| httpd.status(path, "bob", password);
    let mut before = "bob secret".to_owned();
    for round in 0..rounds {
        let password = format!("secret of round {round}");
        django.change(format!("password=bob={password}"));
        assert_eq!(bob("/members/", &before), 401, "{round}");
        assert_eq!(bob("/members/", &password), 200, "{round}");
        django.change("active=bob=0");
        assert_eq!(bob("/members/", &password), 401, "{round}");
        django.change("active=bob=1");
        assert_eq!(bob("/members/", &password), 200, "{round}");
        assert_eq!(bob("/secret/", &password), 401, "{round}");
        django.change("group=bob=secret-agents");
        assert_eq!(bob("/secret/", &password), 200, "{round}");
        django.change("ungroup=bob=secret-agents");
        assert_eq!(bob("/secret/", &password), 401, "{round}");
        before = password;
    }
    django.change("password=bob=bob secret");
}

/// Asks for /secret/ as alice and as bob, from two threads, until it is stopped.
struct Readers {
    stop: Arc<AtomicBool>,
    threads: Vec<thread::JoinHandle<usize>>,
}

impl Readers {
    fn start(port: u16) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let threads = [("alice", "alice secret", 200), ("carol", "carol secret", 401)]
            .map(|(user, password, status)| {
                let stop = Arc::clone(&stop);
                thread::spawn(move || {
                    let mut count = 0;
                    while !stop.load(Ordering::Relaxed) {
                        assert_eq!(request(port, "/secret/", user, password).0, status, "{user}");
                        count += 1;
                        thread::sleep(Duration::from_millis(2));
                    }
                    count
                })
            })
            .into();
        Self { stop, threads }
    }

    /// How many answers each of them had.
    fn finish(self) -> Vec<usize> {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    }
}

fn request(port: u16, path: &str, user: &str, password: &str) -> (u16, String) {
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\n{}Connection: close\r\n\r\n",
        basic(user, password)
    );
    send(port, &request).map_or((0, String::new()), |answer| (answer.status, answer.body))
}

#[test]
fn journal_delete_django_writes_while_apache_reads() {
    for shared in [false, true] {
        let site = Site::new(OWNER, shared, "delete");
        let mut django = site.django();
        let httpd = site.httpd();
        let readers = Readers::start(httpd.port);
        changes_count(&httpd, &mut django, 5);
        readers.finish();
        site.belongs_to(OWNER);
        assert_eq!(site.files(), ["db.sqlite3"]);
        django.close();
        httpd.finish();
        django.change("active=bob=0");
        assert_eq!(site.files(), ["db.sqlite3"]);
    }
}

#[test]
fn journal_wal_django_writes_and_checkpoints_while_apache_reads() {
    for shared in [false, true] {
        let site = Site::new(OWNER, shared, "wal");
        let mut django = site.django();
        django.change("active=bob=1");
        let all = ["db.sqlite3", "db.sqlite3-shm", "db.sqlite3-wal"];
        assert_eq!(site.files(), all);
        let httpd = site.httpd();
        let readers = Readers::start(httpd.port);
        for _ in 0..3 {
            changes_count(&httpd, &mut django, 2);
            assert_eq!(django.sql("PRAGMA wal_checkpoint(TRUNCATE)"), json!([0, 0, 0]));
        }
        readers.finish();
        site.belongs_to(OWNER);
        // Django's last connection leaves while ours is open, and comes back.
        django.close();
        assert_eq!(alice(&httpd), 200);
        changes_count(&httpd, &mut django, 1);
        // The same when it is killed, and the files are nobody's.
        django.kill();
        assert_eq!(alice(&httpd), 200);
        httpd.finish();
        site.belongs_to(OWNER);
        assert_eq!(site.files(), all);
        let httpd = site.httpd();
        assert_eq!(alice(&httpd), 200);
        let mut django = site.django();
        changes_count(&httpd, &mut django, 1);
        httpd.finish();
        site.belongs_to(OWNER);
        django.change("active=bob=0");
        assert_eq!(django.sql("PRAGMA wal_checkpoint(TRUNCATE)"), json!([0, 0, 0]));
        django.close();
        assert_eq!(site.files(), ["db.sqlite3"]);
        site.belongs_to(OWNER);
    }
}

#[test]
fn journal_wal_without_its_files_is_an_error_until_django_comes() {
    for shared in [false, true] {
        let site = Site::new(OWNER, shared, "wal");
        let mut httpd = site.httpd();
        let warning = format!("authnz_django:warn] [pid {}", httpd.children()[0]);
        httpd.expect_in_log(WAL);
        // A child says it once it runs, which may be a moment after the server listens.
        wait_until("the child's warning", 5, || httpd.count_in_log(&warning) == 1);
        assert_eq!(httpd.count_in_log(WAL), 1, "{}", httpd.log());
        // The warning, too, says which of several databases it means.
        assert_eq!(httpd.count_in_log(site.path.to_str().unwrap()), 1, "{}", httpd.log());
        for _ in 0..3 {
            assert_eq!(alice(&httpd), 500);
            assert_eq!(httpd.status("/members/", "alice", "wrong"), 500);
            assert_eq!(httpd.get("/public/").status, 200);
        }
        assert_eq!(httpd.count_in_log("authnz_django:error"), 1, "{}", httpd.log());
        assert_eq!(httpd.count_in_log(WAL), 2, "{}", httpd.log());
        assert_eq!(site.files(), ["db.sqlite3"]);
        // Django is not disturbed.
        let mut django = site.django();
        django.change("group=bob=secret-agents");
        wait_until("the answer after Django opened the file", 5, || {
            httpd.status("/members/", "bob", "bob secret") == 200
        });
        assert_eq!(alice(&httpd), 200);
        assert_eq!(httpd.status("/secret/", "bob", "bob secret"), 200);
        django.change("ungroup=bob=secret-agents");
        changes_count(&httpd, &mut django, 1);
        site.belongs_to(OWNER);
        httpd.finish();
        django.change("active=bob=0");
        django.close();
        assert_eq!(site.files(), ["db.sqlite3"]);
    }
}

/// Django's last connection closes, and takes the -wal file with it, just when ours begins: SQLite
/// would make a new one, that Django could not write to.
#[test]
fn journal_wal_a_file_that_vanishes_while_apache_opens_is_not_made_anew() {
    let site = Site::new(OWNER, true, "wal");
    let library = site.dir.with_extension("slow_open.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/slow_open.c");
    run(Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source));
    let mut django = site.django();
    django.change("active=bob=1");
    let mut setup = Setup::new("vanish", site.config(""));
    setup.environment.push(("LD_PRELOAD".into(), library.to_str().unwrap().into()));
    let httpd = setup.start();
    let port = httpd.port;
    // The child looked at the file before it answers; SQLite opens it later, and needs 2 s for it.
    assert_eq!(httpd.get("/public/").status, 200);
    let begun = Instant::now();
    let answer = thread::spawn(move || request(port, "/secret/", "alice", "alice secret").0);
    thread::sleep(Duration::from_millis(800));
    django.close();
    assert!(begun.elapsed() < Duration::from_millis(1900), "too slow to mean anything");
    let answer = answer.join().unwrap();
    site.belongs_to(OWNER);
    assert_eq!(answer, 200);
    assert!(begun.elapsed() > Duration::from_secs(2), "nothing was delayed");
    django.change("active=bob=0");
    httpd.finish();
    django.change("active=bob=1");
    django.close();
    assert_eq!(site.files(), ["db.sqlite3"]);
    fs::remove_file(library).unwrap();
}

/// The wal-index of an empty log is made anew with the same bytes, whatever the database holds.
#[test]
fn journal_wal_an_index_that_comes_back_is_no_proof() {
    let site = Site::new(OWNER, false, "wal");
    let read = "SELECT count(*) FROM auth_user";
    let mut django = site.django();
    django.sql(read);
    let before = site.httpd();
    assert_eq!(alice(&before), 200);
    // Django leaves first, then httpd: nobody is there, and the files are.
    django.close();
    before.finish();
    assert_eq!(site.files(), ["db.sqlite3", "db.sqlite3-shm", "db.sqlite3-wal"]);
    let index = || fs::read(site.dir.join("db.sqlite3-shm")).unwrap()[..96].to_vec();
    let empty = index();
    let httpd = site.httpd();
    for _ in 0..3 {
        assert_eq!(alice(&httpd), 200);
    }
    django.sql("UPDATE auth_user SET is_active = 0 WHERE username = 'alice'");
    django.sql("PRAGMA wal_checkpoint(TRUNCATE)");
    django.close();
    django.sql(read);
    assert_eq!(index(), empty, "it did not come back");
    assert_eq!(alice(&httpd), 401);
    httpd.finish();
}

/// SQLite goes by a log that it finds, whatever the header of the file says.
#[test]
fn journal_delete_beside_a_log_that_was_left_there() {
    let site = Site::new(OWNER, false, "delete");
    fs::write(site.dir.join("db.sqlite3-wal"), [b'x'; 4096]).unwrap();
    let (uid, gid) = ids(OWNER);
    chown(site.dir.join("db.sqlite3-wal"), Some(uid), Some(gid)).unwrap();
    let mut django = site.django();
    django.sql("SELECT count(*) FROM auth_user");
    let httpd = site.httpd();
    assert_eq!(alice(&httpd), 200);
    assert_eq!(alice(&httpd), 200);
    assert_eq!(django.sql("PRAGMA journal_mode"), json!(["wal"]), "it goes by the file");
    changes_count(&httpd, &mut django, 3);
    django.change("active=alice=0");
    assert_eq!(alice(&httpd), 401);
    httpd.finish();
}

#[test]
fn journal_wal_as_the_same_user_needs_no_remedy() {
    let site = Site::new(OWNER, false, "wal");
    let mut setup = Setup::new("same", site.config(""));
    setup.user = OWNER.into();
    let httpd = setup.start();
    assert_eq!(alice(&httpd), 200);
    let mut django = site.django();
    changes_count(&httpd, &mut django, 2);
    assert_eq!(django.sql("PRAGMA wal_checkpoint(TRUNCATE)"), json!([0, 0, 0]));
    site.belongs_to(OWNER);
    httpd.finish();
    django.change("active=bob=0");
    django.close();
    assert_eq!(site.files(), ["db.sqlite3"]);
}

/// Capistrano and its like link the database into each release.
#[test]
fn journal_wal_behind_a_symbolic_link() {
    let site = Site::new(OWNER, false, "wal");
    let link = site.dir.with_extension("link");
    std::os::unix::fs::symlink(&site.path, &link).unwrap();
    let mut django = site.django();
    django.change("active=bob=1");
    let config = site.config("").replace(site.path.to_str().unwrap(), link.to_str().unwrap());
    let httpd = Setup::new("link", config).start();
    changes_count(&httpd, &mut django, 1);
    httpd.finish();
    site.belongs_to(OWNER);
    fs::remove_file(link).unwrap();
}

/// The journal mode changes under a running httpd, in both directions.
#[test]
fn a_change_of_journal_mode_counts_at_once() {
    let site = Site::new(OWNER, true, "delete");
    let mut django = site.django();
    let mut httpd = Setup::new("mode", site.config("idle=1")).start();
    changes_count(&httpd, &mut django, 1);
    assert_eq!(django.sql("PRAGMA journal_mode=WAL"), json!(["wal"]));
    changes_count(&httpd, &mut django, 1);
    django.close();
    // Our connection keeps the files there until it has been idle for a second.
    thread::sleep(Duration::from_millis(2500));
    django.change("active=bob=1");
    django.close();
    assert_eq!(site.files(), ["db.sqlite3"]);
    assert_eq!(alice(&httpd), 500);
    httpd.expect_in_log(WAL);
    site.belongs_to(OWNER);
    assert_eq!(django.sql("PRAGMA journal_mode=DELETE"), json!(["delete"]));
    wait_until("the answer after the remedy", 5, || alice(&httpd) == 200);
    changes_count(&httpd, &mut django, 1);
    assert_eq!(site.files(), ["db.sqlite3"]);
    httpd.finish();
}

#[test]
fn a_hot_journal_is_djangos_to_roll_back() {
    for shared in [false, true] {
        let site = Site::new(OWNER, shared, "delete");
        let mut httpd = site.httpd();
        assert_eq!(alice(&httpd), 200);
        let mut django = site.django();
        django.sql("PRAGMA cache_size = 1");
        django.sql("PRAGMA cache_spill = 1");
        django.sql("BEGIN IMMEDIATE");
        // More than the cache holds: half of a change lies in the file when Django dies.
        django.sql("UPDATE auth_user SET password = '!', email = hex(randomblob(500))");
        django.kill();
        let journal = site.dir.join("db.sqlite3-journal");
        let left = fs::read(&journal).unwrap();
        assert!(left.starts_with(&[0xd9, 0xd5, 0x05, 0xf9]), "the journal is not hot");
        let half = fs::read(&site.path).unwrap();
        for _ in 0..3 {
            assert_eq!(httpd.status("/members/", "bob", "bob secret"), 500);
            // What is kept of her is what it will be rolled back to.
            assert_eq!(alice(&httpd), 200);
        }
        let remedy = "a journal was left behind, which only its owner may roll back: let Django \
                      open the database once";
        httpd.expect_in_log(remedy);
        assert_eq!(httpd.count_in_log(remedy), 1, "{}", httpd.log());
        assert_eq!(fs::read(&journal).unwrap(), left);
        assert_eq!(fs::read(&site.path).unwrap(), half);
        let mut django = site.django();
        django.sql("SELECT count(*) FROM auth_user");
        assert_eq!(site.files(), ["db.sqlite3"]);
        wait_until("the answer after Django opened the file", 5, || {
            httpd.status("/members/", "bob", "bob secret") == 200
        });
        assert_eq!(alice(&httpd), 200);
        changes_count(&httpd, &mut django, 1);
        site.belongs_to(OWNER);
        httpd.finish();
    }
}

#[test]
fn a_file_that_is_replaced_or_removed() {
    for shared in [false, true] {
        let site = Site::new(OWNER, shared, "delete");
        let mut httpd = site.httpd();
        let aside = site.dir.join("new.db");
        let (uid, gid) = ids(OWNER);
        for deploy in 0..3 {
            assert_eq!(alice(&httpd), 200);
            fs::copy(&site.path, &aside).unwrap();
            chown(&aside, Some(uid), Some(gid)).unwrap();
            let mut django = resident(OWNER, &aside);
            let password = format!("deploy {deploy}");
            django.change(format!("password=bob={password}"));
            django.close();
            fs::rename(&aside, &site.path).unwrap();
            assert_eq!(httpd.status("/members/", "bob", password), 200);
        }
        assert_eq!(httpd.count_in_log("authnz_django:error"), 0);
        fs::rename(&site.path, &aside).unwrap();
        assert_eq!(alice(&httpd), 500);
        httpd.expect_in_log("no such file");
        assert_eq!(httpd.get("/public/").status, 200);
        assert_eq!(site.files(), ["new.db"]);
        fs::rename(&aside, &site.path).unwrap();
        wait_until("the answer after the file's return", 5, || alice(&httpd) == 200);
        httpd.finish();
    }
}

#[test]
fn a_lock_held_too_long_is_500_within_the_bound() {
    let site = Site::new(OWNER, false, "delete");
    let mut django = site.django();
    for mpm in MPMS {
        let mut httpd = Setup::new("lock", site.config("timeout=1")).mpm(mpm).start();
        assert_eq!(alice(&httpd), 200);
        django.sql("BEGIN EXCLUSIVE");
        let port = httpd.port;
        // Nobody of that name is kept.
        let waiting: Vec<_> = (0..4)
            .map(|n| {
                thread::spawn(move || {
                    let begun = Instant::now();
                    (request(port, "/secret/", &format!("nobody {n}"), "x").0, begun.elapsed())
                })
            })
            .collect();
        // Four children of one thread may all be waiting; half of eight threads are not.
        if mpm != "prefork" {
            thread::sleep(Duration::from_millis(300));
            let begun = Instant::now();
            for _ in 0..20 {
                assert_eq!(httpd.get("/public/").status, 200);
                // Nothing was committed, so that what is kept still holds.
                assert_eq!(alice(&httpd), 200);
            }
            assert!(begun.elapsed() < Duration::from_millis(500), "{:?}", begun.elapsed());
        }
        for (status, time) in waiting.into_iter().map(|thread| thread.join().unwrap()) {
            assert_eq!(status, 500, "{mpm}");
            assert!(time < Duration::from_millis(2500), "{mpm}: {time:?}");
        }
        assert_eq!(httpd.get("/public/").status, 200);
        httpd.expect_in_log("no answer within 1 s: another process keeps the file locked");
        django.sql("ROLLBACK");
        let mut well = 0;
        wait_until("the answer after the lock", 10, || {
            well = if alice(&httpd) == 200 { well + 1 } else { 0 };
            well > 20
        });
        // A lock that is held for less costs nothing but the wait.
        django.sql("BEGIN EXCLUSIVE");
        let waiting = thread::spawn(move || request(port, "/members/", "bob", "bob secret").0);
        thread::sleep(Duration::from_millis(400));
        django.sql("ROLLBACK");
        assert_eq!(waiting.join().unwrap(), 200, "{mpm}");
        httpd.finish();
    }
}

#[test]
fn a_file_that_httpd_may_not_read() {
    let site = Site::new(OWNER, false, "delete");
    let remedy =
        "permission denied: httpd's user must be able to read it and to search each folder";
    for (path, bad, good) in [(&site.path, 0o600, 0o644), (&site.dir, 0o700, 0o755)] {
        mode(path, bad);
        let mut httpd = site.httpd();
        httpd.expect_in_log(remedy);
        wait_until("the child's warning", 5, || httpd.count_in_log("authnz_django:warn") == 1);
        for _ in 0..3 {
            assert_eq!(alice(&httpd), 500);
            assert_eq!(httpd.status("/members/", "alice", "wrong"), 500);
            assert_eq!(httpd.status("/members/", "nobody", "x"), 500);
            assert_eq!(httpd.get("/members/").status, 401);
        }
        assert_eq!(httpd.count_in_log("authnz_django:error"), 1, "{}", httpd.log());
        assert_eq!(httpd.count_in_log(remedy), 2, "{}", httpd.log());
        mode(path, good);
        wait_until("the answer after the remedy", 5, || alice(&httpd) == 200);
        httpd.finish();
    }
}

fn lines(command: &mut Command) -> Vec<String> {
    run(command).lines().map(str::to_owned).collect()
}

/// Two copies of SQLite in one process would break each other's locks.
#[test]
fn the_module_is_linked_with_the_systems_sqlite() {
    let module = module();
    let needed = lines(Command::new("readelf").args(["-d", &module]));
    assert!(
        needed.iter().any(|line| line.contains("NEEDED") && line.contains("[libsqlite3.so.0]")),
        "{needed:#?}"
    );
    let ldd = lines(Command::new("ldd").arg(&module));
    let library = ldd.iter().find(|line| line.contains("libsqlite3.so.0")).unwrap();
    let library = library.split_whitespace().nth(2).unwrap().to_owned();
    // The last word of a line is the symbol, perhaps with its version.
    let names = |command: &mut Command| -> BTreeSet<String> {
        let word = |line: String| {
            line.split_whitespace()
                .last()
                .and_then(|word| word.split('@').next())
                .map(str::to_owned)
        };
        let all = lines(command).into_iter().filter_map(word);
        all.filter(|name| name.starts_with("sqlite3_")).collect()
    };
    let wanted = names(Command::new("nm").args(["-D", "--undefined-only", &module]));
    let given = names(Command::new("nm").args(["-D", "--defined-only", &library]));
    assert!(wanted.contains("sqlite3_step"), "{wanted:?}");
    assert!(wanted.is_subset(&given), "{:?}", wanted.difference(&given).collect::<Vec<_>>());
    assert!(!wanted.iter().any(|name| name.contains("clientdata")), "{wanted:?}");
    // Nor does it bring a copy along.
    let own = names(Command::new("nm").args(["-D", "--defined-only", &module]));
    assert!(own.is_empty(), "{own:?}");
}

/// A site's own application in the same process, with the SQLite of Python.
const APPLICATION: &str = r#"
import sqlite3

def application(environ, start_response):
    database = sqlite3.connect(PATH, timeout=30, isolation_level=None)
    try:
        database.execute("BEGIN IMMEDIATE")
        database.execute("INSERT INTO hits (who) VALUES (?)", [environ["REMOTE_USER"]])
        database.execute("UPDATE auth_user SET last_login = datetime() WHERE username IN ('alice', 'bob')")
        database.execute("COMMIT")
        status, body = "200 OK", "written"
    except Exception as error:
        status, body = "503 Service Unavailable", f"{type(error).__name__}: {error}"
    finally:
        database.close()
    start_response(status, [("Content-Length", str(len(body)))])
    return [body.encode()]
"#;

fn mod_wsgi_writes_beside_us(journal: &str) {
    const WRITES: usize = 250;
    for mpm in MPMS {
        let site = Site::new("www-data", false, journal);
        let cli = |sql: &str| run(Command::new("sqlite3").arg(&site.path).arg(sql));
        cli("CREATE TABLE hits (id INTEGER PRIMARY KEY, who TEXT)");
        let config = site.config("")
            + "WSGIScriptAlias /write {dir}/write.wsgi\nWSGIApplicationGroup %{GLOBAL}\n\
               <Files write.wsgi>\nRequire all granted\n</Files>\n";
        let setup = Setup::new("wsgi", config).mpm(mpm).modules(&["wsgi"]);
        let (dir, port) = setup.write();
        let script = APPLICATION.replace("PATH", &format!("{:?}", site.path));
        fs::write(dir.join("write.wsgi"), script).unwrap();
        let httpd = setup.start_in(dir, port);
        let readers = Readers::start(port);
        let writers: Vec<_> = [("alice", "alice secret"), ("bob", "bob secret")]
            .into_iter()
            .map(|(user, password)| {
                thread::spawn(move || {
                    for _ in 0..WRITES {
                        let answer = request(port, "/write", user, password);
                        assert_eq!(answer, (200, "written".to_owned()), "{user}");
                    }
                })
            })
            .collect();
        for writer in writers {
            writer.join().unwrap();
        }
        let read = readers.finish();
        // On a busy machine the writers leave little time; but every reader must have had some.
        assert!(read.iter().all(|count| *count > 0), "{mpm}: {read:?}");
        httpd.finish();
        assert_eq!(cli("PRAGMA integrity_check"), "ok\n", "{mpm}");
        assert_eq!(cli("SELECT count(*) FROM hits"), format!("{}\n", WRITES * 2), "{mpm}");
        assert_eq!(cli("SELECT count(*) FROM hits WHERE who = 'bob'"), format!("{WRITES}\n"));
        site.belongs_to("www-data");
    }
}

#[test]
fn mod_wsgi_writes_beside_us_with_a_journal() {
    mod_wsgi_writes_beside_us("delete");
}

#[test]
fn mod_wsgi_writes_beside_us_with_wal() {
    mod_wsgi_writes_beside_us("wal");
}
