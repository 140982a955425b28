//! Where a browser without a session is sent: as Django's `user_passes_test` and `redirect_to_login` say.

use crate::common::django::python;
use crate::session_core::seed;
use mod_authnz_django::config::{FromWords, LoginUrl, Origin};
use serde_json::{Value, json};
use std::io::Write;
use std::process::Stdio;

/// What addresses are made of, as browsers write them.
const PIECES: &[&str] = &[
    "/", "a", "Z9", "-", ".", "..", "_", "~", "!", "$", "&", "'", "(", ")", "*", "+", ",", ";",
    "=", ":", "@", "?", "//", "%20", "%C3%BC", "%2F", "%5C", "%3F", "%23", "%25", "%22", "%00",
    "%0D%0A", "next=", "&a=b",
];

const LOGIN_URLS: &[&str] = &[
    "/login/",
    "/accounts/login/?lang=de",
    "/login/?a=1&b=x%26y&c=",
    "/login/?next=/elsewhere/&a=1",
    "/login/#form",
    "http://www.example.org/login/",
    "https://www.example.org/login/",
    "http://www.example.org:8080/login/?a=1",
    "https://login.example.org/",
];

/// The next number of a sequence that looks random (Knuth's MMIX).
fn next(state: &mut u64) -> usize {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) as usize
}

fn agrees(version: &str) {
    let seed = seed();
    let mut state = seed.parse::<u128>().unwrap() as u64;
    let mut cases = Vec::new();
    for (here, port) in [("http", 80), ("https", 443), ("http", 8080)] {
        let origin = Origin::new(here == "https", "www.example.org", Some(port));
        for login_url in LOGIN_URLS {
            let ours = LoginUrl::from_words(&[login_url]).unwrap();
            for _ in 0..30 {
                let mut path = String::from("/x");
                for _ in 0..next(&mut state) % 12 {
                    path.push_str(PIECES[next(&mut state) % PIECES.len()]);
                }
                let url = ours.redirect(&origin, path.as_bytes());
                cases.push(json!([login_url, origin.to_string(), path, url]));
            }
        }
    }
    let mut script = python(version, "login_redirect.py", "", "auth.User")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut questions = script.stdin.take().unwrap();
    let lines: String = cases.iter().map(|case| format!("{case}\n")).collect();
    let asking = std::thread::spawn(move || questions.write_all(lines.as_bytes()).unwrap());
    let output = script.wait_with_output().unwrap();
    asking.join().unwrap();
    let answers: Vec<[Value; 2]> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(answers.len(), cases.len());
    for ([django, ours], case) in answers.iter().zip(&cases) {
        assert_eq!(ours, django, "{case}; DJANGO_SEED={seed}");
    }
}

#[test]
fn the_way_back_is_as_django_writes_it() {
    for version in ["3.2", "4.2", "5.2", "6"] {
        agrees(version);
    }
}
