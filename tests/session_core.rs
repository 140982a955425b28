//! The same cookies asked of real Djangos and of us: both see the same user, or nobody. No server here:
//! what is behind a key, the oracle tells.
//!
//! `DJANGO_SEED` repeats a run. On purpose we differ where only our caps say no, and the oracle asks
//! nothing that is so large; and in one way more, see [`may_deny`].

use crate::common::django::python;
use crate::common::{directory, run};
use mod_authnz_django::session::{Claims, Data, Engine, Found, Settings, Unfound, cookie};
use mod_authnz_django::signing::Keys;
use serde_json::Value;
use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const ROUNDS: usize = 1000;

/// `SESSION_COOKIE_AGE` of the oracle.
const AGE: Duration = Duration::from_secs(1000);

pub fn bytes(hex: &Value) -> Vec<u8> {
    let hex = hex.as_str().unwrap().as_bytes();
    let digits = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap();
    hex.chunks(2).map(digits).collect()
}

/// Python skips what is not base64, which of today's sessions no signature allows. Those of before
/// Django 3.1 sign the JSON alone, so that 3.2 also takes one with a line feed more. And it reads ends
/// of a file's session that Django does not write so.
pub fn may_deny(version: &str, case: &Value) -> bool {
    let skips = version == "3.2" && case["intact"] == false && case["engine"] != "signed_cookies";
    skips || case["odd_end"] == true
}

/// The claims of the session that the cookie of a case leads to.
fn claims(case: &Value, settings: &Settings, keys: &Keys) -> Option<Claims> {
    let now = SystemTime::now();
    let data = match settings.find(&bytes(&case["header"])) {
        Ok(Found::Key(key)) if key.as_str() == case["key"] => Data::of_row(bytes(&case["data"])),
        Ok(Found::Key(_)) => return None,
        Ok(Found::Data(data)) => data,
        Err(Unfound::Refused(_)) => return None,
        Err(Unfound::Failed(error)) => panic!("{error}: {case}"),
    };
    settings.decode(&data, keys, now).ok()
}

/// The file of the case's session, as Django has found it.
fn write(case: &Value, directory: &Path) {
    let _ = fs::remove_dir_all(directory);
    fs::create_dir(directory).unwrap();
    let path = directory.join(format!("sessionid{}", case["key"].as_str().unwrap()));
    fs::write(&path, bytes(&case["data"])).unwrap();
    let ago = Duration::from_secs(case["ago"].as_u64().unwrap());
    File::options().write(true).open(path).unwrap().set_modified(SystemTime::now() - ago).unwrap();
}

/// What the configuration would say for a case, whose files are in `directory`.
pub fn settings(version: &str, case: &Value, directory: &Path) -> (Settings, Keys) {
    let engine = match case["engine"].as_str().unwrap() {
        "signed_cookies" => Engine::SignedCookies,
        "file" => Engine::File(directory.to_owned()),
        _ => Engine::Row,
    };
    let keys: Vec<&str> =
        case["keys"].as_array().unwrap().iter().map(|key| key.as_str().unwrap()).collect();
    let settings = Settings { age: AGE, legacy: version == "3.2", ..Settings::new(engine) };
    (settings, Keys::new(keys[0], &keys[1..]))
}

/// Whom we see: the primary key.
fn answer(version: &str, case: &Value, directory: &Path) -> Option<i64> {
    if case["engine"] == "file" {
        write(case, directory);
    }
    let (settings, keys) = settings(version, case, directory);
    let claims = claims(case, &settings, &keys)?;
    if claims.user_id.text() == case["id"] {
        let uuid = case["uuid"].as_str().map(|uuid| uuid.replace('-', ""));
        assert_eq!(claims.user_id.uuid(), uuid, "{case}");
        let integer = case["integer"].as_str().and_then(|integer| integer.parse().ok());
        assert_eq!(claims.user_id.integer(), integer, "{case}");
    }
    let id = claims.user_id.integer()?;
    let encoded = case["passwords"].get(id.to_string())?.as_str().unwrap();
    claims.are_proven_by(encoded).then_some(id)
}

/// `DJANGO_SEED`, or another each time.
pub fn seed() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    std::env::var("DJANGO_SEED").unwrap_or_else(|_| now.to_string())
}

/// The cases of an oracle, which is of that version indeed.
pub fn cases(version: &str, oracle: &mut Command) -> Vec<Value> {
    let output = run(oracle);
    let mut lines = output.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let django = lines.next().unwrap();
    assert!(django["django"].as_str().unwrap().starts_with(&format!("{version}.")), "{django}");
    lines.collect()
}

fn agrees(version: &str) {
    let seed = seed();
    let script = python(version, "session_oracle.py", "", "auth.User");
    let lines = cases(version, script.arg(&seed).arg(ROUNDS.to_string()));
    let files = directory("sessions");
    let (mut users, mut nobody, mut cookies) = (0, 0, 0);
    for case in lines {
        if let Some(parsed) = case["cookies"].as_object() {
            let header = bytes(&case["header"]);
            for name in parsed.keys().map(String::as_str).chain(["a", "b", "sessionid", ""]) {
                let theirs = parsed.get(name).map(|value| value.as_str().unwrap());
                let ours = cookie(&header, name);
                assert_eq!(ours.as_deref(), theirs, "{name:?} of {case}; DJANGO_SEED={seed}");
                cookies += 1;
            }
            continue;
        }
        let ours = answer(version, &case, &files);
        let theirs = case["answer"].as_i64();
        if ours.is_none() && may_deny(version, &case) {
            continue;
        }
        assert_eq!(ours, theirs, "Django sees {theirs:?}: {case}; DJANGO_SEED={seed}");
        if theirs.is_some() { users += 1 } else { nobody += 1 }
    }
    fs::remove_dir_all(files).unwrap();
    // Else the oracle asks nothing of interest.
    assert!(users > 60 && nobody > 400 && cookies > 5000, "{users}, {nobody}, {cookies}");
}

#[test]
fn agrees_with_django_3_2() {
    agrees("3.2");
}

#[test]
fn agrees_with_django_4_2() {
    agrees("4.2");
}

#[test]
fn agrees_with_django_5_2() {
    agrees("5.2");
}

#[test]
fn agrees_with_django_6() {
    agrees("6");
}
