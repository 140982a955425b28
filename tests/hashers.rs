//! The same hashes and passwords asked of real Djangos and of us: the answers must be the same.
//!
//! Needs Python: `DJANGO_VENV` is a virtual environment with Django 5.2, argon2-cffi and bcrypt
//! (default: target/venv); beside it lie the unpacked wheels django-3.2, django-4.2 and django-6.
//! `DJANGO_SEED` repeats a run. On purpose we differ, and so do not compare, where a password or a
//! row is one that plain bcrypt or its libraries cannot tell apart (see [`excluded`]) and where
//! only our caps say no: the oracle asks nothing that is so dear.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::path::PathBuf;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use mod_authnz_django::hashers::{Alone, Floor, Hashers, Verdict};
use serde_json::Value;

const ROUNDS: &str = "30";

fn venv() -> PathBuf {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    std::env::var_os("DJANGO_VENV").map_or_else(|| root.join("target/venv"), PathBuf::from)
}

/// What the Django in `directory` beside the virtual environment says; its own if there is none.
fn oracle(directory: Option<&str>, seed: &str) -> Vec<Value> {
    let venv = venv();
    let python = venv.join("bin/python");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/django/hasher_oracle.py");
    let mut command = Command::new(&python);
    command.args(["-W", "ignore", script, seed, ROUNDS]).env_remove("PYTHONPATH");
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    if let Some(directory) = directory {
        let path = venv.parent().expect("DJANGO_VENV has a parent").join(directory);
        assert!(
            path.join("django/contrib/auth/hashers.py").is_file(),
            "{} is not an unpacked wheel of Django: see tests/hashers.rs",
            path.display()
        );
        command.env("PYTHONPATH", path);
    }
    let output = command.output().unwrap_or_else(|error| {
        panic!("{}: {error}: DJANGO_VENV: see tests/hashers.rs", python.display())
    });
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script} with {directory:?}: {errors}");
    let text = String::from_utf8(output.stdout).expect("JSON is UTF-8");
    text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

/// Plain bcrypt cuts a password at 72 bytes, and some libraries at a NUL; we never let such a one
/// in. `$2x$` marks hashes of a broken library, which today's checks as if they were right. And to
/// argon2's C library a row ends at a NUL, which only a broken database could hold.
fn excluded(password: &str, encoded: &str) -> bool {
    let plain = encoded.starts_with("bcrypt$");
    (plain && (password.len() > 72 || password.contains('\0')))
        || (encoded.starts_with("bcrypt") && encoded.contains("$2x$"))
        || (encoded.starts_with("argon2") && encoded.contains('\0'))
}

fn agrees(version: &str, directory: Option<&str>) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_nanos();
    let seed = std::env::var("DJANGO_SEED").unwrap_or_else(|_| now.to_string());
    let mut lines = oracle(directory, &seed).into_iter();

    let first = lines.next().expect("the line of the algorithms");
    let django = first["django"].as_str().expect("a version");
    assert!(django.starts_with(version), "{django} is not {version}");
    let mut words: Vec<&str> =
        first["algorithms"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    assert_eq!(words.first(), Some(&"pbkdf2_sha256"));
    words[0] = "pbkdf2_sha256:1";
    let hashers = Hashers::parse(&words).expect("Django's names are ours");

    let (mut accepted, mut denied) = (0, 0);
    for line in lines {
        let (password, encoded) =
            (line["password"].as_str().unwrap(), line["encoded"].as_str().unwrap());
        if excluded(password, encoded) {
            continue;
        }
        let verdict = hashers
            .check_password(password.as_bytes(), &hashers.read(encoded), &Floor::default(), &Alone)
            .unwrap();
        let theirs = line["accepted"].as_bool().unwrap();
        assert_eq!(
            verdict == Verdict::Correct,
            theirs,
            "Django {django} accepts: {theirs}, we say {verdict:?}: {line}; DJANGO_SEED={seed}"
        );
        if theirs { accepted += 1 } else { denied += 1 }
    }
    // Else the oracle asks nothing of interest.
    assert!(accepted > 150 && denied > 500, "{accepted} accepted, {denied} denied");
}

#[test]
fn agrees_with_django_3_2() {
    agrees("3.2.", Some("django-3.2"));
}

#[test]
fn agrees_with_django_4_2() {
    agrees("4.2.", Some("django-4.2"));
}

#[test]
fn agrees_with_django_5_2() {
    agrees("5.2.", None);
}

#[test]
fn agrees_with_django_6() {
    agrees("6.", Some("django-6"));
}
