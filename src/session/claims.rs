//! What a session says of its user.

#![forbid(unsafe_code)]

use super::json::Value;
use super::{Keys, Refusal};
use crate::signing::Algorithm;
use std::fmt;
use std::sync::OnceLock;
use zeroize::Zeroizing;

/// `AbstractBaseUser.get_session_auth_hash`.
const AUTH_HASH_SALT: &str = "django.contrib.auth.models.AbstractBaseUser.get_session_auth_hash";

/// Whom Django has logged in, by which back end, and under which password: true only of the user
/// whose password proves it.
pub struct Claims {
    /// `_auth_user_id`.
    pub user_id: UserId,
    /// `_auth_user_backend`, one of those that are allowed.
    pub backend: String,
    /// `_auth_user_hash`.
    pub(super) auth_hash: Zeroizing<String>,
    /// What it may be made with.
    pub(super) keys: Keys,
    /// Whether SHA-1 may be, too.
    pub(super) legacy: bool,
    /// The password column that was found to be the one.
    pub(super) proven: OnceLock<Zeroizing<String>>,
}

impl Claims {
    /// Whether they were made when `encoded` was the password column of their user, under one of the
    /// keys: Django's session ends with the password. Whether the user is active, the caller asks.
    pub fn are_proven_by(&self, encoded: &str) -> bool {
        if self.proven.get().is_some_and(|proven| **proven == encoded) {
            return true;
        }
        let is = |algorithm: Algorithm| {
            let claimed = self.auth_hash.as_bytes();
            algorithm.is_hexdigest(claimed, AUTH_HASH_SALT, encoded.as_bytes(), &self.keys)
        };
        let proven = is(Algorithm::Sha256) || (self.legacy && is(Algorithm::Sha1));
        if proven {
            let _ = self.proven.set(Zeroizing::new(encoded.to_owned()));
        }
        proven
    }
}

impl PartialEq for Claims {
    fn eq(&self, other: &Self) -> bool {
        (&self.user_id, &self.backend, &self.auth_hash)
            == (&other.user_id, &other.backend, &other.auth_hash)
    }
}

impl fmt::Debug for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { user_id, backend, .. } = self;
        let mut claims = f.debug_struct("Claims");
        claims.field("user_id", user_id).field("backend", backend).finish_non_exhaustive()
    }
}

/// `_auth_user_id`: the text that Django has made of the primary key, or a number. Which key it means
/// depends on the column: there is one reading for each kind, the one of its `to_python`. Where Django
/// raises instead, that is no user.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct UserId {
    text: String,
    is_number: bool,
}

impl UserId {
    /// Django writes texts; an integer works as well. By chance others do too (true is the user 1, and
    /// so is 1.9), which we do not repeat.
    pub(super) fn read(value: Option<Value>) -> Result<Self, Refusal> {
        match value {
            Some(Value::Text(text)) => Ok(Self { text, is_number: false }),
            Some(Value::Integer(text)) => Ok(Self { text, is_number: true }),
            _ => Err(Refusal::NoUser),
        }
    }

    #[cfg(test)]
    pub(crate) fn of(text: &str) -> Self {
        Self { text: text.into(), is_number: false }
    }

    /// The key in a column of integers: Python's `int`, of ASCII's digits.
    pub fn integer(&self) -> Option<i64> {
        let text = self.text.trim();
        let (sign, digits) = match text.strip_prefix(['+', '-']) {
            Some(digits) => (text.get(..1)?, digits),
            None => ("", text),
        };
        // An underscore stands between two digits.
        let is_digits =
            |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if !digits.split('_').all(is_digits) {
            return None;
        }
        format!("{sign}{}", digits.replace('_', "")).parse().ok()
    }

    /// The key in a column of UUIDs: its 32 hexadecimal digits, as SQLite and MySQL keep it and as
    /// PostgreSQL reads it too.
    pub fn uuid(&self) -> Option<String> {
        if self.is_number {
            return self.text.parse().ok().map(|number: u128| format!("{number:032x}"));
        }
        let hex = self.text.replace("urn:", "").replace("uuid:", "");
        let hex = hex.trim_matches(['{', '}']).replace('-', "");
        let is_uuid = hex.len() == 32 && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_uuid.then(|| hex.to_ascii_lowercase())
    }

    /// The key as columns of any kind may have it.
    pub fn spellings(&self) -> Vec<String> {
        let mut all = vec![self.text.clone()];
        all.extend(self.integer().map(|number| number.to_string()));
        if let Some(digits) = self.uuid() {
            let parts =
                [0..8, 8..12, 12..16, 16..20, 20..32].map(|part| digits.get(part).unwrap_or(""));
            all.push(parts.join("-"));
            all.push(digits);
        }
        all
    }

    /// Whether it means the user whose primary key is `id`, as text, whatever the kind of the column.
    pub fn is(&self, id: &str) -> bool {
        let uuid = || Self { text: id.to_owned(), is_number: false }.uuid();
        self.text == id
            || self.integer().is_some_and(|ours| id.parse() == Ok(ours))
            || self.uuid().is_some_and(|ours| uuid() == Some(ours))
    }

    /// The key in a column of texts.
    pub fn text(&self) -> &str {
        &self.text
    }
}
