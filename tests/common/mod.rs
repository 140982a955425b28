//! What the live tests stand on: an Apache of their own, databases of their own, Django as the
//! oracle. Nothing is skipped: what is missing fails, and says what installs it.

#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod client;
pub mod cluster;
pub mod django;
pub mod example;
pub mod httpd;
pub mod mariadb;
pub mod session;
pub mod store;

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

/// A fresh directory for one test, which other users may enter: httpd's children and PostgreSQL
/// do not run as root.
pub fn directory(topic: &str) -> PathBuf {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let base = env::var_os("TEST_STATE").map_or_else(env::temp_dir, PathBuf::from);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let path = base.join(format!("{topic}-{number}-{}", std::process::id()));
    fs::create_dir_all(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// The value of a variable that `make test` sets.
pub fn required(variable: &str) -> String {
    env::var(variable).unwrap_or_else(|_| panic!("{variable} is not set: run `make test`"))
}

/// The module under test.
pub fn module() -> String {
    required("MODULE")
}

/// Whether this process may change to other users.
pub fn is_root() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    status
        .lines()
        .any(|line| line.starts_with("Uid:") && line.split_whitespace().nth(2) == Some("0"))
}

/// A command that runs as `user`; tests as two users need root.
pub fn command_as(user: &str, program: &str) -> Command {
    assert!(is_root(), "this test runs commands as {user}: run `make test` as root");
    let mut command = Command::new("runuser");
    command.args(["-u", user, "--", program]);
    command
}

/// A certificate for `localhost` and its key, as `crt` and `key` in a directory of their own.
pub fn certificate() -> PathBuf {
    let dir = directory("certificate");
    let file = |name: &str| dir.join(name).display().to_string();
    run(Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"])
        .args(["-days", "2", "-subj", "/CN=db", "-addext", "subjectAltName=DNS:localhost"])
        .args(["-keyout", &file("key"), "-out", &file("crt")]));
    dir
}

/// Runs a command to its end and gives its output.
pub fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Waits until `condition` holds, a bounded time.
pub fn wait_until(what: &str, seconds: u64, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(seconds), "{what}: not within {seconds} s");
        thread::sleep(Duration::from_millis(20));
    }
}
