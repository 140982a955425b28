//! A flood of passwords that must be hashed: it is bounded, and whoever is verified is served.

use crate::common::cluster::sqlite;
use crate::common::httpd::{Httpd, MPMS, Setup};
use crate::common::wait_until;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

const BUSY: &str = "too many passwords are being hashed already";

/// An unknown user costs what a hash costs that takes a good while; alice costs next to nothing.
fn start(topic: &str, mpm: &str, hashing: &str, mpm_lines: &str) -> Httpd {
    let (path, _) = sqlite("auth.User");
    let config = format!(
        "AuthDjangoDatabase sqlite:{}\nAuthDjangoPasswordHashers md5 pbkdf2_sha256\n\
         AuthDjangoHashing {hashing}\nLogLevel authnz_django:debug\n\
         <Location /members>\nAuthType Basic\nAuthName x\nAuthBasicProvider django\nRequire valid-user\n</Location>\n\
         <Location /dear>\nAuthType Basic\nAuthName x\nAuthBasicProvider django\nRequire valid-user\n\
         AuthDjangoPasswordHashers pbkdf2_sha256:6000000\n</Location>\n",
        path.display()
    );
    let mut setup = Setup::new(topic, config).mpm(mpm).modules(&["socache_shmcb"]);
    setup.mpm_lines = mpm_lines.into();
    setup.start()
}

/// Until requests reach so many children; one that is there need not take any yet.
fn wait_for_all(httpd: &Httpd, children: usize) {
    wait_until("requests in all children", 20, || {
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| assert_eq!(httpd.status("/members/", "alice", "alice secret"), 200));
            }
        });
        httpd.children_in_log(0, "alice: password verified") == children
    });
}

/// How many of so many logins of nobody at once were 401, and how many 500.
fn flood(httpd: &Httpd, logins: usize) -> (usize, usize) {
    let (denied, failed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for n in 0..logins {
            let (denied, failed) = (&denied, &failed);
            scope.spawn(move || match httpd.status("/dear/", format!("nobody {n}"), "x") {
                401 => denied.fetch_add(1, Ordering::SeqCst),
                500 => failed.fetch_add(1, Ordering::SeqCst),
                status => panic!("{status}"),
            });
        }
    });
    (denied.into_inner(), failed.into_inner())
}

/// A child's threads that hash, as proc(5) has them.
fn hashers(child: u32) -> impl Iterator<Item = PathBuf> {
    let tasks = fs::read_dir(format!("/proc/{child}/task")).into_iter().flatten().flatten();
    // One that has ended meanwhile is none.
    let named = |task: &PathBuf| {
        fs::read_to_string(task.join("comm")).is_ok_and(|name| name == "hashing\n")
    };
    tasks.map(|task| task.path()).filter(named)
}

/// Their `stat`, from the state on, which is the third field.
fn stats(child: u32) -> impl Iterator<Item = Vec<String>> {
    hashers(child).filter_map(|task| {
        let stat = fs::read_to_string(task.join("stat")).ok()?;
        let (_, fields) = stat.split_once("(hashing) ")?;
        Some(fields.split(' ').map(str::to_owned).collect())
    })
}

/// How nice the threads are that hash.
fn priorities(httpd: &Httpd) -> Vec<i32> {
    // `nice` is the 19th field.
    let nice = |fields: Vec<String>| fields[16].parse().unwrap();
    httpd.children().into_iter().flat_map(stats).map(nice).collect()
}

/// How many nanoseconds they ask for at a time.
fn slices(httpd: &Httpd) -> Vec<u64> {
    let slice = |task: PathBuf| {
        let sched = fs::read_to_string(task.join("sched")).ok()?;
        let line = sched.lines().find(|line| line.starts_with("se.slice "))?;
        line.rsplit(' ').next()?.parse().ok()
    };
    httpd.children().into_iter().flat_map(hashers).filter_map(slice).collect()
}

/// Whether Linux lets a thread ask, which it does from 6.12 on.
fn takes_slices() -> bool {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split(['.', '-']).map_while(|number| number.parse::<u32>().ok());
    (numbers.next(), numbers.next()) >= (Some(6), Some(12))
}

#[test]
fn a_flood_leaves_threads_for_whoever_is_verified() {
    for mpm in MPMS {
        let lines = match mpm {
            "prefork" => {
                "StartServers 16\nServerLimit 16\nMaxRequestWorkers 16\nMinSpareServers 1\nMaxSpareServers 16\n"
            }
            _ => {
                "StartServers 1\nServerLimit 1\nThreadsPerChild 16\nMaxRequestWorkers 16\n\
                 MinSpareThreads 1\nMaxSpareThreads 16\n"
            }
        };
        let mut httpd = start("flood", mpm, "threads=2 queue=100", lines);
        httpd.expect_in_log(BUSY);
        assert_eq!(httpd.status("/members/", "alice", "alice secret"), 200);
        let httpd = &httpd;
        let (served, mut nice, mut slice) = (AtomicUsize::new(0), Vec::new(), Vec::new());
        thread::scope(|scope| {
            let storm = scope.spawn(|| flood(httpd, 14));
            while !storm.is_finished() {
                assert_eq!(httpd.status("/members/", "alice", "alice secret"), 200, "{mpm}");
                served.fetch_add(1, Ordering::SeqCst);
                nice.extend(priorities(httpd));
                slice.extend(slices(httpd));
            }
            let (denied, failed) = storm.join().unwrap();
            // Half of 16 wait; some who came when one had gone had luck.
            assert!(denied >= 8 && failed >= 1 && denied + failed == 14, "{mpm} {denied} {failed}");
        });
        assert!(served.into_inner() > 10, "{mpm}");
        // But for one that was met before its first step.
        let lower = nice.iter().filter(|nice| **nice == 5).count();
        assert!(lower > nice.len() / 2, "{mpm} {nice:?}");
        // Not every kernel shows them.
        if takes_slices() && !slice.is_empty() {
            let longer = slice.iter().filter(|slice| **slice == 100_000_000).count();
            assert!(longer > slice.len() / 2, "{mpm} {slice:?}");
        }
        // A child that finds the shared memory locked hashes for itself.
        let children = if mpm == "prefork" { 16 } else { 1 };
        let hashed = httpd.count_in_log("alice: password verified for");
        assert!((1..=children).contains(&hashed), "{mpm} {hashed}");
    }
}

#[test]
fn prefork_has_one_line_for_all_children() {
    let lines = "StartServers 6\nMinSpareServers 1\nMaxSpareServers 6\nServerLimit 6\nMaxRequestWorkers 6\n";
    let mut httpd = start("line", "prefork", "threads=1 queue=1", lines);
    httpd.expect_in_log(BUSY);
    assert_eq!(httpd.status("/members/", "alice", "alice secret"), 200);
    let (denied, failed) = flood(&httpd, 5);
    assert!(denied >= 2 && failed >= 1 && denied + failed == 5, "{denied} {failed}");
    assert_eq!(flood(&httpd, 1), (1, 0));
    // Children who die while they hash leave the line.
    thread::scope(|scope| {
        let httpd = &httpd;
        for n in 0..2 {
            scope.spawn(move || {
                let request = format!(
                    "GET /dear/ HTTP/1.1\r\nHost: localhost\r\n{}Connection: close\r\n\r\n",
                    crate::common::client::basic(format!("nobody {n}"), "x")
                );
                let _ = crate::common::client::send(httpd.port, &request);
            });
        }
        thread::sleep(std::time::Duration::from_millis(300));
        for child in httpd.children() {
            let _ = Command::new("kill").args(["-s", "KILL", &child.to_string()]).status();
        }
    });
    wait_until("children anew", 20, || {
        crate::common::client::send(
            httpd.port,
            "GET /public/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        )
        .is_ok_and(|answer| answer.status == 200)
    });
    assert_eq!(flood(&httpd, 1), (1, 0));
    httpd.finish();
}

/// More children than cores: whoever has checks in hand, the server hashes on as many as it may.
#[test]
fn children_of_many_threads_take_turns() {
    for mpm in ["worker", "event"] {
        let lines = "StartServers 4\nServerLimit 4\nThreadsPerChild 8\nMaxRequestWorkers 32\n\
                     MinSpareThreads 1\nMaxSpareThreads 32\n";
        let mut httpd = start("turns", mpm, "threads=1 queue=100", lines);
        // Four wait in each child, and one may be asked by more.
        httpd.allow_in_log(BUSY);
        wait_for_all(&httpd, 4);
        let start = Instant::now();
        let (denied, failed) = flood(&httpd, 12);
        let elapsed = start.elapsed().as_secs_f64();
        assert!(denied >= 6 && denied + failed == 12, "{mpm} {denied} {failed}");
        let times = httpd.children().into_iter().map(hashing_seconds).collect::<Vec<_>>();
        let total: f64 = times.iter().sum();
        assert!(times.iter().filter(|seconds| **seconds > 0.1).count() > 1, "{mpm} {times:?}");
        assert!(total < elapsed * 1.2, "{mpm}: {total} s of CPU in {elapsed} s");
        assert_eq!(httpd.status("/members/", "alice", "alice secret"), 200);
        httpd.finish();
    }
}

/// The child of before the restart has checks in hand, and so has the one after it.
#[test]
fn a_graceful_restart_hashes_on_as_many_cores() {
    for mpm in ["worker", "event"] {
        let lines = "StartServers 1\nServerLimit 2\nThreadsPerChild 64\nMaxRequestWorkers 64\n\
                     MinSpareThreads 1\nMaxSpareThreads 64\n";
        let mut httpd = start("graceful", mpm, "threads=1 queue=100", lines);
        // Without SHA-NI that is more than can be done in time.
        httpd.allow_in_log(BUSY);
        wait_until("the only child", 10, || httpd.children().len() == 1);
        let old = httpd.children()[0];
        thread::scope(|scope| {
            let httpd = &httpd;
            let busy = |child| move || hashing_seconds(child) > 0.1;
            // Enough for longer than the new child takes to come.
            let before = scope.spawn(|| flood(httpd, 32));
            wait_until("the old child's hashes", 10, busy(old));
            httpd.signal("USR1");
            let mut new = None;
            wait_until("the new child", 10, || {
                new = httpd.children().into_iter().find(|child| *child != old);
                new.is_some()
            });
            let (new, after) = (new.unwrap(), scope.spawn(|| flood(httpd, 8)));
            wait_until("the new child's hashes", 10, busy(new));
            let (begun, at_first) = (Instant::now(), [old, new].map(hashing_seconds));
            thread::sleep(std::time::Duration::from_secs(1));
            let at_last = [old, new].map(hashing_seconds);
            let elapsed = begun.elapsed().as_secs_f64();
            let [of_old, of_new] = [0, 1].map(|child| at_last[child] - at_first[child]);
            assert!(of_old > 0.1 && of_new > 0.1, "{mpm}: {of_old} s, {of_new} s of {elapsed} s");
            assert!(of_old + of_new < elapsed * 1.2, "{mpm}: {of_old} + {of_new} s of {elapsed} s");
            let [(of_old, _), (of_new, _)] = [before, after].map(|flood| flood.join().unwrap());
            assert!(of_old >= 16 && of_new >= 1, "{mpm}: {of_old} and {of_new} were answered");
        });
        httpd.finish();
    }
}

/// The CPU time of a child's threads that hash (s).
fn hashing_seconds(child: u32) -> f64 {
    let ticks = stats(child).map(|fields| {
        // proc(5): `utime` and `stime` are the 14th and the 15th, in hundredths of a second.
        fields.iter().skip(11).take(2).map(|ticks| ticks.parse::<f64>().unwrap()).sum::<f64>()
    });
    ticks.sum::<f64>() / 100.0
}

/// A page with many parts comes with the same password many times at once; where nothing is
/// remembered, the next page is hashed anew.
#[test]
fn the_same_password_at_the_same_time_is_hashed_once() {
    hashed_once("once", "event", 1, "", 1);
    hashed_once("once_timeout_off", "worker", 1, "AuthDjangoCacheTimeout off", 2);
    hashed_once("once_cache_off", "event", 1, "AuthDjangoCache off", 2);
    for mpm in ["worker", "event"] {
        hashed_once("once_in_three", mpm, 3, "", 1);
    }
    // Each request in a child of its own, and room for eight at a time.
    hashed_once("once_prefork", "prefork", 32, "AuthDjangoHashing threads=8", 1);
}

/// `again`: how often bob was hashed when he has come again.
fn hashed_once(topic: &str, mpm: &str, children: usize, directive: &str, again: usize) {
    let lines = match mpm {
        "prefork" => format!(
            "StartServers {children}\nServerLimit {children}\nMaxRequestWorkers {children}\n\
             MinSpareServers 1\nMaxSpareServers {children}\n"
        ),
        _ => {
            let threads = 32 * children;
            format!(
                "StartServers {children}\nServerLimit {children}\nThreadsPerChild 32\n\
                 MaxRequestWorkers {threads}\nMinSpareThreads 1\nMaxSpareThreads {threads}\n"
            )
        }
    };
    let (path, _) = sqlite("auth.User");
    let config = format!(
        "AuthDjangoDatabase sqlite:{}\n{directive}\nLogLevel authnz_django:debug\n\
         <Location /members>\nAuthType Basic\nAuthName x\nAuthBasicProvider django\nRequire valid-user\n</Location>\n",
        path.display()
    );
    let mut setup = Setup::new(topic, config).mpm(mpm).modules(&["socache_shmcb"]);
    setup.mpm_lines = lines;
    let httpd = setup.start();
    if mpm != "prefork" {
        wait_for_all(&httpd, children);
    }
    // Long enough that all of them come while it is hashed.
    let python = "import base64, hashlib; digest = hashlib.pbkdf2_hmac('sha256', b'bob secret', b'salt', 10000000); \
                  print(base64.b64encode(digest).decode(), end='')";
    let digest = crate::common::run(Command::new("/usr/bin/python3").args(["-c", python]));
    crate::common::run(Command::new("sqlite3").arg(&path).arg(format!(
        "UPDATE auth_user SET password = 'pbkdf2_sha256$10000000$salt${digest}' WHERE username = 'bob'"
    )));
    thread::scope(|scope| {
        let ask = || assert_eq!(httpd.status("/members/", "bob", "bob secret"), 200);
        let spent = || httpd.children().into_iter().map(hashing_seconds).sum::<f64>();
        let before = spent();
        scope.spawn(ask);
        wait_until("the hash", 10, || spent() > before);
        for _ in 0..11 {
            scope.spawn(ask);
            scope.spawn(|| assert_eq!(httpd.status("/public/", "", ""), 200));
        }
    });
    let hashed = || httpd.count_in_log("bob: password verified for");
    // A child that finds the shared memory locked hashes for itself.
    let unlucky = if children > 1 { hashed().saturating_sub(1) } else { 0 };
    let most = if mpm == "prefork" { 2 } else { 0 };
    assert!(hashed() == 1 + unlucky && unlucky <= most, "{topic}: {}", hashed());
    let met = httpd.children_in_log(0, "bob: password verified");
    assert!(met > 1 || children == 1, "{topic}: one child has answered all");
    assert_eq!(httpd.count_in_log("bob: password verified before for"), 11 - unlucky, "{topic}");
    assert_eq!(httpd.status("/members/", "bob", "bob secret"), 200);
    assert_eq!(hashed(), again + unlucky, "{topic}");
    httpd.finish();
}

/// More threads than the ceiling has room for: the others wait, and the child never has their memory.
#[test]
fn hashes_that_take_memory_stay_under_the_ceiling() {
    let lines = "StartServers 1\nServerLimit 1\nThreadsPerChild 32\nMaxRequestWorkers 32\n\
                 MinSpareThreads 1\nMaxSpareThreads 32\n";
    // MiB: of one hash as Django makes it, and the ceiling, which holds less than all four threads.
    for (hasher, each, ceiling) in [("argon2", 100, 250), ("scrypt", 16, 40)] {
        let (path, _) = sqlite("auth.User");
        let config = format!(
            "AuthDjangoDatabase sqlite:{}\nAuthDjangoPasswordHashers {hasher}\n\
             AuthDjangoHashing threads=4 queue=100 memory={ceiling}\n\
             <Location /dear>\nAuthType Basic\nAuthName x\nAuthBasicProvider django\nRequire valid-user\n</Location>\n",
            path.display()
        );
        let mut setup = Setup::new(hasher, config).modules(&["socache_shmcb"]);
        setup.mpm_lines = lines.into();
        let httpd = setup.start();
        assert_eq!(httpd.status("/public/", "", ""), 200);
        let child = httpd.children()[0];
        let before = peak(child);
        assert_eq!(flood(&httpd, 12), (12, 0), "{hasher}");
        let taken = peak(child) - before;
        assert!(taken > each * 9 / 10, "{hasher}: no hash was made: {taken} MiB");
        // glibc keeps a block at the end of a thread's heap.
        assert!(taken < ceiling + each, "{hasher}: {taken} MiB");
        httpd.finish();
    }
}

/// The most memory that a process ever had (MiB).
fn peak(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}
