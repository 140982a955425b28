//! `AuthDjangoUnavailable`.

#![forbid(unsafe_code)]

use super::FromWords;
use std::time::Duration;

/// What an outage means to authentication; an SQL error is never one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Unavailable {
    /// The request fails.
    #[default]
    Error,
    /// Nobody is known here, so that the next provider is asked.
    NotFound,
    /// Who was verified within this time is let in; for everybody else the request fails.
    Stale(Duration),
}

/// How long a user may be served from what was last read: a day (seconds).
const STALE: std::ops::RangeInclusive<u64> = 1..=86_400;

impl FromWords for Unavailable {
    fn from_words(words: &[&str]) -> Result<Self, String> {
        match words {
            ["error"] => Ok(Self::Error),
            ["not-found"] => Ok(Self::NotFound),
            [word] if word.starts_with("stale=") => word
                .strip_prefix("stale=")
                .and_then(|seconds| seconds.parse().ok())
                .filter(|seconds| STALE.contains(seconds))
                .map(|seconds| Self::Stale(Duration::from_secs(seconds)))
                .ok_or_else(|| format!("\"{word}\": the seconds are 1 to {}", STALE.end())),
            _ => Err(format!("\"{}\" is none of error, not-found, stale=SECONDS", words.join(" "))),
        }
    }
}
