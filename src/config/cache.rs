//! `AuthDjangoCache` and `AuthDjangoCacheTimeout`: where verified credentials are kept, and how long.

#![forbid(unsafe_code)]

use super::{FromWords, Secret};
use crate::cache::Key;
use crate::secret::Source;
use std::sync::Arc;
use std::time::Duration;

/// `AuthDjangoCache`.
#[derive(Debug)]
pub struct CacheSettings {
    /// The second level.
    pub level: Level,
    /// The key of all machines that share it; `None`: one of this server's own, made at its start.
    pub key: Option<Arc<Secret>>,
}

/// Where verified credentials are shared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Level {
    /// Between the children, in shared memory of so many bytes.
    Shmcb(usize),
    /// Between machines, by a redis at `HOST:PORT`.
    Redis(String),
    /// Not: each child has its own.
    Local,
    /// Nowhere: every password is hashed.
    Off,
}

/// Bytes of shared memory that one user takes, with room for a part of it to be fuller than others.
/// mod_socache_shmcb 2.4 divides its memory by what `HINTS` say, and keeps an index of 24 bytes.
pub const BYTES_PER_USER: usize = 128;

/// Without a size: 8192 users.
const SIZE: usize = 1024 * 1024;

/// What mod_socache_shmcb can have, 64 users at least.
const SIZES: std::ops::RangeInclusive<usize> = 8192..=1024 * 1024 * 1024;

impl Default for CacheSettings {
    fn default() -> Self {
        Self { level: Level::Shmcb(SIZE), key: None }
    }
}

impl FromWords for CacheSettings {
    fn from_words(words: &[&str]) -> Result<Self, String> {
        let (level, rest) = match words {
            [word, rest @ ..] => (level(word)?, rest),
            [] => return Err("needs shmcb, redis:HOST:PORT, local or off".into()),
        };
        let key = match rest {
            [] => None,
            [word] => {
                let source = word.strip_prefix("key=").ok_or(
                    "what follows must be key=file:PATH, key=env:NAME or key=exec:PROGRAM",
                )?;
                let source = Source::parse(source).map_err(|reason| format!("key= {reason}"))?;
                Some(Arc::new(Secret::new("AuthDjangoCache key=", source)))
            }
            _ => return Err("takes one key=, quoted where it has spaces, and nothing more".into()),
        };
        match (&level, &key) {
            (Level::Redis(_), None) => {
                Err("redis needs key=file:PATH, the same on all machines that \
                                            share it: make one by openssl rand -hex 32"
                    .into())
            }
            (Level::Local | Level::Off, Some(_)) => {
                Err("key= has no use here: nothing is shared".into())
            }
            _ => Ok(Self { level, key }),
        }
    }
}

impl CacheSettings {
    /// The key that was read; `None` where none is named.
    ///
    /// # Errors
    /// The reason and the remedy: it was not read, or is too short.
    pub fn key(&self) -> Result<Option<Key>, String> {
        let Some(secret) = &self.key else { return Ok(None) };
        let value = secret.value.get().ok_or("the key was not read")?;
        Key::from_secret(value).map(Some).map_err(|reason| format!("AuthDjangoCache: {reason}"))
    }
}

fn level(word: &str) -> Result<Level, String> {
    match word.split_once(':').unwrap_or((word, "")) {
        ("local", "") => Ok(Level::Local),
        ("off", "") => Ok(Level::Off),
        ("shmcb", "") => Ok(Level::Shmcb(SIZE)),
        ("shmcb", size) => Ok(Level::Shmcb(bytes(size)?)),
        ("redis", place) => match place.rsplit_once(':') {
            Some((host, port))
                if !host.is_empty()
                    && !host.contains([',', '(', ' '])
                    && port.parse::<u16>().is_ok_and(|port| port > 0) =>
            {
                Ok(Level::Redis(place.to_owned()))
            }
            _ => Err("redis needs one host and its port: redis:HOST:PORT".into()),
        },
        _ => Err(format!("\"{word}\" is none of shmcb[:SIZE], redis:HOST:PORT, local, off")),
    }
}

/// `524288`, `512K` or `4M`.
fn bytes(text: &str) -> Result<usize, String> {
    let (digits, unit) = match text.strip_suffix(['K', 'k']) {
        Some(digits) => (digits, 1024),
        None => text.strip_suffix(['M', 'm']).map_or((text, 1), |digits| (digits, 1024 * 1024)),
    };
    digits
        .parse::<usize>()
        .ok()
        .and_then(|number| number.checked_mul(unit))
        .filter(|size| SIZES.contains(size))
        .ok_or_else(|| format!("shmcb:{text}: the size is one of 8K to 1024M, in bytes, K or M"))
}

/// `AuthDjangoCacheTimeout`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheTimeout(pub Option<Duration>);

/// The longest that an administrator can mean (seconds): a day.
const LONGEST: u64 = 86_400;

impl Default for CacheTimeout {
    fn default() -> Self {
        Self(Some(Duration::from_secs(300)))
    }
}

impl FromWords for CacheTimeout {
    fn from_words(words: &[&str]) -> Result<Self, String> {
        match words {
            ["off"] => Ok(Self(None)),
            [seconds] => match seconds.parse() {
                Ok(seconds @ 1..=LONGEST) => Ok(Self(Some(Duration::from_secs(seconds)))),
                _ => Err(format!("\"{seconds}\" is neither off nor seconds from 1 to {LONGEST}")),
            },
            _ => Err("takes one word: seconds, or off".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_sizes_and_keys() {
        let level =
            |words: &[&str]| CacheSettings::from_words(words).map(|settings| settings.level);
        assert_eq!(level(&["shmcb"]), Ok(Level::Shmcb(1_048_576)));
        assert_eq!(level(&["shmcb:512K"]), Ok(Level::Shmcb(524_288)));
        assert_eq!(level(&["shmcb:4M"]), Ok(Level::Shmcb(4_194_304)));
        assert_eq!(level(&["shmcb:8192"]), Ok(Level::Shmcb(8192)));
        assert_eq!(level(&["local"]), Ok(Level::Local));
        assert_eq!(level(&["off"]), Ok(Level::Off));
        let redis = ["redis:cache.example.org:6379", "key=env:HOME"];
        assert_eq!(level(&redis), Ok(Level::Redis("cache.example.org:6379".into())));
        for (words, reason) in [
            (&["redis:cache.example.org:6379"][..], "redis needs key="),
            (&["redis:cache", "key=env:HOME"], "HOST:PORT"),
            (&["redis:a:1,b:2", "key=env:HOME"], "one host"),
            (&["shmcb:8191"], "8K to 1024M"),
            (&["shmcb:99999999999999999999M"], "8K to 1024M"),
            (&["memcache"], "is none of"),
            (&["local:1"], "is none of"),
            (&["local", "key=env:HOME"], "no use"),
            (&["shmcb", "env:HOME"], "must be key="),
            (&["shmcb", "key=secret"], "must be file:PATH"),
            (&["shmcb", "key=env:A", "key=env:B"], "takes one key="),
        ] {
            let error = level(words).unwrap_err();
            assert!(error.contains(reason), "{words:?}: {error}");
        }
    }

    #[test]
    fn times() {
        let read = |word| CacheTimeout::from_words(&[word]).map(|timeout| timeout.0);
        assert_eq!(read("off"), Ok(None));
        assert_eq!(read("1"), Ok(Some(Duration::from_secs(1))));
        for word in ["0", "86401", "-1", "5m", ""] {
            assert!(read(word).is_err(), "{word}");
        }
    }
}
