//! Files of sessions, and what else may stand under such a name.

use super::*;
use crate::session::tests::{SESSION, keys, now};
use crate::session::{Engine, Found, Refusal, Settings, Unfound};
use crate::signing;
use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

/// A directory of one test's files.
struct Directory(PathBuf);

impl Directory {
    fn new(test: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("authnz-django-{test}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn settings(&self) -> Settings {
        Settings::new(Engine::File(self.0.clone()))
    }

    fn find(&self, key: &str) -> Result<Data, Unfound> {
        match self.settings().find(format!("sessionid={key}").as_bytes())? {
            Found::Data(data) => Ok(data),
            Found::Key(key) => panic!("{key:?}"),
        }
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

#[test]
fn a_file_is_read_until_its_time_is_over() {
    let directory = Directory::new("session-file");
    let key = "abcd1234";
    let settings = directory.settings();
    let path = directory.0.join("sessionidabcd1234");
    assert_eq!(directory.find(key).unwrap_err(), Unfound::Refused(Refusal::NoSession));
    fs::write(&path, "").unwrap();
    let empty = directory.find(key).unwrap();
    assert_eq!(
        settings.decode(&empty, &keys(), now()),
        Err(Refusal::Signed(signing::Refusal::Signature))
    );
    fs::write(&path, SESSION).unwrap();
    fs::File::options().write(true).open(&path).unwrap().set_modified(now()).unwrap();
    let data = directory.find(key).unwrap();
    for (later, ended) in [(settings.age - Duration::from_secs(1), false), (settings.age, true)] {
        let decoded = settings.decode(&data, &keys(), now() + later);
        assert_eq!(decoded == Err(Refusal::Ended), ended, "{decoded:?}");
    }
    // Another site's, by its cookie.
    let other = Settings { cookie: "other".into(), ..settings.clone() };
    let refused = other.find(b"other=abcd1234").unwrap_err();
    assert_eq!(refused, Unfound::Refused(Refusal::NoSession));
}

#[test]
fn what_is_no_plain_file_is_no_session() {
    let directory = Directory::new("session-files");
    let name = |key: &str| directory.0.join(format!("sessionid{key}"));
    fs::write(name("realfile"), SESSION).unwrap();
    symlink(name("realfile"), name("alink000")).unwrap();
    symlink("nowhere", name("dangling")).unwrap();
    symlink(name("circular"), name("circular")).unwrap();
    fs::create_dir(name("adirectory")).unwrap();
    let _socket = UnixListener::bind(name("asocket0")).unwrap();
    let fifo = std::process::Command::new("mkfifo").arg(name("afifo000")).status().unwrap();
    assert!(fifo.success());
    fs::File::create(name("toolarge")).unwrap().set_len(1024 * 1024 + 1).unwrap();
    assert!(directory.find("realfile").is_ok());
    for key in
        ["alink000", "dangling", "circular", "adirectory", "asocket0", "afifo000", "toolarge"]
    {
        let refused = directory.find(key).unwrap_err();
        assert_eq!(refused, Unfound::Refused(Refusal::NoSession), "{key}");
    }
}

#[test]
fn a_cookie_s_name_leads_nowhere_else() {
    let directory = Directory::new("session-path");
    fs::create_dir(directory.0.join("sub")).unwrap();
    fs::write(directory.0.join("sub/abcd1234"), SESSION).unwrap();
    let settings = Settings { cookie: "sub/".into(), ..directory.settings() };
    let refused = settings.find(b"sub/=abcd1234").unwrap_err();
    assert_eq!(refused, Unfound::Refused(Refusal::NoSession));
}

#[test]
fn a_file_that_httpd_may_not_read_is_an_error_without_the_key() {
    // Where a directory should be is a file: the one failure that root meets too.
    let settings = Settings::new(Engine::File(PathBuf::from("/dev/null")));
    let error = settings.find(b"sessionid=abcd1234").unwrap_err();
    assert!(matches!(error, Unfound::Failed(Error::Session(_))), "{error}");
    assert_eq!(error.to_string(), "a session file in /dev/null: not a directory");
    let missing = Settings::new(Engine::File(Path::new("/does/not/exist").to_owned()));
    let refused = missing.find(b"sessionid=abcd1234").unwrap_err();
    assert_eq!(refused, Unfound::Refused(Refusal::NoSession));
}

#[test]
fn an_expiry_of_its_own_counts_in_a_file() {
    let age = Duration::from_secs(100);
    let has_ended = |expiry: Value, later| {
        super::has_ended(Some(&expiry), now(), age, now() + Duration::from_secs(later))
    };
    let text = |text: &str| Value::Text(text.into());
    let integer = |text: &str| Value::Integer(text.into());
    // Falsy: as if there were none.
    for nothing in
        [Value::Null, Value::Bool(false), text(""), integer("0"), integer("-0"), Value::Float(0.0)]
    {
        assert!(!has_ended(nothing.clone(), 99), "{nothing:?}");
        assert!(has_ended(nothing.clone(), 100), "{nothing:?}");
    }
    for lasting in
        [integer("1"), Value::Float(0.1), Value::Float(f64::INFINITY), Value::Float(f64::NAN)]
    {
        assert!(!has_ended(lasting.clone(), 1_000_000), "{lasting:?}");
    }
    for over in [integer("-1"), Value::Float(-0.5), Value::Other] {
        assert!(has_ended(over.clone(), 0), "{over:?}");
    }
    // NOW is 2023-11-14T22:13:20Z.
    for moment in [
        "2023-11-14T22:13:30+00:00",
        "2023-11-14T22:13:30.000000+00:00",
        "2023-11-15T03:43:30+05:30",
        "2023-11-14T17:13:30-05:00",
    ] {
        assert!(!has_ended(text(moment), 9), "{moment}");
        assert!(has_ended(text(moment), 10), "{moment}");
    }
    assert!(!has_ended(text("2023-11-14T22:13:30.500000+00:00"), 9));
    for odd in [
        "2033-11-14T22:13:30",
        "2033-11-14T22:13:30Z",
        "2033-11-14 22:13:30+00:00",
        "2033-11-14T22:13:30.5+00:00",
        "2033-11-14T22:13:30+0000",
        "2033-11-14T22:13:30+00:00:00",
        "2033-11-14T22:13:30+24:00",
        "2033-02-30T22:13:30+00:00",
        "2033-11-14T22:13:3é+00:00",
        "tomorrow",
        "+",
    ] {
        assert!(has_ended(text(odd), 0), "{odd}");
    }
}
