//! Restarts, outages, black holes, a panic: what must never hang, never let in, and heal by itself.

use crate::common::client::{basic, send};
use crate::common::cluster::{Cluster, PASSWORD, sqlite};
use crate::common::httpd::{Httpd, MPMS, Setup};
use crate::common::{required, wait_until};
use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

fn config(url: &str) -> String {
    format!(
        "AuthDjangoDatabase {url}\nAuthDjangoPasswordHashers pbkdf2_sha256:1000\n\
         <Location /members>\nAuthType Basic\nAuthName x\nAuthBasicProvider django\nRequire valid-user\n</Location>\n\
         <Location /secret>\nAuthType Basic\nAuthName x\nAuthBasicProvider django\nRequire group secret-agents\n</Location>\n"
    )
}

/// Asks for /secret/ again and again, from four threads, until it is stopped.
struct Load {
    stop: Arc<AtomicBool>,
    threads: Vec<thread::JoinHandle<()>>,
    answers: Arc<Mutex<BTreeMap<String, usize>>>,
}

impl Load {
    fn start(port: u16) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let answers = Arc::new(Mutex::new(BTreeMap::new()));
        let threads = (0..4)
            .map(|n| {
                let (stop, answers) = (Arc::clone(&stop), Arc::clone(&answers));
                // Three who may, one who may not.
                let (user, password) =
                    if n == 0 { ("bob", "bob secret") } else { ("alice", "alice secret") };
                let request = format!(
                    "GET /secret/ HTTP/1.1\r\nHost: localhost\r\n{}Connection: close\r\n\r\n",
                    basic(user, password)
                );
                thread::spawn(move || {
                    while !stop.load(Ordering::Relaxed) {
                        let answer = match send(port, &request) {
                            Ok(response) => format!("{user} {}", response.status),
                            Err(_) => "no answer".to_owned(),
                        };
                        *answers.lock().unwrap().entry(answer).or_insert(0) += 1;
                        thread::sleep(Duration::from_millis(2));
                    }
                })
            })
            .collect();
        Self { stop, threads, answers }
    }

    fn count(&self, answer: &str) -> usize {
        self.answers.lock().unwrap().get(answer).copied().unwrap_or(0)
    }

    fn finish(self) -> BTreeMap<String, usize> {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().unwrap();
        }
        let answers = self.answers.lock().unwrap().clone();
        assert!(
            answers.contains_key("alice 200") && answers.contains_key("bob 401"),
            "{answers:?}"
        );
        answers
    }
}

/// Whatever happens, nobody gets another's answer: not alice a refusal, not bob the page.
fn only(answers: &BTreeMap<String, usize>, allowed: &[&str]) {
    let others: Vec<_> =
        answers.iter().filter(|(answer, _)| !allowed.contains(&answer.as_str())).collect();
    assert!(others.is_empty(), "{others:?} of {answers:?}");
}

fn restart_under_load(mpm: &str, signal: &str, url: &str) {
    let httpd = Setup::new("restarts", config(url)).mpm(mpm).start();
    let load = Load::start(httpd.port);
    httpd.wait_for_start();
    for _ in 0..20 {
        let begun = httpd.count_in_log("resuming normal operations");
        httpd.signal(signal);
        wait_until("the restart", 20, || httpd.count_in_log("resuming normal operations") > begun);
        let before = load.count("alice 200");
        wait_until("answers after a restart", 20, || load.count("alice 200") > before + 3);
    }
    only(&load.finish(), &["alice 200", "bob 401", "no answer"]);
    httpd.finish();
}

#[test]
fn twenty_graceful_restarts_under_load() {
    let (cluster, _) = Cluster::start("auth.User");
    for mpm in MPMS {
        restart_under_load(mpm, "USR1", &cluster.url());
    }
    wait_until("connections given back", 20, || cluster.connections() == 0);
}

#[test]
fn twenty_hard_restarts_under_load() {
    let (path, _) = sqlite("auth.User");
    for mpm in MPMS {
        restart_under_load(mpm, "HUP", &format!("sqlite:{}", path.display()));
    }
}

#[test]
fn a_panic_fails_closed_and_the_child_serves_on() {
    let (path, _) = sqlite("auth.User");
    for mpm in MPMS {
        let mut setup = Setup::new("panic", config(&format!("sqlite:{}", path.display()))).mpm(mpm);
        setup.module = required("MODULE_PANIC");
        setup.mpm_lines = if mpm == "prefork" {
            "StartServers 1\nMinSpareServers 1\nMaxSpareServers 1\nMaxRequestWorkers 1\n".into()
        } else {
            setup.mpm_lines
        };
        let mut httpd = setup.start();
        httpd.expect_in_log("a defect of this module stopped its answer");
        assert_eq!(httpd.status("/secret/", "alice", "alice secret"), 200);
        let child = httpd.children();
        for n in 1..=3 {
            assert_eq!(httpd.status("/secret/", "panic", "x"), 500);
            assert_eq!(httpd.count_in_log("a defect of this module"), n);
            assert_eq!(httpd.status("/secret/", "alice", "alice secret"), 200);
        }
        assert!(httpd.log().contains("at src/httpd/authn_provider.rs:"), "{}", httpd.log());
        assert!(!httpd.log().contains("thread '"), "{}", httpd.log());
        assert_eq!(httpd.children(), child, "{mpm}");
        httpd.finish();
    }
}

#[test]
fn a_release_build_has_no_panic_to_ask_for() {
    let (path, _) = sqlite("auth.User");
    let httpd = Setup::new("nopanic", config(&format!("sqlite:{}", path.display()))).start();
    assert_eq!(httpd.status("/secret/", "panic", "x"), 401);
    httpd.finish();
}

#[test]
fn a_restart_of_the_database_costs_no_request() {
    let (cluster, _) = Cluster::start("auth.User");
    for mpm in MPMS {
        let httpd = Setup::new("dbrestart", config(&cluster.url())).mpm(mpm).start();
        for _ in 0..3 {
            for _ in 0..12 {
                assert_eq!(httpd.status("/secret/", "alice", "alice secret"), 200, "{mpm}");
            }
            cluster.restart();
        }
        assert_eq!(httpd.status("/secret/", "alice", "alice secret"), 200, "{mpm}");
        httpd.finish();
    }
}

#[test]
fn a_stopped_database_is_500_at_once_and_heals_without_a_restart() {
    let (cluster, _) = Cluster::start("auth.User");
    for mpm in MPMS {
        let mut httpd = Setup::new("dbstop", config(&cluster.url())).mpm(mpm).start();
        httpd.expect_in_log("is not available");
        assert_eq!(httpd.status("/secret/", "alice", "alice secret"), 200);
        cluster.stop();
        let start = Instant::now();
        for _ in 0..40 {
            assert_eq!(httpd.status("/secret/", "alice", "alice secret"), 500, "{mpm}");
            assert_eq!(httpd.status("/secret/", "alice", "wrong"), 500, "{mpm}");
            assert_eq!(httpd.get("/secret/").status, 401, "{mpm}");
            assert_eq!(httpd.get("/public/").status, 200, "{mpm}");
        }
        // 80 answers, and none of them waited for the database's five seconds.
        assert!(start.elapsed() < Duration::from_secs(20), "{mpm}: {:?}", start.elapsed());
        let lines = httpd.count_in_log("is not available");
        assert!((1..=24).contains(&lines), "{mpm}: {lines} lines for 80 errors");
        cluster.begin();
        let children = if mpm == "prefork" { 4 } else { 1 };
        let mut well = 0;
        wait_until("the database's return", 15, || {
            let healed = httpd.status("/secret/", "alice", "alice secret") == 200;
            well = if healed { well + 1 } else { 0 };
            well > children * 5
        });
        assert!(!httpd.log().contains(PASSWORD));
        httpd.finish();
    }
}

#[test]
fn answers_stay_right_while_the_database_restarts_under_load() {
    let (cluster, _) = Cluster::start("auth.User");
    for mpm in MPMS {
        let mut httpd = Setup::new("dbload", config(&cluster.url())).mpm(mpm).start();
        httpd.expect_in_log("authnz_django:error");
        let load = Load::start(httpd.port);
        for _ in 0..3 {
            let before = load.count("alice 200");
            wait_until("load", 10, || load.count("alice 200") > before + 20);
            cluster.stop();
            thread::sleep(Duration::from_millis(300));
            cluster.begin();
            let before = load.count("alice 200");
            wait_until("answers after the outage", 15, || load.count("alice 200") > before + 20);
        }
        only(&load.finish(), &["alice 200", "alice 500", "bob 401", "bob 500"]);
        httpd.finish();
    }
}

/// A host that takes connections and never answers: requests end within the bound, the others are
/// served meanwhile, and all is well when it wakes up.
#[test]
fn a_black_hole_holds_no_more_than_half_of_the_threads() {
    let (cluster, _) = Cluster::start("auth.User");
    for mpm in ["worker", "event"] {
        let url = format!("{} timeout=3", cluster.url());
        let mut httpd = Setup::new("blackhole", config(&url)).mpm(mpm).start();
        httpd.expect_in_log("is not available");
        assert_eq!(httpd.status("/secret/", "alice", "alice secret"), 200);
        cluster.signal("STOP");
        let port = httpd.port;
        let waiting: Vec<_> = (0..16).map(|_| thread::spawn(move || ask_secret(port))).collect();
        thread::sleep(Duration::from_millis(400));
        // Eight threads in all; no more than four hang, so these answer long before the others end.
        let start = Instant::now();
        for _ in 0..50 {
            assert_eq!(httpd.get("/public/").status, 200);
        }
        let public = start.elapsed();
        let answers: Vec<_> = waiting.into_iter().map(|thread| thread.join().unwrap()).collect();
        cluster.signal("CONT");
        assert!(public < Duration::from_secs(2), "{mpm}: /public/ took {public:?}");
        assert!(answers.iter().all(|(status, _)| *status == 500), "{mpm}: {answers:?}");
        let longest = answers.iter().map(|(_, time)| *time).max().unwrap();
        assert!(longest < Duration::from_secs(5), "{mpm}: {longest:?}");
        wait_until("the database's return", 10, || {
            httpd.status("/secret/", "alice", "alice secret") == 200
        });
        httpd.finish();
    }
}

/// Keeps a table locked until it is dropped.
struct Locked(std::process::Child);

impl Locked {
    fn new(cluster: &Cluster, table: &str) -> Self {
        let mut psql = Command::new(format!("{}/psql", required("PGBIN")))
            .args(["-X", "-q", "-U", "django", "-d", "site", "-p", &cluster.port.to_string()])
            .arg("-h")
            .arg(&cluster.dir)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let sql = format!("BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE;\n");
        psql.stdin.as_mut().unwrap().write_all(sql.as_bytes()).unwrap();
        let locks = format!(
            "SELECT count(*) FROM pg_locks WHERE granted AND relation = '{table}'::regclass \
             AND mode = 'AccessExclusiveLock'"
        );
        wait_until("the lock", 10, || cluster.sql("site", &locks).trim() == "1");
        Self(psql)
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        // psql ends with its input, and the session with psql.
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// A database that takes connections and answers none of them, because somebody keeps a table
/// locked: the site beside it is served as ever, and only one thread at a time tries the stuck one.
#[test]
fn a_locked_table_takes_nothing_from_the_site_beside_it() {
    let (cluster, _) = Cluster::start("auth.User");
    let (path, _) = sqlite("auth.User");
    for mpm in ["worker", "event"] {
        let beside = format!(
            "<Location /members>\nAuthDjangoDatabase sqlite:{}\n</Location>\n",
            path.display()
        );
        let url = format!("{} timeout=2", cluster.url());
        let mut httpd = Setup::new("locked", config(&url) + &beside).mpm(mpm).start();
        httpd.expect_in_log("is not available");
        assert_eq!(httpd.status("/secret/", "alice", "alice secret"), 200);
        let locked = Locked::new(&cluster, "auth_user");
        let (port, stop) = (httpd.port, Arc::new(AtomicBool::new(false)));
        let load: Vec<_> = (0..6)
            .map(|_| {
                let stop = Arc::clone(&stop);
                thread::spawn(move || {
                    while !stop.load(Ordering::Relaxed) {
                        assert_eq!(ask_secret(port).0, 500);
                        thread::sleep(Duration::from_millis(10));
                    }
                })
            })
            .collect();
        let waiting = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'apache' \
                       AND wait_event_type = 'Lock'";
        let start = Instant::now();
        let (mut longest, mut most) = (Duration::ZERO, 0);
        while start.elapsed() < Duration::from_secs(9) {
            let asked = Instant::now();
            assert_eq!(httpd.status("/members/", "alice", "alice secret"), 200, "{mpm}");
            longest = longest.max(asked.elapsed());
            // The first of them were inside before anybody knew.
            if start.elapsed() > Duration::from_secs(4) {
                let now: usize = cluster.sql("postgres", waiting).trim().parse().unwrap();
                most = most.max(now);
            }
            thread::sleep(Duration::from_millis(10));
        }
        assert!(longest < Duration::from_millis(1500), "{mpm}: {longest:?}");
        assert_eq!(most, 1, "{mpm}");
        stop.store(true, Ordering::Relaxed);
        load.into_iter().for_each(|thread| thread.join().unwrap());
        drop(locked);
        wait_until("the table's return", 10, || {
            httpd.status("/secret/", "alice", "alice secret") == 200
        });
        httpd.finish();
    }
}

fn ask_secret(port: u16) -> (u16, Duration) {
    let start = Instant::now();
    let request = format!(
        "GET /secret/ HTTP/1.1\r\nHost: localhost\r\n{}Connection: close\r\n\r\n",
        basic("alice", "alice secret")
    );
    let status = send(port, &request).map_or(0, |response| response.status);
    (status, start.elapsed())
}

/// A client that hangs up in the middle, a thousand of them, leaves nothing behind.
#[test]
fn memory_files_and_connections_stay_flat() {
    let (cluster, _) = Cluster::start("auth.User");
    let httpd = Setup::new("flat", config(&cluster.url())).start();
    let child = || httpd.children()[0];
    let files = |pid: u32| std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
    let private = |pid: u32| -> usize {
        let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
        let kib = |name: &str| -> usize {
            let line = text.lines().find(|line| line.starts_with(name)).unwrap();
            line.split_whitespace().nth(1).unwrap().parse().unwrap()
        };
        kib("Private_Clean:") + kib("Private_Dirty:")
    };
    let burst = |httpd: &Httpd, count: usize| {
        let port = httpd.port;
        let threads: Vec<_> = (0..4)
            .map(|_| {
                thread::spawn(move || {
                    for n in 0..count {
                        let (user, password) =
                            if n % 3 == 0 { ("nobody", "x") } else { ("alice", "alice secret") };
                        let request = format!(
                            "GET /secret/ HTTP/1.1\r\nHost: localhost\r\n{}Connection: close\r\n\r\n",
                            basic(user, password)
                        );
                        send(port, &request).unwrap();
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    };
    burst(&httpd, 500);
    let (pid, files_before, before) = (child(), files(child()), private(child()));
    burst(&httpd, 2500);
    assert_eq!(child(), pid);
    assert!(files(pid) <= files_before + 4, "{} files, {files_before} before", files(pid));
    let grown = private(pid).saturating_sub(before);
    assert!(grown < 2048, "grown by {grown} KiB in 10000 requests");
    assert!(cluster.connections() <= 4, "{} connections", cluster.connections());
    httpd.finish();
}
