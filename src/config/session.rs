//! `AuthDjangoSession`: where Django keeps its sessions, and what they are good for here.

#![forbid(unsafe_code)]

use super::FromWords;
use crate::session::{Clock, Engine, Settings};
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

/// `AuthDjangoSession`.
#[derive(Debug, PartialEq, Eq)]
pub enum Session {
    /// Cookies say nothing here.
    Off,
    /// They do.
    On(Box<SessionSettings>),
}

/// How a place takes sessions.
#[derive(Debug, PartialEq, Eq)]
pub struct SessionSettings {
    /// What Django's settings say of them.
    pub site: Settings,
    /// The clock of their rows.
    pub clock: Clock,
    /// Nobody has to have one.
    pub optional: bool,
    /// Whether a cookie alone is enough to change something.
    pub unsafe_methods: bool,
}

/// Django's module of its engines.
const BACKENDS: &str = "django.contrib.sessions.backends.";

/// A year and more is as good as for ever (seconds).
const AGES: std::ops::RangeInclusive<u64> = 1..=10 * 366 * 24 * 60 * 60;

impl FromWords for Session {
    fn from_words(words: &[&str]) -> Result<Self, String> {
        match words {
            ["off"] => Ok(Self::Off),
            [engine, words @ ..] => Ok(Self::On(Box::new(on(engine, words)?))),
            [] => Err("needs SESSION_ENGINE: db, cached_db, signed_cookies or file; or off".into()),
        }
    }
}

fn on(engine: &str, words: &[&str]) -> Result<SessionSettings, String> {
    let path = words.iter().find_map(|word| word.strip_prefix("path="));
    let engine = match (engine.strip_prefix(BACKENDS).unwrap_or(engine), path) {
        ("file", Some(path)) => Engine::File(directory(path)?),
        ("file", None) => {
            return Err("file needs path=, the directory of SESSION_FILE_PATH".into());
        }
        (_, Some(_)) => return Err("path= has a use with the engine file alone".into()),
        ("db" | "cached_db", None) => Engine::Row,
        ("signed_cookies", None) => Engine::SignedCookies,
        ("cache", None) => {
            return Err(
                "sessions that are in a cache alone cannot be read: set SESSION_ENGINE to \
                        django.contrib.sessions.backends.cached_db, which asks the cache first as \
                        well, and say cached_db here"
                    .into(),
            );
        }
        (other, None) => {
            return Err(format!("\"{other}\" is none of db, cached_db, signed_cookies, file, off"));
        }
    };
    let mut settings = SessionSettings {
        site: Settings::new(engine),
        clock: Clock::default(),
        optional: false,
        unsafe_methods: false,
    };
    for word in words {
        settings.set(word)?;
    }
    Ok(settings)
}

impl SessionSettings {
    fn set(&mut self, word: &str) -> Result<(), String> {
        match word.split_once('=').unwrap_or((word, "")) {
            ("path", _) => {}
            ("cookie", name) => self.site.cookie = cookie_name(name)?,
            ("age", seconds) => {
                let age = seconds.parse().ok().filter(|age| AGES.contains(age));
                let age = age.ok_or_else(|| {
                    format!("{word}: must be SESSION_COOKIE_AGE, 1 to {} seconds", AGES.end())
                })?;
                self.site.age = Duration::from_secs(age);
            }
            ("salt", salt) if !salt.is_empty() => self.site.salt = salt.to_owned(),
            ("backends", list) => {
                self.site.backends = list.split(',').map(backend).collect::<Result<_, _>>()?;
            }
            ("timezone", zone) if self.site.engine == Engine::Row => {
                self.clock = Clock::named(zone).map_err(|reason| format!("timezone= {reason}"))?;
            }
            ("timezone", _) => {
                return Err("timezone= has a use with db and cached_db alone".into());
            }
            ("unsafe-methods", "allow") => self.unsafe_methods = true,
            ("unsafe-methods", "refuse") => self.unsafe_methods = false,
            ("optional", "") if word == "optional" => self.optional = true,
            ("legacy", "") if word == "legacy" => self.site.legacy = true,
            _ => {
                return Err(format!(
                    "\"{word}\" is none of cookie=, age=, salt=, backends=, timezone=, path=, \
                     unsafe-methods=allow, optional, legacy"
                ));
            }
        }
        Ok(())
    }
}

fn directory(path: &str) -> Result<PathBuf, String> {
    let directory = PathBuf::from(path);
    if !directory.is_absolute() {
        return Err(format!("path={path} is not an absolute path"));
    }
    let found = fs::metadata(&directory).map_err(|error| format!("path={path}: {error}"))?;
    if !found.is_dir() {
        return Err(format!("path={path} is not a directory"));
    }
    Ok(directory)
}

/// A token of RFC 9110, as a cookie's name is.
fn cookie_name(name: &str) -> Result<String, String> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(is_token) {
        return Err("cookie= needs a cookie's name, as SESSION_COOKIE_NAME has it".into());
    }
    Ok(name.to_owned())
}

fn backend(path: &str) -> Result<String, String> {
    let parts = || path.split('.');
    let is_name =
        |part: &str| !part.is_empty() && part.chars().all(|c| c.is_alphanumeric() || c == '_');
    if parts().count() < 2 || !parts().all(is_name) {
        return Err("backends= needs names of AUTHENTICATION_BACKENDS, with commas between them \
                    and no spaces"
            .into());
    }
    Ok(path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &str) -> Result<Session, String> {
        Session::from_words(&words.split(' ').collect::<Vec<_>>())
    }

    #[test]
    fn words_are_django_s_settings() {
        assert_eq!(read("off"), Ok(Session::Off));
        let Ok(Session::On(settings)) = read("db") else { panic!() };
        assert_eq!(settings.site, Settings::new(Engine::Row));
        assert!(!settings.optional && !settings.unsafe_methods);
        assert_eq!(read("django.contrib.sessions.backends.cached_db"), read("db"));
        let Ok(Session::On(settings)) = read(
            "signed_cookies cookie=s age=60 salt=x backends=a.B,c.d.E unsafe-methods=allow \
             optional legacy",
        ) else {
            panic!()
        };
        let site = Settings {
            cookie: "s".into(),
            age: Duration::from_secs(60),
            salt: "x".into(),
            backends: vec!["a.B".into(), "c.d.E".into()],
            legacy: true,
            ..Settings::new(Engine::SignedCookies)
        };
        assert_eq!(settings.site, site);
        assert!(settings.optional && settings.unsafe_methods);
        let Ok(Session::On(settings)) = read("db timezone=Europe/Berlin") else { panic!() };
        assert_eq!(settings.clock, Clock::named("Europe/Berlin").unwrap());
        let Ok(Session::On(settings)) = read("file path=/tmp") else { panic!() };
        assert_eq!(settings.site.engine, Engine::File("/tmp".into()));
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (words, reason) in [
            ("cache", "cached_db"),
            ("redis", "none of db"),
            ("on", "none of db"),
            ("file", "SESSION_FILE_PATH"),
            ("file path=tmp", "absolute"),
            ("file path=/does/not/exist", "No such file"),
            ("file path=/etc/passwd", "not a directory"),
            ("db path=/tmp", "file alone"),
            ("db cookie=", "SESSION_COOKIE_NAME"),
            ("db cookie=a;b", "SESSION_COOKIE_NAME"),
            ("db age=0", "SESSION_COOKIE_AGE"),
            ("db age=-1", "SESSION_COOKIE_AGE"),
            ("db salt=", "none of cookie="),
            ("db backends=", "AUTHENTICATION_BACKENDS"),
            ("db backends=a.B,", "AUTHENTICATION_BACKENDS"),
            ("db backends=ModelBackend", "AUTHENTICATION_BACKENDS"),
            ("db timezone=Europe/Nowhere", "tzdata"),
            ("signed_cookies timezone=UTC", "db and cached_db alone"),
            ("db unsafe-methods=yes", "none of cookie="),
            ("db optional=", "none of cookie="),
            ("db off", "none of cookie="),
        ] {
            let error = read(words).unwrap_err();
            assert!(error.contains(reason), "{words}: {error}");
        }
        assert!(Session::from_words(&[]).is_err());
    }
}
