//! Verified credentials: a password is hashed once, in whatever child, and what changes in the
//! user's row counts at once.

use crate::common::client::{basic, get};
use crate::common::cluster::{Database, sqlite};
use crate::common::django::python;
use crate::common::httpd::{Httpd, MPMS, Setup, free_port};
use crate::common::{directory, run, wait_until};
use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

const SECTION: &str = "AuthType Basic\nAuthName x\nAuthBasicProvider django\n";

fn config(url: &str, lines: &str) -> String {
    format!(
        "AuthDjangoDatabase {url}\nAuthDjangoPasswordHashers pbkdf2_sha256:1000\n{lines}\n\
         LogLevel authnz_django:debug\n<Location /secret>\n{SECTION}Require group secret-agents\n</Location>\n\
         <Location /members>\n{SECTION}Require valid-user\n</Location>\n"
    )
}

fn start(topic: &str, config: String, mpm: &str) -> Httpd {
    let mut setup = Setup::new(topic, config).mpm(mpm).modules(&["socache_shmcb", "socache_redis"]);
    if mpm != "prefork" {
        // Two children, so that a login in one must count in the other.
        setup.mpm_lines =
            "StartServers 2\nMinSpareThreads 1\nMaxSpareThreads 8\nThreadsPerChild 4\n\
                           MaxRequestWorkers 8\nServerLimit 2\n"
                .into();
    }
    setup.start()
}

/// How many passwords were hashed to let somebody in.
fn hashed(httpd: &Httpd) -> usize {
    httpd.count_in_log("password verified for")
}

fn remembered(httpd: &Httpd) -> usize {
    httpd.count_in_log("password verified before for")
}

fn change(database: &str, words: &[&str]) {
    run(python("5.2", "change.py", database, "auth.User").args(words));
}

#[test]
fn a_login_counts_in_every_child() {
    let (path, _) = sqlite("auth.User");
    for mpm in MPMS {
        let httpd = start("children", config(&format!("sqlite:{}", path.display()), ""), mpm);
        for _ in 0..40 {
            assert_eq!(httpd.status("/secret/", "alice", "alice secret"), 200, "{mpm}");
        }
        assert_eq!((hashed(&httpd), remembered(&httpd)), (1, 39), "{mpm}");
        let log = httpd.log();
        let mut pids: Vec<&str> = log
            .lines()
            .filter(|line| line.contains("password verified"))
            .filter_map(|line| line.split("[pid ").nth(1)?.split([':', ']']).next())
            .collect();
        pids.sort_unstable();
        pids.dedup();
        assert!(pids.len() > 1, "{mpm}: one child served all");
        assert_eq!(httpd.count_in_log("remembered in shared memory: shmcb, 1024 KiB"), 1, "{mpm}");
        httpd.finish();
    }
}

#[test]
fn each_child_remembers_alone_or_nobody_does() {
    let (path, _) = sqlite("auth.User");
    let url = format!("sqlite:{}", path.display());
    let local = start("local", config(&url, "AuthDjangoCache local"), "prefork");
    for _ in 0..20 {
        assert_eq!(local.status("/secret/", "alice", "alice secret"), 200);
    }
    let children = hashed(&local);
    assert!((2..=12).contains(&children) && remembered(&local) == 20 - children, "{children}");
    local.finish();
    // Without the engine, the default is the same, and a line says so.
    let alone = Setup::new("alone", config(&url, "")).start();
    for _ in 0..3 {
        assert_eq!(alone.status("/secret/", "alice", "alice secret"), 200);
    }
    assert_eq!((hashed(&alone), remembered(&alone)), (1, 2));
    assert_eq!(alone.count_in_log("mod_socache_shmcb, by which all would, is not loaded"), 1);
    alone.finish();
    let off = start("off", config(&url, "AuthDjangoCache off"), "event");
    let place = "<Location /members>\nAuthDjangoCacheTimeout off\n</Location>";
    let here = start("here", config(&url, place), "event");
    for _ in 0..3 {
        assert_eq!(off.status("/secret/", "alice", "alice secret"), 200);
        assert_eq!(here.status("/members/", "alice", "alice secret"), 200);
        assert_eq!(here.status("/secret/", "alice", "alice secret"), 200);
    }
    assert_eq!((hashed(&off), remembered(&off)), (3, 0));
    assert_eq!((hashed(&here), remembered(&here)), (4, 2));
    off.finish();
    here.finish();
}

/// The old password is never accepted and the new one never refused, however fresh the entry.
#[test]
fn what_changes_in_the_row_counts_at_the_next_request() {
    for kind in Database::KINDS {
        let (database, _) = Database::start(kind, "auth.User");
        let django = database.django();
        for mpm in if kind == "sqlite" { &MPMS[..] } else { &MPMS[2..] } {
            let mut places = String::new();
            for (path, rule) in [
                ("permission", "django-permission docs.enter"),
                ("staff", "django-staff"),
                ("superuser", "django-superuser"),
            ] {
                places += &format!("<Location /{path}>\n{SECTION}Require {rule}\n</Location>\n");
            }
            let mut httpd = start("change", config(&database.url(), &places), mpm);
            httpd.expect_in_log("the stored password is refused");
            let ask = |path: &str, password: &str, status: u16| {
                // Often enough to meet every child.
                for _ in 0..6 {
                    assert_eq!(httpd.status(path, "alice", password), status, "{mpm} {path}");
                }
            };
            ask("/secret/", "alice secret", 200);
            ask("/secret/", "another", 401);
            change(&django, &["password=alice=another"]);
            ask("/secret/", "alice secret", 401);
            ask("/secret/", "another", 200);
            change(&django, &["active=alice=0"]);
            ask("/secret/", "another", 401);
            change(&django, &["active=alice=1"]);
            ask("/secret/", "another", 200);
            change(&django, &["ungroup=alice=secret-agents"]);
            ask("/secret/", "another", 401);
            ask("/members/", "another", 200);
            change(&django, &["group=alice=secret-agents", "password=alice=alice secret"]);
            ask("/secret/", "alice secret", 200);
            ask("/secret/", "another", 401);
            for (path, given, taken) in [
                ("/permission", "permit=alice=docs.enter", "forbid=alice=docs.enter"),
                ("/permission", "allow=secret-agents=docs.enter", "deny=secret-agents=docs.enter"),
                ("/staff", "bulk=alice=is_staff=1", "bulk=alice=is_staff=0"),
                ("/superuser", "bulk=alice=is_superuser=1", "bulk=alice=is_superuser=0"),
            ] {
                ask(path, "alice secret", 401);
                change(&django, &[given]);
                ask(path, "alice secret", 404);
                change(&django, &[taken]);
                ask(path, "alice secret", 401);
            }
            // A hash that costs more than the module will spend is none, however well it is known.
            let alice = |set: &str| {
                database.sql(&format!("UPDATE auth_user SET {set} WHERE username = 'alice'"));
            };
            alice("email = password");
            alice("password = 'pbkdf2_sha256$10000001$salt$x'");
            ask("/members/", "alice secret", 401);
            alice("password = email");
            let before = hashed(&httpd);
            ask("/members/", "alice secret", 200);
            assert_eq!(hashed(&httpd), before, "{mpm}: remembered all the while");
            httpd.finish();
        }
    }
}

/// Users 0 to 999, all with alice's password.
fn thousand(path: &Path) {
    let sql = "WITH RECURSIVE n(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM n WHERE n < 999) \
               INSERT INTO auth_user (password, is_superuser, username, first_name, last_name, email, \
               is_staff, is_active, date_joined) SELECT password, 0, 'user' || n, '', '', '', 0, 1, \
               date_joined FROM n, auth_user WHERE username = 'alice'";
    run(Command::new("sqlite3").arg(path).arg(sql));
}

#[test]
fn a_graceful_restart_hashes_nothing_again() {
    let (path, _) = sqlite("auth.User");
    thousand(&path);
    for mpm in MPMS {
        let httpd = start("graceful", config(&format!("sqlite:{}", path.display()), ""), mpm);
        let everybody = || {
            for n in 0..1000 {
                let user = format!("user{n}");
                assert_eq!(httpd.status("/members/", user, "alice secret"), 200, "{mpm}");
            }
        };
        everybody();
        assert_eq!(hashed(&httpd), 1000, "{mpm}");
        let (port, done) = (httpd.port, AtomicBool::new(false));
        thread::scope(|scope| {
            let load = scope.spawn(|| {
                for n in (0..1000).cycle() {
                    if done.load(Ordering::Relaxed) {
                        return;
                    }
                    let header = basic(format!("user{n}"), "alice secret");
                    assert_eq!(get(port, "/members/", &header).status, 200, "{mpm}");
                }
            });
            for restarts in 1..=2 {
                httpd.signal("USR1");
                wait_until("the restart", 20, || {
                    httpd.count_in_log("resuming normal operations") == restarts + 1
                });
                everybody();
            }
            done.store(true, Ordering::Relaxed);
            load.join().unwrap();
        });
        assert_eq!(hashed(&httpd), 1000, "{mpm}");
        httpd.finish();
    }
}

/// A redis of the test's own.
struct Redis {
    port: u16,
    child: Child,
    dir: PathBuf,
}

impl Redis {
    fn start() -> Self {
        let (dir, port) = (directory("redis"), free_port());
        let child = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", "", "--dir"])
            .arg(&dir)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        wait_until("redis", 20, || TcpStream::connect(("127.0.0.1", port)).is_ok());
        Self { port, child, dir }
    }

    /// Its answer to a command, whose last word `value` is.
    fn ask(&self, words: &[&str], value: &[u8]) -> Vec<u8> {
        let mut client = Command::new("redis-cli")
            .args(["-p", &self.port.to_string(), "-x"])
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        client.stdin.take().unwrap().write_all(value).unwrap();
        let mut answer = client.wait_with_output().unwrap().stdout;
        assert_eq!(answer.pop(), Some(b'\n'));
        answer
    }

    fn keys(&self) -> Vec<String> {
        let answer = String::from_utf8(self.ask(&["KEYS"], b"*")).unwrap();
        answer.lines().map(str::to_owned).collect()
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// A file that root alone reads.
fn secret(dir: &Path, text: &str) -> String {
    let file = dir.join("key");
    fs::write(&file, text).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    file.display().to_string()
}

/// Two servers are two machines here. Who can write to the redis can do no more than miss.
#[test]
fn machines_share_a_redis_that_nobody_can_forge_entries_in() {
    let (path, _) = sqlite("auth.User");
    let redis = Redis::start();
    let key = secret(&redis.dir, "0123456789abcdef0123456789abcdef\n");
    let lines = format!("AuthDjangoCache redis:127.0.0.1:{} key=file:{key}", redis.port);
    let config = config(&format!("sqlite:{}", path.display()), &lines);
    let (mut here, there) =
        (start("here", config.clone(), "event"), start("there", config.clone(), "prefork"));
    assert_eq!(here.status("/secret/", "alice", "alice secret"), 200);
    for _ in 0..6 {
        assert_eq!(there.status("/secret/", "alice", "alice secret"), 200);
    }
    assert_eq!((hashed(&here), hashed(&there)), (1, 0));
    there.finish();
    let [alice] = &redis.keys()[..] else { panic!("{:?}", redis.keys()) };
    let genuine = redis.ask(&["GET"], alice.as_bytes());
    // bob's entry, and what an attacker makes of it: a machine that has seen nobody yet asks redis.
    assert_eq!(here.status("/members/", "bob", "bob secret"), 200);
    let bob = redis.keys().into_iter().find(|key| key != alice).unwrap();
    let of_bob = redis.ask(&["GET"], bob.as_bytes());
    let mut prolonged = genuine.clone();
    prolonged[6] ^= 0x7f;
    for forged in [of_bob, prolonged, vec![b'x'; genuine.len()], vec![0xff; 4], Vec::new()] {
        assert_eq!(redis.ask(&["SET", alice], &forged), b"OK");
        let there = start("forged", config.clone(), "event");
        assert_eq!(there.status("/secret/", "alice", "alice secret"), 200);
        assert_eq!(hashed(&there), 1);
        // A wrong password has an entry of another name, whatever stands under alice's.
        assert_eq!(there.status("/secret/", "alice", "wrong"), 401);
        there.finish();
    }
    // A machine with another key shares nothing.
    let other = secret(&redis.dir, "another key, of more than 32 characters");
    assert_eq!(other, key);
    let stranger = start("stranger", config.clone(), "event");
    assert_eq!(stranger.status("/secret/", "alice", "alice secret"), 200);
    assert_eq!(hashed(&stranger), 1);
    stranger.finish();
    // Without its redis a machine goes on by itself, and mod_socache_redis says so.
    here.allow_in_log("socache_redis:");
    drop(redis);
    for _ in 0..3 {
        assert_eq!(here.status("/members/", "carol", "carol secret"), 401);
        assert_eq!(here.status("/members/", "bob", "bob secret"), 200);
    }
    here.finish();
}

/// As many as the README reckons for a size are known to every child.
#[test]
fn the_size_holds_the_users_that_it_is_reckoned_for() {
    let (path, _) = sqlite("auth.User");
    thousand(&path);
    let url = format!("sqlite:{}", path.display());
    // 128 bytes for each of a thousand; and a quarter of that.
    for (size, least) in [("125K", 1000), ("32K", 256)] {
        let httpd =
            start("size", config(&url, &format!("AuthDjangoCache shmcb:{size}")), "prefork");
        let verify = |users: &mut dyn Iterator<Item = usize>| {
            let before = hashed(&httpd);
            for n in users {
                assert_eq!(httpd.status("/members/", format!("user{n}"), "alice secret"), 200);
            }
            hashed(&httpd) - before
        };
        assert_eq!(verify(&mut (0..1000)), 1000);
        // Those who came last are there still, but for a few, since ids spread by chance: these last,
        // because each comes in for whoever is the oldest then.
        let again = verify(&mut (1000 - least..1000).rev());
        assert!(again * 25 <= least, "{size}: {again} of {least} were hashed again");
        httpd.finish();
    }
}

#[test]
fn a_cache_that_cannot_be_is_said() {
    let dir = directory("cachekey");
    let short = secret(&dir, "short\n");
    let test = |modules: &[&str], lines: &str| {
        Setup::new("cachetest", lines).modules(modules).configtest().unwrap_err()
    };
    let both = ["socache_shmcb", "socache_redis"];
    for (modules, lines, reason) in [
        (&[][..], "AuthDjangoCache shmcb", "a2enmod socache_shmcb"),
        (&both, "AuthDjangoCache redis:127.0.0.1:1", "redis needs key="),
        (&both, "<Location />\nAuthDjangoCache local\n</Location>", "cannot occur within"),
        (&both, "<VirtualHost *>\nAuthDjangoCache local\n</VirtualHost>", "cannot occur within"),
        (&both, "AuthDjangoCacheTimeout 0", "neither off nor seconds"),
    ] {
        let error = test(modules, lines);
        assert!(error.contains(reason), "{lines}: {error}");
    }
    // The key is read when httpd starts, by root.
    let lines = format!(
        "AuthDjangoDatabase sqlite:/nowhere.db\nAuthDjangoCache redis:127.0.0.1:1 key=file:{short}"
    );
    let setup = Setup::new("cachekey", lines).modules(&both);
    let (server, _) = setup.write();
    let output = Command::new(&*crate::common::httpd::PROGRAM)
        .args(["-DFOREGROUND", "-f"])
        .arg(server.join("httpd.conf"))
        .output()
        .unwrap();
    let log = fs::read_to_string(server.join("error.log")).unwrap();
    assert!(!output.status.success() && log.contains("fewer than 32 characters"), "{log}");
    fs::remove_dir_all(server).unwrap();
    fs::remove_dir_all(dir).unwrap();
}
