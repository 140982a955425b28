//! Who is it: `check_password`, as `django.contrib.auth.handlers.modwsgi` answers it, and `session`,
//! as `django.contrib.auth.get_user` does.

#![forbid(unsafe_code)]

mod outages;
mod session;
mod stale;
mod verifier;

pub use outages::{DATABASES, Outages};
pub use session::{Owners, Session, Sessions, session};
pub use stale::Stale;
pub use verifier::Verifier;

use crate::error::Error;
use crate::hashers;
use crate::hashers::{Floor, Verdict};
use crate::query::{Query, Values};
use crate::session::{Refusal, SigningRefusal, UserId};
use crate::store::{Found, Patience, Store};
use crate::user::{User, UserModel, Wants};
use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Instant;
use zeroize::Zeroizing;

/// A Django site: its database, its user model, and what its rows were seen to cost.
pub struct Site {
    /// Where its users are kept.
    pub store: Arc<dyn Store>,
    /// Their table and columns.
    pub model: Arc<UserModel>,
    /// The highest cost of a password among them.
    pub floor: Floor,
    /// What tells this site's users from those of any other, on every machine.
    pub identity: String,
    /// What to go by while its database is away.
    pub stale: Stale,
    /// Whose sessions were read.
    pub owners: Owners,
}

impl Site {
    /// Who has this name, as `Store::get_by_natural_key`.
    pub(crate) fn get_by_natural_key(
        &self,
        wants: &Wants,
        username: &str,
        patience: &Patience,
    ) -> Result<Found, Error> {
        let Self { store, model, stale, .. } = self;
        let found = patience
            .ask(&**store, |deadline| store.get_by_natural_key(model, wants, username, deadline))?;
        stale.heed_name(model, username, &found);
        Ok(found)
    }

    /// Who has this primary key, as `Store::get_by_id`.
    fn get_by_id(&self, wants: &Wants, id: &UserId, patience: &Patience) -> Result<Found, Error> {
        let Self { store, model, stale, .. } = self;
        let found = patience
            .ask(&**store, |deadline| store.get_by_id(model, wants, id.text(), deadline))?;
        stale.heed_id(&found, || id.spellings());
        Ok(found)
    }
}

/// The answer to a name and a password.
#[derive(Debug, Clone)]
pub enum Decision {
    /// The only way in: an active user whose password it is.
    Granted(Arc<User>, Proof),
    /// Not the password of this user.
    Denied(Reason),
    /// Nobody here: another provider may know the user.
    UserNotFound(Reason),
}

/// How it is known that the password is the user's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// It was hashed for this request.
    Hashed,
    /// It was hashed lately, or at this moment for another request, and nothing in the user's row has
    /// changed.
    Remembered,
    /// It was hashed lately, and the database is away, for this reason.
    Stale(Error),
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hashed => "password verified",
            Self::Remembered => "password verified before",
            Self::Stale(_) => "password verified before the database went away",
        })
    }
}

/// The answer to a name and a realm.
#[derive(Clone)]
pub enum RealmHash {
    /// The MD5 of `user:realm:password`, in lower case, for an active user. Nobody is let in by it
    /// yet: httpd compares.
    Found(Arc<User>, Zeroizing<String>),
    /// Not with this name.
    Denied(Reason),
    /// Nobody here: another provider may know the user.
    UserNotFound(Reason),
}

/// Why not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// The table has no such user.
    NoSuchUser,
    /// The user is not active.
    Inactive,
    /// Several users have this name, in different case; the administrator should know.
    Ambiguous,
    /// It is another password.
    WrongPassword,
    /// The stored hash is one that no password may match; the administrator should know.
    Refused(hashers::Refusal),
    /// The cookie leads to no session of anybody.
    Session(Refusal),
    /// Digest: the query has no hash for this user and realm.
    NoRealmHash,
    /// Digest: what the query has is no MD5 in hexadecimal; the administrator should know.
    MalformedRealmHash,
}

impl Reason {
    /// Whether Django has let in who is nobody here.
    pub fn is_of_another_back_end(&self) -> bool {
        matches!(self, Self::Session(Refusal::Backend(_)))
    }

    /// Whether a session is signed, and none of the keys has done it.
    pub fn is_foreign_signature(&self) -> bool {
        matches!(self, Self::Session(Refusal::Signed(SigningRefusal::Signature)))
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchUser => f.write_str("no such user"),
            Self::Inactive => f.write_str("the user is not active"),
            Self::Ambiguous => f.write_str("more than one user has this name, in different case"),
            Self::WrongPassword => f.write_str("password mismatch"),
            Self::NoRealmHash => f.write_str("the query has no hash for this user and realm"),
            Self::MalformedRealmHash => f.write_str(
                "the query's value is not 32 hexadecimal digits, the MD5 of user:realm:password",
            ),
            Self::Session(refusal) => write!(f, "{refusal}"),
            Self::Refused(refusal) => write!(f, "the stored password is refused: {refusal}"),
        }
    }
}

/// Whether `password` is that of the active user `username`, whose row brings what the place
/// `wants`: `check_password` of Django 6.1's
/// `contrib/auth/handlers/modwsgi.py`. Every answer but `Granted` has cost at least one hash of the
/// preferred hasher, so that time tells nobody who has an account (CVE-2025-13473), unless the same
/// credentials have just cost it.
///
/// The row is read and judged before the cache is asked, so that what changes in it counts at once.
///
/// # Errors
/// When the database gave no answer in the time that the request has for it, or when too many hashes
/// wait already.
pub fn check_password(
    site: &Site,
    verifier: Verifier<'_>,
    wants: &Wants,
    username: &str,
    password: &str,
    patience: &Patience,
) -> Result<Decision, Error> {
    let password = password.as_bytes();
    let asked = verifier.stale.map(|_| Instant::now());
    let found = match site.get_by_natural_key(wants, username, patience) {
        Ok(found) => found,
        Err(error) => {
            // An error of SQL is an answer, and who answers others is not away.
            let away = matches!(error, Error::Unavailable { overloaded: false, .. });
            if !away || verifier.stale.is_none() {
                return Err(error);
            }
            let Some(user) = verifier.bridge(site, wants, username, password) else {
                // To guess costs what it costs while the database is there, whoever it is.
                let _ = verifier.spend(site, username, password);
                return Err(error);
            };
            return Ok(Decision::Granted(user, Proof::Stale(error)));
        }
    };
    Ok(match active(found) {
        Ok(user) => match verifier.verdict(site, username, &user, password)? {
            (Verdict::Correct, proof) => {
                verifier.note(site, username, password, &user, asked);
                Decision::Granted(user, proof)
            }
            (Verdict::Refused(refusal), _) => Decision::Denied(Reason::Refused(refusal)),
            _ => Decision::Denied(Reason::WrongPassword),
        },
        Err(reason) => {
            verifier.spend(site, username, password)?;
            match reason {
                Reason::Ambiguous => Decision::Denied(reason),
                reason => Decision::UserNotFound(reason),
            }
        }
    })
}

/// The hash by which httpd verifies Digest: of an active user alone, whatever `query`, whose name is
/// `query_name`, has for others.
///
/// # Errors
/// When the database gave no answer in the time that the request has for it.
pub fn realm_hash(
    site: &Site,
    wants: &Wants,
    (query_name, query): (&str, &Query),
    username: &str,
    realm: &str,
    patience: &Patience,
) -> Result<RealmHash, Error> {
    let user = match active(site.get_by_natural_key(wants, username, patience)?) {
        Ok(user) => user,
        Err(Reason::Ambiguous) => return Ok(RealmHash::Denied(Reason::Ambiguous)),
        Err(reason) => return Ok(RealmHash::UserNotFound(reason)),
    };
    // The name as it was sent is the one that the client has hashed.
    let values = Values { user_id: &user.id, username, realm, ..Values::default() };
    let value = patience
        .ask(&*site.store, |deadline| site.store.value(query, &values, deadline))
        .map_err(|error| error.of_query(query_name))?;
    Ok(match value {
        None => RealmHash::UserNotFound(Reason::NoRealmHash),
        Some(hash) if hash.len() == 32 && hash.bytes().all(|b| b.is_ascii_hexdigit()) => {
            RealmHash::Found(user, Zeroizing::new(hash.to_ascii_lowercase()))
        }
        Some(_) => RealmHash::UserNotFound(Reason::MalformedRealmHash),
    })
}

/// The user who may log in, or why nobody may.
fn active(found: Found) -> Result<Arc<User>, Reason> {
    match found {
        Found::One(user) if user.is_active => Ok(user),
        Found::One(_) => Err(Reason::Inactive),
        Found::Nobody => Err(Reason::NoSuchUser),
        Found::Several => Err(Reason::Ambiguous),
    }
}

/// What the client sent, as text: UTF-8 (RFC 7617) where both are, else Latin-1, as older clients
/// send it; a client uses one encoding for both.
pub fn decode<'a>(username: &'a [u8], password: &'a [u8]) -> (Cow<'a, str>, Password<'a>) {
    match (str::from_utf8(username), str::from_utf8(password)) {
        (Ok(username), Ok(password)) => (username.into(), Password::Sent(password)),
        _ => (latin1(username).into(), Password::Decoded(latin1(password).into())),
    }
}

fn latin1(bytes: &[u8]) -> String {
    // At once as large as it may get: what a growing text leaves behind stays in memory.
    let mut text = String::with_capacity(bytes.len() * 2);
    text.extend(bytes.iter().copied().map(char::from));
    text
}

/// A password as text; a copy of it goes from memory with this.
pub enum Password<'a> {
    /// As the client sent it.
    Sent(&'a str),
    /// In another encoding.
    Decoded(Zeroizing<String>),
}

impl Deref for Password<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Sent(password) => password,
            Self::Decoded(password) => password,
        }
    }
}

#[cfg(test)]
mod tests;
