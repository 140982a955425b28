//! Django's sessions, for reading alone: from a cookie to whom Django has logged in.
//!
//! [`Settings::find`] → [`SessionRow::claims`] of a row, or [`Settings::decode`] of what is no row →
//! [`Claims`] → the user's row, by its `user_id` → [`Claims::are_proven_by`].

#![forbid(unsafe_code)]

mod claims;
mod clock;
mod cookie;
mod file;
mod json;
mod key;
mod legacy;
mod row;

pub use crate::signing::{Keys, Refusal as SigningRefusal};
pub use claims::{Claims, UserId};
pub use clock::Clock;
pub use cookie::cookie;
pub use key::SessionKey;
pub use row::SessionRow;

use crate::error::Error;
use crate::signing::{self, Signer};
use std::fmt;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};
use zeroize::Zeroizing;

/// `SESSION_COOKIE_NAME`.
const COOKIE: &str = "sessionid";

/// `SESSION_COOKIE_AGE`: two weeks.
const AGE: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// `AUTHENTICATION_BACKENDS`.
const BACKEND: &str = "django.contrib.auth.backends.ModelBackend";

/// Where Django keeps its sessions (`SESSION_ENGINE`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Engine {
    /// `db` and `cached_db`: in a row, which both write.
    Row,
    /// `signed_cookies`: in the cookie itself.
    SignedCookies,
    /// `file`: in a file of this directory (`SESSION_FILE_PATH`).
    File(PathBuf),
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Row => f.write_str("in rows (db, cached_db)"),
            Self::SignedCookies => f.write_str("in signed_cookies"),
            Self::File(directory) => write!(f, "in files of {}", directory.display()),
        }
    }
}

impl Engine {
    /// The salt of its `SessionStore`.
    fn salt(&self) -> &'static str {
        match self {
            Self::Row | Self::File(_) => "django.contrib.sessions.SessionStore",
            Self::SignedCookies => "django.contrib.sessions.backends.signed_cookies",
        }
    }
}

/// A site's settings about sessions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `SESSION_ENGINE`.
    pub engine: Engine,
    /// `SESSION_COOKIE_NAME`.
    pub cookie: String,
    /// `SESSION_COOKIE_AGE`. A row has its own `expire_date`, which the query compares.
    pub age: Duration,
    /// What the sessions are signed for: a subclass of `SessionStore` has its own `key_salt`.
    pub salt: String,
    /// `AUTHENTICATION_BACKENDS`, or those of them that may let somebody in here.
    pub backends: Vec<String>,
    /// Accept what Django 3.2 accepts and no later one: SHA-1, and sessions as before 3.1.
    pub legacy: bool,
}

impl Settings {
    /// Django's defaults.
    pub fn new(engine: Engine) -> Self {
        Self {
            cookie: COOKIE.to_owned(),
            age: AGE,
            salt: engine.salt().to_owned(),
            backends: vec![BACKEND.to_owned()],
            legacy: false,
            engine,
        }
    }

    /// Whether the database keeps them.
    pub fn are_rows(&self) -> bool {
        self.engine == Engine::Row
    }

    /// Whether only Django can have written a session, in a row or a file of its own; a client can
    /// send any cookie.
    pub fn is_kept_by_django(&self) -> bool {
        self.engine != Engine::SignedCookies
    }

    /// The session that a `Cookie` header names.
    ///
    /// # Errors
    /// `Unfound::Refused` where there is none, `Unfound::Failed` where a file of it cannot be read.
    pub fn find(&self, header: &[u8]) -> Result<Found, Unfound> {
        let value = cookie(header, &self.cookie).ok_or(Refusal::NoCookie)?;
        match &self.engine {
            Engine::Row => Ok(Found::Key(SessionKey::of_row(&value)?)),
            Engine::SignedCookies => {
                Ok(Found::Data(Data { text: value.into_bytes(), modified: None }))
            }
            Engine::File(directory) => {
                let key = SessionKey::of_file(&value)?;
                let data = file::read(directory, &self.cookie, &key)?;
                Ok(Found::Data(data.ok_or(Refusal::NoSession)?))
            }
        }
    }

    /// What a session says of its user: signature, age, JSON, user, back end, in Django's order.
    ///
    /// # Errors
    /// Why it is no session of anybody.
    pub fn decode(&self, data: &Data, keys: &Keys, now: SystemTime) -> Result<Claims, Refusal> {
        let [expiry, user_id, backend, auth_hash] = self.members(&data.text, keys, now)?;
        if let (Engine::File(_), Some(modified)) = (&self.engine, data.modified)
            && file::has_ended(expiry.as_ref(), modified, self.age, now)
        {
            return Err(Refusal::Ended);
        }
        let user_id = UserId::read(user_id)?;
        let backend = match backend {
            Some(json::Value::Text(backend)) if self.backends.contains(&backend) => backend,
            Some(json::Value::Text(backend)) => return Err(Refusal::Backend(backend)),
            _ => return Err(Refusal::NoUser),
        };
        match auth_hash {
            Some(json::Value::Text(hash)) if !hash.is_empty() => {
                let (auth_hash, keys, legacy) = (Zeroizing::new(hash), keys.clone(), self.legacy);
                Ok(Claims { user_id, backend, auth_hash, keys, legacy, proven: OnceLock::new() })
            }
            _ => Err(Refusal::Hash),
        }
    }

    /// The members of a session that matter.
    fn members(
        &self,
        text: &[u8],
        keys: &Keys,
        now: SystemTime,
    ) -> Result<[Option<json::Value>; 4], Refusal> {
        let signer = Signer { salt: &self.salt, sha1: self.legacy };
        let max_age = (self.engine == Engine::SignedCookies).then_some(self.age);
        let loaded = signer.loads(text, keys, max_age, now).map_err(Refusal::from);
        let read = |json: &[u8]| {
            let names =
                ["_session_expiry", "_auth_user_id", "_auth_user_backend", "_auth_user_hash"];
            json::members(json, names).map_err(|_| Refusal::NotJson)
        };
        loaded.and_then(|json| read(&json)).or_else(|refusal| match refusal {
            Refusal::Signed(signing::Refusal::TooLong) => Err(refusal),
            _ if self.legacy && self.engine != Engine::SignedCookies => {
                read(&legacy::loads(text, &self.salt, keys).ok_or(refusal)?)
            }
            _ => Err(refusal),
        })
    }
}

/// Where the session is.
#[derive(Debug)]
pub enum Found {
    /// In the row of this key, if its `expire_date` is still to come.
    Key(SessionKey),
    /// Here.
    Data(Data),
}

/// A session as Django has written it.
#[derive(Clone)]
pub struct Data {
    text: Vec<u8>,
    /// When its file was.
    modified: Option<SystemTime>,
}

impl Data {
    /// The column `session_data`.
    pub fn of_row(session_data: impl Into<Vec<u8>>) -> Self {
        Self { text: session_data.into(), modified: None }
    }
}

impl fmt::Debug for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Data({} bytes)", self.text.len())
    }
}

/// Why a cookie leads to no session.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfound {
    /// There is none.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// What is ours has failed.
    #[error(transparent)]
    Failed(#[from] Error),
}

/// Why there is no session, to Django an anonymous user. The texts are for a log: they hold no cookie,
/// no key and no hash.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No such cookie.
    #[error("no session cookie")]
    NoCookie,
    /// Nothing that Django uses as a key.
    #[error("the session cookie is no session key")]
    Key,
    /// No row or file of that key, or no longer.
    #[error("no such session, or it has ended")]
    NoSession,
    /// Its time is over.
    #[error("the session has ended")]
    Ended,
    /// Not what Django has signed, or no longer.
    #[error("the session: {0}")]
    Signed(#[from] signing::Refusal),
    /// Signed, but of another serializer, or too deep.
    #[error("the session is not a JSON object")]
    NotJson,
    /// An anonymous session.
    #[error("nobody is logged in to the session")]
    NoUser,
    /// Logged in by another back end.
    #[error("the session is of {:?}, which is not among the back ends that are allowed here", shown(.0))]
    Backend(String),
    /// The password has been changed since, or SECRET_KEY.
    #[error("the session is not of the user's present password")]
    Hash,
}

/// As much of a dotted path as a log needs; `{:?}` escapes it.
fn shown(path: &str) -> String {
    path.chars().take(100).collect()
}

#[cfg(test)]
mod tests;
