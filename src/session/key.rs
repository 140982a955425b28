//! The key of a session: who knows it is logged in, so no log shows it.

#![forbid(unsafe_code)]

use super::Refusal;
use std::fmt;
use zeroize::Zeroizing;

/// Django's own are of 32 characters. It looks none up that is shorter than 8, and its column and
/// what is a plain name of a file are no longer than 40.
const LENGTHS: std::ops::RangeInclusive<usize> = 8..=40;

/// A key that may be looked up.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionKey(Zeroizing<String>);

impl SessionKey {
    /// Of a row. Django looks up anything of that length; what is neither a letter, a digit nor a sign
    /// of ASCII is in no key, and the databases differ about it.
    ///
    /// # Errors
    /// `Refusal::Key`.
    pub fn of_row(cookie: &str) -> Result<Self, Refusal> {
        Self::of(cookie, |byte| byte.is_ascii_graphic())
    }

    /// Of a file: a part of its name, and nothing that leads elsewhere.
    ///
    /// # Errors
    /// `Refusal::Key`.
    pub fn of_file(cookie: &str) -> Result<Self, Refusal> {
        Self::of(cookie, |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9'))
    }

    fn of(cookie: &str, may_hold: impl Fn(u8) -> bool) -> Result<Self, Refusal> {
        if LENGTHS.contains(&cookie.len()) && cookie.bytes().all(may_hold) {
            Ok(Self(Zeroizing::new(cookie.to_owned())))
        } else {
            Err(Refusal::Key)
        }
    }

    /// It, for the query.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionKey(…)")
    }
}
